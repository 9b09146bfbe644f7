"""Things cut out of a photo: measured as a plane of known size and distance, written; slips told in one sentence."""

import io
import json
import re

import numpy as np
import pytest
import trimesh
from PIL import Image
from safetensors.torch import load_file
from shipped_model import save_mask_model, save_runs, ship, take

import semidepth
from semidepth.media.run_lengths import decode_run_lengths
from semidepth.modeling import PromptedMaskForMaskGeneration
from semidepth.prediction.masks.cli import main
from semidepth.prediction.masks.cutouts import Cutout, inner
from semidepth.prediction.masks.loading import load_mask_predictor
from semidepth.prediction.shipped.folder import MASKS_NAME, NAME, shipped_models, shipped_names
from semidepth.prediction.shipped.heads import join_heads

HEIGHT, WIDTH = 120, 160
ROWS, COLUMNS = slice(30, 90), slice(40, 120)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of a student, of a metric model on it, and of a mask model on it."""
    root = tmp_path_factory.mktemp("runs")
    student, metric = save_runs(root)
    return student, metric, save_mask_model(student, root / "masks")


@pytest.fixture
def shipped(runs, tmp_path_factory, monkeypatch):
    student, metric, masks = runs
    made = tmp_path_factory.mktemp("made") / NAME
    ship(student, made, "--heads", str(metric), "--masks", str(masks))
    take(monkeypatch, made)
    return made


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def plane(fov_deg=90.0, depth=2.0):
    """A rectangle 2 m away before a wall at 8 m."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[ROWS, COLUMNS] = True
    metres = np.where(mask, depth, 8.0).astype(np.float32)
    metres[ROWS, 40] = 8.0  # the rim is soft
    image = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    return Cutout(mask, 0.9, image, mask[None], np.array([0.9]), metres, fov_deg, "given")


def test_distance_and_size_are_those_of_the_plane():
    cut = plane()
    assert cut.focal_px == pytest.approx(WIDTH / 2)
    assert cut.distance_m == pytest.approx(2.0)
    assert cut.distance_10_90_m == pytest.approx((2.0, 2.0))
    width, height, depth = cut.size_m
    # 80 and 60 pixels at 2 m and 80 pixels of focal length, less the outermost 0.5 % on both sides.
    assert width == pytest.approx(2.0, rel=0.03)
    assert height == pytest.approx(1.5, rel=0.03)
    assert depth == pytest.approx(0.0, abs=1e-6)
    tilted = plane()
    ramp = np.where(cut.mask, np.linspace(2, 4, WIDTH)[None], 8.0).astype(np.float32)
    tilted = Cutout(cut.mask, 0.9, cut.image, cut.mask[None], np.array([0.9]), ramp, 90.0, "given")
    low, high = tilted.distance_10_90_m
    assert ramp[60, 42] < low < tilted.distance_m < high < ramp[60, 118]


def test_a_rim_at_the_edge_of_the_photo_is_none():
    mask = np.zeros((100, 100), bool)
    mask[:, :50] = True
    assert inner(mask)[:, :48].all()
    assert not inner(mask)[:, 48:].any()
    speck = np.zeros((100, 100), bool)
    speck[3, 4] = True
    assert np.array_equal(inner(speck), speck)


def test_points_and_mesh_are_of_the_thing_alone():
    cut = plane()
    points = trimesh.load(io.BytesIO(cut.ply()), file_type="ply").vertices
    assert len(points) == inner(cut.mask).sum()
    assert points[:, 2].max() == pytest.approx(-2.0)
    mesh = trimesh.load(io.BytesIO(cut.glb()), file_type="glb", force="mesh")
    assert 1.5 < np.ptp(mesh.vertices[:, 0]) < 2.0
    bare = Cutout(cut.mask, 0.9, cut.image, cut.mask[None], np.array([0.9]), None, 60.0, "assumed")
    assert bare.distance_m is None
    assert "distance_m" not in bare.record()
    with pytest.raises(ValueError, match="no metres"):
        bare.ply()


def test_the_shipped_decoder_stands_on_the_shipped_core(shipped, runs, photo, tmp_path):
    assert shipped_models()[-1] == MASKS_NAME
    assert MASKS_NAME not in shipped_names()  # it predicts no depth
    assert "semidepth.segment(" in (shipped / "README.md").read_text()
    weights = load_file(shipped / "masks/heads.safetensors")
    assert not any(name.startswith("core.") for name in weights)
    whole = PromptedMaskForMaskGeneration.from_pretrained(runs[2])
    frequencies = whole.shared_image_embedding.positional_embedding.clone()
    for weight in whole.parameters():
        weight.data.copy_(weight.data.bfloat16().float())
    whole.shared_image_embedding.positional_embedding.data.copy_(frequencies)
    expected, found = whole.state_dict(), load_mask_predictor(MASKS_NAME)._model.state_dict()
    assert found.keys() == expected.keys()
    assert all(found[name].equal(expected[name]) for name in expected)
    join_heads(shipped / "masks", tmp_path / "joined")
    one, other = (semidepth.segment(photo, model, points=[(60, 50)], depth=None)
                  for model in (MASKS_NAME, str(tmp_path / "joined")))  # fmt: skip
    assert np.array_equal(one.mask, other.mask)


def test_the_command_writes_what_it_says(shipped, photo, tmp_path, capsys):
    words = [
        str(photo),
        "--box",
        "20,20,140,100",
        "--point",
        "80,60",
        "--not",
        "5,5",
        "--output",
        str(tmp_path / "cut"),
    ]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    [found] = told["annotations"]
    mask = np.asarray(Image.open(tmp_path / "cut/photo_mask.png"))
    assert np.array_equal(decode_run_lengths(found["segmentation"]), mask > 0)
    assert (found["fov_from"], found["fov_deg"]) == ("assumed", 60.0)
    assert found["distance_10_90_m"][0] <= found["distance_m"] <= found["distance_10_90_m"][1]
    cutout = np.asarray(Image.open(tmp_path / "cut/photo_cutout.png"))
    assert np.array_equal(cutout[..., 3] > 0, mask > 0)
    assert np.array_equal(cutout[..., :3], np.asarray(Image.open(photo)))
    assert (tmp_path / "cut/photo_cutout.ply").is_file()
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words[:-1], str(tmp_path / "flat"), "--depth", "none", "--fov_deg", "70"]) == 0
    assert "no metres" in capsys.readouterr().out
    assert not (tmp_path / "flat/photo_cutout.ply").exists()


def test_a_single_point_has_three_candidates_the_best_first(shipped, photo):
    cut = semidepth.segment(photo, points=[(80.0, 60.0)], fov_deg=70)
    assert cut.candidates.shape == (3, HEIGHT, WIDTH)
    assert (np.diff(cut.candidate_scores) <= 0).all()
    assert np.array_equal(cut.mask, cut.candidates[0])
    assert cut.fov_from == "given"
    assert len(semidepth.segment(photo, points=[(80.0, 60.0), (20.0, 20.0)], depth=None).candidates) == 1


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--point", "160,60"], "160, y 60.*160 pixels wide"),
        (["--point", "80,60", "--not", "80,-1"], "y -1"),
        (["--box", "20,20,20,60"], "x1 < x2"),
        (["--box", "20,20,60"], "x1,y1,x2,y2"),
        (["--point", "a,b"], "--point is 'a,b'"),
        ([], "no --point"),
        (["--point", *["80,60"] * 101], "101 points"),
        (["--point", "80,60", "--fov_deg", "200"], "--fov_deg"),
        (["--point", "80,60", "--format", "obj"], "--format"),
        (["--point", "80,60", "--model", NAME], "makes no masks"),
    ],
)
def test_slips_are_told_in_one_sentence(shipped, photo, tmp_path, capsys, words, cause):
    assert main([str(photo), "--output", str(tmp_path / "cut"), *words]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(cause, told), told
    assert not list(tmp_path.glob("cut/photo*"))
