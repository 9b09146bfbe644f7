"""Boundary sharpness of depth maps: Depth Pro's boundary F1 (arXiv 2410.02073), and its recall against a mask.

Two neighbouring pixels have an occluding contour between them if one is more than t per cent farther than the other.
Precision and recall compare the contours of prediction and label pair by pair, so a contour that is one pixel off, or
smeared over several, is missed. The scale does not matter, so nothing is aligned here. A shift of inverse depth does
matter: align affine-invariant predictions first.

Needs torch only: the metric Space runs this file outside the package.
"""

import torch
from torch import Tensor

BOUNDARY_NAMES = ("boundary_f1", "boundary_precision", "boundary_recall")
MASK_NAMES = ("boundary_mask_recall",)
# Ratios 1 + t / 100 for t from 5 to 25 per cent. The paper says "stronger weights towards high threshold values"; the
# published code, which made its tables, uses ten thresholds and weights each by its ratio.
THRESHOLDS = tuple(1.05 + (1.25 - 1.05) * step / 9 for step in range(10))
WEIGHTS = tuple(threshold / sum(THRESHOLDS) for threshold in THRESHOLDS)


def boundary_scores(prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """F1, precision and recall of the occluding contours, as weighted means over the thresholds.

    For each threshold, precision and recall are means over four directions (the farther pixel to the right, left,
    below, above), as in the published code; F1 is computed from those means. A direction without contours counts as 0.

    Args:
        prediction: (B, H, W) positive depth or inverse depth, the same as target; the scale does not matter.
        target: (B, H, W) positive depth or inverse depth; anything where not valid.
        valid: (B, H, W) bool; a pair of pixels is scored if both are valid.

    Returns:
        BOUNDARY_NAMES to (B,) float64, in [0, 1], larger is better; NaN for an image whose label has no contour at
        the smallest threshold, or whose prediction is not finite and positive at a valid pixel.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    prediction, target, broken = _checked(prediction, target, valid)
    thresholds = torch.tensor(THRESHOLDS, dtype=torch.float64, device=prediction.device)
    precision = recall = torch.zeros(len(prediction), len(THRESHOLDS), dtype=torch.float64, device=prediction.device)
    contours = precision[:, 0]
    pairs = zip(_ratios(prediction), _ratios(target), _both(valid), strict=True)
    for predicted, labeled, counts in pairs:
        in_prediction = _exceeding(predicted, counts, thresholds)  # (B, T)
        in_target = _exceeding(labeled, counts, thresholds)
        in_both = _exceeding(torch.minimum(predicted, labeled), counts, thresholds)
        precision = precision + in_both / in_prediction.clamp(min=1) / 4
        recall = recall + in_both / in_target.clamp(min=1) / 4
        contours = contours + in_target[:, 0]
    f1 = 2 * precision * recall / (precision + recall).clamp(min=torch.finfo(torch.float64).tiny)
    weights = torch.tensor(WEIGHTS, dtype=torch.float64, device=prediction.device)
    nothing = (contours == 0) | broken
    found = dict(zip(BOUNDARY_NAMES, (f1, precision, recall), strict=True))
    return {name: torch.where(nothing, torch.nan, values @ weights) for name, values in found.items()}


def boundary_mask_recall(prediction: Tensor, mask: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
    """Recall at a mask's outline: the share of it where the prediction has an occluding contour, mask in front.

    Masks (segments, mattes) outline whole objects and omit other contours, so there is recall but no precision. Of
    each run of adjacent pixel pairs over the threshold only the largest ratio counts, so blurry edges score less.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer, 0 infinitely far; the scale does not matter.
        mask: (B, H, W) bool, True on the object (of a matte: alpha > 0.1).
        valid: (B, H, W) bool; None: everywhere.

    Returns:
        MASK_NAMES to (B,) float64, in [0, 1], larger is better; NaN for an image whose mask has no outline, or whose
        prediction is negative or not finite at a valid pixel.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    valid = torch.ones_like(mask, dtype=torch.bool) if valid is None else valid
    if mask.dtype != torch.bool:
        raise ValueError(f"Expected a bool mask, got {mask.dtype}: pass mask > 0.1 for a matte.")
    # Next to an infinitely far pixel every finite one is a contour; two infinitely far pixels have none.
    largest = torch.where(valid, prediction, 0.0).amax((1, 2), keepdim=True)
    prediction = torch.where(prediction == 0, 1e-6 * largest, prediction.double())
    prediction, _, broken = _checked(prediction, mask.double(), valid)
    recall = outline = torch.zeros(len(prediction), dtype=torch.float64, device=prediction.device)
    # At the object's edge, its inverse depth is the larger one of the pair.
    edges = [mask[..., 1:] & ~mask[..., :-1], mask[..., :-1] & ~mask[..., 1:]]
    edges += [(mask[:, 1:] & ~mask[:, :-1]).mT, (mask[:, :-1] & ~mask[:, 1:]).mT]
    for ratios, edge, counts in zip(_ratios(prediction), edges, _both(valid), strict=True):
        edge = edge & counts  # (B, H, W - 1), transposed for vertical pairs
        number = edge.sum((1, 2)).double()
        for threshold, weight in zip(THRESHOLDS, WEIGHTS, strict=True):
            hits = (_thinned(ratios, counts, threshold) & edge).sum((1, 2)).double()
            recall = recall + weight * hits / number.clamp(min=1) / 4
        outline = outline + number
    return {MASK_NAMES[0]: torch.where((outline == 0) | broken, torch.nan, recall)}


def _ratios(values: Tensor) -> list[Tensor]:
    """Ratios of neighbours: right / left, left / right, and below / above, above / below of the transposed maps."""
    pairs = [(maps[..., 1:], maps[..., :-1]) for maps in (values, values.mT)]
    return [ratio for later, earlier in pairs for ratio in (later / earlier, earlier / later)]


def _both(valid: Tensor) -> list[Tensor]:
    """Masks of the pairs of [`_ratios`] in which both pixels are valid."""
    return [pair for maps in (valid, valid.mT) for pair in (maps[..., 1:] & maps[..., :-1],) * 2]


def _exceeding(ratios: Tensor, counts: Tensor, thresholds: Tensor) -> Tensor:
    """Number of (B, H, W) ratios over each of T rising thresholds, (B, T) float64."""
    # A ratio's place among the thresholds is the number it exceeds, so one histogram serves all of them.
    place = torch.bucketize(torch.where(counts, ratios, 0.0).flatten(1).contiguous(), thresholds)  # (B, P)
    histogram = torch.zeros(len(place), len(thresholds) + 1, dtype=torch.float64, device=place.device)
    histogram.scatter_add_(1, place, torch.ones_like(place, dtype=torch.float64))
    return histogram[:, 1:].flip(1).cumsum(1).flip(1)


def _thinned(ratios: Tensor, counts: Tensor, threshold: float) -> Tensor:
    """Mask of the largest ratio (the first of equals) of each run over the threshold along the last dimension."""
    over = (ratios > threshold) & counts
    padded = torch.nn.functional.pad(over, (1, 0))
    begins = over & ~padded[..., :-1]
    run = begins.flatten().cumsum(0)  # numbers the runs; a run never crosses a row, whose first pair begins a new one
    values = torch.where(over, ratios, 0.0).flatten()
    largest = values.new_zeros(len(run) + 1).scatter_reduce(0, run, values, "amax")
    place = torch.arange(len(run), device=run.device)
    at = torch.where(over.flatten() & (values == largest[run]), place, len(run))
    first = at.new_full((len(largest),), len(run)).scatter_reduce(0, run, at, "amin")
    return (over.flatten() & (place == first[run])).view_as(over)


def _checked(prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both maps in float64, 1 where not valid, and a mask of the images whose prediction cannot be compared."""
    if prediction.ndim != 3 or prediction.shape != target.shape or prediction.shape != valid.shape:
        raise ValueError(
            f"Expected three maps of one shape (B, H, W), got {tuple(prediction.shape)}, {tuple(target.shape)} and "
            f"{tuple(valid.shape)}: resize the prediction to the label before scoring."
        )
    if valid.dtype != torch.bool:
        raise ValueError(f"Expected a bool mask, got {valid.dtype}: pass valid.bool().")
    prediction = torch.where(valid, prediction.double(), 1.0)
    broken = ~(prediction.isfinite() & (prediction > 0)).flatten(1).all(1)
    return prediction, torch.where(valid, target.double(), 1.0), broken
