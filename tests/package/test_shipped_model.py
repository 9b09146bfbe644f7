"""The folder of the model that comes with the package: whole, small, with today's code; and it tells near from far."""

from pathlib import Path

from huggingface_hub import metadata_load

import semidepth
from semidepth.evaluation.photos import EXAMPLES
from semidepth.prediction.shipped.folder import FOLDER, NAME, find_model, shipped_names
from semidepth.publishing.files import code_names, model_files

MOST_BYTES = 60 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]


def test_its_weights_are_whole_and_small_enough():
    for name in shipped_names():
        assert Path(find_model(name)).is_dir()  # raises where they are not
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < MOST_BYTES


def test_its_code_is_that_of_modeling():
    for name in code_names(FOLDER):
        own = (ROOT / "modeling" / name).read_text()
        assert (FOLDER / name).read_text() == own, f"cp modeling/{name} model_cards/{NAME}/"


def test_it_tells_what_it_is_and_names_no_place_of_its_makers():
    card = metadata_load(FOLDER / "README.md")
    assert card["license"]
    assert "student.yaml" in {file.path for file in model_files(FOLDER)}
    for path in FOLDER.rglob("*"):
        if path.suffix in (".json", ".yaml", ".md"):
            assert "/root" not in path.read_text()
            assert "/home" not in path.read_text()


def test_it_tells_near_from_far():
    """The child and the bear sit before trees: of each picture, a part that is near and one that is far."""
    maps = semidepth.predict([EXAMPLES / "bear.jpg", EXAMPLES / "jockey.jpg"], NAME, device="cpu")
    parts = (((0.62, 0.82), (0.05, 0.5)), ((0.45, 0.35), (0.05, 0.9)))  # (row, column) of near and far, shares
    for depth, (near, far) in zip(maps, parts, strict=True):
        height, width = depth.values.shape
        near, far = (depth.values[int(row * height), int(column * width)] for row, column in (near, far))
        assert near > 1.5 * far
