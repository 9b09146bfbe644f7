"""Multi-scale gradient matching: edges of the prediction fall on the target's (MiDaS, arXiv 1907.01341)."""

import torch
from torch import Tensor

from semidepth.modeling.affine_invariant import affine_invariant_normalize, combine_valid, mean_over_images


def gradient_matching_loss(
    prediction: Tensor, target: Tensor, valid: Tensor | None = None, *, scales: int = 4
) -> Tensor:
    """Sum over scales of the mean absolute horizontal and vertical step of the aligned residual.

    R = d_hat - d_hat* with the median / mean-absolute-deviation alignment of `affine_invariant_loss`, done
    once at full size. Scale k keeps every 2^k-th row and column; a step counts only where both of its pixels
    are valid; the sum of a scale is divided by its number of valid pixels (as MiDaS' code does; the paper
    divides by the count of the full size).

    Stated results: an image without any pair of valid neighbours at any scale gives 0, no gradient, and does
    not count in the mean over images; a batch of nothing else gives 0.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer, any affine scale.
        target: (B, H, W) inverse depth, larger is nearer, any affine scale, NaN where unknown; sky
            is a known 0.
        valid: (B, H, W), True where the pixel counts; None means wherever the target is finite. Pixels whose
            target is not finite never count.
        scales: number of scales, at least 1; MiDaS and Depth Anything V2 use 4.

    Returns:
        Scalar float32, at least 0.

    Raises:
        ValueError: for shapes that differ, a mask that is not bool, or fewer than one scale.
    """
    if scales < 1:
        raise ValueError(f"scales is {scales}, expected at least 1.")
    valid = combine_valid(prediction, target, valid)
    with torch.autocast(prediction.device.type, enabled=False):
        residual = affine_invariant_normalize(prediction, valid) - affine_invariant_normalize(target, valid)
        total = residual.new_zeros(residual.shape[0])
        pairs = valid.new_zeros(residual.shape[0], dtype=torch.long)
        for step in (2**k for k in range(scales)):
            loss, count = _steps(residual[:, ::step, ::step], valid[:, ::step, ::step])
            total, pairs = total + loss, pairs + count
        return mean_over_images(total, pairs > 0)


def _steps(residual: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Absolute steps of each image summed, over its valid pixels (B,), and its number of valid steps (B,)."""
    across = valid[:, :, 1:] & valid[:, :, :-1]
    down = valid[:, 1:] & valid[:, :-1]
    steps_across = torch.where(across, (residual[:, :, 1:] - residual[:, :, :-1]).abs(), 0.0)
    steps_down = torch.where(down, (residual[:, 1:] - residual[:, :-1]).abs(), 0.0)
    total = steps_across.flatten(1).sum(1) + steps_down.flatten(1).sum(1)
    pairs = across.flatten(1).sum(1) + down.flatten(1).sum(1)
    return total / valid.flatten(1).sum(1).clamp(min=1), pairs
