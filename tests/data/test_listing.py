"""Which files of a place are read, and what is said of the others."""

import os
from pathlib import Path

import pytest
from sample_files import encoded, picture, write_images, write_parquet

from semidepth.data import listing
from semidepth.data.depth_names import looks_like_depth
from semidepth.data.listing import HEIC_ADVICE, LOOKS_LIKE_DEPTH, list_files
from semidepth.data.source_spec import listing_of, parse_source


def used(spec: object, root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in listing_of(parse_source(str(spec))).used]


def left_out(spec: object, root: Path) -> dict[str, str]:
    found = listing_of(parse_source(str(spec))).left_out
    return {path.relative_to(root).as_posix(): reason for path, reason in found}


@pytest.mark.parametrize(
    "name",
    [
        "depth_0001.png", "sync_depth_00012.png", "depths/0001.png", "Depth/0001.png", "proj_depth/image_02/0001.png",
        "a_Depth.png", "a.depth.png", "a-depth.tiff", "depth/images/0001.png", "x/Disparity/0001.png", "a_depth.npy",
        "scene/depth_png/0001.png", "train/depth/rgb/0001.png", "Depths/0001.jpg",
    ],
)  # fmt: skip
def test_depth_maps_are_no_photos_whatever_their_spelling(tmp_path, name):
    for file in (name, "photo.png"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(encoded(picture(0)))
    assert used(tmp_path, tmp_path) == ["photo.png"]
    assert left_out(tmp_path, tmp_path) == {name: LOOKS_LIKE_DEPTH}


@pytest.mark.parametrize(
    "name",
    [
        "0001.png", "depth_of_field.png", "rgb/0001.png", "depth_selection/val/image/0001.png", "nyu_depth_v2/0001.png",
        "NYU_Depth/kitchen/rgb_0001.png", "NYU_Depth/kitchen/0001.jpg", "NYU_Depth/rgb/0001.png", "display/0001.png",
    ],
)  # fmt: skip
def test_photos_stay_photos(tmp_path, name):
    assert not looks_like_depth(tmp_path / name, tmp_path)


def test_the_place_of_a_source_says_nothing(tmp_path):
    """As it was asked for by name."""
    root = tmp_path / "depth" / "rgb"
    write_images(root, range(2))
    for spec in (root, f"{root}/*.png", f"{root}/000[01].png", tmp_path / "depth"):
        assert used(spec, root) == ["0000.png", "0001.png"]


def test_all_that_is_left_out_has_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "image_suffixes", lambda: listing.IMAGE_SUFFIXES)  # as without the package for HEIC
    write_images(tmp_path, range(2))
    (tmp_path / ".trash").mkdir()
    for name in (".hidden.png", ".trash/0003.png", "notes.TXT", "README", "a_depth.png", "phone.HEIC"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "linked.png").symlink_to("0000.png")
    assert used(tmp_path, tmp_path) == ["0000.png", "0001.png", "linked.png"]
    assert left_out(tmp_path, tmp_path) == {
        ".hidden.png": "hidden",
        ".trash": "hidden",
        "notes.TXT": "with the ending .TXT",
        "README": "without an ending",
        "a_depth.png": LOOKS_LIKE_DEPTH,
        "pipe.png": "no regular files",
        "endless.png": "no regular files",
        "gone.png": "linked to nothing",
        "phone.HEIC": f"not read: {HEIC_ADVICE}",
    }


def test_files_of_other_kinds_and_splits(tmp_path):
    write_parquet(tmp_path / "train.parquet", range(1))
    write_parquet(tmp_path / "test.parquet", range(1))
    write_images(tmp_path / "photos", range(2))
    assert used(f"{tmp_path}?split=test", tmp_path) == ["test.parquet"]
    assert left_out(f"{tmp_path}?split=test", tmp_path) == {
        "train.parquet": "not of split 'test'",
        "photos/0000.png": "in a folder that is read for its .parquet files",
        "photos/0001.png": "in a folder that is read for its .parquet files",
    }


def test_linked_folders_are_followed_once(tmp_path):
    write_images(tmp_path / "elsewhere" / "scene", range(2))
    write_images(tmp_path / "set" / "b", range(1))
    (tmp_path / "set" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "again").symlink_to(tmp_path / "elsewhere" / "scene")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "set")
    assert used(tmp_path / "set", tmp_path / "set") == ["b/0000.png", "a/scene/0000.png", "a/scene/0001.png"]


def test_a_pattern_that_matches_a_folder_and_its_files_reads_them_once(tmp_path):
    write_images(tmp_path / "set" / "b", range(2))
    assert used(f"{tmp_path}/set/**", tmp_path / "set") == ["b/0000.png", "b/0001.png"]


def test_what_cannot_be_read_is_told(tmp_path, monkeypatch):
    """By the error: who runs the tests may read everything."""
    write_images(tmp_path / "a", range(1))
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def scandir(place):
        if Path(place).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)
    assert left_out(tmp_path, tmp_path) == {"locked": "that cannot be read (Permission denied)"}


def test_what_is_told_is_counted_and_short(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}_depth.png").write_bytes(b"")
    (tmp_path / "x.txt").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"5 that look like depth \(0_depth.png, 1_depth.png, 2_depth.png, ...\)"
    ) as told:
        parse_source(str(tmp_path))
    assert "1 with the ending .txt (x.txt)" in str(told.value)


def test_nothing_at_all(tmp_path):
    assert list_files(str(tmp_path / "nothing")).used == ()
    assert list_files(str(tmp_path)).told() == ""


@pytest.mark.parametrize("heic", [False, True])
def test_a_folder_of_heic_files_says_what_to_install(tmp_path, monkeypatch, heic):
    monkeypatch.setattr(
        listing, "image_suffixes", lambda: listing.IMAGE_SUFFIXES | (listing.HEIC_SUFFIXES if heic else set())
    )
    for name in ("a.heic", "b.HEIF"):
        (tmp_path / name).write_bytes(b"")
    if heic:
        assert used(tmp_path, tmp_path) == ["a.heic", "b.HEIF"]
    else:
        with pytest.raises(ValueError, match=r"found: 2 not read: install pillow-heif .*semidepth\[heic\]"):
            parse_source(str(tmp_path))
