"""Which files are inputs, and what their results are called."""

import json
import os
import re
from itertools import permutations
from pathlib import Path

import pytest
from PIL import Image

from semidepth.data.decoding import decode_image
from semidepth.data.listing import IMAGE_SUFFIXES
from semidepth.prediction.inputs import find_inputs
from semidepth.prediction.record import RECORD


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x/a.jpg", "y/a.jpg", "y/a.png", "y/b.jpg", "y/b.mp4", "y/deep/b.JPG", "y/.a.png", "y/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def names(*inputs):
    return {str(file): str(name) for file, name in find_inputs(inputs)}


def test_a_folder_keeps_its_paths_and_a_file_its_name(room):
    assert names("y/deep/b.JPG", "x/*.jpg") == {"y/deep/b.JPG": "b", "x/a.jpg": "a"}
    # A photo and a video of one name, as phones make them, have results of different names.
    assert names("y") == {
        "y/a.jpg": "a.jpg", "y/a.png": "a.png", "y/b.jpg": "b", "y/b.mp4": "b", "y/deep/b.JPG": "deep/b"
    }  # fmt: skip


def test_equal_names_are_told_apart_whatever_their_order(room):
    expected = {"x/a.jpg": "x/a.jpg", "y/a.jpg": "y/a.jpg", "y/a.png": "a.png"}
    for order in permutations(expected):
        assert names(*order) == expected
    (room / "z/x").mkdir(parents=True)
    (room / "z/x/a.jpg").write_bytes(b"")
    found = names("x/a.jpg", "z/x/a.jpg")  # even their folders have one name
    assert found == {file: str((room / file).relative_to("/")) for file in found}


def test_one_file_is_one_input_however_it_is_written(room):
    assert names("x/a.jpg", "x", str(room / "x"), "y/../x/a.jpg") == {"x/a.jpg": "a"}


def test_what_a_record_names_is_no_input_and_what_it_does_not_name_is(room, caplog):
    keys = ("source", "bytes", "mtime_ns", "sha256", "model", "weights")
    lines = [
        json.dumps({"file": file, "options": {}} | dict.fromkeys(keys, "")) for file in ("a_depth.png", "s/b_color.png")
    ]
    out = room / "y/out/s"
    out.mkdir(parents=True)
    (room / "y/out" / RECORD).write_text("\n".join([*lines, '{"file": "torn_dep']))
    for name in ("a_depth.png", "s/b_color.png", "s/mine_color.png", "torn_depth.png"):
        (room / "y/out" / name).write_bytes(b"")
    assert set(names("y/out")) == {"y/out/s/mine_color.png"}
    assert "2 files are results of earlier predictions" in caplog.text
    assert "y/out: left out are 1 that look like depth (torn_depth.png)" in caplog.text
    assert set(names("y/out/s/*")) == {"y/out/s/mine_color.png"}
    # As a shell expands out/*.
    assert set(names("y/out/a_depth.png", f"y/out/{RECORD}", "y/out/torn_depth.png")) == {"y/out/torn_depth.png"}
    with pytest.raises(ValueError, match="matches only results of earlier predictions"):
        find_inputs(["y/out/a_depth.png"])


def test_what_is_left_out_of_a_folder_is_told(room, caplog):
    for name in ("x/a_depth.png", "x/Depth/a.png", "x/depth_0001.png", "x/notes.txt", "x/.hidden.jpg", "x/depth.mp4"):
        (room / name).parent.mkdir(exist_ok=True)
        (room / name).write_bytes(b"")
    os.mkfifo(room / "x/pipe.jpg")
    assert set(names("x")) == {"x/a.jpg", "x/depth.mp4"}
    for part in (
        "3 that look like depth",
        "1 with the ending .txt (notes.txt)",
        "1 hidden",
        "1 no regular files (pipe.jpg)",
    ):
        assert part in caplog.text
    assert set(names("x/a_depth.png")) == {"x/a_depth.png"}  # what is named is meant
    (room / "only/depth").mkdir(parents=True)
    (room / "only/depth/a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds no image or video \(found: 1 that look like depth \(a\.png\)\)"):
        find_inputs(["only"])


def test_what_is_not_there_is_named_and_the_rest_found(room):
    (room / "empty").mkdir()
    (room / "dangling.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(room / "pipe.jpg")
    expected = {
        "*.webp": "matches no file",
        "gone.jpg": "no such file",
        "gone\0.jpg": "no such file",
        "": "an empty name",
        "dangling.jpg": "no such file (it is a link to nothing)",
        "empty": "this folder holds no image or video",
        "pipe.jpg": "is not a regular file",
        "/dev/null": "is not a regular file",
        "-": "is not a regular file",
        "https://example.org/a.jpg": "addresses are not fetched",
    }
    missing = {}
    assert [str(file) for file, _ in find_inputs([*expected, "x/a.jpg"], missing=missing)] == ["x/a.jpg"]
    assert missing == {Path(text): why for text, why in expected.items()}
    for text, why in expected.items():
        with pytest.raises(ValueError, match=re.escape(f"{str(Path(text))!r}: {why}; give files")):
            find_inputs([text], missing={})
        with pytest.raises(ValueError, match=re.escape(why)):
            find_inputs(["x/a.jpg", text])
    with pytest.raises(ValueError, match="no such file, and 1 more; give files"):
        find_inputs(["gone.jpg", "empty"], missing={})


def test_links_to_folders_are_followed_once_and_hidden_folders_left_out(room):
    (room / "elsewhere/deep").mkdir(parents=True)
    for name in ("elsewhere/c.jpg", "elsewhere/deep/d.avif", "x/.thumbnails/a.jpg", "x/inner/e.jpg"):
        (room / name).parent.mkdir(exist_ok=True)
        (room / name).write_bytes(b"")
    (room / "x/.h").symlink_to(room / "y")
    (room / "x/loop").symlink_to(room / "x")
    (room / "x/linked").symlink_to(room / "elsewhere")
    (room / "x/a_link_before_it").symlink_to("inner")  # is the same folder: its files have their own names
    (room / "elsewhere/back").symlink_to(room / "x")
    expected = {
        "x/a.jpg": "a",
        "x/inner/e.jpg": "inner/e",
        "x/linked/c.jpg": "linked/c",
        "x/linked/deep/d.avif": "linked/deep/d",
    }
    assert names("x") == expected
    assert set(names("x/.thumbnails")) == {"x/.thumbnails/a.jpg"}


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_suffix_of_an_image_is_decoded(tmp_path, suffix):
    Image.new("RGB", (20, 10), "red").save(tmp_path / f"a{suffix}")
    pixels = decode_image(tmp_path / f"a{suffix}")
    assert pixels.shape == (3, 10, 20)
    assert pixels.float().mean((1, 2)).tolist() == pytest.approx([255, 0, 0], abs=3)
