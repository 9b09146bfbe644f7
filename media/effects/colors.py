"""Brightness, contrast, saturation, hue and Gaussian blur of a batch, each image by its own amount, on any device.

torchvision has one amount for a whole batch; the values are equal to its.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601 weights as torchvision has them.


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplies each of (B, 3, H, W) in [0, 1] by its factor (B,), clamped; equal to torchvision's."""
    return (images * factor.view(-1, 1, 1, 1)).clamp_(0.0, 1.0)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blends each of (B, 3, H, W) in [0, 1] with its mean grey by factor (B,); equal to torchvision's."""
    mean = grey(images).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, factor.view(-1, 1, 1, 1)).clamp_(0.0, 1.0)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blends each of (B, 3, H, W) in [0, 1] with its grey by factor (B,); equal to torchvision's."""
    return torch.lerp(grey(images), images, factor.view(-1, 1, 1, 1)).clamp_(0.0, 1.0)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turns each of (B, 3, H, W) in [0, 1] by its shift (B,), in turns of the HSV circle, like torchvision's.

    The smallest channel and the chroma stay, and each channel is a trapezoid of the hue h in [0, 6): smallest
    + chroma * clamp(t, 0, 1) with t = |h - 3| - 1, 2 - |h - 2| and 2 - |h - 4| for red, green and blue. That
    needs no gather over the six sectors of the circle.
    """
    red, green, blue = images.unbind(1)  # (B, H, W) each
    largest = torch.maximum(torch.maximum(red, green), blue)
    smallest = torch.minimum(torch.minimum(red, green), blue)
    chroma = largest - smallest
    scale = chroma.clamp(min=torch.finfo(images.dtype).tiny).reciprocal_()  # grey has no hue, any will do
    hue = torch.where(largest == green, (blue - red).mul_(scale).add_(2.0), (red - green).mul_(scale).add_(4.0))
    hue = torch.where(largest == red, (green - blue).mul_(scale), hue)
    hue += 6.0 * shift.view(-1, 1, 1)
    hue -= (hue / 6.0).floor_().mul_(6.0)  # remainder() takes four times as long on a CPU
    result = torch.empty_like(images)
    for channel, (centre, sign, offset) in enumerate(((3.0, 1.0, -1.0), (2.0, -1.0, 2.0), (4.0, -1.0, 2.0))):
        trapezoid = (hue - centre).abs_().mul_(sign).add_(offset).clamp_(0.0, 1.0)
        torch.addcmul(smallest, trapezoid, chroma, out=result[:, channel])
    return result


JITTER_STEPS = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blurs each of (B, C, H, W) with its own sigma (B,) in pixels; mirrored borders, equal to torchvision's.

    The kernel is cut at `radius` pixels, which must be less than both sides. A sum of shifted copies, since a
    grouped convolution with a kernel for each image takes two to four times as long on a CPU.
    """
    offsets = torch.arange(radius + 1, device=images.device)
    kernel = torch.softmax(-0.5 * (torch.cat((-offsets.flip(0)[:-1], offsets)) / sigma[:, None]).square(), dim=1)
    weights = kernel[:, radius:].T[:, :, None, None, None]  # (radius + 1, B, 1, 1, 1), the centre first
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    for dim in (2, 3):
        size = images.shape[dim]
        total = padded.narrow(dim, radius, size) * weights[0]
        for offset in range(1, radius + 1):
            pair = padded.narrow(dim, radius - offset, size) + padded.narrow(dim, radius + offset, size)
            total.addcmul_(pair, weights[offset])
        padded = total
    return padded


def grey(images: Tensor) -> Tensor:
    """Returns the luma of (B, 3, H, W) as (B, 1, H, W)."""
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])
