"""Several streams as one: how often each is asked, taking turns, and shuffling within a buffer."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

from semidepth.training.data.source_spec import Source
from semidepth.training.data.sources import count_samples

Item = TypeVar("Item")


def natural_weights(sources: Sequence[Source], labeled: bool) -> list[float]:
    """How often each source is met, relative to the others: their sizes where all are known, else equal."""
    counts = [count_samples(source, labeled=labeled) for source in sources]
    return [float(count) for count in counts if count] if all(counts) else [1.0] * len(counts)


def mix(streams: Iterable[Iterator[Item]], weights: Iterable[float]) -> Iterator[Item]:
    """Interleave streams evenly in proportion to weights, each item once; a stream that ends drops out.

    Args:
        streams: what to interleave.
        weights: how often each stream is asked, relative to the others; equal weights take turns.

    Returns:
        An iterator over all items.
    """
    left = dict(enumerate(zip(streams, weights, strict=True)))
    taken = Counter(dict.fromkeys(left, 0))
    while left:
        turn = min(left, key=lambda number: (taken[number] + 0.5) / left[number][1])
        taken[turn] += 1
        try:
            yield next(left[turn][0])
        except StopIteration:
            del left[turn]


def shuffled(items: Iterator[Item], buffer_size: int, rng: np.random.Generator) -> Iterator[Item]:
    """Shuffle a stream within a buffer: each new item takes the place of a random held one, which goes out.

    Args:
        items: what to shuffle.
        buffer_size: items held, at least 1.
        rng: draws the places.

    Returns:
        An iterator over all items.
    """
    held = list(islice(items, buffer_size))
    for item in items:
        place = int(rng.integers(len(held)))
        held[place], item = item, held[place]
        yield item
    for place in rng.permutation(len(held)):
        yield held[place]
