"""What is minimised and what is reported: losses and metrics as pure functions."""

from semidepth.training.objectives.affine_invariant import (
    affine_invariant_loss,
    affine_invariant_normalize,
    cutmix_affine_invariant_loss,
)
from semidepth.training.objectives.boundary_metrics import (
    BOUNDARY_NAMES,
    boundary_mask_recall,
    boundary_scores,
)
from semidepth.training.objectives.depth_metrics import (
    ALIGNMENTS,
    METRIC_NAMES,
    align_median,
    align_scale_shift,
    aligned_depth,
    aligned_disparity,
    metric_scores,
    relative_metrics,
    scored_pixels,
)
from semidepth.training.objectives.feature_alignment import feature_alignment_loss
from semidepth.training.objectives.gradient_matching import gradient_matching_loss
from semidepth.training.objectives.ordinal_metrics import ordinal_hits
from semidepth.training.objectives.protocols import PROTOCOLS, Protocol, find_protocol
from semidepth.training.objectives.silog import known_depth, silog_loss, silog_loss_by_domain

__all__ = [
    "ALIGNMENTS",
    "BOUNDARY_NAMES",
    "METRIC_NAMES",
    "PROTOCOLS",
    "Protocol",
    "affine_invariant_loss",
    "affine_invariant_normalize",
    "align_median",
    "align_scale_shift",
    "aligned_depth",
    "aligned_disparity",
    "boundary_mask_recall",
    "boundary_scores",
    "cutmix_affine_invariant_loss",
    "feature_alignment_loss",
    "find_protocol",
    "gradient_matching_loss",
    "known_depth",
    "metric_scores",
    "ordinal_hits",
    "relative_metrics",
    "scored_pixels",
    "silog_loss",
    "silog_loss_by_domain",
]
