"""Whole files under any name that a file may have."""

import os

import pytest

from semidepth.common.files import partial_path, remove_leftovers, write_whole


@pytest.mark.parametrize("name", ["a" * 244 + ".png", "ä" * 120 + ".npy", "short.npy"])
def test_a_file_is_written_under_any_name_that_a_file_may_have(tmp_path, name):
    write_whole(tmp_path / name, b"1")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(os.fsencode(partial_path(tmp_path / name).name)) <= 255


@pytest.mark.parametrize("name", ["a" * 244 + ".png", "short.npy"])
def test_leftovers_of_killed_processes_are_removed_and_no_others(tmp_path, name, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 2**22 + 1)  # more than Linux gives
    left, other = partial_path(tmp_path / name), partial_path(tmp_path / ("b" + name))
    monkeypatch.undo()
    own = partial_path(tmp_path / name)
    for path in (left, other, own):
        path.write_bytes(b"1")
    remove_leftovers([tmp_path / name])
    assert {path.name for path in tmp_path.iterdir()} == {other.name, own.name}
