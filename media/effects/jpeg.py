"""The losses of JPEG without its files: on any device, each image at its own quality, nothing waits for the device.

Colours to YCbCr, chroma at half the resolution, 8 x 8 cosine transform, rounding by the tables of the standard's annex
K scaled as libjpeg scales them, and all of it back. What is left out, the entropy coding, loses nothing.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.media.effects.images import check_images
from semidepth.media.effects.resampling import double, halve

LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# JFIF: rows are Y, Cb and Cr without their offset of 128.
TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
CHROMA_TO_RGB = ((0.0, 1.402), (-0.344136286, -0.714136286), (1.772, 0.0))  # added to Y


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Returns images as they come back from a JPEG file of some quality.

    Args:
        images: (B, 3, H, W) floating point in [0, 1], RGB.
        quality: (B,) 1 to 100, libjpeg's measure.

    Returns:
        (B, 3, H, W) float32 in [0, 1], whole steps of 1 / 255.

    Raises:
        ValueError: for images of another shape or of an integer type.
    """
    check_images(images)
    height, width = images.shape[-2:]
    device = images.device
    with torch.autocast(device.type, enabled=False):
        levels = (images.float() * 255).round_().contiguous()
        levels = F.pad(levels, (0, -width % 16, 0, -height % 16), mode="replicate").flatten(2)  # (B, 3, H*W)
        colors = (_constant(TO_YCBCR, device) @ levels).unflatten(2, (-1, width + -width % 16))
        luma = _lose(colors[:, :1] - 128, _steps(LUMA_STEPS, quality)).add_(128)
        chroma = double(_lose(halve(colors[:, 1:]), _steps(CHROMA_STEPS, quality)))
        levels = (_constant(CHROMA_TO_RGB, device) @ chroma.flatten(2)).unflatten(2, luma.shape[-2:])
        levels = levels.add_(luma)[:, :, :height, :width]
        return levels.round().clamp_(0, 255).div_(255)


def _steps(table: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """(B, 1, 1, 64) the steps that coefficients are rounded to at each quality, as libjpeg scales a table."""
    base = _constant(table, quality.device).flatten()
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    return ((base * percent[:, None] + 50) / 100).floor().clamp(1, 255)[:, None, None]


def _lose(planes: Tensor, steps: Tensor) -> Tensor:
    """Rounds the cosine coefficients of each 8 x 8 block of (B, C, H, W), about 0, to whole steps; clamped as bytes."""
    batch, channels, height, width = planes.shape
    transform = _transform(planes.device)
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = blocks.reshape(batch, channels, -1, 64) @ transform.T
    kept = coefficients.div_(steps).round_().mul_(steps) @ transform
    blocks = kept.view(batch, channels, height // 8, width // 8, 8, 8).transpose(3, 4)
    return blocks.reshape(planes.shape).clamp_(-128, 127)


def _transform(device: torch.device) -> Tensor:
    """(64, 64) from the pixels of a block, row by row, to its cosine coefficients; orthonormal."""
    place = torch.arange(8, dtype=torch.float64)
    cosines = torch.cos(math.pi / 8 * place[:, None] * (place + 0.5)) / 2
    cosines[0] /= math.sqrt(2)
    return torch.kron(cosines, cosines).float().to(device, non_blocking=True)


def _constant(rows: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).to(device, non_blocking=True)
