"""Several streams as one: how often each is met, and whose turn it is."""

from collections.abc import Sequence

from semidepth.data.reading.sources import count_samples
from semidepth.data.source_spec import Source


def natural_weights(sources: Sequence[Source], labeled: bool) -> list[float]:
    """How often each source is met, relative to the others: their sizes where all are known, else equal."""
    counts = [count_samples(source, labeled=labeled) for source in sources]
    return [float(count) for count in counts if count] if all(counts) else [1.0] * len(counts)


def whose_turn(taken: Sequence[int], weights: Sequence[float], ended: Sequence[bool]) -> int | None:
    """The stream to take the next item from, so that all are met evenly in proportion to their weights.

    Args:
        taken: items that each stream has given.
        weights: how often each is met, relative to the others; equal weights take turns.
        ended: streams that have nothing left.

    Returns:
        Its number; None where all have ended.
    """
    left = [number for number, over in enumerate(ended) if not over]
    return min(left, key=lambda number: (taken[number] + 0.5) / weights[number], default=None)
