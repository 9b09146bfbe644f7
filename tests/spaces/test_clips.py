"""Clips without the page: work that is given up leaves nothing behind, and colours mean the same all over."""

import numpy as np
import pytest
from serving import SPACE, save_models
from test_depth_demo import write_clip


@pytest.fixture
def clips(monkeypatch):
    monkeypatch.syspath_prepend(str(SPACE))
    import clips

    return clips


@pytest.fixture
def models(tmp_path, clips):
    from predictor import Models

    return Models(list(save_models(tmp_path)), "cpu")


def test_work_that_is_given_up_leaves_no_file(clips, models, tmp_path, monkeypatch):
    target = tmp_path / "results"
    target.mkdir()
    monkeypatch.setattr(clips, "new_folder", lambda: target)
    steps = clips.depth_of_clip(models, str(write_clip(tmp_path / "c.mp4")), models.names[0], None, "magma", True)
    assert next(steps).done == 0
    assert next(steps).done == clips.BATCH
    assert list(target.iterdir())
    steps.close()
    assert not list(target.iterdir())


def test_one_range_holds_for_all_frames(clips, models, tmp_path):
    from color_maps import colorize
    from PIL import Image
    from videos import read_frames

    clip, name = str(write_clip(tmp_path / "c.mp4")), models.names[1]
    *_, made = clips.depth_of_clip(models, clip, name, None, "magma", False)
    for source, result in zip(read_frames(clip), read_frames(made.path), strict=True):
        own = models.predict(name, [Image.fromarray(source.pixels)])[0].values
        expected = colorize(own, made.limits, "magma")
        assert np.abs(expected.astype(int) - result.pixels).mean() < 12  # H.264, 4:2:0
        assert result.time_s == pytest.approx(source.time_s, abs=1e-3)
