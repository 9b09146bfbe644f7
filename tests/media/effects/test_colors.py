"""Each change of colours against torchvision, one image at a time."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from semidepth.media.effects.colors import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    gaussian_blur,
)


def images(seed: int, batch: int = 6, height: int = 40, width: int = 31) -> torch.Tensor:
    """Random colours, with grey, black, white, saturated and two-equal-channel pixels among them."""
    result = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))
    corners = torch.tensor([[r, g, b] for r in (0.0, 0.5, 1.0) for g in (0.0, 0.5, 1.0) for b in (0.0, 0.5, 1.0)])
    result[:, :, 0, :27] = corners.T
    return result


@pytest.mark.parametrize(
    ("ours", "theirs", "values"),
    [
        (adjust_brightness, TF.adjust_brightness, [0.0, 0.5, 0.9, 1.0, 1.2, 2.5]),
        (adjust_contrast, TF.adjust_contrast, [0.0, 0.5, 0.9, 1.0, 1.2, 2.5]),
        (adjust_saturation, TF.adjust_saturation, [0.0, 0.5, 0.9, 1.0, 1.2, 2.5]),
        (adjust_hue, TF.adjust_hue, [-0.5, -0.25, -0.03, 0.0, 0.21, 0.5]),
    ],
)
def test_each_step_equals_torchvision_on_each_image(ours, theirs, values):
    batch = images(0)
    expected = torch.stack([theirs(image, value) for image, value in zip(batch, values, strict=True)])
    torch.testing.assert_close(ours(batch, torch.tensor(values)), expected, rtol=0, atol=5e-6)


def test_hue_by_hand():
    # Red turned by a third is green, by a sixth yellow, by half cyan; grey has no hue.
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).repeat(3, 1, 1, 1)
    turned = adjust_hue(red, torch.tensor([1 / 3, 1 / 6, 0.5]))[:, :, 0, 0]
    expected = torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    torch.testing.assert_close(turned, expected, atol=1e-6, rtol=0)
    grey = torch.full((1, 3, 2, 2), 0.3)
    assert torch.equal(adjust_hue(grey, torch.tensor([0.4])), grey)


def test_blur_equals_torchvision_on_each_image():
    batch, sigma = images(1), [0.1, 0.4, 0.8, 1.3, 1.7, 2.0]
    expected = torch.stack([TF.gaussian_blur(x, [13, 13], [s, s]) for x, s in zip(batch, sigma, strict=True)])
    torch.testing.assert_close(gaussian_blur(batch, torch.tensor(sigma), 6), expected, rtol=0, atol=2e-6)


def test_blur_of_a_point_is_the_gaussian():
    point = torch.zeros(1, 1, 15, 15)
    point[0, 0, 7, 7] = 1.0
    weights = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)
    weights /= weights.sum()
    blurred = gaussian_blur(point, torch.tensor([1.5]), 6)[0, 0, 1:14, 1:14]
    np.testing.assert_allclose(blurred.numpy(), np.outer(weights, weights), atol=1e-7)
