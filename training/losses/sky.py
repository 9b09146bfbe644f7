"""Sky as a class of its own: it lies behind everything, at no depth that could be compared."""

import torch
from torch import Tensor

from semidepth.modeling.affine_invariant import (
    MIN_VALID_PIXELS,
    combine_valid,
    mean_over_images,
    median_and_spread,
)


def sky_loss(prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean distance of the predicted sky in front of infinity, once the rest of the image is aligned.

    Prediction and target are each moved to median 0 and mean absolute deviation 1 over the pixels that are not sky.
    The sky of the target, inverse depth 0, is then at some value; a sky pixel is charged with what its prediction
    exceeds that value by, and with nothing behind it. The sum is divided by the number of all valid pixels, so that a
    sky pixel weighs as much as another.

    With this loss, sky belongs to no other: see [`without_sky`].

    Stated results: an image with fewer than two valid pixels that are not sky gives 0, no gradient, and does not count
    in the mean over images; one without sky counts as 0.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer, any affine scale.
        target: (B, H, W) inverse depth in any unit but without a shift, NaN where unknown, 0 where sky.
        valid: (B, H, W), True where the pixel counts; None means wherever the target is finite.

    Returns:
        Scalar float32, at least 0.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    valid = combine_valid(prediction, target, valid)
    sky = valid & (target == 0)
    rest = valid & ~sky
    with torch.autocast(prediction.device.type, enabled=False):
        median, spread = median_and_spread(prediction, rest)
        target_median, target_spread = median_and_spread(target, rest)
        # What is not sky may be NaN, which no gradient of the divisor must meet.
        predicted = (torch.where(sky, prediction.float(), 0.0) - median) / torch.where(spread == 0, 1.0, spread)
        infinity = -target_median / torch.where(target_spread == 0, 1.0, target_spread)
        excess = torch.where(sky, (predicted - infinity).relu(), 0.0).sum((1, 2))
        return mean_over_images(excess / valid.sum((1, 2)).clamp(min=1), rest.sum((1, 2)) >= MIN_VALID_PIXELS)


def without_sky(target: Tensor, has_sky: Tensor) -> Tensor:
    """The target (B, H, W) with sky, inverse depth 0 where `has_sky` (broadcast), as unknown: NaN."""
    return torch.where(has_sky & (target == 0), torch.nan, target)
