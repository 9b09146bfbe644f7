"""Whole files under any name that a file may have."""

import os

import pytest

from semidepth.common.files import partial_path, remove_leftovers, whole_folder, write_whole


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


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path):
    def stop_half_way(folder):
        with whole_folder(folder) as partial:
            (partial / "a").touch()
            raise RuntimeError("half way")

    target = tmp_path / "deep" / "model"
    with pytest.raises(RuntimeError, match="half way"):
        stop_half_way(target)
    assert list(target.parent.iterdir()) == []
    target.mkdir()  # an empty one is taken
    with whole_folder(target) as partial:
        (partial / "a").touch()
        assert list(target.iterdir()) == []
    assert [path.name for path in target.parent.iterdir()] == ["model"]
    assert [path.name for path in target.iterdir()] == ["a"]
    assert target.stat().st_mode & 0o777 == 0o755
