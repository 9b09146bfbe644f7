"""Fusing of several teachers' maps, worked out by hand."""

import math

import pytest
import torch

from semidepth.evaluation.labels.fusion import fuse_maps, image_reliability

FIRST = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0]])  # median 2, mean absolute deviation 1.2
OUTLIER = torch.tensor([[0.0, 1.0, 2.0, 3.0, 14.0]])  # median 2, mean absolute deviation 3.2


def test_three_maps_by_hand():
    fused, reliability = fuse_maps(torch.stack([FIRST, 10 * FIRST + 5, OUTLIER]))
    aligned = [-5 / 3, -5 / 6, 0.0, 5 / 6, 5 / 3]  # of the first two; the third is -0.625, -0.3125, 0, 0.3125, 3.75
    assert torch.allclose(fused, torch.tensor([aligned]))
    distances = [(5 / 3 - 0.625) / 3, (5 / 6 - 0.3125) / 3, 0.0, (5 / 6 - 0.3125) / 3, (3.75 - 5 / 3) / 3]
    assert torch.allclose(reliability, torch.tensor([[1 / (1 + d) for d in distances]]))
    assert image_reliability(reliability) == pytest.approx(1 / (1 + sum(distances) / 5))


def test_of_two_maps_the_middle_is_taken():
    fused, reliability = fuse_maps(torch.stack([FIRST, OUTLIER]))
    assert fused[0, 4].item() == pytest.approx((5 / 3 + 3.75) / 2)
    assert reliability[0, 4].item() == pytest.approx(1 / (1 + (3.75 - 5 / 3) / 2))


def test_what_one_map_alone_knows_is_unknown():
    nan = math.nan
    holes = torch.tensor([[0.0, 1.0, 2.0, nan, nan], [0.0, 1.0, 2.0, 3.0, nan], [0.0, 10.0, 20.0, 30.0, 40.0]])[:, None]
    fused, reliability = fuse_maps(holes)
    # Of the three common pixels: median the second, mean absolute deviation 2/3 of a step. All are the same line.
    assert torch.allclose(fused[0, :4], torch.tensor([-1.5, 0.0, 1.5, 3.0]))
    assert fused[0, 4].isnan()
    assert image_reliability(reliability) == pytest.approx(1.0)
    assert image_reliability(torch.zeros(2, 3)) == 0
    assert torch.allclose(reliability, torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]]))


def test_a_constant_map_disagrees_with_all_and_wrong_input_is_refused():
    _, reliability = fuse_maps(torch.stack([FIRST, torch.full_like(FIRST, 7.0)]))
    assert reliability[0, 0].item() == pytest.approx(1 / (1 + 5 / 6))
    with pytest.raises(ValueError, match="at least two teachers"):
        fuse_maps(FIRST[None])
    apart = torch.tensor([[[1.0, 2.0, math.nan]], [[math.nan, 2.0, 3.0]]])
    with pytest.raises(ValueError, match="no two pixels in common"):
        fuse_maps(apart)
