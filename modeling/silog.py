"""The scale-invariant logarithmic loss of metric depth."""

from collections.abc import Sequence

import torch
from torch import Tensor

# ZoeDepth's constants (arXiv 2302.12288; AdaBins, arXiv 2011.14141): weight of the squared mean, and overall scale.
MEAN_WEIGHT = 0.15
SCALE = 10.0
# Added to predictions before the logarithm; a lower bound instead would leave a collapsed head without gradient.
OFFSET_M = 1e-7


def silog_loss(prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """SILog = 10 * sqrt(var(g) + 0.15 * mean(g)^2), g = log prediction - log target over all valid pixels of the batch.

    In float32 whatever comes in; waits for no device. A batch with fewer than two valid pixels gives 0 and no gradient.
    The variance is the unbiased one, as in the code that the published weights were trained with.

    Args:
        prediction: (B, H, W) metres, larger is farther.
        target: (B, H, W) metres; unknown where NaN, infinite, zero or negative.
        valid: (B, H, W) bool, further pixels to leave out where False.

    Returns:
        Scalar float32, at least 0. A NaN predicted at a valid pixel reaches it.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    if prediction.ndim != 3 or prediction.shape != target.shape or (valid is not None and valid.shape != target.shape):
        raise ValueError(
            f"Expected prediction, target and mask of one shape (B, H, W), got {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}: resize the prediction to the labels before the call."
        )
    if valid is not None and valid.dtype != torch.bool:
        raise ValueError(f"Expected a bool mask, got {valid.dtype}: pass mask.bool().")
    known = known_depth(target) if valid is None else known_depth(target) & valid
    with torch.autocast(prediction.device.type, enabled=False):
        g = torch.log(torch.where(known, prediction.float() + OFFSET_M, 1.0)) - torch.log(
            torch.where(known, target.float(), 1.0)
        )  # 0 where unknown
        count = known.sum()
        mean = g.sum() / count.clamp(min=1)
        squares = torch.where(known, g - mean, 0.0).square().sum()
        inside = squares / (count - 1).clamp(min=1) + MEAN_WEIGHT * mean.square()
        # A square root has no gradient at 0; there the loss is constant.
        enough = (count >= 2) & ((inside > 0) | inside.isnan())
        root = torch.sqrt(torch.where(enough, inside, 1.0))
        return torch.where(enough, SCALE * root, 0.0)


def silog_loss_by_domain(prediction: Tensor, target: Tensor, domains: Sequence[int]) -> Tensor:
    """Mean over a batch's domains of each one's SILog, weighted by their numbers of images.

    Taken over all pixels at once, a domain with sparse labels (LiDAR has them on 2 % of the pixels) would hardly count
    beside one with dense ones. A domain with fewer than two labeled pixels does not count.

    Args:
        prediction: (B, H, W) metres.
        target: (B, H, W) metres, as in [`silog_loss`].
        domains: (B,) whole numbers on the host.

    Returns:
        Scalar float32.
    """
    present = sorted(set(domains))
    if len(present) == 1:
        return silog_loss(prediction, target)
    losses, weights = [], []
    for domain in present:
        members = [row for row, other in enumerate(domains) if other == domain]
        rows = torch.tensor(members).to(prediction.device, non_blocking=True)
        labels = target.index_select(0, rows)
        losses.append(silog_loss(prediction.index_select(0, rows), labels))
        weights.append(len(members) * (known_depth(labels).sum() >= 2))
    shares = torch.stack(weights).float()
    return (torch.stack(losses) * shares).sum() / shares.sum().clamp(min=1)


def known_depth(depth: Tensor) -> Tensor:
    """(…) bool: where metres are known, i.e. positive and finite (NaN, 0 and inf are not)."""
    return depth.isfinite() & (depth > 0)


__all__ = ["known_depth", "silog_loss", "silog_loss_by_domain"]
