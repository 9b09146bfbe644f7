"""Edges and normals against plain float64 loops and values by hand."""

import math

import numpy as np
import pytest
import torch

from semidepth.training.losses.surface_angles import edge_loss, normal_loss

SMOOTH = math.radians(3)


def smooth(angle: float) -> float:
    return angle**2 / (2 * SMOOTH) if angle < SMOOTH else angle - SMOOTH / 2


def surface(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The aligned map times what makes a pixel's width 1."""
    median = np.sort(values[mask])[(mask.sum() - 1) // 2]
    return (values - median) / np.abs(values[mask] - median).mean() * math.hypot(*values.shape) / 2


def edges_by_loop(prediction, target) -> float:
    losses = []
    for p, t in zip(prediction.double().numpy(), target.double().numpy(), strict=True):
        known = np.isfinite(t)
        p, t, angles = surface(p, known), surface(t, known), []
        for i, j in np.ndindex(known.shape):
            for a, b in ((i, j + 1), (i + 1, j)):
                if a < known.shape[0] and b < known.shape[1] and known[i, j] and known[a, b]:
                    slopes = [each[a, b] - each[i, j] for each in (p, t)]
                    angles.append(smooth(abs(math.atan(slopes[0]) - math.atan(slopes[1]))))
        losses.append(np.mean(angles) / max(known.shape))
    return float(np.mean(losses))


def normals_by_loop(prediction, target) -> float:
    losses = []
    for p, t in zip(prediction.double().numpy(), target.double().numpy(), strict=True):
        known = np.isfinite(t)
        p, t, angles = surface(p, known), surface(t, known), []
        for i, j in np.ndindex(known.shape):
            for down in (-1, 1):
                for right in (-1, 1):
                    a, b = i + down, j + right
                    if not (0 <= a < known.shape[0] and 0 <= b < known.shape[1]):
                        continue
                    if not (known[i, j] and known[a, j] and known[i, b]):
                        continue
                    normals = []
                    for each in (p, t):
                        along_x = np.array([right, 0, each[i, b] - each[i, j]])
                        along_y = np.array([0, down, each[a, j] - each[i, j]])
                        normal = np.cross(along_x, along_y) * right * down
                        normals.append(normal / np.linalg.norm(normal))
                    angles.append(smooth(math.acos(min(1.0, normals[0] @ normals[1]))))
        losses.append(np.mean(angles) / max(known.shape))
    return float(np.mean(losses))


def maps(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(3, 9, 13, generator=generator)
    target = prediction + 0.3 * torch.rand(3, 9, 13, generator=generator)
    target[torch.rand(3, 9, 13, generator=generator) < 0.2] = math.nan
    return prediction, target


def test_values_by_hand():
    # Three rows of 4 pixels: the diagonal is 5, so a pixel is 2 / 5 wide.
    # Prediction 0 1 2 4 -> -.8 0 .8 2.4: slopes 2 2 4. Target 0 1 1 2 -> -2 0 0 2: slopes 5 0 5. Nothing downwards.
    prediction = torch.tensor([[0.0, 1.0, 2.0, 4.0]]).repeat(3, 1)[None]
    target = torch.tensor([[0.0, 1.0, 1.0, 2.0]]).repeat(3, 1)[None]
    angles = [math.atan(5) - math.atan(2), math.atan(2), math.atan(5) - math.atan(4)]
    across = sum(map(smooth, angles))
    # 9 pairs across, 8 down; the longer side is 4.
    assert edge_loss(prediction, target).item() == pytest.approx(3 * across / 17 / 4, rel=1e-5)
    # Normals turn about one axis alone, by the same angles; each of 2 x 3 squares has four corners of its column.
    assert normal_loss(prediction, target).item() == pytest.approx(across / 3 / 4, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_the_loops(seed):
    prediction, target = maps(seed)
    assert edge_loss(prediction, target).item() == pytest.approx(edges_by_loop(prediction, target), rel=1e-5)
    assert normal_loss(prediction, target).item() == pytest.approx(normals_by_loop(prediction, target), rel=1e-5)


@pytest.mark.parametrize("loss", [edge_loss, normal_loss])
def test_the_surface_of_a_plane_is_flat_whatever_the_camera(loss):
    """A plane's inverse depth is linear over the image; bent, it costs, and the more so the more it is bent."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 32), indexing="ij")
    plane = (0.2 + 0.5 * rows + 0.1 * columns)[None]
    assert loss(3 * plane + 1, plane) < 1e-7
    costs = [loss(plane + bend * rows[None].square(), plane).item() for bend in (0.05, 0.2, 0.8)]
    assert costs == sorted(costs)
    assert costs[0] > 0


@pytest.mark.parametrize("loss", [edge_loss, normal_loss])
def test_an_outline_hardly_costs_more_the_higher_its_step(loss):
    # Mostly 0 and 1, so that alignment stays; the step at one outline is off by 10 or by 100 deviations.
    target = torch.zeros(1, 16, 16)
    target[:, :, 8:] = 1.0
    costs = []
    for height in (10.0, 100.0):
        prediction = target.clone()
        prediction[:, :1, 8] += height
        costs.append(loss(prediction, target).item())
    assert costs[1] < 1.5 * costs[0]


def test_images_without_neighbours_do_not_count():
    prediction, target = maps(2)
    target[0] = math.nan
    target[1] = torch.where((torch.arange(9)[:, None] + torch.arange(13)) % 2 == 0, target[1], math.nan)
    for loss in (edge_loss, normal_loss):
        torch.testing.assert_close(loss(prediction, target), loss(prediction[2:], target[2:]))
    target[1] = math.nan
    target[1, 4] = torch.arange(13.0)  # neighbours along one line have edges but no normals
    torch.testing.assert_close(normal_loss(prediction, target), normal_loss(prediction[2:], target[2:]))
    assert edge_loss(prediction[1:2], target[1:2]) > 0
