"""AbsRel, delta, RMSE, log errors and SILog of depth maps, and the alignments that come before them.

`relative_scores` scores inverse depth after alignment, `metres_scores` scores metres as they are. All arithmetic is
float64. Each score is one value per image, so the mean over a data set does not depend on the batch size. Images of
different sizes are scored one at a time (B = 1). Sky (inf) and unknown (NaN) pixels are never scored.

Needs torch and the file beside it: the metric Space runs this file outside the package.
"""

import math

import torch
from torch import Tensor

from .protocols import ALIGNMENTS, SPACES, Align, Space

SCORE_NAMES = ("abs_rel", "delta1", "delta2", "delta3", "rmse", "rmse_log", "log10", "silog")
# A prediction whose variance is below this share of its mean square is constant up to float64 rounding.
CONSTANT_RELATIVE_VARIANCE = 1e-24


def align_scale_shift(prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares scale and shift of each image: they minimise the mean of (scale * prediction + shift - target)^2.

    Solved in centred closed form in float64, because the 2 x 2 normal equations fail for nearly constant predictions.
    A constant prediction (also a single valid pixel) gets scale 0 and shift = mean target. Without a valid pixel both
    are NaN. The scale can be negative: an inverted prediction is not refused.

    Args:
        prediction: (B, H, W) inverse depth (or depth), any affine scale.
        target: (B, H, W) inverse depth in 1/m (or depth in metres); anything where not valid.
        valid: (B, H, W) bool.

    Returns:
        scale and shift, (B,) float64 each.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    _check_shapes(prediction, target, valid)
    mask = valid.flatten(1)  # (B, H, W) -> (B, H*W)
    x = torch.where(mask, prediction.double().flatten(1), 0.0)
    y = torch.where(mask, target.double().flatten(1), 0.0)
    mean_x, mean_y = _masked_mean(x, mask), _masked_mean(y, mask)
    centred_x, centred_y = x - mean_x[:, None], y - mean_y[:, None]
    variance = _masked_mean(centred_x.square(), mask)
    covariance = _masked_mean(centred_x * centred_y, mask)
    constant = variance <= CONSTANT_RELATIVE_VARIANCE * _masked_mean(x.square(), mask)
    scale = torch.where(constant, 0.0, covariance / torch.where(constant, 1.0, variance))
    return scale, mean_y - scale * mean_x


def align_median(prediction_m: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Median scale of each image: median(depth) / median(prediction).

    The medians are of depth, as in Zhou et al. (arXiv 1704.07813) and Monodepth2's evaluation. The median of an even
    number of pixels is the mean of the middle two. A prediction whose median is not positive and finite gets scale 0,
    because no scale fits. An image without a valid pixel gets NaN.

    Args:
        prediction_m: (B, H, W) depth of any scale, larger is farther.
        depth: (B, H, W) metres; anything where not valid.
        valid: (B, H, W) bool.

    Returns:
        (B,) float64.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    _check_shapes(prediction_m, depth, valid)
    mask = valid.flatten(1)
    predicted = _masked_median(prediction_m.double().flatten(1), mask)
    label = _masked_median(depth.double().flatten(1), mask)
    usable = predicted.isfinite() & (predicted > 0)
    scale = torch.where(usable, label / torch.where(usable, predicted, 1.0), 0.0)
    return torch.where(predicted.isnan(), torch.nan, scale)


def aligned_disparity(
    prediction: Tensor,
    depth: Tensor,
    *,
    align: Align = "least_squares",
    max_depth_m: float | None = None,
    min_depth_m: float = 1e-3,
) -> Tensor:
    """Inverse depth in 1/m, aligned to the label over the scored pixels and clamped to the depth range.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer.
        depth: (B, H, W) metres; NaN unknown, inf sky.
        align: "least_squares": scale and shift in disparity space (MiDaS, arXiv 1907.01341); "median": one scale,
            from the medians of depth ([`align_median`]; values at or below 0 count as infinitely far); "none": the
            prediction is 1/m as it is.
        max_depth_m: cap, metres; None: the largest finite depth of each image's own label.
        min_depth_m: nearest depth that is scored, metres.

    Returns:
        (B, H, W) float64 within [1 / max_depth_m, 1 / min_depth_m].

    Raises:
        ValueError: for shapes that differ, another alignment, or bounds that are not 0 < min < max.
    """
    label, valid = _scored_pixels(prediction, depth, max_depth_m, min_depth_m)
    _check_choice("align", align, ALIGNMENTS)
    aligned = prediction.double()
    if align == "least_squares":
        scale, shift = align_scale_shift(aligned, 1.0 / label, valid)
        aligned = scale[:, None, None] * aligned + shift[:, None, None]
    elif align == "median":
        scale = align_median(1.0 / aligned.clamp(min=0.0), label, valid)
        # Depth times the scale is inverse depth divided by it; scale 0 puts everything at the far end.
        aligned = torch.where(scale[:, None, None] == 0, aligned * 0.0, aligned / scale[:, None, None])
    cap = _cap(label, valid, max_depth_m)
    return aligned.clamp(min=1.0 / cap, max=torch.full_like(cap, 1.0 / min_depth_m))


def aligned_depth(
    prediction_m: Tensor,
    depth: Tensor,
    *,
    align: Align = "none",
    max_depth_m: float | None = None,
    min_depth_m: float = 1e-3,
) -> Tensor:
    """Depth in metres, aligned to the label over the scored pixels if asked, and clamped to the depth range.

    Args:
        prediction_m: (B, H, W) metres, or with an alignment depth of any scale; larger is farther.
        depth: (B, H, W) metres; NaN unknown, inf sky.
        align: "none"; "median": one scale ([`align_median`]); "least_squares": scale and shift in depth space, for
            models of affine-invariant depth (Marigold, arXiv 2312.02145).
        max_depth_m: cap, metres; None: no cap.
        min_depth_m: nearest depth that counts, metres.

    Returns:
        (B, H, W) float64 within [min_depth_m, max_depth_m].

    Raises:
        ValueError: for shapes that differ, another alignment, or bounds that are not 0 < min < max.
    """
    label, valid = _scored_pixels(prediction_m, depth, max_depth_m, min_depth_m)
    _check_choice("align", align, ALIGNMENTS)
    aligned = prediction_m.double()
    if align == "least_squares":
        scale, shift = align_scale_shift(aligned, label, valid)
        aligned = scale[:, None, None] * aligned + shift[:, None, None]
    elif align == "median":
        aligned = align_median(aligned, label, valid)[:, None, None] * aligned
    return aligned.clamp(min_depth_m, max_depth_m or math.inf)


def relative_scores(
    prediction: Tensor,
    depth: Tensor,
    *,
    space: Space = "depth",
    align: Align = "least_squares",
    max_depth_m: float | None = None,
    min_depth_m: float = 1e-3,
) -> dict[str, Tensor]:
    """Scores of affine-invariant inverse depth against labels in metres, after alignment.

    Scored pixels: finite label with min_depth_m <= depth <= max_depth_m. The prediction is aligned over them and then
    clamped ([`aligned_disparity`]), which also handles aligned values at or below 0. `space="depth"` compares its
    inverse with the label in metres; `space="disparity"` compares it with 1 / depth, and rmse is in 1/m. delta, log10,
    rmse_log and silog are the same in both spaces, because they depend on ratios only.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer, any affine scale.
        depth: (B, H, W) metres, larger is farther; NaN unknown, inf sky, neither scored.
        space: where to compare, "depth" or "disparity".
        align: "least_squares" (scale and shift), "median" (scale alone) or "none" (the prediction is in 1/m).
        max_depth_m: the cap of the data set (10 for NYU, 80 for KITTI). None takes each image's own largest label,
            which leaks a little of the answer into the prediction: give the cap to compare with papers.
        min_depth_m: nearest depth that is scored, metres.

    Returns:
        SCORE_NAMES to (B,) float64; NaN for an image without a scored pixel. delta and the relative errors
        are fractions (not per cent), silog is 100 * the standard deviation of the log error (KITTI's).

    Raises:
        ValueError: for shapes that differ, another space or alignment, or bounds that are not 0 < min < max.
    """
    _check_choice("space", space, SPACES)
    aligned = aligned_disparity(prediction, depth, align=align, max_depth_m=max_depth_m, min_depth_m=min_depth_m)
    label, valid = _scored_pixels(prediction, depth, max_depth_m, min_depth_m)
    return _scores(1.0 / aligned, label, valid) if space == "depth" else _scores(aligned, 1.0 / label, valid)


def metres_scores(
    prediction_m: Tensor,
    depth: Tensor,
    *,
    space: Space = "depth",
    align: Align = "none",
    max_depth_m: float | None = None,
    min_depth_m: float = 1e-3,
) -> dict[str, Tensor]:
    """Scores of predicted metres, without alignment unless one is asked for (then depth of any scale will do).

    Args:
        prediction_m: (B, H, W) metres, larger is farther; clamped to [min_depth_m, max_depth_m].
        depth: (B, H, W) metres; NaN unknown, inf sky; neither is scored, nor is anything outside the depth range.
        space: where to compare, as for [`relative_scores`].
        align: "none", "median" or "least_squares" ([`aligned_depth`]).
        max_depth_m: the cap of the data set; None means no cap.
        min_depth_m: nearest depth that is scored, metres.

    Returns:
        SCORE_NAMES to (B,) float64; NaN for an image without a scored pixel.

    Raises:
        ValueError: for shapes that differ, another space or alignment, or bounds that are not 0 < min < max.
    """
    _check_choice("space", space, SPACES)
    aligned = aligned_depth(prediction_m, depth, align=align, max_depth_m=max_depth_m, min_depth_m=min_depth_m)
    label, valid = _scored_pixels(prediction_m, depth, max_depth_m, min_depth_m)
    return _scores(aligned, label, valid) if space == "depth" else _scores(1.0 / aligned, 1.0 / label, valid)


def scored_pixels(depth: Tensor, *, max_depth_m: float | None = None, min_depth_m: float = 1e-3) -> Tensor:
    """(B, H, W) bool: pixels whose label is known and within the depth range."""
    return _scored_pixels(depth, depth, max_depth_m, min_depth_m)[1]


def _scores(prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """The scores of (B, H, W) positive values over the valid pixels; prediction and target have the same unit."""
    valid = valid.flatten(1)  # (B, H, W) -> (B, H*W)
    prediction = torch.where(valid, prediction.flatten(1), 1.0)
    target = torch.where(valid, target.flatten(1), 1.0)
    error = prediction - target
    log_error = prediction.log() - target.log()
    ratio = torch.maximum(prediction / target, target / prediction)
    mean_log = _masked_mean(log_error, valid)
    mean_square_log = _masked_mean(log_error.square(), valid)
    scores = {"abs_rel": _masked_mean(error.abs() / target, valid)}
    for n in (1, 2, 3):
        # A NaN prediction must not count as an ordinary miss.
        inside = torch.where(ratio.isnan(), ratio, (ratio < 1.25**n).double())
        scores[f"delta{n}"] = _masked_mean(inside, valid)
    scores["rmse"] = _masked_mean(error.square(), valid).sqrt()
    scores["rmse_log"] = mean_square_log.sqrt()
    scores["log10"] = _masked_mean(log_error.abs(), valid) / math.log(10.0)
    variance_log = _masked_mean((log_error - mean_log[:, None]).square(), valid)
    scores["silog"] = 100.0 * variance_log.sqrt()
    return scores


def _scored_pixels(
    prediction: Tensor, depth: Tensor, max_depth_m: float | None, min_depth_m: float
) -> tuple[Tensor, Tensor]:
    """The label (B, H, W) in float64, 1 where not scored, and the mask of scored pixels."""
    _check_shapes(prediction, depth)
    most = math.inf if max_depth_m is None else max_depth_m
    if not 0.0 < min_depth_m < most:
        message = f"min_depth_m, max_depth_m are {min_depth_m}, {max_depth_m}: expected 0 < min < max, in metres."
        raise ValueError(message)
    depth = depth.double()
    valid = depth.isfinite() & (depth >= min_depth_m) & (depth <= most)
    return torch.where(valid, depth, 1.0), valid


def _cap(depth: Tensor, valid: Tensor, max_depth_m: float | None) -> Tensor:
    """The farthest depth of each image, (B, 1, 1) metres."""
    own = torch.where(valid, depth, 0.0).amax((1, 2), keepdim=True)
    return own if max_depth_m is None else torch.full_like(own, max_depth_m)


def _masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of (B, P) over the valid pixels, (B,); NaN without any."""
    return torch.where(valid, values, 0.0).sum(1) / valid.sum(1)


def _masked_median(values: Tensor, valid: Tensor) -> Tensor:
    """Median of (B, P) over the valid pixels, (B,): the mean of the middle two for an even number, NaN without any."""
    ordered = torch.where(valid, values, math.inf).sort(1).values
    number = valid.sum(1, keepdim=True)
    lower, upper = (ordered.gather(1, place.clamp(min=0)) for place in ((number - 1) // 2, number // 2))
    return torch.where(number > 0, (lower + upper) / 2, torch.nan).squeeze(1)


def _check_shapes(prediction: Tensor, other: Tensor, valid: Tensor | None = None) -> None:
    for values in (other,) if valid is None else (other, valid):
        if prediction.ndim != 3 or prediction.shape != values.shape:
            raise ValueError(
                f"Expected two maps of one shape (B, H, W), got {tuple(prediction.shape)} and "
                f"{tuple(values.shape)}: resize the prediction to the label before scoring."
            )
    if valid is not None and valid.dtype != torch.bool:
        raise ValueError(f"Expected a bool mask, got {valid.dtype}: pass valid.bool().")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected {' or '.join(map(repr, sorted(choices, reverse=True)))}.")
