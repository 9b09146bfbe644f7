"""Look at the masks of a source: how many a picture has, how large they are, which are left out and why."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.masks.layers import CROWD, ImageMasks
from semidepth.data.reading.rows import decode_row
from semidepth.data.reading.sources import open_source
from semidepth.data.source_spec import Source
from semidepth.evaluation.source_report.findings import Finding
from semidepth.evaluation.source_report.looking import MOST_PIXELS, SCENE_SIZE, SCENES, spread

EMPTY = "without a pixel"
NAMED = 5  # classes


@dataclass(frozen=True)
class MaskFacts:
    """Masks of the pictures that were looked at.

    Args:
        pictures: that can be used.
        masks: in all of them.
        per_picture: fewest, median and most.
        areas: smallest, median and largest share of a picture.
        names: the most frequent classes, with their number; empty where the source does not say.
        left_out: number of masks that are not used, by reason.
        broken: pictures that cannot be used.
        causes: sentences about the first fault of each kind.
    """

    pictures: int
    masks: int
    per_picture: tuple[int, float, int]
    areas: tuple[float, float, float]
    names: dict[str, int]
    left_out: dict[str, int]
    broken: int
    causes: tuple[str, ...]

    def told(self) -> str:
        """Returns the facts as one line."""
        few, middle, many = self.per_picture
        small, median, large = self.areas
        line = f"masks: {self.masks:,} in {self.pictures} pictures, {few} to {many} each (median {middle:g})"
        if self.masks:
            line += f"; {small:.2g} to {large:.2g} of the picture (median {median:.2g})"
        if self.names:
            line += f"; most often {', '.join(f'{name} ({count})' for name, count in self.names.items())}"
        if self.left_out:
            line += f"; left out {', '.join(f'{count} {reason}' for reason, count in self.left_out.items())}"
        return line


def look_at_masks(source: Source, most: int) -> MaskFacts:
    """Decodes the masks of pictures from all over a source.

    Args:
        source: with `masks`.
        most: number of pictures, at most; fewer large ones.

    Raises:
        ValueError: the source cannot be read.
    """
    if source.format == "scenes":
        source, most = replace(source, size=min(source.size or SCENE_SIZE, SCENE_SIZE)), min(most, SCENES)
    counts: list[int] = []
    shares: list[float] = []
    names: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    causes: dict[str, str] = {}
    broken = pixels = 0
    for row in spread(open_source(source, labeled=False), most):
        try:
            found = decode_row(row, source, labeled=False)["masks"]
        except BrokenSampleError as error:
            broken += 1
            causes.setdefault("picture", str(error))
            continue
        here = list(_shares(found))
        counts.append(len(here))
        shares += [share for _, share in here]
        names.update(name for name, _ in here if name)
        left_out += found.left_out
        causes = found.causes | causes
        pixels += found.size[0] * found.size[1] * max(1, len(found.layers))
        if pixels > 10 * MOST_PIXELS:
            break
    return MaskFacts(
        pictures=len(counts),
        masks=sum(counts),
        per_picture=(min(counts, default=0), float(np.median(counts)) if counts else 0.0, max(counts, default=0)),
        areas=(min(shares, default=0.0), float(np.median(shares)) if shares else 0.0, max(shares, default=0.0)),
        names=dict(names.most_common(NAMED)),
        left_out=dict(left_out),
        broken=broken,
        causes=tuple(causes.values()),
    )


def _shares(found: ImageMasks) -> Iterator[tuple[str, float]]:
    """Class and share of the picture of each mask; those that cannot be used are counted in `left_out`."""
    for layer in found.layers:
        numbers = found.numbers(layer)
        if numbers is None:
            continue
        pixels = dict(zip(*(each.tolist() for each in numbers.unique(return_counts=True)), strict=True))
        for mask in layer.masks:
            if mask.number in pixels:
                yield mask.name, pixels[mask.number] / numbers.numel()
            else:
                found.left_out[EMPTY] += 1


def mask_findings(facts: MaskFacts) -> Iterator[Finding]:
    """Yields what looks wrong: masks and pictures that cannot be used; that there are crowds is no fault."""
    faults = sum(count for reason, count in facts.left_out.items() if reason != CROWD)
    if faults or facts.broken:
        what = f"{faults} masks of {facts.pictures} pictures, and all of {facts.broken} pictures, are left out"
        first = f"; first {facts.causes[0]}" if facts.causes else ": they have no pixel"
        yield Finding("masks left out", what + first)
