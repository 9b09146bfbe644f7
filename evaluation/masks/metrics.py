"""Pure functions on masks: IoU, IoU of outlines, number of clicks, calibration of a score; NaN where none is known."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_cdt

# Of the image's diagonal, as Boundary IoU has it (Cheng et al. 2021, arXiv 2103.16562).
BOUNDARY_SHARE = 0.02


def mask_iou(masks: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the intersection of masks and targets over their union.

    Args:
        masks: (..., H, W) bool.
        targets: (..., H, W) bool.

    Returns:
        (...) float64 in [0, 1]; NaN where both are empty.
    """
    both = (masks & targets).sum((-2, -1), dtype=np.float64)
    either = (masks | targets).sum((-2, -1), dtype=np.float64)
    return np.divide(both, either, out=np.full_like(both, np.nan), where=either > 0)


def boundary(mask: np.ndarray, width: int) -> np.ndarray:
    """Returns the pixels of a mask that are at most `width` pixels (in eight directions) from what is outside it.

    Args:
        mask: (H, W) bool; what lies beyond the image is outside.
        width: pixels, at least 1.
    """
    inside = np.pad(mask, 1)
    if not inside.any():
        return np.zeros_like(mask)
    distance = distance_transform_cdt(inside, "chessboard")[1:-1, 1:-1]
    return mask & (distance <= width)


def boundary_iou(mask: np.ndarray, target: np.ndarray, share: float = BOUNDARY_SHARE) -> float:
    """Returns the IoU of the outlines' inner bands (Cheng et al. 2021): small faults at the rim of large masks count.

    Args:
        mask: (H, W) bool.
        target: (H, W) bool.
        share: width of a band as a share of the image's diagonal; at least a pixel.

    Returns:
        In [0, 1]; NaN where both are empty.
    """
    width = max(1, round(share * math.hypot(*mask.shape)))
    return float(mask_iou(boundary(mask, width), boundary(target, width)))


def number_of_clicks(ious: Sequence[float], wanted: float, limit: int) -> int | None:
    """Returns the number of clicks after which the IoU first is as wanted; None if it is not within the limit.

    Args:
        ious: after 1, 2, ... clicks.
        wanted: in (0, 1].
        limit: clicks allowed.
    """
    return next((number for number, iou in enumerate(ious[:limit], 1) if iou >= wanted), None)


def clicks_needed(histories: Sequence[Sequence[float]], wanted: float, limit: int) -> tuple[float, float]:
    """Returns the mean number of clicks that objects need, and the share that fails.

    An object that is never as wanted counts as `limit` clicks, as is usual; the share of those stands beside it.

    Args:
        histories: for each object its IoU after 1, 2, ... clicks; it may end where the IoU is as wanted.
        wanted: IoU, in (0, 1].
        limit: clicks allowed.

    Returns:
        Both NaN without objects.
    """
    found = [number_of_clicks(ious, wanted, limit) for ious in histories]
    if not found:
        return math.nan, math.nan
    failed = sum(number is None for number in found) / len(found)
    return float(np.mean([limit if number is None else number for number in found])), failed


def score_calibration(scores: np.ndarray, ious: np.ndarray) -> dict[str, float]:
    """Returns how well predicted scores tell the true IoU.

    Args:
        scores: (N,) predicted IoU, NaN for masks without one.
        ious: (N,) true IoU.

    Returns:
        `error`, the mean of |score - IoU|; `bias`, the mean of score - IoU (positive: too sure of itself);
        `correlation` over the masks. NaN where there are too few.
    """
    known = np.isfinite(scores) & np.isfinite(ious)
    scores, ious = scores[known].astype(np.float64), ious[known].astype(np.float64)
    if not len(scores):
        return {"error": math.nan, "bias": math.nan, "correlation": math.nan}
    varies = len(scores) > 1 and scores.std() > 0 and ious.std() > 0
    return {
        "error": float(np.abs(scores - ious).mean()),
        "bias": float((scores - ious).mean()),
        "correlation": float(np.corrcoef(scores, ious)[0, 1]) if varies else math.nan,
    }
