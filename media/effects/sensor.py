"""Sensor effects on batches of images: shot noise and lost resolution."""

import torch
from torch import Tensor
from torch.nn import functional as F


def shot_noise(images: Tensor, photons: Tensor, generator: torch.Generator) -> Tensor:
    """Adds the noise of counting photons: each value has a variance of itself / photons.

    Counts are Poisson's; here they are normal, which from ten photons on is hardly another distribution and is drawn
    many times as fast.

    Args:
        images: (B, 3, H, W) in [0, 1].
        photons: (B,) that a value of 1 stands for.
        generator: on the images' device.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    return (images + noise * (images / photons[:, None, None, None]).sqrt_()).clamp_(0, 1)


def lose_resolution(image: Tensor, share: float) -> Tensor:
    """Makes an image (3, H, W) smaller, each side by this share, and draws it out to its size again."""
    sides = [max(1, round(side * share)) for side in image.shape[1:]]
    small = F.interpolate(image[None], size=sides, mode="area")
    return F.interpolate(small, size=image.shape[1:], mode="bilinear")[0]
