"""Scores of one image, from a prediction and a reference in any of the accepted forms."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .boundary_metrics import BOUNDARY_NAMES, MASK_NAMES, boundary_mask_recall, boundary_scores
from .formulas import SCORE_NAMES, aligned_depth, aligned_disparity, metres_scores, relative_scores, scored_pixels
from .ordinal_metrics import ORDINAL_NAMES, ordinal_hits
from .scoring_options import Options, named_protocol

# Configuration -> names of the scores that compute returns.
NAMES = {
    "default": SCORE_NAMES,
    "boundary": BOUNDARY_NAMES,
    "boundary_mask": MASK_NAMES,
    "ordinal": ORDINAL_NAMES,
}


class _MaskedError(ValueError):
    """Masked pixels where every value is needed."""


def score_image(config: str, prediction: Any, reference: Any, options: Options, number: int) -> list[float]:
    """Scores one image.

    Args:
        config: a key of NAMES.
        prediction: a map as array, tensor or nested list.
        reference: a map of metres, a mask, or pairs of points, as the configuration needs.
        options: how to score.
        number: index of the image in its batch, for messages.

    Returns:
        Values of NAMES[config] in order, NaN where there is nothing to score; for "ordinal" the number of hits and
        of pairs.

    Raises:
        ValueError: if the image cannot be scored; the message names it.
    """
    predicted = to_map(prediction, f"prediction {number}", may_mask=False)
    if config == "ordinal":
        return _ordinal(predicted, reference, options, number)
    reference_map = to_map(reference, f"reference {number}", like=predicted, may_mask=config != "boundary_mask")
    if config == "boundary_mask":
        return _boundary_mask(fit(predicted, reference_map, None, number)[0], reference_map, options, number)
    predicted, depth = fit(predicted, reference_map, options.protocol, number)
    inside = named_protocol(options.protocol).mask(*depth.shape).to(depth.device)
    depth = torch.where(inside, depth, torch.nan)
    bounds: dict[str, Any] = {"min_depth_m": options.min_depth_m, "max_depth_m": options.max_depth_m}
    valid = scored_pixels(depth[None], **bounds)
    broken = int((valid[0] & ~predicted.isfinite()).sum())
    if broken:
        raise ValueError(
            f"prediction {number} is not finite in {broken} scored pixels; predictions have to be finite wherever they "
            "are scored."
        )
    if config == "boundary":
        relative = options.mode == "relative"
        aligned = (aligned_disparity if relative else aligned_depth)(
            predicted[None], depth[None], align=options.align, **bounds
        )
        scores = boundary_scores(aligned, 1 / depth[None] if relative else depth[None], valid)
    else:
        function = relative_scores if options.mode == "relative" else metres_scores
        scores = function(predicted[None], depth[None], space=options.space, align=options.align, **bounds)
    return [scores[name].item() for name in NAMES[config]]


def split_batch(values: Any, what: str) -> list[Any]:
    """Splits a batch into its maps: a list, a tuple, or an array or tensor (B, H, W) or (B, 1, H, W)."""
    if isinstance(values, list | tuple):
        return list(values)
    if isinstance(values, np.ndarray | Tensor) and values.ndim in (3, 4):
        return list(values)
    shape = f" {tuple(values.shape)}" if hasattr(values, "shape") else ""
    raise ValueError(
        f"{what} are one {type(values).__name__}{shape}; expected a list of maps, or an array or tensor (B, H, W)."
    )


def to_map(value: Any, what: str, like: Tensor | None = None, may_mask: bool = True) -> Tensor:
    """Converts a map to an (H, W) float64 tensor.

    Args:
        value: array, tensor or nested list, (H, W) or (1, H, W).
        what: its name in messages.
        like: a tensor whose device is used.
        may_mask: convert pixels masked by numpy to NaN; else they are refused.

    Raises:
        ValueError: it is no map of real numbers, or has masked pixels that are refused.
    """
    if isinstance(value, Tensor):
        # Not every accelerator has float64.
        tensor = value.detach() if value.device.type in ("cpu", "cuda") else value.detach().cpu()
    else:
        try:
            tensor = torch.from_numpy(_to_array(value, what, may_mask))
        except _MaskedError:
            raise
        except (TypeError, ValueError) as error:
            raise ValueError(f"{what} is a {type(value).__name__} that is no map (H, W) of numbers: {error}.") from None
    if tensor.is_complex():
        raise ValueError(f"{what} is complex; expected a map (H, W) of real numbers, so take its real part first.")
    tensor = tensor.double()
    if tensor.ndim == 3 and tensor.shape[0] == 1:
        tensor = tensor[0]  # (1, H, W) -> (H, W)
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(f"{what} has the shape {tuple(tensor.shape)}, expected a map (H, W).")
    return tensor if like is None else tensor.to(like.device)


def fit(predicted: Tensor, reference: Tensor, protocol: str | None, number: int) -> tuple[Tensor, Tensor]:
    """Prediction resized to its reference, both cut as the protocol asks.

    Resized bilinearly with corners aligned, as ZoeDepth and Depth Anything do before they score. With a protocol that
    cuts (the KITTI benchmark's) predictions must have the full size of the whole or of the cut image; for any other
    size it is unclear which of the two it shows.

    Raises:
        ValueError: for a size that does not fit, or a prediction to be resized that is not finite everywhere.
    """
    cut = reference if protocol is None else named_protocol(protocol).cut(reference)
    if cut.shape != reference.shape:
        if predicted.shape not in (reference.shape, cut.shape):
            raise ValueError(
                f"prediction {number} has the size {_size(predicted)}, but the protocol {protocol!r} needs that of its "
                f"reference, {_size(reference)}, or of the cut, {_size(cut)}."
            )
        if predicted.shape == reference.shape:
            predicted = named_protocol(protocol or "none").cut(predicted)
    if predicted.shape == cut.shape:
        return predicted, cut
    if predicted.shape == cut.shape[::-1]:
        raise ValueError(
            f"prediction {number} has the size {_size(predicted)} and its reference {_size(cut)}; "
            "transpose one of them."
        )
    if not predicted.isfinite().all():
        raise ValueError(f"prediction {number} is not finite everywhere, so it cannot be resized to its reference.")
    resized = F.interpolate(predicted[None, None], size=tuple(cut.shape), mode="bilinear", align_corners=True)
    return resized[0, 0], cut


def _to_array(value: Any, what: str, may_mask: bool) -> np.ndarray:
    """A writable copy in float64, NaN where masked by numpy; complex numbers stay complex."""
    # np.asarray drops the masks of a list of masked rows.
    array = np.ma.array(value) if isinstance(value, np.ma.MaskedArray | list | tuple) else np.asarray(value)
    masked = int(np.ma.count_masked(array))
    if masked and not may_mask:
        raise _MaskedError(f"{what} has {masked} masked pixels, where every value is needed; fill them first.")
    if np.iscomplexobj(array):
        return np.array(array)
    return np.ma.filled(array.astype(np.float64), np.nan)


def _ordinal(predicted: Tensor, pairs: Any, options: Options, number: int) -> list[float]:
    if not isinstance(pairs, Tensor) and np.ma.is_masked(np.ma.array(pairs)):
        raise ValueError(f"reference {number} has masked points, expected pairs of known ones; leave the others out.")
    points = torch.as_tensor(np.asarray(pairs) if not isinstance(pairs, Tensor) else pairs).to(predicted.device)
    if points.numel() == 0:
        return [0.0, 0.0]
    if points.shape[1:] != (2, 2):
        raise ValueError(
            f"reference {number} has the shape {tuple(points.shape)}, expected pairs of points (N, 2, 2): row and "
            "column of the nearer point, then of the farther one."
        )
    nearer_is_larger = options.mode == "relative"
    try:
        hits = ordinal_hits(predicted, points[:, 0], points[:, 1], larger_is_nearer=nearer_is_larger)
    except ValueError as error:
        raise ValueError(f"image {number}: {error}") from None
    return [hits.sum().item(), float(len(hits))]


def _boundary_mask(predicted: Tensor, mask: Tensor, options: Options, number: int) -> list[float]:
    if options.mode == "metric":
        predicted = 1 / predicted.clamp(min=1e-6)
    if not (predicted >= 0).all() or predicted.isinf().any():
        raise ValueError(
            f"prediction {number} is negative or not finite somewhere; inverse depth is compared by ratios, so it has "
            "to start at 0."
        )
    scores = boundary_mask_recall(predicted[None], mask[None] > 0.1)
    return [scores[name].item() for name in NAMES["boundary_mask"]]


def _size(values: Tensor) -> str:
    return " x ".join(map(str, values.shape))
