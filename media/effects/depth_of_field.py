"""Depth of field: what lies before or behind the plane in focus is blurred, by a lens as wide as one likes."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.media.effects.images import check_images
from semidepth.media.effects.resampling import double, halve

# Standard deviation of a square of 2 x 2 pixels drawn out bilinearly, in pixels; each level of halving doubles it.
LEVEL_SIGMA_PX = math.sqrt(3 / 12 + 4 / 6)
# Pixels in which near blur is spread at once.
CELL_PX = 4
# With fewer known pixels what is unknown cannot be told from what is known.
MIN_KNOWN = 0.5


def depth_of_field(images: Tensor, disparity: Tensor, radius_px: Tensor, focus: Tensor, *, largest_px: float) -> Tensor:
    """Blurs each pixel by its circle of confusion, which grows with the distance in inverse depth from the focus.

    A thin lens has circles of radius proportional to |1 / z - 1 / z_focus|, so inverse depth of any affine scale will
    do. What is nearer than the focus is blurred beyond its outline, over what lies behind. The disc is approximated by
    images halved again and again and drawn out, between which each pixel's blur is interpolated; a sharp thing bleeds
    a little into a blurred background.

    Args:
        images: (B, 3, H, W) floating point in [0, 1], RGB.
        disparity: (B, H, W) inverse depth, larger is nearer, any affine scale; NaN where unknown, there the mean of
            what is around. An image of which less than half is known stays as it is.
        radius_px: (B,) radius of the circle at the far end of an image's range of inverse depth from the focus.
        focus: (B,) where in that range, from 0 (farthest) to 1 (nearest), it is sharp.
        largest_px: no less than any radius: how many levels of blur are made. Known without asking the device.

    Returns:
        (B, 3, H, W) float32.

    Raises:
        ValueError: for images of another shape or of an integer type.
    """
    check_images(images)
    height, width = images.shape[-2:]
    depth = math.ceil(math.log2(max(largest_px / 2 / LEVEL_SIGMA_PX, 0.5))) + 1  # of the pyramid
    with torch.autocast(images.device.type, enabled=False):
        # Radii are found at half the size: what is blurred needs no sharper ones.
        disparity = disparity[:, ::2, ::2].float()
        known = disparity.isfinite().float().mean((1, 2))
        reach_px = torch.where(known >= MIN_KNOWN, radius_px / 2, 0.0)[:, None, None]
        signed = (_place_in_range(disparity) - focus[:, None, None]) * reach_px  # positive: nearer than the focus
        radius = torch.maximum(signed.abs(), _spread(signed.clamp(min=0), largest_px / 2))
        # A disc of radius r has a standard deviation of r / 2 along each side. Level 0 is sharp.
        level = (radius / LEVEL_SIGMA_PX).clamp_(min=0.5).log2_().add_(1)[:, None]
        level = double(level)[:, :, :height, :width]
        margin = (0, -width % 2**depth, 0, -height % 2**depth)
        sharper = [(F.pad(images.float().contiguous(), margin, mode="replicate"), F.pad(level, margin))]
        for _ in range(depth):
            sharper.append((halve(sharper[-1][0]), halve(sharper[-1][1])))
        result, _ = sharper.pop()
        for number in reversed(range(depth)):
            sharp, level = sharper.pop()
            result = torch.lerp(sharp, double(result), (level - number).clamp_(0, 1))
        return result[:, :, :height, :width]


def _place_in_range(disparity: Tensor) -> Tensor:
    """(B, H, W) in [0, 1] between an image's smallest and largest inverse depth; unknown: the mean of its cell."""
    known = disparity.isfinite()
    low = torch.where(known, disparity, math.inf).amin((1, 2), keepdim=True)
    high = torch.where(known, disparity, -math.inf).amax((1, 2), keepdim=True)
    place = torch.where(known, (disparity - low) / (high - low).clamp(min=1e-12), 0.0)
    count = F.adaptive_avg_pool2d(known.float()[:, None], 8)
    total = F.adaptive_avg_pool2d(place[:, None], 8)
    mean = total.mean((2, 3), keepdim=True) / count.mean((2, 3), keepdim=True).clamp(min=1e-12)
    cells = torch.where(count > 0, total / count.clamp(min=1e-12), mean)
    return torch.where(known, place, F.interpolate(cells, size=disparity.shape[1:], mode="nearest")[:, 0])


def _spread(near_px: Tensor, largest_px: float) -> Tensor:
    """Draws the radii of near blur (B, H, W) out by themselves: the largest that reaches each pixel, 0 where none."""
    height, width = near_px.shape[1:]
    cells = F.max_pool2d(near_px[:, None], CELL_PX, ceil_mode=True)
    found = torch.zeros_like(cells)
    for reach in range(1, math.ceil(largest_px / CELL_PX) + 1):
        reaching = torch.where(cells >= CELL_PX * (reach - 0.5), cells, 0.0)  # beyond the cell that they are in
        found = torch.maximum(found, F.max_pool2d(reaching, 2 * reach + 1, stride=1, padding=reach))
    return double(double(found))[:, 0, :height, :width]
