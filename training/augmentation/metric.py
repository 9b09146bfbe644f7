"""The mild augmentation of metric training: a small rotation, gamma, brightness and colour, on any device.

ZoeDepth's (arXiv 2302.12288, released code); the flip is the loader's. Each image has its own parameters, and all draws
come from one CPU generator in a fixed number per call, so nothing waits for the device.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.media.effects.images import check_images
from semidepth.training.augmentation.batches import between, uniform


@dataclass(frozen=True)
class MetricAugmentation:
    """Strengths of the augmentation.

    Args:
        rotation_deg: angles are drawn from minus this to this, degrees.
        gamma: exponents are drawn from 1 - this to 1 + this.
        color: each channel's factor likewise.
        probability: share of the images turned, and, drawn apart, of those with other gamma, brightness and colour.

    Raises:
        ValueError: for a value out of range.
    """

    rotation_deg: float = 1.0
    gamma: float = 0.1
    color: float = 0.1
    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.rotation_deg <= 45:
            raise ValueError(f"rotation_deg is {self.rotation_deg}; give an angle from 0 to 45 degrees.")
        for name in ("gamma", "color"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share of at least 0, below 1.")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {self.probability}; give one from 0 to 1.")


@torch.no_grad()
def augment_metric(
    images: Tensor,
    depth: Tensor,
    brightness: Sequence[float],
    generator: torch.Generator,
    config: MetricAugmentation,
) -> tuple[Tensor, Tensor]:
    """Turns images with their labels, and changes the images' light.

    Args:
        images: (B, 3, H, W) floating point in [0, 1], RGB.
        depth: (B, H, W) metres; unknown where NaN, 0 or infinite.
        brightness: (B,) largest change of each image's brightness, a share; 0 changes none.
        generator: a CPU generator; takes 8 draws for each image.
        config: strengths.

    Returns:
        Images (B, 3, H, W) in [0, 1], and depth (B, H, W) with 0 where unknown, also where nothing was turned in.

    Raises:
        ValueError: for images of another kind, or as many brightness values as there are not images.
    """
    check_images(images)
    if len(brightness) != len(images):
        raise ValueError(f"{len(brightness)} brightness values came for {len(images)} images; give one for each.")
    turned, angle, lit, gamma, light, *colors = uniform(generator, 8, len(images))
    chosen = turned < config.probability
    angle = torch.where(chosen, between(angle, -1.0, 1.0) * math.radians(config.rotation_deg), 0.0)
    depth = torch.where(depth.isfinite(), depth, 0.0)
    if config.rotation_deg > 0:
        images, turned_depth = rotate(images, depth[:, None], angle.to(images.device, non_blocking=True))
        depth = turned_depth[:, 0]
    lit = (lit < config.probability).float()
    reach = torch.tensor(brightness) * lit
    factors = torch.stack([between(color, 1 - config.color * lit, 1 + config.color * lit) for color in colors], 1)
    factors = factors * between(light, 1 - reach, 1 + reach)[:, None]
    exponent = between(gamma, 1 - config.gamma * lit, 1 + config.gamma * lit)
    exponent, factors = (x.to(images.device, non_blocking=True) for x in (exponent, factors))
    images = images ** exponent[:, None, None, None] * factors[:, :, None, None]
    return images.clamp(0, 1), depth


def rotate(images: Tensor, maps: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Turns each image about its middle.

    Args:
        images: (B, 3, H, W); bilinear, borders drawn out.
        maps: (B, K, H, W); nearest, 0 where nothing was turned in.
        angle: (B,) radians.

    Returns:
        Both, turned.
    """
    height, width = images.shape[-2:]
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # grid_sample's coordinates go from -1 to 1 on both sides, whatever their lengths.
    matrix = torch.stack([
        torch.stack([cos, -sin * (height / width), zero], 1),
        torch.stack([sin * (width / height), cos, zero], 1),
    ], 1)  # fmt: skip
    grid = F.affine_grid(matrix, [len(images), 1, height, width], align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return images, F.grid_sample(maps, grid, mode="nearest", padding_mode="zeros", align_corners=False)
