"""Which files are inputs, and what their results are called."""

import json
from itertools import permutations

import pytest

from semidepth.training.engine.prediction_inputs import find_inputs
from semidepth.training.engine.prediction_record import RECORD


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
    assert set(names("y/out")) == {"y/out/s/mine_color.png", "y/out/torn_depth.png"}
    assert "2 files are results of earlier predictions" in caplog.text
    assert set(names("y/out/s/*")) == {"y/out/s/mine_color.png"}
    # As a shell expands out/*.
    assert set(names("y/out/a_depth.png", f"y/out/{RECORD}", "y/out/torn_depth.png")) == {"y/out/torn_depth.png"}
    with pytest.raises(ValueError, match="matches only results of earlier predictions"):
        find_inputs(["y/out/a_depth.png"])


def test_nothing_found_is_named(room):
    for nothing in ("*.webp", "gone.jpg"):
        with pytest.raises(ValueError, match="matches no image or video"):
            find_inputs([nothing])
