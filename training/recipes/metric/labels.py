"""Looks at the labels before metric training: ranges, units, image sizes."""

import logging
from collections.abc import Sequence

from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.modeling.silog import known_depth
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.options.metric import Domain

logger = logging.getLogger(__name__)

# Samples looked at, per source.
CHECKED_SAMPLES = 32
# Patches round sides a little; beyond this, training and the image processor disagree.
SCALE_TOLERANCE = 1.1


def check_labels(
    sources: Sequence[Source], domains: Sequence[Domain], preprocessing: Preprocessing | None, *, tell: bool
) -> None:
    """Looks at the first samples of every source, and tells what will not serve metric training.

    Args:
        sources: with their domains.
        domains: of the model's heads.
        preprocessing: the model's, for what small images go through; None: not known yet.
        tell: whether this process warns; all of them raise.

    Raises:
        ValueError: if a source has no label within the range of its domain's head: its unit is wrong, or its domain.
    """
    by_name = {domain.name: domain for domain in domains}
    for source in sources:
        domain = by_name[str(source.domain)]
        known = inside = 0
        farthest, sizes = 0.0, set()
        for sample in evaluation_samples([source], CHECKED_SAMPLES, size=preprocessing.size if preprocessing else None):
            sizes.add(tuple(sample["image"].shape[1:]))
            assert sample["depth"] is not None  # the source is opened with labels
            depth = sample["depth"][known_depth(sample["depth"])]
            known += depth.numel()
            inside += int(((depth >= domain.min_depth_m) & (depth <= domain.max_depth_m)).sum())
            farthest = max(farthest, float(depth.max()) if depth.numel() else 0.0)
        if known == 0:
            raise ValueError(
                f"the first {CHECKED_SAMPLES} images of {source.spec!r} have not one labeled pixel; name a source with "
                "depth, in which 0 or NaN means unknown."
            )
        text = f"of {source.spec!r} are beyond {domain.min_depth_m:g} to {domain.max_depth_m:g} m of {domain.name!r}"
        if inside == 0:
            raise ValueError(
                f"all labels in the first {CHECKED_SAMPLES} images {text} (farthest {farthest:g} m); correct "
                "depth_scale, or the domain's range with --domains."
            )
        if inside < known and tell:
            logger.warning(
                "%.2f %% of the labels in the first %d images %s (farthest %.4g m); they are left out.",
                100 * (1 - inside / known), CHECKED_SAMPLES, text, farthest,
            )  # fmt: skip
        if preprocessing is not None and tell:
            _warn_of_small_images(source, sizes, preprocessing)


def _warn_of_small_images(source: Source, sizes: set[tuple[int, ...]], preprocessing: Preprocessing) -> None:
    """Training makes the shorter side `size`; the image processor makes the longer one so where both are smaller."""
    for height, width in sorted(sizes):
        trained = preprocessing.size / min(height, width)
        ratio = trained * height / preprocessing.target_size(height, width)[0]
        if ratio > SCALE_TOLERANCE:
            logger.warning(
                "images of %d x %d in %r are trained on at %.2f times the scale at which the image processor will show "
                "them, so metres will be off; give a --size up to %d.",
                height, width, source.spec, ratio, min(height, width),
            )  # fmt: skip
            return
