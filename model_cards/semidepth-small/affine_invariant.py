"""The affine-invariant loss of relative depth: for labeled images, and for unlabeled ones with CutMix.

A relative model's inverse depth has no unit and no origin, so prediction and target are each moved to median
0 and mean absolute deviation 1 before they are compared (Depth Anything, arXiv 2401.10891, section 3.1;
MiDaS).

Everything here works in float32 whatever comes in, waits for no device, and keeps NaN at masked pixels away
from values and gradients. A NaN or inf predicted at a *valid* pixel does reach the loss: the training loop
must see it.
"""

import math

import torch
from torch import Tensor

# An image needs two known pixels before its depth has a shape that an affine change cannot explain.
MIN_VALID_PIXELS = 2
# A spread below this share of the median is rounding noise of float32, and one below the absolute floor would
# overflow in the backward pass. Such an image counts as constant.
CONSTANT_RELATIVE_SPREAD = 1e-6
CONSTANT_ABSOLUTE_SPREAD = 1e-12


def affine_invariant_loss(
    prediction: Tensor, target: Tensor, valid: Tensor | None = None, *, drop_fraction: float = 0.0
) -> Tensor:
    """Mean absolute difference after median / mean-absolute-deviation alignment, per image, then over images.

    d_hat = (d - t) / s with t = median(d), s = mean|d - t| over the valid pixels of one image;
    rho = mean|d_hat* - d_hat| (arXiv 2401.10891, section 3.1). The gradient flows through t and s as well.

    Stated results: an image with fewer than two valid pixels gives 0, no gradient, and does not count in the
    mean over images; a batch of nothing else gives 0. A constant map is normalised to all zeros, so against
    anything else it gives 1 (the mean absolute deviation of the other), and two constant maps give 0.

    Args:
        prediction: (B, H, W) inverse depth, larger is nearer, any affine scale.
        target: (B, H, W) inverse depth, larger is nearer, any affine scale, NaN where unknown; sky
            is a known 0.
        valid: (B, H, W), True where the pixel counts; None means wherever the target is finite. Pixels whose
            target is not finite never count.
        drop_fraction: share of each image's valid pixels, in [0, 1), left out because their difference is
            largest; rounded down to whole pixels. Depth Anything V2 (arXiv 2406.09414) uses 0.1 on pseudo
            labels. The mean is taken over the pixels that stay (an assumption: the paper is silent).

    Returns:
        Scalar float32, at least 0.

    Raises:
        ValueError: for shapes that differ, a mask that is not bool, or a drop fraction outside [0, 1).
    """
    check_drop_fraction(drop_fraction)
    valid = combine_valid(prediction, target, valid)
    rho, count = _loss_per_image(prediction, target, valid, drop_fraction)
    return mean_over_images(rho, count >= MIN_VALID_PIXELS)


def affine_invariant_normalize(disparity: Tensor, valid: Tensor) -> Tensor:
    """Moves each image to median 0 and mean absolute deviation 1 over its valid pixels.

    A constant image, see [`median_and_spread`], is centred but not divided, so it becomes zeros and keeps a
    gradient of ordinary size.

    Args:
        disparity: (B, H, W) inverse depth, larger is nearer; anything, NaN too, where not valid.
        valid: (B, H, W) bool.

    Returns:
        (B, H, W) float32, 0 where not valid and for images without a valid pixel; NaN for a whole image that
        has a NaN or inf at a valid pixel.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    median, spread = median_and_spread(disparity, valid)
    with torch.autocast(disparity.device.type, enabled=False):
        return torch.where(valid, disparity.float() - median, 0.0) / torch.where(spread == 0, 1.0, spread)


def median_and_spread(disparity: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Median and mean absolute deviation from it of each image's valid pixels.

    Args:
        disparity: (B, H, W) inverse depth; anything, NaN too, where not valid.
        valid: (B, H, W) bool.

    Returns:
        Both (B, 1, 1) float32. The median is the lower of the two in the middle (torch's rule), 0 without a valid
        pixel. The deviation is 0 for a constant image (under 1e-6 of its median), and NaN for one that has a NaN or
        inf at a valid pixel.

    Raises:
        ValueError: for shapes that differ or a mask that is not bool.
    """
    check_maps(disparity, disparity, valid)
    with torch.autocast(disparity.device.type, enabled=False):
        values, mask = disparity.float().flatten(1), valid.flatten(1)  # (B, H, W) -> (B, H*W)
        count = mask.sum(1, keepdim=True)
        # nanmedian is the one order statistic that skips masked pixels without a boolean index or a full
        # sort.
        median = torch.where(mask, values, math.nan).nanmedian(1, keepdim=True).values
        median = torch.where(count > 0, median, 0.0)
        spread = torch.where(mask, values - median, 0.0).abs().sum(1, keepdim=True) / count.clamp(min=1)
        floor = (CONSTANT_RELATIVE_SPREAD * median.abs()).clamp(min=CONSTANT_ABSOLUTE_SPREAD)
        # One bad value spoils its whole image: NaN at that pixel alone could be among the pixels dropped.
        spread = torch.where(spread.isfinite(), spread, math.nan)
        return median[:, :, None], torch.where(spread <= floor, 0.0, spread)[:, :, None]


def cutmix_affine_invariant_loss(
    prediction: Tensor,
    teacher_a: Tensor,
    teacher_b: Tensor,
    mask: Tensor,
    *,
    drop_fraction: float = 0.0,
    unknown: bool = False,
) -> Tensor:
    """Affine-invariant loss of a CutMix image: both regions aligned and compared apart, weighted by area.

    The two regions come from two scenes, so no single scale and shift fits both (arXiv 2401.10891, section
    3.2). An all True mask gives the plain loss against `teacher_a`. A region of a single pixel has no shape
    and adds 0.

    Args:
        prediction: (B, H, W) the student's inverse depth of the mixed image, any affine scale.
        teacher_a: (B, H, W) the teacher's inverse depth of the whole clean image a, any affine scale.
        teacher_b: (B, H, W) the same for the image pasted in.
        mask: (B, H, W), True where image a shows.
        drop_fraction: as in `affine_invariant_loss`, in each region by itself.
        unknown: whether a NaN of the teacher is a pixel without a label, which then does not count, nor does an image
            without any. Else the teacher has to know every pixel that shows, and its NaN reaches the loss.

    Returns:
        Scalar float32, the mean over images.

    Raises:
        ValueError: for shapes that differ, a mask that is not bool, or a drop fraction outside [0, 1).
    """
    check_drop_fraction(drop_fraction)
    check_maps(prediction, teacher_a, mask)
    check_maps(prediction, teacher_b, mask)
    # (B, H, W) -> (2B, H, W): the same prediction once for each region.
    teachers, shown = torch.cat((teacher_a, teacher_b.to(teacher_a.dtype))), torch.cat((mask, ~mask))
    if unknown:
        shown = shown & teachers.isfinite()
    rho, count = _loss_per_image(torch.cat((prediction, prediction)), teachers, shown, drop_fraction)
    weighted = torch.where(count >= MIN_VALID_PIXELS, rho, 0.0) * count
    known = count.view(2, -1).sum(0)
    return mean_over_images(weighted.view(2, -1).sum(0) / known.clamp(min=1), known > 0)


def mean_over_images(per_image: Tensor, counts: Tensor) -> Tensor:
    """Mean of (B,) losses over the images that count; 0 with zero gradient if none does."""
    return torch.where(counts, per_image, 0.0).sum() / counts.sum().clamp(min=1)


def combine_valid(prediction: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Checks shapes and returns the (B, H, W) bool mask of pixels that are asked for and have a target."""
    known = target.isfinite()
    check_maps(prediction, target, known if valid is None else valid)
    return known if valid is None else known & valid


def check_maps(prediction: Tensor, target: Tensor, mask: Tensor) -> None:
    """Raises ValueError unless all three are (B, H, W) of one shape and the mask is bool; reads no values."""
    if prediction.ndim != 3 or prediction.shape != target.shape or prediction.shape != mask.shape:
        raise ValueError(
            f"Expected prediction, target and mask of one shape (B, H, W), got {tuple(prediction.shape)}, "
            f"{tuple(target.shape)} and {tuple(mask.shape)}: resize or squeeze them before the call."
        )
    if mask.dtype != torch.bool:
        raise ValueError(f"Expected a bool mask, got {mask.dtype}: pass mask.bool().")


def check_drop_fraction(drop_fraction: float) -> None:
    """Raises ValueError unless the fraction is in [0, 1)."""
    if not 0.0 <= drop_fraction < 1.0:
        raise ValueError(f"drop_fraction is {drop_fraction}, expected 0 <= drop_fraction < 1; 0 drops nothing.")


def _loss_per_image(prediction: Tensor, target: Tensor, valid: Tensor, drop_fraction: float) -> tuple[Tensor, Tensor]:
    """rho of each image (B,), 0 without valid pixels, and its number of valid pixels (B,)."""
    with torch.autocast(prediction.device.type, enabled=False):
        count = valid.flatten(1).sum(1)
        difference = affine_invariant_normalize(prediction, valid) - affine_invariant_normalize(target, valid)
        difference = difference.abs().flatten(1)  # 0 where not valid
        if drop_fraction == 0.0:
            return difference.sum(1) / count.clamp(min=1), count
        # Ascending with the masked pixels last; the first `keep` stay.
        ordered = torch.where(valid.flatten(1), difference, math.inf).sort(1).values
        # 0.29 * 100 is 28.999...96 in floating point: the nudge keeps whole products whole.
        keep = count - (count.double() * drop_fraction + 1e-6).floor().long()
        rank = torch.arange(ordered.shape[1], device=ordered.device)
        kept = torch.where(rank < keep[:, None], ordered, 0.0)
        return kept.sum(1) / keep.clamp(min=1), count
