"""Light, shadow and fog, on scenes small enough to work out by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from semidepth.data.scenes.draws import Draws, uniform_table
from semidepth.data.scenes.materials import MATERIAL, NEVER
from semidepth.data.scenes.raycast import Solids, make_rays, nearest_hit
from semidepth.data.scenes.shading import shade
from semidepth.data.scenes.streets import layout_streets
from semidepth.data.scenes.styles import Look, draw_look
from semidepth.data.scenes.surface import find_surface

EYE = (0.0, 3.0, 0.0)
ROAD = torch.tensor([[1e3, 0.0, 1.0]])  # its lines are a kilometre away


def scene(box: bool) -> Solids:
    """White ground, with or without a slab of 2 x 2 m, 1 m above the ground at z = 6."""
    rows = [[0.0, -1.0, 0.0, 1e4, 1.0, 1e4, 1.0, 0.0], [0.0, 1.0, 6.0, 1.0, 0.1, 1.0, 1.0, 0.0]]
    table = torch.tensor(rows[: 2 if box else 1]).t()[:, :, None, None]
    end = 2 if box else 1
    number = torch.arange(end, dtype=torch.int32)[:, None, None]
    return Solids(1, range(1, end), range(end, end), range(end, end), range(end, end), table, number)


def plain_look(slots: int, **changed: torch.Tensor) -> Look:
    """One white lamp 10 m above z = 6, no other light, no fog, plain white surfaces."""
    table = uniform_table(0, 1, [0], 1400)
    layout = layout_streets(Draws(table[:, :320]))
    look = draw_look(Draws(table[:, 320:]), layout, np.array([False]), torch.device("cpu"))
    material = torch.zeros(1, len(MATERIAL), slots + 1)
    for name, value in {"red": 1.0, "green": 1.0, "blue": 1.0, "pane_u": NEVER, "pane_v": NEVER}.items():
        material[:, MATERIAL.index(name)] = value
    material[:, MATERIAL.index("per_m_u")] = material[:, MATERIAL.index("per_m_v")] = 1e-3
    zero = torch.zeros(1, 3)
    plain = {
        "material": material,
        "light_at": torch.tensor([[[0.0, 10.0, 6.0], [0.0, 0.0, 0.0]]]),
        "light_color": torch.tensor([[[1.0, 0.5, 0.25], [0.0, 0.0, 0.0]]]),
        "light_reach": torch.full((1, 2), 100.0),
        "light_end": torch.full((1, 2), 0.998),
        "shadow": torch.full((1, 2), 0.75),
        "ambient_up": zero,
        "ambient_down": zero,
        "fog_density": torch.zeros(1),
    }
    return dataclasses.replace(look, **(plain | changed))


def color_at(solids: Solids, look: Look, *aims: tuple[float, float, float]) -> torch.Tensor:
    """Colours (N, 3) of some points seen from EYE."""
    way = torch.tensor(aims) - torch.tensor(EYE)
    rays = make_rays(tuple(torch.tensor([[part]]) for part in EYE), tuple(way.t()[:, None]))
    depth, slot = nearest_hit(solids, rays)
    sky = depth > 1e3
    depth, slot = depth.masked_fill(sky, torch.inf), slot.long().masked_fill(sky, solids.spheres.stop)
    last = solids.spheres.stop - 1
    surface = find_surface(solids, rays, depth.clamp_max(1e3), slot.clamp_max(last), torch.tensor([[1e-3]]))
    return torch.stack(shade(solids, solids, look, rays, surface, depth, slot, ROAD), -1)[0]


def test_lamp_by_hand():
    color = color_at(scene(box=False), plain_look(1), (0.0, 0.0, 6.0), (10.0, 0.0, 6.0))
    # right below: cosine 1, squared distance 100, half the light; 10 m aside: cosine sqrt(1/2), a third
    assert color[0].tolist() == pytest.approx([0.5, 0.25, 0.125], rel=1e-4)
    assert color[1, 0].item() == pytest.approx(np.sqrt(0.5) / 3, rel=1e-4)


def test_shadow_takes_its_share():
    free = color_at(scene(box=False), plain_look(1), (0.0, 0.0, 6.9), (3.0, 0.0, 6.0))
    under = color_at(scene(box=True), plain_look(2), (0.0, 0.0, 6.9), (3.0, 0.0, 6.0))
    # the first point is seen below the slab's far edge only if the slab does not hide it from the camera
    assert under[1].tolist() == pytest.approx(free[1].tolist(), rel=1e-4)
    side = color_at(scene(box=True), plain_look(2), (1.05, 0.0, 6.0))  # just beyond the edge seen from above: shaded
    bare = color_at(scene(box=False), plain_look(1), (1.05, 0.0, 6.0))
    assert side[0, 0].item() == pytest.approx(0.25 * bare[0, 0].item(), rel=1e-3)


def test_fog_by_hand():
    fog = plain_look(1, fog_density=torch.tensor([0.5]), fog_color=torch.tensor([[0.2, 0.4, 0.6]]))
    clear = color_at(scene(box=False), plain_look(1), (0.0, 0.0, 6.0))[0]
    thick = color_at(scene(box=False), fog, (0.0, 0.0, 6.0))[0]
    # t is 1 at the point that the ray is aimed at, so the path is 1 long: exp(-0.5) = 0.6065
    assert thick[0].item() == pytest.approx(0.2 + (clear[0].item() - 0.2) * 0.6065, rel=0.02)
    assert thick[2].item() == pytest.approx(0.6 + (clear[2].item() - 0.6) * 0.6065, rel=0.02)


def test_sky_runs_from_horizon_to_zenith():
    look = plain_look(
        1,
        horizon=torch.tensor([[0.9, 0.8, 0.7]]),
        zenith=torch.tensor([[0.1, 0.2, 0.3]]),
        cloudiness=torch.zeros(1),
        fog_color=torch.tensor([[5.0, 5.0, 5.0]]),
        fog_density=torch.ones(1),
    )
    color = color_at(scene(box=False), look, (0.0, 3.0, 9.0), (0.0, 9.0, 1e-3))
    torch.testing.assert_close(color, torch.tensor([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3]]), atol=1e-3, rtol=0)
