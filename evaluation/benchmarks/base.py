"""Benchmark sets as the rest of the code sees them: a list of frames, read one by one, and how papers score them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypedDict

import numpy as np
from torch import Tensor

from semidepth.data.samples import Sample


@dataclass(frozen=True)
class BenchmarkSet:
    """The labeled images of a benchmark on disk, in the order of its official list; images are read on demand.

    Args:
        name: as in `score.py --benchmark`.
        frames: a unique name for each image, such as its path below the set's folder; cheap to list.
        read: index of an image -> its sample; `depth` (H, W) float32 metres, NaN where the set has no label or
            marks it invalid, inf for sky. The image and its label have the same size.
        protocol: name of the protocol (`PROTOCOLS`) for scores in metres: crop and depth range.
        relative_max_depth_m: depth cap in metres that papers use for relative scores; None: each image's own.
        domain: "indoor", "outdoor", or "" where a set has both and a frame does not tell.
        source: where the layout and the split are published.
    """

    ordinal: ClassVar[bool] = False

    name: str
    frames: Sequence[str]
    read: Callable[[int], Sample]
    protocol: str
    relative_max_depth_m: float | None
    domain: str
    source: str

    def __len__(self) -> int:
        return len(self.frames)


class PointPairs(TypedDict):
    """An image with labeled pairs of points: which of the two is nearer.

    `image` is (3, H, W) uint8 RGB; `nearer` and `farther` are (N, 2) int, row and column of the nearer and of the other
    point of each pair; `domain` is the kind of scene, or ""; `origin` names the image in logs.
    """

    image: Tensor
    nearer: np.ndarray
    farther: np.ndarray
    domain: str
    origin: str


@dataclass(frozen=True)
class PointPairSet:
    """A benchmark of ordinal labels: as [`BenchmarkSet`], with pairs of points instead of depth maps."""

    ordinal: ClassVar[bool] = True
    protocol: ClassVar[str | None] = None
    relative_max_depth_m: ClassVar[float | None] = None

    name: str
    frames: Sequence[str]
    read: Callable[[int], PointPairs]
    source: str

    def __len__(self) -> int:
        return len(self.frames)


def check_complete(name: str, root: Path, files: Sequence[Path], layout: str) -> None:
    """Checks that all files of a set exist, before any is read.

    Args:
        name: of the set.
        root: its folder, as given.
        files: required files below `root`.
        layout: the expected layout in a few words.

    Raises:
        ValueError: the folder or some files are missing; the message says which, how many, and what was expected.
    """
    if not root.is_dir():
        raise ValueError(f"--root {root} is not a folder; {name} is expected there as {layout}.")
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(files)} files of {name} are missing below {root}, such as "
            f"{missing[0].relative_to(root)}; expected is {layout}."
        )
