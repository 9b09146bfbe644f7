"""Checks of the labels before metric training: range, unit and image size."""

import logging
from collections.abc import Sequence

from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.modeling.losses import known_depth
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.options.metric import Domain

logger = logging.getLogger(__name__)

# Samples checked per source.
CHECKED_SAMPLES = 32
# Rounding to whole patches changes scales a little; a larger ratio means that training and the image processor differ.
SCALE_TOLERANCE = 1.1


def check_labels(
    sources: Sequence[Source], domains: Sequence[Domain], preprocessing: Preprocessing | None, *, tell: bool
) -> None:
    """Checks that the first samples of every source have labels within the range of their domain's head.

    Warns of labels out of range and of images smaller than the training size.

    Args:
        sources: training sources, each with its domain.
        domains: the domains of the model's heads.
        preprocessing: the model's preprocessing, for the check of image sizes; None to leave that check out.
        tell: true if this process logs warnings; errors are raised in every process.

    Raises:
        ValueError: if a source has no label within the range: the unit of its labels or its domain is wrong.
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
                f"the first {CHECKED_SAMPLES} images of {source.spec!r} have no labeled pixel; give a source with "
                "depth labels, in which 0 or NaN means unknown."
            )
        text = (
            f"of {source.spec!r} are outside the range {domain.min_depth_m:g} to {domain.max_depth_m:g} m of domain "
            f"{domain.name!r}"
        )
        if inside == 0:
            raise ValueError(
                f"all labels in the first {CHECKED_SAMPLES} images {text} (farthest {farthest:g} m); correct the "
                "source's depth_scale, or the domain's range with --domains."
            )
        if inside < known and tell:
            logger.warning(
                "%.2f %% of the labels in the first %d images %s (farthest %.4g m); such labels are ignored",
                100 * (1 - inside / known), CHECKED_SAMPLES, text, farthest,
            )  # fmt: skip
        if preprocessing is not None and tell:
            _warn_of_small_images(source, sizes, preprocessing)


def _warn_of_small_images(source: Source, sizes: set[tuple[int, ...]], preprocessing: Preprocessing) -> None:
    """Warns where training would see images at a larger scale than the saved image processor gives the model.

    Training resizes the shorter side to `size`. The image processor resizes the longer one if both are smaller.
    """
    for height, width in sorted(sizes):
        trained = preprocessing.size / min(height, width)
        ratio = trained * height / preprocessing.target_size(height, width)[0]
        if ratio > SCALE_TOLERANCE:
            logger.warning(
                "images of %d x %d pixels in %r are enlarged %.2f times more in training than in prediction, so "
                "predicted metres will be wrong for them; give a --size of at most %d",
                height, width, source.spec, ratio, min(height, width),
            )  # fmt: skip
            return
