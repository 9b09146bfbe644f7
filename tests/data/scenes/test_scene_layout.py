"""Camera axes, distances to boxes and the clearance in front of the camera."""

import numpy as np
import torch

from semidepth.data.scenes.draws import Draws, uniform_table
from semidepth.data.scenes.layout import (
    CLEARANCE_M,
    EMPTY,
    camera_axes,
    clear_view,
    distance_to_boxes,
    in_view,
)
from semidepth.data.scenes.raycast import make_rays, nearest_hit, solids_from_layout
from semidepth.data.scenes.rooms import layout_rooms
from semidepth.data.scenes.streets import layout_streets


def test_camera_axes_by_hand():
    zero, quarter = np.zeros(1), np.full(1, np.pi / 2)
    np.testing.assert_allclose(camera_axes(zero, zero, zero)[0], np.eye(3), atol=1e-12)
    turned = camera_axes(quarter, zero, zero)[0]  # looks along +x, its right is -z
    np.testing.assert_allclose(turned, [[0, 0, -1], [0, 1, 0], [1, 0, 0]], atol=1e-12)
    upward = camera_axes(zero, quarter, zero)[0]  # looks up, the top of its head points back
    np.testing.assert_allclose(upward, [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-12)
    tilted = camera_axes(zero, zero, quarter)[0]  # head to the right: its up is the world's right
    np.testing.assert_allclose(tilted, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)


def test_camera_axes_are_orthonormal():
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, (3, 20))
    axes = camera_axes(*angles)
    np.testing.assert_allclose(axes @ axes.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (20, 3, 3)), atol=1e-12)


def test_distance_to_boxes_by_hand():
    center = np.array([[[5.0, 0.0, 0.0], [0.0, 3.0, 4.0], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [5.0, 0.0, 0.0]]])
    half = np.array([[[1.0, 9.0, 1.0], [0.5, 0.0001, 0.0001], [1.0, 1.0, 1.0], [1.0, 1.0, 3.0], [EMPTY] * 3]])
    yaw = np.array([[0.0, 0.0, 0.7, np.pi / 2, 0.0]])
    # 1 m before the centre; the 3-4-5 triangle; inside; its long side turned towards the point; not there
    expected = [[4.0, 5.0, 0.0, 2.0, np.inf]]
    np.testing.assert_allclose(distance_to_boxes(np.zeros((1, 3)), center, half, yaw), expected, atol=1e-3)


def test_clear_view_takes_away_whole_things():
    center = np.array([[[0.0, 0.0, CLEARANCE_M], [0.0, 0.0, 5.0], [0.0, 0.0, 6.0]]])
    half = np.full((1, 3, 3), 0.1)
    cleared = clear_view(np.zeros((1, 3)), center, half, np.zeros((1, 3)), groups=(4, 4, 7))
    assert (cleared[0, :2] == EMPTY).all()  # the second box is far away, and a part of the same thing
    assert (cleared[0, 2] == 0.1).all()


def test_what_is_out_of_view_is_never_hit():
    """Leaving it out changes no ray; and it is worth leaving out."""
    for domain, make in enumerate((layout_rooms, layout_streets)):
        layout = make(Draws(uniform_table(4, domain, range(60), 320)))
        side = np.tan(np.radians(layout.fov_deg) / 2)
        seen = in_view(layout, side, 0.75 * side)
        there = (layout.half > 0).all(-1)
        assert not (seen & ~there).any()
        assert seen.sum() < 0.8 * there.sum()
        solids = solids_from_layout(layout, torch.device("cpu"))
        few = solids.only(torch.from_numpy(seen.T.copy()))
        assert len(few.table[0]) < len(solids.table[0])
        x, y = np.random.default_rng(domain).uniform(-1, 1, (2, 60, 400)) * side[:, None]
        right, up, forward = (layout.axes[:, row, :, None] for row in range(3))
        way = torch.from_numpy(forward + x[:, None] * right + 0.75 * y[:, None] * up).float()
        eye = torch.from_numpy(layout.eye).float()
        rays = make_rays(tuple(eye.split(1, dim=1)), way.unbind(1))
        for got, expected in zip(nearest_hit(few, rays), nearest_hit(solids, rays), strict=True):
            assert torch.equal(got, expected)
