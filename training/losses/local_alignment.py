"""Local alignment: each window of the image is aligned by itself, so that shapes count whatever scale they are at.

MoGe (arXiv 2410.19115, section 3.2; `affine_invariant_local_loss` of its code). Its patches are balls in space, for
which it needs the camera. Labels of relative depth have none, so here they are windows of the image; the sizes and the
number of them are MoGe's: the image cut into 4 x 4, 16 x 16 or 64 x 64.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.modeling.affine_invariant import (
    affine_invariant_normalize,
    combine_valid,
    mean_over_images,
    median_and_spread,
)

# MoGe's: fewer known pixels have no shape worth aligning, and a window whose scale is this far from its image's is
# aligned to noise.
MIN_WINDOW_PIXELS = 32
SCALE_RANGE = (0.1, 10.0)


def local_alignment_loss(prediction: Tensor, target: Tensor, valid: Tensor | None = None, *, parts: int = 4) -> Tensor:
    """Mean absolute difference after each window's own alignment, in units of the whole image's deviation.

    The image is cut into `parts` x `parts` windows, once from its corner and once moved by half a window. In each
    window the prediction is moved and scaled to the target's median and mean absolute deviation there. What then
    differs is divided by the target's mean absolute deviation in the whole image, not in the window: relief counts as
    much as it stands out, and the noise of a flat wall next to nothing.

    Windows with fewer than 32 valid pixels do not count, nor do those that are constant or whose scale is less than a
    tenth or more than ten times the whole image's. At a side of 518 pixels 64 parts are windows of 9 x 9; below 321
    pixels they are too small to count.

    Stated results: an image without a window that counts gives 0, no gradient, and does not count in the mean over
    images; a batch of nothing else gives 0.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer, any affine scale.
        target: (B, H, W) inverse depth, larger is nearer, any affine scale, NaN where unknown; sky
            is a known 0.
        valid: (B, H, W), True where the pixel counts; None means wherever the target is finite. Pixels whose
            target is not finite never count.
        parts: into how many windows each side is cut; MoGe's are 4, 16 and 64.

    Returns:
        Scalar float32, at least 0.

    Raises:
        ValueError: for shapes that differ, a mask that is not bool, or fewer than one part.
    """
    if parts < 1:
        raise ValueError(f"parts is {parts}, expected at least 1.")
    valid = combine_valid(prediction, target, valid)
    height, width = (-(-side // parts) for side in prediction.shape[1:])
    with torch.autocast(prediction.device.type, enabled=False):
        # In these units the scale from prediction to target is 1 in the whole image.
        predicted, known = affine_invariant_normalize(prediction, valid), affine_invariant_normalize(target, valid)
        total = predicted.new_zeros(len(predicted))
        pixels = valid.new_zeros(len(predicted), dtype=torch.long)
        for top, left in ((0, 0), (height // 2, width // 2)):
            cut = [_windows(each, height, width, top, left) for each in (predicted, known, valid)]
            loss, count = _loss_per_window(*cut)
            total = total + loss.view(len(predicted), -1).sum(1)
            pixels = pixels + count.view(len(predicted), -1).sum(1)
        return mean_over_images(total / pixels.clamp(min=1), pixels > 0)


def _windows(values: Tensor, height: int, width: int, top: int, left: int) -> Tensor:
    """Cuts (B, H, W) into windows (B * N, height, width), the first beginning `top` and `left` pixels outside.

    What windows have beyond the image is 0 or False.
    """
    bottom, right = -(values.shape[1] + top) % height, -(values.shape[2] + left) % width
    padded = F.pad(values, (left, right, top, bottom))
    cut = padded.unflatten(2, (-1, width)).unflatten(1, (-1, height))  # (B, rows, height, columns, width)
    return cut.transpose(2, 3).flatten(0, 2)


def _loss_per_window(predicted: Tensor, known: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Absolute differences of each window (N, height, width) summed, and its pixels that count (N,)."""
    median, spread = median_and_spread(predicted, valid)
    target_median, target_spread = median_and_spread(known, valid)
    scale = target_spread / torch.where(spread == 0, 1.0, spread)
    # Written so that NaN, which is in no range, counts: the training loop must see it.
    left_out = (spread == 0) | (scale <= SCALE_RANGE[0]) | (scale >= SCALE_RANGE[1])
    counts = valid & ~left_out & (valid.sum((1, 2), keepdim=True) >= MIN_WINDOW_PIXELS)
    scale = target_spread / torch.where(left_out, 1.0, spread)
    difference = (predicted - median) * scale - (known - target_median)
    return torch.where(counts, difference.abs(), 0.0).sum((1, 2)), counts.sum((1, 2))
