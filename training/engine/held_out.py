"""Choice of a run's validation data: the sources of --validation, or a part held out of the labeled ones."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from semidepth.data.reading.parts import LEAST_SAMPLES, part_of
from semidepth.data.reading.sources import count_samples, cut_of
from semidepth.data.source_spec import Source, parse_source, parse_sources, split_options
from semidepth.training.options.run import NO_VALIDATION, RelativeOptions

logger = logging.getLogger(__name__)

RULES = {
    "scene": "whole scenes, by the column scene",
    "folder": "whole folders",
    "file": "whole files",
    "image": "single images, as there are no folders that divide them",
    "row": "single rows, as there are no scenes or files that divide them",
}


def split_labeled(options: RelativeOptions) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """Returns the labeled sources to train on, and those to validate on; see [`split_sources`]."""
    named = None
    if options.validation:
        named = () if options.validation == NO_VALIDATION else parse_sources(options.validation)
    return split_sources(parse_sources(options.labeled), named, images=options.validation_images)


def split_sources(
    labeled: Sequence[Source], validation: Sequence[Source] | None, *, images: int
) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """Returns the labeled sources to train on, and those to validate on.

    Where validation sources are named, these. Otherwise a fixed part of each labeled source is held out of training
    (see `data.reading.parts`); scenes are validated on their own validation split. Which and by which rule is logged.

    Args:
        labeled: the sources with labels, each perhaps with its domain.
        validation: the sources that are named; None: none are, and a part is held out.
        images: most images of a validation split of scenes.

    Raises:
        ValueError: a source cannot be opened.
    """
    if validation is not None:
        return tuple(labeled), tuple(validation)
    train: list[Source] = []
    held_out: list[Source] = []
    for source in labeled:
        kept, held = _split(source, images)
        train.append(kept)
        held_out += held
    return tuple(train), tuple(held_out)


def _split(source: Source, images: int) -> tuple[Source, list[Source]]:
    """Returns a source to train on and, where it has one, its held-out part."""
    if source.format == "scenes" and source.split in (None, "train"):
        held = _validation_scenes(source, images)
        logger.info("validation of %s: %d scenes of its validation split", source.spec, held.count)
        return source, [held]
    cut = cut_of(source, labeled=True) if source.part is None else None
    if cut is None:
        logger.warning("nothing of %s is held out for validation: %s", source.spec, _why_not_cut(source))
        return source, []
    kept, held = part_of(source, "train"), part_of(source, "held_out")
    count = count_samples(held, labeled=True)
    text = "a part of unknown length" if count is None else f"{count} images"
    logger.info("validation of %s: %s are held out of training, %s", source.spec, text, RULES[cut.rule])
    return kept, [held]


def _why_not_cut(source: Source) -> str:
    """Returns the reason why no part of a source is held out."""
    if source.part is not None:
        return f"it is a part itself ({source.part})"
    if source.format == "scenes":
        return f"it is the {source.split} split"
    if source.asks_reliability:
        return "its labels are chosen by reliability"
    count = count_samples(source, labeled=True)
    if count is not None and count < LEAST_SAMPLES:
        return f"it has {count} images, and fewer than {LEAST_SAMPLES} are not cut"
    return "which images that would be is not known before it is read"


def _validation_scenes(source: Source, images: int) -> Source:
    location, values = split_options(source.spec)
    values = {name: value for name, value in values.items() if name != "start"}
    values |= {"split": "validation", "count": str(min(source.count or images, images))}
    held = parse_source(f"{location}?{'&'.join(f'{name}={value}' for name, value in values.items())}")
    return replace(held, domain=source.domain)
