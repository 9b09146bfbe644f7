"""Edges and normals: the surface over the image has the target's slopes, for labels that are right at every pixel.

MoGe compares edges and normals of points in space (`edge_loss`, `normal_loss` of its code; arXiv 2410.19115 and
2507.02546), for which it needs the camera. Labels of relative depth have none, so here they are those of the surface
(x, y, inverse depth), where a plane in space is a plane as well.

Both compare angles: a slope counts where it is small, and a step at an outline once it is steep hardly more than a
smaller one. Labels that are blurred or displaced at outlines teach nothing good here.
"""

import math

import torch
from torch import Tensor

from semidepth.modeling.affine_invariant import affine_invariant_normalize, combine_valid, mean_over_images

SMOOTH_RAD = math.radians(3)  # MoGe's: below this the loss is quadratic


def edge_loss(prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean difference between the slope angles of prediction and target, from each pixel to the right and downwards.

    Both are moved to median 0 and mean absolute deviation 1 first, as in `affine_invariant_loss`. Image coordinates
    are scaled so that the diagonal is 2. The mean angle is divided by the longer side in pixels, as MoGe does, since
    the finer the pixels, the more an angle changes with inverse depth.

    Stated results: an image without two valid neighbours gives 0, no gradient, and does not count in the mean over
    images; a batch of nothing else gives 0.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer, any affine scale.
        target: (B, H, W) inverse depth, larger is nearer, any affine scale, NaN where unknown; sky
            is a known 0.
        valid: (B, H, W), True where the pixel counts; None means wherever the target is finite. Pixels whose
            target is not finite never count.

    Returns:
        Scalar float32, radians per pixel of the longer side, at least 0.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    valid = combine_valid(prediction, target, valid)
    with torch.autocast(prediction.device.type, enabled=False):
        slopes = zip(_slopes(prediction, valid), _slopes(target, valid), _pairs(valid), strict=True)
        total = prediction.new_zeros(len(prediction), dtype=torch.float32)
        count = valid.new_zeros(len(valid), dtype=torch.long)
        for predicted, known, counts in slopes:
            loss, number = _sum((predicted.atan() - known.atan()).abs(), counts)
            total, count = total + loss, count + number
        return mean_over_images(total / count.clamp(min=1), count > 0) / max(prediction.shape[1:])


def normal_loss(prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean angle between the normals of prediction and target at the four corners of each 2 x 2 pixels.

    A corner's normal is (-slope to its neighbour beside, -slope to its neighbour above or below, 1). Alignment,
    coordinates and the division by the longer side are those of [`edge_loss`], and so are arguments and errors.

    Stated results: an image without three valid pixels around a corner gives 0, no gradient, and does not count in the
    mean over images; a batch of nothing else gives 0.

    Returns:
        Scalar float32, radians per pixel of the longer side, at least 0.
    """
    valid = combine_valid(prediction, target, valid)
    with torch.autocast(prediction.device.type, enabled=False):
        predicted, known, pairs = _slopes(prediction, valid), _slopes(target, valid), _pairs(valid)
        total = prediction.new_zeros(len(prediction), dtype=torch.float32)
        count = valid.new_zeros(len(valid), dtype=torch.long)
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            ours, theirs, (beside, below) = (_corner(each, row, column) for each in (predicted, known, pairs))
            loss, number = _sum(_angle(*ours, *theirs), beside & below)
            total, count = total + loss, count + number
        return mean_over_images(total / count.clamp(min=1), count > 0) / max(prediction.shape[1:])


def _slopes(disparity: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes to the right (B, H, W - 1) and downwards (B, H - 1, W) of the aligned surface."""
    surface = affine_invariant_normalize(disparity, valid)
    spacing = 2 / math.hypot(*disparity.shape[1:])
    return surface.diff(dim=2) / spacing, surface.diff(dim=1) / spacing


def _pairs(valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mask of the slopes of which both pixels are valid."""
    return valid[:, :, 1:] & valid[:, :, :-1], valid[:, 1:] & valid[:, :-1]


def _corner(steps: tuple[Tensor, Tensor], row: int, column: int) -> tuple[Tensor, Tensor]:
    """Step along one of the rows and along one of the columns of each 2 x 2 pixels, (B, H - 1, W - 1)."""
    across, down = steps
    height, width = down.shape[1], across.shape[2]
    return across[:, row : row + height], down[:, :, column : column + width]


def _angle(ax: Tensor, ay: Tensor, bx: Tensor, by: Tensor) -> Tensor:
    """The angle between (-ax, -ay, 1) and (-bx, -by, 1), radians; unlike acos it has a gradient at 0, which is 0."""
    cross = torch.stack((ay - by, bx - ax, ax * by - ay * bx))
    return torch.atan2(torch.linalg.vector_norm(cross, dim=0), ax * bx + ay * by + 1)


def _sum(angle: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Angles (B, H, W) where they count, smoothed below 3 degrees and summed, and their number, both (B,)."""
    smooth = torch.where(angle < SMOOTH_RAD, angle.square() * (0.5 / SMOOTH_RAD), angle - 0.5 * SMOOTH_RAD)
    return torch.where(counts, smooth, 0.0).flatten(1).sum(1), counts.flatten(1).sum(1)
