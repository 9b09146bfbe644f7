"""Report on a source: what was found, how it was paired, what its labels mean, and what looks wrong."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from semidepth.data.reading.image_folders import image_files
from semidepth.data.reading.sources import count_samples, files_of, open_source, printable
from semidepth.data.reading.tables import count_unmeasured, open_table
from semidepth.data.source_spec import Source
from semidepth.evaluation.source_report.edges import EdgeFit
from semidepth.evaluation.source_report.findings import Finding, known, seen
from semidepth.evaluation.source_report.looking import MOST_SAMPLES, FirstLabel, Look, Looked, look_at
from semidepth.evaluation.source_report.mask_facts import MaskFacts, look_at_masks, mask_findings
from semidepth.evaluation.source_report.part_findings import findings_with_parts

logger = logging.getLogger(__name__)

NAMED_PAIRS = 3
_UNITS = {"depth": "metres", "disparity": "inverse metres", "log_depth": "the logarithm of metres"}


@dataclass(frozen=True)
class Shares:
    """Shares of the pixels of labels: unknown as stored, sky, and outside of `min_depth_m` to `max_depth_m`."""

    unknown: float
    sky: float
    beyond_range: float


@dataclass(frozen=True)
class SourceReport:
    """Facts about one source and findings.

    Args:
        spec: the source as written.
        kind: of source, such as images.
        labeled: whether it was read with labels.
        samples: in one pass, None where it is not known without reading it.
        shards: parts that can be read independently, None for endless scenes.
        left_out: files and rows that are not read, by reason; "" where there is none.
        pairing: how images and labels were paired; "" without labels.
        pairs: names of up to three images and labels.
        label: the first one as it is stored, None without labels.
        unit: what the stored numbers are taken for; "" without labels.
        shares: of pixels, None without labels.
        range_m: nearest and farthest, and median depth of the labels; metres, or of an unknown factor.
        edges: how labels fit their pictures' edges.
        turned: number of pictures looked at by their EXIF orientation, where it is not 1.
        looked_at: number of samples.
        findings: what looks wrong.
        looks: the samples, reduced.
        masks: of single objects, where the source says that it has them.
    """

    spec: str
    kind: str
    labeled: bool
    samples: int | None
    shards: int | None
    left_out: str
    pairing: str
    pairs: tuple[tuple[str, str], ...]
    label: FirstLabel | None
    unit: str
    shares: Shares | None
    range_m: tuple[float, float, float] | None
    edges: EdgeFit | None
    turned: dict[int, int]
    looked_at: int
    findings: tuple[Finding, ...]
    looks: tuple[Look, ...]
    masks: MaskFacts | None = None

    def lines(self) -> Iterator[str]:
        """Yields the facts, one line each, without the findings."""
        many = (
            "endless" if self.shards is None else "unknown number of" if self.samples is None else f"{self.samples:,}"
        )
        shards = "" if self.shards is None else f" in {self.shards:,} {'shard' if self.shards == 1 else 'shards'}"
        left = f"; not read: {self.left_out}" if self.left_out else ""
        with_ = "with labels" if self.labeled else "without labels"
        yield f"source {self.spec}: {many} samples{shards} ({self.kind}, {with_}){left}"
        if self.looks:
            sizes = Counter(f"{look.size[1]}x{look.size[0]}" for look in self.looks)
            shown = ", ".join(size for size, _ in sizes.most_common(NAMED_PAIRS))
            yield f"  images {shown}{', ...' if len(sizes) > NAMED_PAIRS else ''}"
        if self.pairing:
            pairs = ", ".join(f"{image} + {label}" for image, label in self.pairs)
            yield f"  paired {self.pairing}{f': {pairs}' if pairs else ''}"
        if self.label is not None:
            yield f"  labels {self.label.dtype}, {self.label.width}x{self.label.height}, taken for {self.unit}"
        if self.shares is not None:
            unknown, sky, beyond = self.shares.unknown, self.shares.sky, self.shares.beyond_range
            shares = f"{unknown:.1%} of the pixels unknown, {sky:.1%} sky, {beyond:.1%} beyond the range"
            yield f"  of {self.looked_at} samples: {shares}{self._range_text()}"
        if self.edges is not None:
            fit, chance = self.edges.fit, self.edges.by_chance
            yield f"  edges of labels fit those of pictures by {fit:.2f} of 1 (by chance {chance:.2f})"
        if self.masks is not None:
            yield f"  {self.masks.told()}"
        if self.turned:
            turns = ", ".join(f"{count} of orientation {number}" for number, count in sorted(self.turned.items()))
            yield f"  turned by EXIF data: {turns}, of {self.looked_at} samples"

    def _range_text(self) -> str:
        if self.range_m is None:
            return ""
        near, far, median = self.range_m
        return f"; {near:.3g} to {far:.4g}, median {median:.3g}{'' if 'unknown' in self.unit else ' m'}"

    def as_json(self) -> dict[str, Any]:
        """Facts and findings as JSON has them."""
        near_far = None if self.range_m is None else dict(zip(("near", "far", "median"), self.range_m, strict=True))
        plain = {
            name: getattr(self, name)
            for name in ("spec", "kind", "labeled", "samples", "shards", "left_out", "pairing", "unit", "looked_at")
        }
        return plain | {
            "pairs": [list(pair) for pair in self.pairs],
            "label": None if self.label is None else vars(self.label),
            "shares": None if self.shares is None else vars(self.shares),
            "range_m": near_far,
            "edges": None if self.edges is None else vars(self.edges),
            "masks": None if self.masks is None else vars(self.masks),
            "turned": {str(number): count for number, count in self.turned.items()},
            "findings": [vars(finding) for finding in self.findings],
        }


def report_on(source: Source, *, labeled: bool, most: int = MOST_SAMPLES) -> SourceReport:
    """Look at a source before it is used.

    Args:
        source: parsed.
        labeled: whether it is used with labels.
        most: samples that are decoded for it.

    Returns:
        The report.

    Raises:
        ValueError: the source cannot be read so.
    """
    opened = open_source(source, labeled=labeled)
    listing = files_of(source, labeled=labeled)
    looked = look_at(source, labeled=labeled, most=most)
    found = seen(source, looked, listing)
    pairing, pairs = _pairing(source, looked.samples) if labeled else ("", ())
    count = count_unmeasured(source)
    masks = None if source.masks is None else look_at_masks(source, most)
    unmeasured = f"{count:,} rows without reliability" if count else ""
    return SourceReport(
        spec=source.spec,
        kind=source.format,
        labeled=labeled,
        samples=count_samples(source, labeled=labeled),
        shards=None if source.endless else opened.num_shards,
        left_out=", ".join(filter(None, ["" if listing is None else listing.told(), unmeasured])),
        pairing=pairing,
        pairs=pairs,
        label=looked.label,
        unit=_unit(source, looked) if labeled else "",
        shares=shares_of(source, looked.samples),
        range_m=range_of(source, looked.samples),
        edges=found.fit,
        turned=dict(Counter(look.orientation for look in looked.samples if look.orientation != 1)),
        looked_at=len(looked.samples),
        findings=(*findings_with_parts(found), *(() if masks is None else mask_findings(masks))),
        looks=looked.samples,
        masks=masks,
    )


def tell_sources(sources: Sequence[Source], *, labeled: bool) -> None:
    """Logs the reports of sources at the start of a run, findings as warnings, in the main process alone.

    A process tells of a source once, since the steps of a run share sources. Scenes, which are made without a fault,
    are only counted.

    Args:
        sources: parsed.
        labeled: whether they are used with labels.

    Raises:
        ValueError: a source cannot be read so.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    for source in sources:
        _tell_once(source, labeled)


@cache
def _tell_once(source: Source, labeled: bool) -> None:
    if source.format == "scenes":
        many = "endless" if source.count is None else f"{source.count:,}"
        logger.info("source %s: %s rendered scenes", source.spec, many)
        return
    tell(report_on(source, labeled=labeled))


def tell(report: SourceReport) -> None:
    """Logs a report, findings as warnings."""
    for line in report.lines():
        logger.info("%s", line)
    for finding in report.findings:
        logger.warning("source %s, %s: %s", report.spec, finding.name, finding.sentence)


def _pairing(source: Source, looks: Sequence[Look]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Returns the way in which images and labels were paired, and the names of a few pairs."""
    if source.format == "scenes":
        return "", ()
    if source.format == "images":
        pairs = image_files(source, True)
        root = Path(source.location)
        how = "by name"
        if source.maps is not None:
            how = f"by name with the maps in {source.maps}"
        elif pairs and Path(pairs[0][0]).parent != Path(pairs[0][1] or "").parent:
            how = "by folder"
        named = tuple((_inside(image, root), _inside(label or "", root)) for image, label in pairs[:NAMED_PAIRS])
        return how, named
    table = open_table(source, True)
    what = "member" if source.format == "webdataset" else "column"
    rows = tuple((look.origin.rpartition("/")[2], str(table.depth)) for look in looks[:NAMED_PAIRS])
    return f"by {what}: image {table.image}, depth {table.depth}", rows


def _inside(path: str, root: Path) -> str:
    """A path as it is seen from the source's folder."""
    return printable(os.path.relpath(path, root if root.is_dir() else root.parent))


def _unit(source: Source, looked: Looked) -> str:
    coding = source.coding(looked.label.scale if looked.label is not None else None)
    if any(look.pseudo for look in looked.samples):
        return f"{coding.meaning} of an unknown factor and summand (pseudo labels)"
    if coding.invariant is not None:
        unknown = "factor" if coding.invariant == "scale" else "factor and summand"
        return f"{coding.meaning} of an unknown {unknown}"
    unit = _UNITS[coding.meaning]
    return (
        f"{coding.meaning} in {unit}"
        if coding.scale is None
        else f"{coding.meaning} in units of {coding.scale:g} {unit}"
    )


def shares_of(source: Source, looks: Sequence[Look]) -> Shares | None:
    """Mean shares over samples; None without labels."""
    near, far = source.min_depth_m or 0.0, source.max_depth_m or np.inf
    rows = [
        (
            float(depth.isnan().float().mean()),
            float(depth.isinf().float().mean()),
            float((depth.isfinite() & ((depth < near) | (depth > far))).float().mean()),
        )
        for look in looks if (depth := look.depth) is not None
    ]  # fmt: skip
    return Shares(*(float(value) for value in np.mean(rows, axis=0))) if rows else None


def range_of(source: Source, looks: Sequence[Look]) -> tuple[float, float, float] | None:
    """Nearest and farthest depth within the source's range, and the median of the samples' medians."""
    near, far = source.min_depth_m or 0.0, source.max_depth_m or np.inf
    values = [known(look.depth) for look in looks if look.depth is not None]
    values = [inside for each in values if (inside := each[(each >= near) & (each <= far)]).size]
    if not values:
        return None
    medians = [float(np.median(each)) for each in values]
    return float(min(map(np.min, values))), float(max(map(np.max, values))), float(np.median(medians))
