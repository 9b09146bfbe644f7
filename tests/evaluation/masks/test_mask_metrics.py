"""Metrics on masks against values worked out another way."""

import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from semidepth.evaluation.masks.metrics import (
    boundary,
    boundary_iou,
    clicks_needed,
    mask_iou,
    number_of_clicks,
    score_calibration,
)


def square(top, bottom, left, right, size=(40, 50)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_iou_by_counting():
    masks = np.stack([square(0, 10, 0, 10), square(0, 10, 5, 15), square(20, 30, 20, 30)])
    ious = mask_iou(masks, square(0, 10, 0, 10))
    assert ious.tolist() == [1.0, 50 / 150, 0.0]
    assert math.isnan(mask_iou(square(0, 0, 0, 0), square(0, 0, 0, 0)))


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_boundary_is_what_erosion_takes_away(width):
    """As the authors' code does it: a 3 x 3 erosion, repeated, with nothing beyond the image."""
    rng = np.random.default_rng(0)
    for mask in (square(0, 25, 0, 30), rng.random((40, 50)) > 0.1, np.ones((40, 50), bool), square(0, 0, 0, 0)):
        eroded = binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)
        assert np.array_equal(boundary(mask, width), mask & ~eroded)


def test_boundary_iou_sees_a_rim_that_iou_does_not():
    """A square of 60 in another of 64: IoU 0.88; bands of 2 pixels do not meet at all."""
    small, large = square(20, 80, 20, 80, size=(100, 100)), square(18, 82, 18, 82, size=(100, 100))
    assert mask_iou(small, large) == pytest.approx(3600 / 4096)
    share = 2 / math.hypot(100, 100)
    assert boundary_iou(small, large, share) == 0.0
    assert boundary_iou(small, small, share) == 1.0


def test_clicks_needed_counts_failures_as_the_limit_and_tells_their_share():
    histories = [[0.5, 0.85], [0.9], [0.1, 0.2, 0.3]]
    assert [number_of_clicks(ious, 0.8, 3) for ious in histories] == [2, 1, None]
    assert clicks_needed(histories, 0.8, 20) == ((2 + 1 + 20) / 3, 1 / 3)
    assert clicks_needed(histories, 0.8, 1) == (1.0, 2 / 3)  # the second click does not count
    assert math.isnan(clicks_needed([], 0.8, 20)[0])


def test_calibration_by_hand():
    told = score_calibration(np.array([0.9, 0.5, np.nan]), np.array([0.7, 0.6, 0.1]))
    assert told == {"error": pytest.approx(0.15), "bias": pytest.approx(0.05), "correlation": pytest.approx(1.0)}
    assert math.isnan(score_calibration(np.array([np.nan]), np.array([0.5]))["error"])
    assert math.isnan(score_calibration(np.array([0.5]), np.array([0.5]))["correlation"])
