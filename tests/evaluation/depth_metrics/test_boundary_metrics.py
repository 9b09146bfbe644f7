"""Boundary scores against plain loops over pixels, written from the paper's definitions."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from semidepth.evaluation.depth_metrics.boundary_metrics import boundary_mask_recall, boundary_scores

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))
THRESHOLDS = np.linspace(1.05, 1.25, 10)
WEIGHTS = THRESHOLDS / THRESHOLDS.sum()


def contours(depth: np.ndarray, valid: np.ndarray, threshold: float, step: tuple[int, int]) -> set[tuple[int, int]]:
    """Pixels whose neighbour at `step` is farther by more than the threshold."""
    found = set()
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            other = row + step[0], column + step[1]
            if not (0 <= other[0] < depth.shape[0] and 0 <= other[1] < depth.shape[1]):
                continue
            if valid[row, column] and valid[other] and depth[other] / depth[row, column] > threshold:
                found.add((row, column))
    return found


def by_loops(prediction: np.ndarray, depth: np.ndarray, valid: np.ndarray) -> tuple[float, float, float]:
    totals = np.zeros(3)
    for threshold, weight in zip(THRESHOLDS, WEIGHTS, strict=True):
        precision = recall = 0.0
        for step in DIRECTIONS:
            ours, theirs = (contours(values, valid, threshold, step) for values in (prediction, depth))
            precision += len(ours & theirs) / max(len(ours), 1) / 4
            recall += len(ours & theirs) / max(len(theirs), 1) / 4
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        totals += weight * np.array([f1, precision, recall])
    return tuple(totals)


def scene(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes before a wall, a noisy blurred prediction, and holes in the label."""
    random = np.random.default_rng(seed)
    depth = np.full((3, 14, 17), 6.0)
    for image in depth:
        for _ in range(4):
            top, left = random.integers(0, 10, 2)
            image[top : top + random.integers(2, 6), left : left + random.integers(2, 7)] = random.uniform(1, 6)
    prediction = 0.7 * depth + 0.3 * np.roll(depth, 1, 2) + random.uniform(0, 0.4, depth.shape)
    valid = random.random(depth.shape) > 0.1
    return torch.from_numpy(prediction), torch.from_numpy(depth), torch.from_numpy(valid)


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_loops(seed):
    prediction, depth, valid = scene(seed)
    scores = boundary_scores(prediction, torch.where(valid, depth, math.nan), valid)
    for i in range(3):
        expected = by_loops(prediction[i].numpy(), depth[i].numpy(), valid[i].numpy())
        found = [scores[name][i].item() for name in ("boundary_f1", "boundary_precision", "boundary_recall")]
        assert found == pytest.approx(expected, abs=1e-12)


def test_scale_and_direction_do_not_matter():
    prediction, depth, valid = scene(3)
    expected = boundary_scores(prediction, depth, valid)
    for ours, theirs in ((prediction * 40, depth), (1 / prediction, 1 / depth)):
        for name, values in boundary_scores(ours, theirs, valid).items():
            torch.testing.assert_close(values, expected[name])


def test_the_truth_is_perfect_and_a_flat_wall_finds_nothing():
    _, depth, valid = scene(4)
    steep = torch.where(depth < 5, 1.0, 6.0)  # every contour over every threshold
    assert boundary_scores(steep, steep, valid)["boundary_f1"].tolist() == pytest.approx([1, 1, 1])
    assert boundary_scores(torch.ones_like(depth), depth, valid)["boundary_f1"].tolist() == [0, 0, 0]


def test_no_contour_and_broken_predictions_are_nan():
    prediction, depth, valid = scene(5)
    depth[0] = 3.0
    prediction[1][valid[1]] = math.nan
    for values in boundary_scores(prediction, depth, valid).values():
        assert values[:2].isnan().all()
        assert values[2].isfinite()


def test_a_mask_s_outline_by_hand():
    """One row: the object begins between the third and the fourth pixel and ends after the sixth.

    Ratios to the right 1, 1.1, 2, 1, 1, 1/2: one run of two over every threshold up to 1.1, whose largest is at the
    outline, found; leftwards the end is found. Below and above there is no outline.
    """
    inverse_depth = torch.tensor([[[1.0, 1.0, 1.1, 2.2, 2.2, 2.2, 1.1]]])
    mask = torch.tensor([[[False, False, False, True, True, True, False]]])
    assert boundary_mask_recall(inverse_depth, mask)["boundary_mask_recall"].item() == pytest.approx(2 / 4)
    # Smeared over three pairs, 1 -> 1.2 -> 1.8 -> 2: the largest step is not at the outline any more.
    smeared = torch.tensor([[[1.0, 1.0, 1.2, 1.8, 2.0, 2.0, 1.0]]])
    shifted = torch.tensor([[[False, False, True, True, True, True, False]]])
    recall = boundary_mask_recall(smeared, shifted)["boundary_mask_recall"].item()
    assert recall == pytest.approx(1 / 4)
    assert boundary_mask_recall(torch.ones(1, 1, 7), mask)["boundary_mask_recall"].item() == 0
    assert boundary_mask_recall(inverse_depth, torch.zeros_like(mask))["boundary_mask_recall"].isnan().all()


def test_thinning_equals_loops():
    """Recall at random masks against a loop that walks along rows and columns."""
    random = np.random.default_rng(6)
    values = torch.from_numpy(random.uniform(1, 1.4, (2, 8, 9)).round(2))
    mask = torch.from_numpy(random.random((2, 8, 9)) > 0.5)
    found = boundary_mask_recall(values, mask)["boundary_mask_recall"]
    for i in range(2):
        both = (values[i], mask[i]), (values[i].T, mask[i].T)  # along rows, along columns
        both += tuple((a.flip(1), b.flip(1)) for a, b in both)  # where the object begins, where it ends
        expected = 0.0
        for threshold, weight in zip(THRESHOLDS, WEIGHTS, strict=True):
            for depths, masks in both:
                hits, number = recalled(depths.tolist(), masks.tolist(), threshold)
                expected += weight * hits / max(number, 1) / 4
        assert found[i].item() == pytest.approx(expected, abs=1e-12)


def recalled(depths: list[list[float]], masks: list[list[bool]], threshold: float) -> tuple[int, int]:
    """Places where a mask begins along its lines, and how many of them have the largest ratio of their run."""
    hits = number = 0
    for line, on in zip(depths, masks, strict=True):
        ratios = [later / earlier for earlier, later in pairwise(line)]
        edges = [later and not earlier for earlier, later in pairwise(on)]
        number += sum(edges)
        start = 0
        while start < len(ratios):
            end = start
            while end < len(ratios) and ratios[end] > threshold:
                end += 1
            if end > start:
                hits += edges[max(range(start, end), key=lambda place: ratios[place])]
            start = end + 1
    return hits, number


def test_infinitely_far_is_a_contour_and_negative_is_nan():
    mask = torch.tensor([[[True, False, False]]])
    inverse_depth = torch.tensor([[[0.1, 0.0, 0.0]]])
    assert boundary_mask_recall(inverse_depth, mask)["boundary_mask_recall"].item() == pytest.approx(0.25)
    assert boundary_mask_recall(-inverse_depth, mask)["boundary_mask_recall"].isnan().all()


def test_wrong_arguments_are_refused():
    prediction, depth, valid = scene(7)
    with pytest.raises(ValueError, match="three maps of one shape"):
        boundary_scores(prediction[:, 1:], depth, valid)
    with pytest.raises(ValueError, match="bool mask"):
        boundary_scores(prediction, depth, depth)
    with pytest.raises(ValueError, match=r"mask > 0\.1 for a matte"):
        boundary_mask_recall(prediction, depth)
