"""Maps in a folder of their own: which map belongs to which photo, and what is left over."""

import logging
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from sample_files import encoded, npy, picture

from semidepth.data.public_names import public_source
from semidepth.data.reading.map_folders import pair_by_name
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.stream import SampleStream


def paths(*names: str) -> list[PurePosixPath]:
    return [PurePosixPath(name) for name in names]


def pairs(photos: list[str], maps: list[str], template: str | None = None) -> dict[str, str]:
    found = pair_by_name(paths(*photos), paths(*maps), template)
    assert len(found.pairs) + len(found.photos_left) == len(photos)
    return {str(photo): str(map_) for photo, map_ in found.pairs}


@pytest.mark.parametrize(
    ("photos", "maps", "expected"),
    [
        (["a.jpg", "b.png"], ["a.npy", "b.exr"], {"a.jpg": "a.npy", "b.png": "b.exr"}),
        (["x/a.jpg", "y/a.jpg"], ["y/a.png", "x/a.png"], {"x/a.jpg": "x/a.png", "y/a.jpg": "y/a.png"}),
        (["a.jpg"], ["a_depth.npy", "a_depth_colored.png"], {"a.jpg": "a_depth.npy"}),  # Marigold
        (["a.b.jpg"], ["a.b.npz", "a.npz"], {"a.b.jpg": "a.b.npz"}),
        (["a.jpg"], ["a.depth.tiff", "b.depth.tiff"], {"a.jpg": "a.depth.tiff"}),
        (["x/a.jpg"], ["x/a/depth.exr", "x/a/points.exr", "x/a/mask.png"], {"x/a.jpg": "x/a/depth.exr"}),  # MoGe
        (["a.jpg"], ["a/exports/mini_npz/results.npz"], {"a.jpg": "a/exports/mini_npz/results.npz"}),  # DA3
        (["a.jpg", "a.png"], ["a.npy"], {"a.jpg": "a.npy", "a.png": "a.npy"}),
        # Side by side, from photos in folders.
        (["x/a.jpg", "y/b.jpg"], ["a.npy", "b_depth.npy"], {"x/a.jpg": "a.npy", "y/b.jpg": "b_depth.npy"}),
    ],
)
def test_maps_are_found_by_their_photos_names(photos, maps, expected):
    assert pairs(photos, maps) == expected


@pytest.mark.parametrize(
    ("photos", "maps"),
    [
        (["x/a.jpg"], ["y/a.npy"]),  # another scene's
        (["x/a.jpg", "y/a.jpg"], ["a.npy"]),  # whose?
        (["a.jpg"], ["aa.npy", "a1.npy", "a_normal.npy", "A.npy"]),
        (["a.jpg", "a/b.jpg"], ["a/c.npy"]),  # the folder is the photos', not the photo's
    ],
)
def test_a_map_that_may_be_anothers_is_not_taken(photos, maps):
    assert pairs(photos, maps) == {}


def test_several_maps_of_a_photo_are_refused_until_one_is_named():
    maps = ["x/a.npy", "x/a.png", "x/b.png"]
    with pytest.raises(ValueError, match=r"photo x/a.jpg has 2 maps \(x/a.npy, x/a.png\); say which, as in map={}.npy"):
        pairs(["x/a.jpg"], maps)
    assert pairs(["x/a.jpg"], maps, "{}.png") == {"x/a.jpg": "x/a.png"}
    with pytest.raises(ValueError, match=r"map={}/disp.exr"):
        pairs(["a.jpg"], ["a/disp.exr", "a/normal.exr"])
    assert pairs(["x/a.jpg"], ["x/depth_a.exr", "x/a.exr"], "depth_{}.exr") == {"x/a.jpg": "x/depth_a.exr"}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folders(tmp_path):
    """Five photos in two folders, four maps of 1 m to 4 m, and files that are no maps."""
    names = ["in/a", "in/b", "out/a", "out/c", "out/d"]
    photos = write(tmp_path / "my photos", {f"{name}.png": encoded(picture(i)) for i, name in enumerate(names)})
    maps = {f"{name}.npy": npy(np.full((24, 32), i + 1.0, np.float32)) for i, name in enumerate(names[:4])}
    return photos, write(tmp_path / "maps", maps | {"in/a.jpg": b"", "log.txt": b"", ".hidden.npy": b"", "e.npy": b""})


def read(spec: str) -> dict[str, float]:
    samples = SampleStream(StreamPlan((parse_source(spec),), labeled=True))
    return {"/".join(Path(sample["origin"]).parts[-2:]): sample["depth"].unique().item() for sample in samples}


def test_maps_and_photos_from_two_folders(folders, caplog):
    photos, maps = folders
    caplog.set_level(logging.INFO)
    spec = f"{maps}?images={photos}&kind=depth"
    assert read(spec) == {"in/a.png": 1.0, "in/b.png": 2.0, "out/a.png": 3.0, "out/c.png": 4.0}
    assert "4 photos have a map; left out are 1 photos without one (out/d.png) and 1 maps of no photo (e.npy)" in (
        caplog.text
    )
    assert read(f"{maps}/in?images={photos}/in/*.png") == {"in/a.png": 1.0, "in/b.png": 2.0}
    assert read(f"{maps}?images={photos}&kind=disparity&count=2") == {"in/a.png": 1.0, "in/b.png": 0.5}
    source = parse_source(spec)
    assert (count_samples(source, labeled=True), count_samples(source)) == (4, 5)
    assert [row["depth"] for _, row in open_source(source, labeled=False).rows(0)] == [None]


def test_maps_beside_their_photos(folders):
    photos, maps = folders
    (photos / "in/a.npy").write_bytes((maps / "out/c.npy").read_bytes())
    assert read(f"{photos}?images={photos}") == {"in/a.png": 4.0}


def test_nothing_paired_shows_names_of_both_sides(folders):
    photos, maps = folders
    for file in list(maps.rglob("*.npy")):
        file.rename(file.with_stem(f"pred-{file.stem}"))
    with pytest.raises(ValueError, match="no photo") as told:
        open_source(parse_source(f"{maps}?images={photos}"), labeled=True)
    for name in ("in/a.png, in/b.png, out/a.png, …", "in/pred-a.npy, in/pred-b.npy, out/pred-a.npy, …", "map="):
        assert name in str(told.value)
    assert len(read(f"{maps}?images={photos}&map=pred-{{}}.npy")) == 4


def test_what_only_the_user_can_settle_is_told_before_a_run(folders):
    photos, maps = folders
    (maps / "in/a.npy").write_bytes(npy(np.ones((24, 32), np.uint16)))
    with pytest.raises(ValueError, match=r"source .*a\.npy holds uint16 depth without a scale"):
        open_source(parse_source(f"{maps}?images={photos}"), labeled=True)
    (maps / "in/a.npy").write_bytes(b"broken")  # is skipped when its turn comes
    assert open_source(parse_source(f"{maps}?images={photos}&kind=depth"), labeled=True).files == 4


def test_a_map_of_another_aspect_ratio_covers_its_photo_where_that_is_said(folders):
    photos, maps = folders
    for file in maps.rglob("[a-d].npy"):
        file.write_bytes(npy(np.full((28, 28), 2.0, np.float32)))
    with pytest.raises(ValueError, match="say stretch=yes if it covers the whole image"):
        read(f"{maps}?images={photos}")
    assert set(read(f"{maps}?images={photos}&stretch=yes").values()) == {2.0}


def test_wrong_words_are_refused(folders):
    photos, maps = folders
    for spec, words in (
        (str(maps / "out"), "holds depth maps but no photo; say where the photos are with ?images="),
        (f"{maps}/none?images={photos}", "write MAPS?images=PHOTOS"),
        (f"{maps}?images={photos}/none", "there is nothing at"),
        (f"{maps}?images=org/name", "holds no photos"),
        (f"{maps}?images={photos}&map=depth.exr", "map must hold {} once"),
        (f"{photos}?map={{}}.npy", "add images=FOLDER"),
        (f"{maps}?images={photos}&stretch=1", "stretch must be one of yes, no"),
    ):
        with pytest.raises(ValueError, match="source") as told:
            parse_source(spec)
        assert words in str(told.value)


def test_a_public_name_hides_where_both_folders_lie():
    assert public_source("/home/me/moge out?images=/home/me/beach/*.jpg&kind=depth") == (
        "moge out?images=beach/*.jpg&kind=depth"
    )
