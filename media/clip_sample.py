"""What is settled for a clip as a whole before its depth is made: the range of colours, and a routed model's head.

A range for each frame would flicker, and a router asked anew for each would let depth jump. So both are found on a few
frames spread over the clip: as many at most, and as little memory, however long it is and whatever its file says.

Stands alone: it needs numpy and nothing of semidepth, so that a Space can carry this very file.

    sample = ClipSample()
    for frame in spread(read_frames("clip.mp4"), info.frames):
        sample.add(predict(frame).values, predict(frame).domain)
    low, high = np.percentile(sample.values, [1, 99])
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np

SAMPLE_FRAMES = 16
MOST_VALUES = 2**16  # of each frame
T = TypeVar("T")


def sample_size(count: int) -> int:
    """How many frames [`spread`] takes of so many; at least 1."""
    step = _step(count)
    return min(SAMPLE_FRAMES, -(-max(count, 1) // step))


def spread(frames: Iterable[T], count: int) -> Iterator[T]:
    """A few frames evenly over a clip, the first among them, and no more than `SAMPLE_FRAMES`.

    Args:
        frames: of the clip; read no further than needed.
        count: about how many there are; where it is wrong, the ones taken lie closer together or are fewer.
    """
    return islice(frames, 0, _step(count) * SAMPLE_FRAMES, _step(count))


class ClipSample:
    """What a model said of some frames of a clip.

    Attributes:
        frames: how many.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._values: list[np.ndarray] = []
        self._domains: Counter[str] = Counter()

    def add(self, values: np.ndarray, domain: str | None) -> None:
        """One more frame.

        Args:
            values: (H, W); some of them are kept.
            domain: the head that the router chose; None or "" for models without.
        """
        flat = values.ravel()
        self._values.append(flat[:: max(1, -(-flat.size // MOST_VALUES))].copy())  # a view would keep all of it
        self.frames += 1
        if domain:
            self._domains[domain] += 1

    @property
    def values(self) -> np.ndarray:
        """(N,) values of all frames, evenly taken; as many of each, where all are of one size."""
        return np.concatenate(self._values) if self._values else np.zeros(0, np.float32)

    @property
    def domain(self) -> str | None:
        """The head chosen most often, of equals the one that came first; None for models without."""
        return self._domains.most_common(1)[0][0] if self._domains else None


def _step(count: int) -> int:
    return max(1, -(-count // SAMPLE_FRAMES))
