"""The scale-invariant logarithmic loss; it lives beside the model, which travels with its own code."""

from semidepth.modeling.silog import known_depth, silog_loss, silog_loss_by_domain

__all__ = ["known_depth", "silog_loss", "silog_loss_by_domain"]
