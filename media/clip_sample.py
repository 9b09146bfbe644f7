"""The range of colours and the metric head of a whole clip, found on a few of its frames.

A range for each frame would flicker, and a router that chooses for each would let depth jump. The number of frames and
the memory are bounded, whatever the clip's length and whatever its file says.

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
    """Number of frames that [`spread`] takes of `count`; at least 1."""
    step = _step(count)
    return min(SAMPLE_FRAMES, -(-max(count, 1) // step))


def spread(frames: Iterable[T], count: int) -> Iterator[T]:
    """Yields at most `SAMPLE_FRAMES` frames, evenly spaced, beginning with the first.

    Args:
        frames: of the clip; read no further than needed.
        count: about how many there are; if it is wrong, the frames taken lie closer together or are fewer.
    """
    return islice(frames, 0, _step(count) * SAMPLE_FRAMES, _step(count))


class ClipSample:
    """Depth values and chosen heads of some frames of a clip.

    Attributes:
        frames: number of frames added.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._values: list[np.ndarray] = []
        self._domains: Counter[str] = Counter()

    def add(self, values: np.ndarray, domain: str | None) -> None:
        """Adds a frame.

        Args:
            values: (H, W); some of them are kept.
            domain: head that the router chose; None or "" for models without heads.
        """
        flat = values.ravel()
        self._values.append(flat[:: max(1, -(-flat.size // MOST_VALUES))].copy())  # a view would keep all of it
        self.frames += 1
        if domain:
            self._domains[domain] += 1

    @property
    def values(self) -> np.ndarray:
        """(N,) values of all frames, evenly taken; equally many of each frame of one size."""
        return np.concatenate(self._values) if self._values else np.zeros(0, np.float32)

    @property
    def domain(self) -> str | None:
        """Head chosen most often, the earlier one of two equals; None for models without heads."""
        return self._domains.most_common(1)[0][0] if self._domains else None


def _step(count: int) -> int:
    return max(1, -(-count // SAMPLE_FRAMES))
