"""Pictures with masks of single objects: training batches that can be resumed, and samples for scoring."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from semidepth.data.masks.choosing import (
    MaskBatch,
    MaskChoice,
    MaskSample,
    choose_masks,
    collate_masks,
)
from semidepth.data.masks.layers import ImageMasks
from semidepth.data.preparing import View, draw_view
from semidepth.data.samples import Sample
from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import BatchLoader, BatchStream, require_end
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.stream import SampleStream, StreamReader

__all__ = ["MaskBatch", "MaskChoice", "MaskLoader", "MaskSample", "mask_samples", "with_masks"]

logger = logging.getLogger(__name__)

MOST_WITHOUT = 1000  # pictures in a row of which no mask is given
DEFAULT_CHOICE = MaskChoice()


def with_masks(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Returns sources whose rows carry masks; those of scenes are things and parts where the source does not say.

    Raises:
        ValueError: a source that is not of scenes does not say where its masks are.
    """
    found = [replace(each, masks="both") if each.format == "scenes" and not each.masks else each for each in sources]
    without = [each.spec for each in found if each.masks is None]
    if without:
        raise ValueError(
            f"source {without[0]!r} does not say where its masks are; add masks=instances.json (COCO), masks=json, "
            "masks=folder, or masks=COLUMN of a table"
        )
    return tuple(found)


class MaskStream(BatchStream):
    """Batches of one process, as [`BatchStream`]; pictures without a mask that may be given are passed over."""

    choice = DEFAULT_CHOICE

    def prepared(self, reader: StreamReader) -> Iterator[MaskSample]:
        """Yields samples in their crops, with their masks.

        Raises:
            ValueError: many pictures in a row have no mask to give.
        """
        told: set[tuple[str, str]] = set()
        passed = 0
        for sample in reader:
            rng = self.rng_of(sample)
            plan = self.stream.plan
            view = draw_view(
                sample["image"], self.size, rng, train=True, multiple=self.multiple,
                smallest_crop=plan.smallest_crop, flip_probability=plan.flip_probability,
            )  # fmt: skip
            found = _mask_sample(sample, view, self.choice, rng, told)
            passed = 0 if found is not None else passed + 1
            if found is not None:
                yield found
            elif passed == MOST_WITHOUT:
                raise ValueError(_nothing(passed, plan.sources, self.choice))


class MaskLoader(BatchLoader):
    """An iterable of full [`MaskBatch`]es of one process, which can resume; in all else as [`BatchLoader`].

    Crop, flip and the choice among many masks depend on the plan's seed and the sample's meeting alone.

    Args:
        plan: as for depth, except that `labeled` is not looked at.
        batch_size: pictures in a batch.
        multiple: what the crop's side must be a multiple of, in pixels.
        num_workers: processes that decode; 0 decodes in this one.
        choice: which masks of a picture are given.

    Raises:
        ValueError: a source has no masks, or an argument is wrong.
    """

    def __init__(
        self,
        plan: StreamPlan,
        *,
        batch_size: int,
        multiple: int = 1,
        num_workers: int = 0,
        choice: MaskChoice = DEFAULT_CHOICE,
    ) -> None:
        plan = replace(plan, sources=with_masks(plan.sources), labeled=False)
        super().__init__(plan, batch_size=batch_size, multiple=multiple, num_workers=num_workers, stream=MaskStream)
        assert isinstance(self.batches, MaskStream)
        self.batches.choice = choice
        self.batches.collate = collate_masks


def mask_samples(
    sources: Sequence[Source],
    *,
    size: int | None = None,
    multiple: int = 1,
    choice: MaskChoice = DEFAULT_CHOICE,
    limit: int | None = None,
    seed: int = 0,
) -> Iterator[MaskSample]:
    """Yields each picture with masks once, in order and uncropped, for scoring.

    Args:
        sources: parsed. Those of scenes give things and parts where they do not say.
        size: what the shorter side becomes, in pixels, and the side of scenes whose source does not say; None: the
            picture's own size.
        multiple: with `size`, of what both sides become multiples.
        choice: which masks of a picture are given; of more than `masks_per_image` always the same.
        limit: stop after this many pictures.
        seed: of that choice.

    Returns:
        An iterator over samples; pictures without a mask that may be given are passed over, and the log tells how many.

    Raises:
        ValueError: a source is wrong or has no masks, or it has no end and there is no `limit`.
    """
    sources = with_masks(sources)
    require_end(sources, limit)
    return islice(_whole(StreamPlan(sources, labeled=False, size=size, seed=seed), size, multiple, choice), limit)


def _whole(plan: StreamPlan, size: int | None, multiple: int, choice: MaskChoice) -> Iterator[MaskSample]:
    told: set[tuple[str, str]] = set()
    left_out: Counter[str] = Counter()
    passed = given = 0
    for sample in SampleStream(plan):
        image = sample["image"]
        height, width = image.shape[-2:]
        view = View(slice(height), slice(width), (height, width))
        if size is not None:
            view = draw_view(image, size, None, train=False, multiple=multiple)
        found = _mask_sample(sample, view, choice, np.random.default_rng([plan.seed, *sample["meeting"]]), told)
        passed, given = passed + (found is None), given + (found is not None)
        left_out += sample["masks"].left_out
        if found is not None:
            yield found
    if not given:
        raise ValueError(_nothing(passed, plan.sources, choice))
    if passed:
        logger.info("%d pictures have no mask of the sizes that are asked for and are passed over", passed)
    if left_out:
        logger.info("masks left out: %s", ", ".join(f"{count} {reason}" for reason, count in left_out.items()))


def _mask_sample(
    sample: Sample, view: View, choice: MaskChoice, rng: np.random.Generator, told: set[tuple[str, str]]
) -> MaskSample | None:
    """A picture with its masks in a view; None where there are none. The log tells the first of each fault."""
    found: ImageMasks = sample["masks"]
    masks, known = choose_masks(found, view, choice, rng)
    for reason, cause in found.causes.items():
        if (sample["domain"], reason) not in told:
            told.add((sample["domain"], reason))
            logger.warning("%s; further masks that are %s are left out and only counted", cause, reason)
    if not known:
        return None
    names, levels = tuple(mask.name for mask in known), tuple(mask.level for mask in known)
    return MaskSample(view.of_image(sample["image"]), masks, names, levels, sample["domain"], sample["origin"])


def _nothing(pictures: int, sources: Sequence[Source], choice: MaskChoice) -> str:
    specs = ", ".join(each.spec for each in sources)
    return (
        f"none of {pictures} pictures of {specs} has a mask of {choice.min_area:.2%} to {choice.max_area:.0%} of it; "
        "lower min_area, or check the masks with `semidepth data`"
    )
