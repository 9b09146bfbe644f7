"""Losses: pure functions of prediction, target and valid pixels."""

from semidepth.modeling.affine_invariant import (
    affine_invariant_loss,
    affine_invariant_normalize,
    cutmix_affine_invariant_loss,
)
from semidepth.modeling.losses import known_depth, silog_loss, silog_loss_by_domain
from semidepth.training.losses.feature_alignment import feature_alignment_loss
from semidepth.training.losses.gradient_matching import gradient_matching_loss

__all__ = [
    "affine_invariant_loss",
    "affine_invariant_normalize",
    "cutmix_affine_invariant_loss",
    "feature_alignment_loss",
    "gradient_matching_loss",
    "known_depth",
    "silog_loss",
    "silog_loss_by_domain",
]
