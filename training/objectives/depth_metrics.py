"""Depth metrics of a batch: relative (aligned by least squares in disparity space) and metric (as it is).

All arithmetic is float64 and every score is a value per image, so that the mean over a data set is the mean
over images whatever the batch size; images of differing sizes go in one at a time (B = 1). Sky (inf) and
unknown (NaN) pixels are never scored.
"""

import math
from typing import Literal

import torch
from torch import Tensor

METRIC_NAMES = ("abs_rel", "delta1", "delta2", "delta3", "rmse", "rmse_log", "log10", "silog")
# A prediction whose variance is below this share of its mean square is constant up to float64 rounding.
CONSTANT_RELATIVE_VARIANCE = 1e-24


def align_scale_shift(prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares scale and shift of each image: the least mean (scale * prediction + shift - target)^2.

    Centred closed form in float64: the 2 x 2 normal equations break on nearly constant predictions. A
    constant prediction (one valid pixel is one too) gets scale 0 and shift = mean target. Without a valid
    pixel both are NaN. The scale may come out negative: a prediction the wrong way round is not refused.

    Args:
        prediction: (B, H, W) inverse depth, any affine scale.
        target: (B, H, W) inverse depth in 1/m; anything where not valid.
        valid: (B, H, W) bool.

    Returns:
        scale and shift, (B,) float64 each.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    _check_shapes(prediction, target)
    _check_shapes(prediction, valid)
    if valid.dtype != torch.bool:
        raise ValueError(f"Expected a bool mask, got {valid.dtype}: pass valid.bool().")
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


def relative_metrics(
    prediction: Tensor,
    depth: Tensor,
    *,
    space: Literal["disparity", "depth"] = "depth",
    max_depth_m: float | None = None,
    min_depth_m: float = 1e-3,
) -> dict[str, Tensor]:
    """Scores of an affine-invariant inverse depth against metres, after scale and shift in disparity space.

    Scored pixels: finite label with min_depth_m <= depth <= max_depth_m. The prediction is aligned to 1 /
    depth over them, then clamped to [1 / max_depth_m, 1 / min_depth_m], which also catches aligned values at
    or below 0. `space="depth"` scores the inverse of that against the label in metres; `space="disparity"`
    scores it as it is against 1 / depth, with rmse in 1/m. Ratios and logarithms do not care which: delta,
    log10, rmse_log and silog come out the same in both, abs_rel and rmse differ.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer, any affine scale.
        depth: (B, H, W) metres, larger is farther; NaN unknown, inf sky, neither scored.
        space: where to compare, "depth" or "disparity".
        max_depth_m: the cap of the data set (10 for NYU, 80 for KITTI). None takes the largest finite depth
            of each image's own label, which tells the prediction a little about the answer: name the cap to
            compare with papers.
        min_depth_m: the nearest depth that counts, metres.

    Returns:
        METRIC_NAMES to (B,) float64; NaN for an image without a scored pixel. delta and the relative errors
        are shares (not per cent), silog is 100 * the standard deviation of the log error (KITTI's).

    Raises:
        ValueError: for shapes that differ, another space, or bounds that are not 0 < min_depth_m <
            max_depth_m.
    """
    if space not in ("disparity", "depth"):
        raise ValueError(f"space is {space!r}, expected 'disparity' or 'depth'.")
    depth, valid = _scored_pixels(prediction, depth, max_depth_m, min_depth_m)
    disparity = 1.0 / depth  # (B, H*W)
    prediction = prediction.double().flatten(1)
    scale, shift = align_scale_shift(prediction[:, None], disparity[:, None], valid[:, None])
    cap = _cap(depth, valid, max_depth_m)
    aligned = scale[:, None] * prediction + shift[:, None]
    aligned = aligned.clamp(min=1.0 / cap, max=torch.full_like(cap, 1.0 / min_depth_m))
    if space == "disparity":
        return _scores(aligned, disparity, valid)
    return _scores(1.0 / aligned, depth, valid)


def metric_scores(
    prediction_m: Tensor, depth: Tensor, *, max_depth_m: float | None = None, min_depth_m: float = 1e-3
) -> dict[str, Tensor]:
    """Scores of a prediction in metres as it stands, without alignment.

    Args:
        prediction_m: (B, H, W) metres, larger is farther; clamped to [min_depth_m, max_depth_m].
        depth: (B, H, W) metres; NaN unknown, inf sky, neither scored, nor is anything outside the bounds.
        max_depth_m: the cap of the data set; None means no cap.
        min_depth_m: the nearest depth that counts, metres.

    Returns:
        METRIC_NAMES to (B,) float64; NaN for an image without a scored pixel.

    Raises:
        ValueError: for shapes that differ or bounds that are not 0 < min_depth_m < max_depth_m.
    """
    depth, valid = _scored_pixels(prediction_m, depth, max_depth_m, min_depth_m)
    prediction_m = prediction_m.double().flatten(1).clamp(min_depth_m, max_depth_m or math.inf)
    return _scores(prediction_m, depth, valid)


def _scores(prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """The metrics over (B, P) positive values, prediction and target in one unit."""
    prediction = torch.where(valid, prediction, 1.0)
    target = torch.where(valid, target, 1.0)
    error = prediction - target
    log_error = prediction.log() - target.log()
    ratio = torch.maximum(prediction / target, target / prediction)
    mean_log = _masked_mean(log_error, valid)
    mean_square_log = _masked_mean(log_error.square(), valid)
    scores = {"abs_rel": _masked_mean(error.abs() / target, valid)}
    for n in (1, 2, 3):
        # A NaN prediction must not pass for an ordinary miss.
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
    """The label (B, H*W) in float64 with 1 where not scored, and the mask of what is scored."""
    _check_shapes(prediction, depth)
    if not 0.0 < min_depth_m < (math.inf if max_depth_m is None else max_depth_m):
        raise ValueError(
            f"min_depth_m, max_depth_m are {min_depth_m}, {max_depth_m}: expected 0 < min < max, in metres."
        )
    depth = depth.double().flatten(1)  # (B, H, W) -> (B, H*W)
    valid = depth.isfinite() & (depth >= min_depth_m)
    if max_depth_m is not None:
        valid = valid & (depth <= max_depth_m)
    return torch.where(valid, depth, 1.0), valid


def _cap(depth: Tensor, valid: Tensor, max_depth_m: float | None) -> Tensor:
    """The farthest depth of each image, (B, 1) metres."""
    if max_depth_m is not None:
        return depth.new_full((depth.shape[0], 1), max_depth_m)
    return torch.where(valid, depth, 0.0).amax(1, keepdim=True)


def _masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of (B, P) over the valid pixels, (B,); NaN without any."""
    return torch.where(valid, values, 0.0).sum(1) / valid.sum(1)


def _check_shapes(prediction: Tensor, other: Tensor) -> None:
    if prediction.ndim != 3 or prediction.shape != other.shape:
        raise ValueError(
            f"Expected two maps of one shape (B, H, W), got {tuple(prediction.shape)} and "
            f"{tuple(other.shape)}: resize the prediction to the label before scoring."
        )
