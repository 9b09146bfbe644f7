"""Places, normals and texture coordinates of hits, against hand numbers."""

import numpy as np
import pytest
import torch

from semidepth.data.scenes.raycast import Solids, make_rays, nearest_hit
from semidepth.data.scenes.surface import Surface, dot, find_surface

# ground; a cube turned by 45 degrees; a cylinder; a sphere: centre, half size, yaw
ROWS = [
    [0.0, -1.0, 0.0, 1e4, 1.0, 1e4, 0.0],
    [0.0, 1.0, 10.0, 1.0, 1.0, 1.0, np.pi / 4],
    [10.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0],
    [-10.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0],
]
TABLE = torch.tensor([[*row[:6], np.cos(row[6]), np.sin(row[6])] for row in ROWS], dtype=torch.float32)
NUMBER = torch.arange(4, dtype=torch.int32)[:, None, None]
SCENE = Solids(1, range(1, 1), range(1, 2), range(2, 3), range(3, 4), TABLE.t()[:, :, None, None], NUMBER)


def look_at(*aims: tuple[float, float, float]) -> tuple[Surface, torch.Tensor]:
    """Surfaces seen from (0, 1, 0) towards some points, with unit-length rays."""
    way = torch.tensor(aims, dtype=torch.float32) - torch.tensor([0.0, 1.0, 0.0])
    way = way / way.norm(dim=-1, keepdim=True)
    rays = make_rays(tuple(torch.tensor([[part]]) for part in (0.0, 1.0, 0.0)), tuple(way.t()[:, None]))
    depth, slot = nearest_hit(SCENE, rays)
    return find_surface(SCENE, rays, depth.clamp_max(1e3), slot.long(), torch.tensor([[0.01]])), slot


def rows(vector: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return torch.stack(vector, -1)[0]


def test_normals_and_places_by_hand():
    surface, slot = look_at((0.0, 0.0, 3.0), (0.5, 1.0, 10.0), (-0.5, 1.0, 10.0), (10.0, 1.0, 0.0), (-10.0, 1.0, 0.0))
    assert slot.tolist() == [[0, 1, 1, 2, 3]]
    half = np.sqrt(0.5)
    expected = [[0, 1, 0], [half, 0, -half], [-half, 0, -half], [-1, 0, 0], [1, 0, 0]]
    torch.testing.assert_close(rows(surface.normal), torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=0)
    point = rows(surface.point)
    torch.testing.assert_close(point[0], torch.tensor([0.0, 0.0, 3.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(point[3], torch.tensor([9.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    assert surface.v[0, 1].item() == pytest.approx(1.0)  # textures of walls are hung from the world's height
    assert surface.v[0, 0].item() == pytest.approx(3.0)  # those of floors run along z
    assert surface.footprint[0, 3].item() == pytest.approx(0.09, rel=1e-4)  # 1 cm at 1 m, seen straight from 9 m
    slant = np.sqrt(10)  # the ground 3 m away seen from 1 m above
    assert surface.footprint[0, 0].item() == pytest.approx(0.01 * slant * slant, rel=1e-4)


def test_normals_have_unit_length_and_face_the_viewer():
    rng = np.random.default_rng(0)
    aims = [tuple(center + rng.uniform(-1.2, 1.2, 3)) for center in np.array(ROWS)[1:, :3] for _ in range(60)]
    surface, slot = look_at(*aims)
    assert slot.unique().tolist() == [0, 1, 2, 3]
    hit = rows(surface.point).norm(dim=-1) < 100  # some rays pass everything by, into the sky
    assert hit.sum() > 150
    length = rows(surface.normal).norm(dim=-1)[hit]
    torch.testing.assert_close(length, torch.ones_like(length), atol=1e-3, rtol=0)
    offset = (surface.point[0], surface.point[1] - 1.0, surface.point[2])
    assert dot(offset, surface.normal)[0, hit].max() < 1e-4
