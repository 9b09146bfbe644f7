"""What every benchmark set is to the rest: a list of frames, read one at a time, and how papers score them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from semidepth.data.samples import Sample


@dataclass(frozen=True)
class BenchmarkSet:
    """The labeled images of a benchmark on disk, in the order of its official list; each is read when it is asked for.

    Args:
        name: as in `score.py --benchmark`.
        frames: a name for each image, unique, such as its path below the set's folder; cheap to list.
        read: number of an image -> its sample; `depth` (H, W) float32 metres, NaN where the set has no label or
            marks it invalid, inf for sky. The image and its label have one size.
        protocol: name of the protocol (`PROTOCOLS`) by which metres are scored: crop, range.
        relative_max_depth_m: cap, metres, with which papers score relative depth on it; None: each image's own.
        domain: "indoor", "outdoor" or "" where a set has both and a frame does not tell.
        source: where the layout and the split are published.
    """

    name: str
    frames: Sequence[str]
    read: Callable[[int], Sample]
    protocol: str
    relative_max_depth_m: float | None
    domain: str
    source: str

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class PointPairs:
    """An image of which only some pairs of points are labeled, by which of the two is nearer.

    Args:
        image: (3, H, W) uint8 RGB.
        nearer: (N, 2) int, row and column of the nearer point of each pair.
        farther: (N, 2) int, row and column of the other.
        scene: the kind of scene that the set tells of, or "".
        origin: names the image in logs.
    """

    image: Tensor
    nearer: np.ndarray
    farther: np.ndarray
    scene: str
    origin: str


@dataclass(frozen=True)
class PointPairSet:
    """A benchmark of ordinal labels: as [`BenchmarkSet`], with pairs of points instead of maps."""

    name: str
    frames: Sequence[str]
    read: Callable[[int], PointPairs]
    source: str

    def __len__(self) -> int:
        return len(self.frames)


def check_complete(name: str, root: Path, files: Sequence[Path], layout: str) -> None:
    """Makes sure that all files of a set are there, before any is read.

    Args:
        name: of the set.
        root: its folder, as given.
        files: what has to be there, below `root`.
        layout: how the folder looks, in a few words.

    Raises:
        ValueError: if the folder or some files are missing: which, how many, and what was expected where.
    """
    if not root.is_dir():
        raise ValueError(f"--root {root} is not a folder; {name} is expected there as {layout}.")
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(files)} files of {name} are missing below {root}, such as "
            f"{missing[0].relative_to(root)}; expected is {layout}."
        )
