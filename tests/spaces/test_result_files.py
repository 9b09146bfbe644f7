"""Folders of results: each of its own, all together below a size; what gradio removes itself, and what it does not."""

import os
import threading
import time

import gradio as gr
import pytest
from gradio.route_utils import delete_files_created_by_app


@pytest.fixture
def result_files(space_on_path, monkeypatch, tmp_path):
    """The module, with folders of results in `tmp_path / "results"`."""
    from results import result_files

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return result_files


def results(folder, age_s: float) -> None:
    """Writes 1000 bytes of results, so many seconds ago."""
    folder.mkdir(parents=True)
    (folder / "x.npy").write_bytes(b"0" * 1000)
    for path in (folder / "x.npy", folder):
        os.utime(path, (time.time() - age_s,) * 2)


def test_gradio_removes_results_by_age_and_has_no_limit_for_their_size(tmp_path):
    """The reason for the limit in `new_folder`. Once `delete_cache` takes a size, this fails and the limit can go."""
    with gr.Blocks(delete_cache=(3600, 3600)) as page:
        file = gr.File()
    for name in "abc":
        results(tmp_path / name, 1)
        file.temp_files.add(str(tmp_path / name / "x.npy"))
    delete_files_created_by_app(page, age=3600)
    assert len(list(tmp_path.rglob("x.npy"))) == 3
    with pytest.raises((ValueError, TypeError)):
        delete_files_created_by_app(page, age=3600, size=2500)
    delete_files_created_by_app(page, age=None)
    assert not list(tmp_path.rglob("x.npy"))


def test_results_together_stay_below_a_size_and_none_in_use_is_removed(result_files, monkeypatch, tmp_path):
    from refusal import Refusal

    monkeypatch.setattr(result_files, "MOST_BYTES", 2500)
    for name, age_s in (("oldest", 3000), ("older", 2000), ("old", 1000), ("in use", 1)):
        results(tmp_path / "results" / name, age_s)
    made = result_files.new_folder()
    assert sorted(path.name for path in made.parent.iterdir()) == sorted(["old", "in use", made.name])
    results(made.parent / "in use, too", 1)
    results(made.parent / "and this", 1)
    with pytest.raises(Refusal, match="try again"):
        result_files.new_folder()
    assert not (made.parent / "old").exists()


def test_many_visitors_at_once_each_get_a_folder_of_their_own(result_files, monkeypatch, tmp_path):
    monkeypatch.setattr(result_files, "MOST_BYTES", 2500)
    for number in range(300):
        results(tmp_path / "results" / f"old{number}", 1000)
    busy = tmp_path / "results" / "busy"
    busy.mkdir()
    (busy / "half.part").write_text("x")
    os.utime(busy, (0, 0))  # the folder is old, the file in it is being written
    made = []
    threads = [threading.Thread(target=lambda: made.append(result_files.new_folder())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8
    assert {busy, *made} <= set(busy.parent.iterdir())
    assert len(list(busy.parent.glob("old*"))) <= 2
