"""Normals of planes and a sphere against their formulas; edges, unknown depth, bands of rows, colours."""

import numpy as np
import pytest

from semidepth.media import normals as module
from semidepth.media.normals import normals, normals_picture

FOCAL = 50.0


def rays(height: int, width: int) -> np.ndarray:
    """(H, W, 3) directions of the pixels, one metre along the axis; y up, the camera looks along -z."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    return np.stack([(columns - width / 2) / FOCAL, (height / 2 - rows) / FOCAL, -np.ones((height, width))], -1)


@pytest.mark.parametrize("normal", [(0, 0, 1), (0, 1, 0.2), (0.6, 0, 0.8), (-0.5, -0.5, 0.7)])
def test_a_plane_has_its_own_normal_everywhere(normal):
    unit = np.array(normal) / np.linalg.norm(normal)
    directions = rays(40, 60)
    depth = -2.0 / (directions @ unit)  # of points p with p @ unit = -2
    seen = (depth > 0) & (depth < 50)
    assert seen.mean() > 0.3
    found = normals(np.where(seen, depth, np.nan), FOCAL)
    inside = np.isfinite(found).all(-1)
    assert inside[seen].mean() > 0.95
    np.testing.assert_allclose(found[inside], np.broadcast_to(unit, found[inside].shape), atol=2e-3)


def test_a_sphere_s_normals_point_out_of_its_middle():
    middle, radius = np.array([0.3, -0.2, -4.0]), 1.5
    directions = rays(200, 240)
    a, b, c = (directions**2).sum(-1), -2 * directions @ middle, middle @ middle - radius**2
    root = b**2 - 4 * a * c
    depth = np.where(root > 1, (-b - np.sqrt(np.maximum(root, 0))) / 2 / a, np.nan)
    found = normals(depth, FOCAL)
    true = (directions * depth[..., None] - middle) / radius
    known = np.isfinite(found).all(-1) & (true[..., 2] > 0.5)
    assert known.sum() > 1000
    off_deg = np.degrees(np.arccos(np.clip((found * true).sum(-1)[known], -1, 1)))
    assert np.median(off_deg) < 0.3
    assert off_deg.max() < 5  # where the sphere turns away within a pixel


def test_an_edge_has_the_normal_of_one_of_its_two_surfaces():
    depth = np.full((10, 20), 2.0)
    depth[:, 10:] = 5.0
    np.testing.assert_allclose(normals(depth, FOCAL), np.broadcast_to([0, 0, 1], (10, 20, 3)), atol=1e-6)


def test_bands_of_rows_change_nothing(monkeypatch):
    depth = 2 + np.random.default_rng(0).random((37, 20))
    whole = normals(depth, FOCAL)
    monkeypatch.setattr(module, "BAND_ROWS", 5)
    np.testing.assert_allclose(normals(depth, FOCAL), whole, atol=1e-5)


def test_colours_are_those_of_normal_maps_and_unknown_is_black():
    found = np.array([[[0, 0, 1], [1, 0, 0], [0, -1, 0], [np.nan] * 3]], np.float32)
    assert normals_picture(found).tolist() == [[[128, 128, 255], [255, 128, 128], [128, 0, 128], [0, 0, 0]]]


def test_a_map_of_one_row_is_refused():
    with pytest.raises(ValueError, match="20 x 1"):
        normals(np.ones((1, 20)), FOCAL)
