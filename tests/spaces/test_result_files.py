"""Folders of results, all together below a size, and what gradio removes itself; normals and EXR as files."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import OpenEXR
import pytest
from gradio.route_utils import delete_files_created_by_app
from PIL import Image

from semidepth.data.depth_files import stored_numbers


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


@pytest.fixture
def seen(space_on_path, tmp_path, monkeypatch):
    """A wall that turns away to the right by 45 degrees, seen over 60 degrees; the upper third of it is unknown."""
    from predictor import ImageDepth
    from work import Picture, Seen

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    image = Image.new("RGB", (60, 30))
    across = (np.arange(60) + 0.5 - 30) / 30 * np.tan(np.radians(30))  # x / depth of a column
    values = np.tile((2 / (1 - across)).astype(np.float32), (30, 1))  # depth = 2 + x
    beyond = np.zeros((30, 60), bool)
    beyond[:10] = True
    return Seen(Picture(image, image.size), ImageDepth(values, True, "m", beyond=beyond))


def test_a_wall_s_normal_is_its_colour(seen):
    from results.surface_files import surface_file

    path = surface_file("normals", seen, 60, "a photo.jpg")
    assert path.endswith("a_photo_normals.png")
    picture = np.asarray(Image.open(path)).astype(float)
    root = np.sqrt(0.5)
    np.testing.assert_allclose(picture[12:] / 127.5 - 1, np.broadcast_to([root, 0, root], (18, 60, 3)), atol=0.01)
    assert (picture[:10] == 0).all()  # black where nothing is known
    wide = np.asarray(Image.open(surface_file("normals", seen, 100, "a.jpg"))).astype(float)
    assert wide[20, 30, 0] < picture[20, 30, 0] - 10  # a wider view makes the wall less steep


@pytest.mark.parametrize("metric", [True, False])
def test_the_exr_has_every_digit_and_is_read_as_depth(seen, metric):
    from results.surface_files import surface_file

    seen = replace(seen, prediction=replace(seen.prediction, metric=metric, beyond=None))
    path = surface_file("exr", seen, 60, "a.jpg")
    read = stored_numbers(Path(path).read_bytes(), path)
    np.testing.assert_array_equal(read, seen.prediction.values)
    channels = OpenEXR.File(path, separate_channels=True).channels()
    assert set(channels) == {"NX", "NY", "NZ", "Z" if metric else "disparity"}
    lengths = np.stack([channels[f"N{axis}"].pixels for axis in "XYZ"]) ** 2
    np.testing.assert_allclose(lengths.sum(0), 1, atol=1e-5)


def test_a_field_of_view_that_is_none_or_a_missing_package_is_refused(seen, monkeypatch):
    from refusal import Refusal
    from results import surface_files

    with pytest.raises(Refusal, match="field of view"):
        surface_files.surface_file("normals", seen, 500, "a.jpg")
    monkeypatch.setattr(surface_files, "HAS_EXR", False)
    with pytest.raises(Refusal, match="OpenEXR"):
        surface_files.surface_file("exr", seen, 60, "a.jpg")
