"""Benchmark sets as people have them on disk, read from their published layouts. Light to import."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semidepth.evaluation.benchmarks.base import BenchmarkSet, PointPairSet

# Name -> module of this folder with `open_set(root, name) -> BenchmarkSet | PointPairSet`.
BENCHMARKS = {
    "nyu": "nyu",
    "kitti": "kitti",
    "sintel": "sintel",
    "eth3d": "eth3d",
    "diode_indoor": "diode",
    "diode_outdoor": "diode",
    "ddad": "ddad",
    "ibims": "ibims",
    "sunrgbd": "sunrgbd",
    "hypersim": "hypersim",
    "vkitti2": "vkitti2",
    "da2k": "da2k",
}


def open_benchmark(name: str, root: str | Path) -> "BenchmarkSet | PointPairSet":
    """Finds a benchmark's images below a folder; no image is read yet.

    Args:
        name: one of `BENCHMARKS`.
        root: the set's folder, in its published layout.

    Raises:
        ValueError: if the name is not known, or files are missing: which, and what was expected where.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"the benchmark {name!r} is not known; choose one of {', '.join(BENCHMARKS)}.")
    module = import_module(f"{__name__}.{BENCHMARKS[name]}")
    return module.open_set(Path(root), name)
