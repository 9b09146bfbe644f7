"""Losses that models compute themselves, beside the student's: the logarithmic one of metres, and those of masks.

Pure, in float32 whatever comes in; they wait for no device.

Masks, after Segment Anything (arXiv 2304.02643, section 3 and appendix A): 20 parts focal to 1 part dice, of the
candidate with the least loss; the scores learn the IoU by squared error. SAM 2 (arXiv 2408.00714) lets the scores of
all candidates learn.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# ZoeDepth's constants (arXiv 2302.12288; AdaBins, arXiv 2011.14141): weight of the squared mean, and overall scale.
MEAN_WEIGHT = 0.15
SCALE = 10.0
# Added to predictions before the logarithm; a lower bound instead would leave a collapsed head without gradient.
OFFSET_M = 1e-7
# Added to both sides of the dice fraction (released code of SAM 2).
DICE_OFFSET = 1.0


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


class MaskLoss(NamedTuple):
    """Losses of [`best_of_masks_loss`], per object; 0 for one that does not count.

    Args:
        total: (O,) float32, what learns.
        mask: (O,) float32, the weighted pixel and dice losses of the best candidate.
        score: (O,) float32, the squared error of the scores.
        iou: (O, M) float32, each candidate's IoU with the label, without gradient.
        best: (O,) int64, the candidate of least loss.
        counts: (O,) bool, False for an object whose label is NaN everywhere.
    """

    total: Tensor
    mask: Tensor
    score: Tensor
    iou: Tensor
    best: Tensor
    counts: Tensor

    def mean(self) -> Tensor:
        """Returns a scalar float32, the mean of `total` over the objects that count; 0 without one."""
        return self.total.sum() / self.counts.sum().clamp(min=1)


def mask_targets(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns labels brought to the size of masks: the share of each cell's known pixels that is on the object.

    Args:
        labels: (..., H, W) bool, or numbers with 1 on the object, 0 off it and NaN where unknown.
        size: height and width of the masks.

    Returns:
        (..., h, w) float32 in [0, 1], NaN where a cell has no known pixel.
    """
    shape = (*labels.shape[:-2], *size)
    labels = labels.float().reshape(-1, 1, *labels.shape[-2:])
    if labels.shape[-2:] == size:
        return labels.reshape(shape)
    known = (~labels.isnan()).float()
    shares = F.interpolate(labels.nan_to_num(0.0) * known, size, mode="area")
    weights = F.interpolate(known, size, mode="area")
    return torch.where(weights > 0, shares / weights.clamp(min=torch.finfo(torch.float32).tiny), torch.nan).reshape(
        shape
    )


def rounded(target: Tensor) -> Tensor:
    """(..., h, w) bool: cells that are at least half on the object; of a smaller object, those it covers most."""
    shares = target.nan_to_num(0.0)
    return (shares > 0) & (shares >= shares.amax((-2, -1), keepdim=True).clamp(max=0.5))


def _known_mean(values: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, values, 0.0).sum((-2, -1)) / known.sum((-2, -1)).clamp(min=1)


def focal_loss(logits: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Returns the focal loss (arXiv 1708.02002), the mean over known pixels: -a_t (1 - p_t)^gamma log p_t.

    Args:
        logits: (..., h, w).
        target: (..., h, w) 1 or 0 (or a share, which is rounded), NaN where unknown.
        alpha: weight of pixels on the object; those off it weigh 1 - alpha.
        gamma: exponent.

    Returns:
        (...) float32; 0 where nothing is known.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits, target = torch.broadcast_tensors(logits.float(), target)
        on = rounded(target)
        missed = torch.where(on, -logits, logits)  # log p_t = -softplus(missed), 1 - p_t = sigmoid(missed)
        weight = torch.where(on, alpha, 1.0 - alpha)
        return _known_mean(weight * torch.sigmoid(missed) ** gamma * F.softplus(missed), ~target.isnan())


def bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Returns the mean binary cross-entropy over known pixels; shapes and rounding as in [`focal_loss`]."""
    with torch.autocast(logits.device.type, enabled=False):
        logits, target = torch.broadcast_tensors(logits.float(), target)
        return _known_mean(F.softplus(torch.where(rounded(target), -logits, logits)), ~target.isnan())


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Returns 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) over known pixels; shares of the target are not rounded.

    Args:
        logits: (..., h, w).
        target: (..., h, w) in [0, 1], NaN where unknown.

    Returns:
        (...) float32; 0 where nothing is known.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits, target = torch.broadcast_tensors(logits.float(), target)
        known = ~target.isnan()
        probability = torch.where(known, torch.sigmoid(logits), 0.0)
        target = torch.where(known, target, 0.0)
        both = (probability * target).sum((-2, -1))
        either = probability.sum((-2, -1)) + target.sum((-2, -1))
        return 1.0 - (2.0 * both + DICE_OFFSET) / (either + DICE_OFFSET)


@torch.no_grad()
def mask_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Returns the intersection over union of masks (logits above 0) and their labels, over known pixels.

    Args:
        logits: (..., h, w).
        target: (..., h, w) 1 or 0 (or a share, which is rounded), NaN where unknown.

    Returns:
        (...) float32 in [0, 1]; 1 where both are empty.
    """
    logits, target = torch.broadcast_tensors(logits, target)
    mask, on, known = logits > 0, rounded(target), ~target.isnan()
    both = (mask & on).sum((-2, -1)).float()
    either = ((mask | on) & known).sum((-2, -1)).float()
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def best_of_masks_loss(
    masks: Tensor,
    scores: Tensor,
    labels: Tensor,
    *,
    mask_loss: str = "focal",
    mask_weight: float = 20.0,
    dice_weight: float = 1.0,
    score_weight: float = 1.0,
    alpha: float = 0.25,
    gamma: float = 2.0,
    supervise_all_scores: bool = True,
) -> MaskLoss:
    """Returns the loss of each object: its candidate with the least mask loss learns, and the scores learn the IoU.

    Args:
        masks: (O, M, h, w) logits.
        scores: (O, M) predicted IoU.
        labels: (O, H, W) as in [`mask_targets`]; NaN everywhere for an object that does not count.
        mask_loss: "focal" or "bce".
        mask_weight: its weight.
        dice_weight: of the dice loss.
        score_weight: of the scores' squared error.
        alpha: of the focal loss.
        gamma: of the focal loss.
        supervise_all_scores: False lets the best candidate's score alone learn.

    Returns:
        [`MaskLoss`]; finite also for objects that do not count.
    """
    target = mask_targets(labels, (masks.shape[-2], masks.shape[-1]))
    counts = (~target.isnan()).flatten(1).any(1)
    target = target[:, None]
    pixels = focal_loss(masks, target, alpha, gamma) if mask_loss == "focal" else bce_loss(masks, target)
    candidates = mask_weight * pixels + dice_weight * dice_loss(masks, target)
    best = candidates.detach().argmin(1)
    iou = mask_iou(masks, target)
    errors = (scores.float() - iou).square()
    score = errors.mean(1) if supervise_all_scores else errors.gather(1, best[:, None])[:, 0]
    mask = torch.where(counts, candidates.gather(1, best[:, None])[:, 0], 0.0)
    score = torch.where(counts, score, 0.0)
    return MaskLoss(mask + score_weight * score, mask, score, iou, best, counts)


__all__ = [
    "MaskLoss",
    "bce_loss",
    "best_of_masks_loss",
    "dice_loss",
    "focal_loss",
    "known_depth",
    "mask_iou",
    "mask_targets",
    "rounded",
    "silog_loss",
    "silog_loss_by_domain",
]
