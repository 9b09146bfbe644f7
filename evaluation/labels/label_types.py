"""The type of a source's labels, on which it depends which losses they get: said, known, or looked at before a run.

- `synthetic`: rendered. Dense, and right at every pixel.
- `dense`: measured or reconstructed, with holes at most. Right on the whole, not at outlines.
- `pseudo`: predicted by a model. Dense, of no scale, without sky.
- `sparse`: few pixels beside each other are known, as with LiDAR.
"""

import dataclasses
import logging
from collections.abc import Iterable

from torch import Tensor

from semidepth.data.depth_coding import LabelType
from semidepth.data.pseudo_labels import is_pseudo_label_set
from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import evaluation_samples

logger = logging.getLogger(__name__)

LOOKED_AT = 8  # samples
# Losses on neighbours say nothing where most known pixels have none, however many are known altogether: an object cut
# out has few pixels and is dense, LiDAR has rows of neighbours but hardly any below each other.
MIN_NEIGHBORS = 0.5


def with_label_types(sources: Iterable[Source]) -> list[Source]:
    """Returns labeled sources with their `labels` filled in; the log tells what was found and why.

    Raises:
        ValueError: a source has to be looked at and has no usable sample.
    """
    found = []
    for source in sources:
        labels, reason = find_label_type(source)
        logger.info("labels of %s: %s (%s)", source.spec, labels, reason)
        found.append(dataclasses.replace(source, labels=labels))
    return found


def find_label_type(source: Source) -> tuple[LabelType, str]:
    """Finds the type of a labeled source's labels, and why it is that.

    Raises:
        ValueError: it has to be looked at and has no usable sample.
    """
    if source.labels is not None:
        return source.labels, "as its option says"
    if source.format == "scenes":
        return "synthetic", "rendered"
    if source.invariant == "affine":
        return "pseudo", "invariant=affine"
    if is_pseudo_label_set(source):
        return "pseudo", "a set of pseudo labels"
    depths = [sample["depth"] for sample in evaluation_samples([source], LOOKED_AT)]
    shares = [share_with_neighbors(depth) for depth in depths if depth is not None]
    share = sum(shares) / len(shares)
    labels: LabelType = "dense" if share >= MIN_NEIGHBORS else "sparse"
    return labels, f"{share:.0%} of the known pixels have a known neighbour; ?labels= says otherwise"


def share_with_neighbors(depth: Tensor) -> float:
    """Returns the share of known pixels (H, W) with a known neighbour on the right, or below, whichever is smaller.

    NaN is unknown; without a known pixel the share is 0.
    """
    known = ~depth.isnan()
    beside = (known[:, 1:] & known[:, :-1]).sum() / known[:, :-1].sum().clamp(min=1)
    below = (known[1:] & known[:-1]).sum() / known[:-1].sum().clamp(min=1)
    return min(beside.item(), below.item())
