"""Sky and what is too far to tell: found where the model knows it, grey, without metres, and not in the scene."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from clip_files import write_clip
from PIL import Image

from semidepth.media.color_maps import UNKNOWN_COLOR


@pytest.fixture
def seen(space_on_path, tmp_path, monkeypatch):
    """A picture of 40 x 30, the upper third of which is beyond; metres grow to the right."""
    from measuring import too_far
    from predictor import ImageDepth
    from work import Picture, Seen

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))

    def made():
        values = np.tile(np.linspace(2, 6, 40, dtype=np.float32), (30, 1))
        values[:10] = 79.0
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
        prediction = ImageDepth(values, True, "m", beyond=too_far(values, 80.0))
        return Seen(Picture(image, image.size), prediction)

    return made


def test_what_is_beyond_is_known_from_the_values_and_the_reach(space_on_path):
    from measuring import too_far

    metres = np.array([[1.0, 78.3, 78.4, 80.0]])
    assert too_far(metres, 80.0).tolist() == [[False, False, True, True]]
    assert too_far(metres, None) is None  # where the head ends is not known, or there is no unit
    assert too_far(metres, 100.0) is None


def test_it_is_grey_and_stretches_no_range(seen):
    from results.coloring import depth_picture, depth_shown, far_most, limits_of, range_text, value_range

    found = seen().prediction
    assert value_range(found) == pytest.approx(tuple(np.percentile(found.values[10:], [1, 99])))
    assert far_most(found) == 6
    for picture in (depth_picture(found, limits_of(found, None, None), "magma"),
                    depth_shown(found, limits_of(found, None, None), "magma", (20, 15))):  # fmt: skip
        colors = np.asarray(picture)
        third = len(colors) // 3
        assert (colors[:third] == UNKNOWN_COLOR).all()
        assert (colors[third:] != UNKNOWN_COLOR).any(-1).all()
    assert "33% sky or too far to tell" in range_text(found)
    assert "79" not in range_text(found)
    assert "sky" not in range_text(replace(found, beyond=None))


def test_it_has_no_metres(seen):
    from results.read_outs import notes_of, read_out

    found = json.loads(json.dumps(read_out(seen(), [(20, 3), (20, 20)], 60)))
    sky, thing = found["points"]
    assert (sky["beyond"], sky["distance_m"], sky["straight_m"]) == (True, None, None)
    assert (thing["beyond"], thing["distance_m"]) == (False, pytest.approx(2 + 4 * 20 / 39, rel=1e-5))
    assert "between_m" not in found
    assert "79" not in found["text"]
    assert notes_of(found) == ["sky or too far to tell", "4.05 m"]
    alone = read_out(seen(), [(20, 3)], 60)["text"]
    assert "Point 1: sky" in alone


@pytest.mark.parametrize("mesh", [True, False])
def test_it_is_not_in_the_scene(seen, mesh):
    from results.scenes import build_scene

    made = build_scene(seen(), "a.png", mesh=mesh, given_deg=60, far=None, max_jump=1.5)
    points = trimesh.load(made.ply).vertices
    assert len(points) == made.points == 40 * 20
    assert points[:, 1].max() < 6 * np.tan(np.radians(30)) * 5 / 20  # no higher than row 10 of 30
    assert "without sky" in made.note


def test_a_picture_of_nothing_else_is_told_so(seen):
    from refusal import Refusal
    from results.coloring import limits_of, range_text
    from results.scenes import build_scene

    whole = seen()
    whole = replace(whole, prediction=replace(whole.prediction, beyond=np.ones((30, 40), bool)))
    low, high = limits_of(whole.prediction, None, None)
    assert low < high
    assert range_text(whole.prediction) == "all of it sky or too far to tell"
    with pytest.raises(Refusal, match="Nothing to show"):
        build_scene(whole, "a.png", mesh=True, given_deg=60, far=None, max_jump=1.5)


def test_it_is_grey_in_clips_and_stretches_no_range(space_on_path, tmp_path, monkeypatch):
    from measuring import too_far
    from predictor import ImageDepth, ModelCard
    from results.clips import Wish, depth_of_clip

    from semidepth.media.video_reading import read_frames

    class Sky:
        names = ("m",)

        def card(self, name):
            return ModelCard(name, True)

        def predict(self, name, images, domain=None):
            values = np.tile(np.linspace(2, 6, 64, dtype=np.float32), (48, 1))
            values[:16] = 79.0
            return [ImageDepth(values, True, name, beyond=too_far(values, 80.0)) for _ in images]

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    *_, made = depth_of_clip(Sky(), str(write_clip(tmp_path / "c.mp4")), Wish("", None, "magma", False))
    assert made.limits == pytest.approx((2.04, 5.96), abs=0.05)
    for frame in read_frames(made.path):
        colors = frame.pixels.astype(int)
        assert np.abs(colors[:12] - UNKNOWN_COLOR).max() < 12  # H.264
        assert (np.abs(colors[20:] - UNKNOWN_COLOR).sum(-1) > 20).mean() > 0.9
