"""Depth of field: discs of the size asked for, sharp edges, unknown depth."""

import numpy as np
import pytest
import torch

from semidepth.media.effects.depth_of_field import depth_of_field


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_halves(side: int = 64) -> torch.Tensor:
    """Inverse depth: the right half is near."""
    disparity = torch.zeros(1, side, side)
    disparity[:, :, side // 2 :] = 5.0
    return disparity


def blur(images, disparity, radius_px, focus):
    radius, place = (torch.full((len(images),), value) for value in (radius_px, focus))
    return depth_of_field(images, disparity, radius, place, largest_px=radius_px)


@pytest.mark.parametrize("radius_px", [2.0, 4.0, 8.0])
def test_a_point_out_of_focus_becomes_a_disc_of_its_size(radius_px):
    disparity, variances = two_halves(96), []
    for place in range(20, 28):  # against the grid of the pyramid
        images = torch.zeros(1, 3, 96, 96)
        images[:, :, place + 20, place] = 1.0
        spot = blur(images, disparity, radius_px, 1.0)[0, 0]
        assert spot.sum().item() == pytest.approx(1.0, abs=0.05)
        columns = torch.arange(96.0)
        mean = (spot.sum(0) * columns).sum() / spot.sum()
        variances.append(((spot.sum(0) * (columns - mean).square()).sum() / spot.sum()).item())
    assert np.sqrt(np.mean(variances)) == pytest.approx(radius_px / 2, rel=0.25)


def test_what_is_in_focus_stays_sharp_and_near_blur_reaches_over_its_outline():
    images, disparity = torch.rand(1, 3, 64, 64, generator=generator()), two_halves()
    far_blurred = blur(images, disparity, 4.0, 1.0)
    assert torch.equal(far_blurred[..., 40:], images[..., 40:])
    assert far_blurred[..., :28].std() < 0.4 * images[..., :28].std()
    near_blurred = blur(images, disparity, 4.0, 0.0)
    assert near_blurred[..., 36:].std() < 0.4 * images[..., 36:].std()
    assert torch.equal(near_blurred[..., :12], images[..., :12])
    reached = (near_blurred - images)[..., 28:32].abs().mean()
    assert reached > 0.1
    assert reached > 3 * (far_blurred - images)[..., 32:36].abs().mean()  # the far blur does not reach over the near
    assert torch.equal(blur(images, disparity, 0.0, 0.3), images)


def test_affine_scale_of_the_inverse_depth_does_not_matter():
    images, disparity = torch.rand(1, 3, 40, 40, generator=generator(1)), torch.rand(1, 40, 40, generator=generator(2))
    expected = blur(images, disparity, 3.0, 0.4)
    torch.testing.assert_close(blur(images, 7 * disparity - 2, 3.0, 0.4), expected, rtol=1e-4, atol=1e-5)


def test_unknown_depth_is_guessed_and_sparse_depth_leaves_the_image():
    images, disparity = torch.rand(2, 3, 64, 64, generator=generator()), two_halves().repeat(2, 1, 1)
    disparity[0][torch.rand(64, 64, generator=generator(1)) < 0.3] = torch.nan
    disparity[1][torch.rand(64, 64, generator=generator(2)) < 0.9] = torch.nan
    found = blur(images, disparity, 4.0, 1.0)
    assert found.isfinite().all()
    assert found[0, ..., :28].std() < 0.4 * images[0, ..., :28].std()
    assert torch.equal(found[1], images[1])
    assert torch.equal(blur(images, torch.full((2, 64, 64), torch.nan), 4.0, 1.0), images)
