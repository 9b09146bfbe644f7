"""Findings of a source as a whole and of its parts: one file in another unit hides among others that are right."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from semidepth.data.listing import Listing
from semidepth.evaluation.source_report.edges import edge_fit
from semidepth.evaluation.source_report.findings import Finding, Seen, findings, known
from semidepth.evaluation.source_report.looking import Looked
from semidepth.evaluation.source_report.parts import LEAST_SAMPLES

NAMED = 4  # parts of which a finding is told
LEAST_EDGES = 6  # samples of a part whose edges are compared
OTHER_UNIT = 100.0  # times the median depth of the other parts


def findings_with_parts(found: Seen) -> tuple[Finding, ...]:
    """Runs all checks on a source and on each of its parts with at least four samples.

    A finding of a few parts is told of them by name, and the source as a whole is judged without them; a finding of
    most parts is told of the whole.
    """
    whole = findings(found)
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for number, look in enumerate(found.looked.samples):
        numbers[look.part].append(number)
    if len(numbers) < 2:
        return whole
    judged = {part: own for part, own in numbers.items() if len(own) >= LEAST_SAMPLES}
    of_parts = [each for part, own in judged.items() for each in _of_part(found, part, own)]
    of_parts += [each for each in _other_units(found, numbers) if each not in of_parts]
    counts = Counter(name for name, _ in {(each.name, each.part) for each in of_parts})
    told_of_whole = {each.name for each in whole}
    general = {name for name, count in counts.items() if name in told_of_whole and 2 * count > len(judged)}
    named = [each for each in of_parts if each.name not in general]
    if not named:
        return whole
    amiss = {each.part for each in named}
    rest = [number for number, look in enumerate(found.looked.samples) if look.part not in amiss]
    return (*findings(_only(found, rest, found.looked.broken, found.listing)), *_shortened(named))


def _of_part(found: Seen, part: str, numbers: Sequence[int]) -> list[Finding]:
    """Runs the checks of labels on a part's samples."""
    return [replace(each, part=part) for each in findings(_only(found, numbers, least_edges=LEAST_EDGES))]


def _only(
    found: Seen,
    numbers: Sequence[int],
    broken: tuple[str, ...] = (),
    listing: Listing | None = None,
    least_edges: int = 0,
) -> Seen:
    """Returns what was seen of some samples alone, with the fit of edges where at least so many of them tell."""
    samples = tuple(found.looked.samples[number] for number in numbers)
    parts = {look.part for look in samples}
    labels = {part: label for part, label in found.looked.labels.items() if part in parts}
    edges = tuple(found.edges[number] for number in numbers)
    enough = sum(each is not None for each in edges) >= least_edges
    return Seen(found.source, Looked(samples, broken, labels), listing, edges, edge_fit(edges) if enough else None)


def _other_units(found: Seen, parts: dict[str, list[int]]) -> list[Finding]:
    """Units of parts of two samples and more that are far from those of the others, and from metres."""
    if not found.in_metres:
        return []
    medians = {
        part: [float(np.median(values)) for each in own if len(values := _depths(found, each))]
        for part, own in parts.items()
    }
    result = []
    for part, own in parts.items():
        others = [value for other, values in medians.items() if other != part for value in values]
        if len(medians[part]) < 2 or not others:
            continue
        ratios = np.array(medians[part]) / np.median(others)
        if ratios.min() > OTHER_UNIT or ratios.max() < 1 / OTHER_UNIT:
            result += [each for each in _of_part(found, part, own) if each.name == "unit"]
    return result


def _depths(found: Seen, number: int) -> np.ndarray:
    depth = found.looked.samples[number].depth
    return np.zeros(0) if depth is None else known(depth)


def _shortened(named: Sequence[Finding]) -> list[Finding]:
    """Findings with their parts' names, the first few of each kind; further parts are only counted."""
    result, counts = [], Counter(each.name for each in named)
    told: Counter[str] = Counter()
    for each in named:
        told[each.name] += 1
        more = counts[each.name] - NAMED
        if told[each.name] <= NAMED:
            further = f" ({more} further parts alike)" if told[each.name] == NAMED and more > 0 else ""
            result.append(replace(each, sentence=f"in {each.part}{further}: {each.sentence}"))
    return result
