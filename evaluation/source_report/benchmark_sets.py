"""Report on a benchmark set: what its reader finds, and what looks wrong there."""

import logging
import os
from dataclasses import replace

from torch import Tensor

from semidepth.common.redaction import redact
from semidepth.data.decoding import BrokenSampleError
from semidepth.data.reading.sources import printable
from semidepth.data.source_spec import Source
from semidepth.evaluation.benchmarks.base import BenchmarkSet, PointPairSet
from semidepth.evaluation.source_report.findings import Finding, findings, seen
from semidepth.evaluation.source_report.looking import (
    LEAST_SAMPLES,
    MOST_PIXELS,
    MOST_SAMPLES,
    FirstLabel,
    Look,
    Looked,
    reduced,
)
from semidepth.evaluation.source_report.report import NAMED_PAIRS, SourceReport, range_of, shares_of, tell

logger = logging.getLogger(__name__)

# Findings whose advice is an option of sources, which a set's reader has chosen.
OF_OPTIONS = ("unit", "direction", "far end", "sky indoors")


def report_on_set(benchmark: BenchmarkSet | PointPairSet, root: str, total: int) -> SourceReport:
    """Returns what is found in a benchmark set before it is scored.

    Args:
        benchmark: opened.
        root: its folder, as given.
        total: number of its first images that are used.

    Returns:
        The report; pictures are taken as the set's reader turns them.
    """
    looked = _look_at(benchmark, total)
    source = Source(spec=f"{benchmark.name}={redact(root)}", format="images", location=root)
    found = seen(source, looked, None)
    frames = ", ".join(printable(frame) for frame in benchmark.frames[:NAMED_PAIRS])
    kind = "pairs of points" if benchmark.ordinal else "depth"
    return SourceReport(
        spec=source.spec,
        kind="benchmark",
        labeled=True,
        samples=total,
        shards=1,
        left_out=f"{len(benchmark) - total:,} beyond the limit" if total < len(benchmark) else "",
        pairing=f"with {kind} as the set lays out its files: {frames}",
        pairs=(),
        label=looked.label,
        unit="" if benchmark.ordinal else "depth in metres, as the set's reader has them",
        shares=shares_of(source, looked.samples),
        range_m=range_of(source, looked.samples),
        edges=found.fit,
        turned={},
        looked_at=len(looked.samples),
        findings=tuple(_advised(each, benchmark.name, source.spec) for each in findings(found)),
        looks=looked.samples,
    )


def tell_set(benchmark: BenchmarkSet | PointPairSet, root: str, total: int) -> None:
    """Logs the report of a benchmark set as [`tell_sources`] does that of sources; arguments as [`report_on_set`]."""
    if os.environ.get("RANK", "0") == "0":
        tell(report_on_set(benchmark, root, total))


def _look_at(benchmark: BenchmarkSet | PointPairSet, total: int) -> Looked:
    """Reads images from all over a set, and their labels."""
    samples: list[Look] = []
    broken: list[str] = []
    first: dict[str, FirstLabel] = {}
    count = min(total, MOST_SAMPLES)
    pixels = 0
    for number in (place * total // count for place in range(count)):
        try:
            item = benchmark.read(number)
        except BrokenSampleError as error:
            broken.append(str(error))
            continue
        depth: Tensor | None = item.get("depth")  # type: ignore[assignment]  # pairs of points have none
        height, width = item["image"].shape[-2:]
        if depth is not None and not first:
            first[""] = FirstLabel(height, width, str(depth.dtype).removeprefix("torch."), 0.0, None, swapped=False)
        image, depth = reduced(item["image"], depth)
        samples.append(Look(item["origin"], image, depth, (height, width), 1, False, item["domain"], ""))
        pixels += 2 * height * width
        if pixels > MOST_PIXELS and len(samples) >= LEAST_SAMPLES:
            break
    return Looked(tuple(samples), tuple(broken), first)


def _advised(finding: Finding, name: str, spec: str) -> Finding:
    """A finding with advice that can be followed."""
    if finding.name not in OF_OPTIONS:
        return finding
    fact = finding.sentence.split(": say ")[0].split("; say ")[0]
    return replace(finding, sentence=f"{fact}; look whether {spec} has the files that {name} publishes")
