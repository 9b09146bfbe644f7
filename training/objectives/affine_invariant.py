"""The affine-invariant loss; it lives in `semidepth.modeling`, since it travels with the weights as remote code."""

from semidepth.modeling.affine_invariant import (
    affine_invariant_loss,
    affine_invariant_normalize,
    check_maps,
    combine_valid,
    cutmix_affine_invariant_loss,
    mean_over_images,
)

__all__ = [
    "affine_invariant_loss",
    "affine_invariant_normalize",
    "check_maps",
    "combine_valid",
    "cutmix_affine_invariant_loss",
    "mean_over_images",
]
