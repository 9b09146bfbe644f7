"""Alignments of both kinds of depth against numpy, and their stated results where nothing fits."""

import math

import numpy as np
import pytest
import torch

from semidepth.evaluation.depth_metrics.formulas import (
    SCORE_NAMES,
    align_median,
    aligned_depth,
    aligned_disparity,
    metres_scores,
    relative_scores,
)


def scene(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy depth and its label with unknown pixels and sky; odd and even numbers of known pixels."""
    generator = torch.Generator().manual_seed(seed)
    depth = 0.5 + 9 * torch.rand(4, 9, 11, generator=generator, dtype=torch.float64)
    prediction = 0.3 + depth * (0.6 + torch.rand(4, 9, 11, generator=generator, dtype=torch.float64))
    for image in range(4):
        depth[image].view(-1)[: 5 + image] = math.nan if image % 2 else math.inf
    return prediction, depth


def test_the_median_scale_is_that_of_numpy():
    prediction, depth = scene(0)
    valid = depth.isfinite()
    scale = align_median(prediction, depth, valid)
    for i in range(4):
        known = valid[i].numpy()
        expected = np.median(depth[i].numpy()[known]) / np.median(prediction[i].numpy()[known])
        assert scale[i].item() == pytest.approx(expected, rel=1e-12)


def test_inverse_depth_is_scaled_by_medians_of_depth():
    prediction, depth = scene(1)
    aligned = aligned_disparity(5 / prediction, depth, align="median", max_depth_m=80.0)
    for i in range(4):
        known = depth[i].isfinite().numpy()
        ours, label = prediction[i].numpy()[known] / 5, depth[i].numpy()[known]
        np.testing.assert_allclose(1 / aligned[i].numpy()[known], ours * np.median(label) / np.median(ours), rtol=1e-12)


def test_metres_are_fitted_in_depth_space():
    prediction, depth = scene(2)
    aligned = aligned_depth(prediction * 7 - 3, depth, align="least_squares")
    for i in range(4):
        known = depth[i].isfinite().numpy()
        x, y = prediction[i].numpy()[known], depth[i].numpy()[known]
        np.testing.assert_allclose(aligned[i].numpy()[known], np.polyval(np.polyfit(x, y, 1), x), rtol=1e-9)


@pytest.mark.parametrize("align", ["median", "least_squares"])
def test_what_the_alignment_finds_does_not_count(align):
    prediction, depth = scene(3)
    expected = relative_scores(1 / prediction, depth, align=align)
    shift = 2.0 if align == "least_squares" else 0.0
    for name, values in relative_scores(30 / prediction + shift, depth, align=align).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-9, atol=1e-9)
    expected = metres_scores(prediction, depth, align=align)
    for name, values in metres_scores(30 * prediction + shift, depth, align=align).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-9, atol=1e-9)


def test_no_alignment_takes_inverse_metres_as_they_are():
    prediction, depth = scene(4)
    for space in ("depth", "disparity"):
        ours = relative_scores(1 / prediction, depth, space=space, align="none", max_depth_m=80.0)
        theirs = metres_scores(prediction, depth, space=space, max_depth_m=80.0)
        for name in SCORE_NAMES:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-9, atol=1e-9)


def test_a_median_that_is_not_positive_fits_nothing():
    """Then all is as far as can be (metres: as near), which is scored as the miss that it is."""
    depth = torch.full((1, 3, 3), 2.0)
    for values in (torch.zeros(1, 3, 3), torch.full((1, 3, 3), -1.0)):
        assert (aligned_disparity(values, depth, align="median", max_depth_m=10.0) == 1 / 10).all()
        assert (aligned_depth(values, depth, align="median") == 1e-3).all()
        assert relative_scores(values, depth, align="median", max_depth_m=10.0)["abs_rel"].item() == pytest.approx(4)
    # Fewer than half of the values may be infinitely far.
    values = torch.tensor([[[0.0, 0.5, 0.5, 1.0]]])
    aligned = aligned_disparity(values, torch.tensor([[[8.0, 2.0, 2.0, 1.0]]]), align="median", max_depth_m=8.0)
    torch.testing.assert_close(aligned, torch.tensor([[[1 / 8, 0.5, 0.5, 1.0]]], dtype=torch.float64))


def test_nothing_to_align_to_is_nan():
    prediction, depth = scene(5)
    depth[1] = math.nan
    for align in ("least_squares", "median", "none"):
        for scores in (relative_scores(prediction, depth, align=align), metres_scores(prediction, depth, align=align)):
            assert all(values[1].isnan() and values[[0, 2, 3]].isfinite().all() for values in scores.values())


def test_another_alignment_is_refused():
    prediction, depth = scene(6)
    for function in (relative_scores, metres_scores):
        with pytest.raises(ValueError, match="align is 'mean', expected 'none' or 'median' or 'least_squares'"):
            function(prediction, depth, align="mean")
        with pytest.raises(ValueError, match="space is 'log'"):
            function(prediction, depth, space="log")
