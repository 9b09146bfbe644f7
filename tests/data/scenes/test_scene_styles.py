"""Lights, sky, fog and camera of the two styles."""

import numpy as np
import torch

from semidepth.data.scenes.draws import Draws, uniform_table
from semidepth.data.scenes.rooms import layout_rooms
from semidepth.data.scenes.streets import layout_streets
from semidepth.data.scenes.styles import SUN_DISTANCE_M, Look, draw_look


def look(domain: int, wild: bool) -> Look:
    table = uniform_table(2, domain, range(100), 1400)
    layout = (layout_rooms, layout_streets)[domain](Draws(table[:, :320]))
    return draw_look(Draws(table[:, 320:]), layout, np.full(100, wild), torch.device("cpu"))


def test_everything_is_finite_float32_and_per_scene():
    for domain in (0, 1):
        for wild in (False, True):
            for name, part in vars(look(domain, wild)).items():
                assert part.dtype == torch.float32, name
                assert len(part) == 100, name
                assert part.isfinite().all(), name


def test_studio_is_clean_and_wild_is_not():
    for domain in (0, 1):
        clean, poor = look(domain, False), look(domain, True)
        assert clean.grain.max() < 0.004
        assert poor.grain.median() > 6 * clean.grain.max()
        assert clean.blur.max() == 0
        assert 0.1 < poor.blur.mean() < 0.5
        assert poor.fog_density.max() > 5 * clean.fog_density.max()
        assert poor.shadow.mean() > clean.shadow.mean()


def test_the_sun_is_far_and_up():
    at = look(1, False).light_at[:, 0]
    torch.testing.assert_close(at.norm(dim=-1), torch.full((100,), SUN_DISTANCE_M))
    assert at[:, 1].min() > 0.5 * SUN_DISTANCE_M


def test_pick_takes_the_same_scenes_from_every_part():
    whole = look(0, True)
    part = whole.pick(torch.tensor([3, 8]))
    for name, tensor in vars(part).items():
        assert torch.equal(tensor, getattr(whole, name)[[3, 8]]), name
