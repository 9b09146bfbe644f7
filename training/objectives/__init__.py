"""What is minimised and what is reported: losses and metrics as pure functions."""

from semidepth.training.objectives.affine_invariant import (
    affine_invariant_loss,
    affine_invariant_normalize,
    cutmix_affine_invariant_loss,
)
from semidepth.training.objectives.depth_metrics import (
    METRIC_NAMES,
    align_scale_shift,
    metric_scores,
    relative_metrics,
)
from semidepth.training.objectives.feature_alignment import feature_alignment_loss
from semidepth.training.objectives.gradient_matching import gradient_matching_loss
from semidepth.training.objectives.protocols import PROTOCOLS, Protocol, find_protocol
from semidepth.training.objectives.silog import known_depth, silog_loss, silog_loss_by_domain

__all__ = [
    "METRIC_NAMES",
    "PROTOCOLS",
    "Protocol",
    "affine_invariant_loss",
    "affine_invariant_normalize",
    "align_scale_shift",
    "cutmix_affine_invariant_loss",
    "feature_alignment_loss",
    "find_protocol",
    "gradient_matching_loss",
    "known_depth",
    "metric_scores",
    "relative_metrics",
    "silog_loss",
    "silog_loss_by_domain",
]
