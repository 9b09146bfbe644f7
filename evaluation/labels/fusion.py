"""One map of those of several teachers: their median, and how far they agree at each pixel."""

import torch
from torch import Tensor

from semidepth.modeling.affine_invariant import MIN_VALID_PIXELS, median_and_spread


def fuse_maps(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Median of several maps of one image after alignment, and its reliability.

    Each map is moved to median 0 and mean absolute deviation 1 over the pixels that all of them know, so scale and
    shift do not count. The reliability of a pixel is 1 / (1 + d), as of a whole label in [`stability`]: d is the
    mean distance of the maps that know it from the median. It is 1 where they agree, and 1/2 where they are as far
    apart as the scene is deep.

    Args:
        maps: (K, H, W) inverse depth of K teachers, larger is nearer, each of any affine scale; NaN where unknown.

    Returns:
        The median (H, W) float32, of an even number of maps the mean of the two in the middle, NaN where fewer than two
        know the pixel; and the reliability (H, W) in [0, 1], 0 there.

    Raises:
        ValueError: for another shape, fewer than two maps, or fewer than two pixels that all of them know.
    """
    if maps.ndim != 3 or len(maps) < 2:
        raise ValueError(f"Expected maps (K, H, W) of at least two teachers, got {tuple(maps.shape)}: stack them.")
    known = maps.isfinite()
    common = known.all(0)
    if common.sum() < MIN_VALID_PIXELS:
        raise ValueError("the maps know no two pixels in common, so nothing aligns them")
    median, spread = median_and_spread(maps, common.expand_as(maps))
    aligned = torch.where(known, (maps.float() - median) / torch.where(spread == 0, 1.0, spread), torch.nan)
    fused = aligned.nanquantile(0.5, dim=0)
    several = known.sum(0) >= 2
    reliability = 1 / (1 + (aligned - fused).abs().nanmean(0))
    return torch.where(several, fused, torch.nan), torch.where(several, reliability, 0.0)


def image_reliability(reliability: Tensor) -> float:
    """Returns the reliability of a fused map, as [`stability`] has it: 1 / (1 + d), d the mean distance of its pixels.

    Args:
        reliability: (H, W) of the pixels, as [`fuse_maps`] returns it: 0 where fewer than two maps know the pixel.

    Returns:
        In (0, 1]; 0 for a map without a pixel that two maps know.
    """
    known = reliability[reliability > 0]
    return 1 / (1 + float((1 / known - 1).mean())) if len(known) else 0.0
