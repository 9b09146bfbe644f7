"""SUN RGB-D: the 5050 test images of the official split, indoors, from four depth cameras.

Song et al., "SUN RGB-D: A RGB-D Scene Understanding Benchmark Suite", CVPR 2015; https://rgbd.cs.princeton.edu:
SUNRGBD.zip and SUNRGBDtoolbox.zip, unpacked side by side. The split is `alltest` of
`SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat`: folders of the authors' machine, /n/fs/sun3d/data/SUNRGBD/...; each
holds one image in `image/` and its depth in `depth/`.

Depth is a 16-bit PNG of millimetres whose bits are rotated left by three; the toolbox (read3dPoints.m) rotates them
back: (d >> 3) | (d << 13). It reads `depth/`, what was measured; `depth_bfx/` is filled in. Beyond 8 m nothing counts,
as in ZoeDepth's loader (https://github.com/isl-org/ZoeDepth, zoedepth/data/sun_rgbd_loader.py).
"""

from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from semidepth.data.depth_decoding import DepthCoding, decode_depth
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import labeled_sample, read_mat, warn_if_partial

OFFICIAL_IMAGES = 5050
MAX_DEPTH_M = 8.0
SOURCE = "https://rgbd.cs.princeton.edu"
SPLIT = "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat"
LAYOUT = f"SUNRGBD/kv2/kinect2data/.../{{image/*.jpg, depth/*.png}} with {SPLIT}"


def open_set(root: Path, name: str) -> BenchmarkSet:
    """Finds the test images in the order of `alltest`.

    Args:
        root: folder of `SUNRGBD` and `SUNRGBDtoolbox`.
        name: of the benchmark.

    Raises:
        ValueError: if files are missing, or the split is not the official one.
    """
    split = root / SPLIT
    check_complete(name, root, [split], LAYOUT)
    folders = [root / "SUNRGBD" / _below(str(folder), split) for folder in read_mat(split, "alltest", name)]
    pairs = [(_only(folder / "image", "*.jpg"), _only(folder / "depth", "*.png")) for folder in folders]
    check_complete(name, root, [file for pair in pairs for file in pair], LAYOUT)
    warn_if_partial(name, len(pairs), OFFICIAL_IMAGES)
    frames = [str(image.relative_to(root)) for image, _ in pairs]
    # No paper scores relative depth on it; the cap is that of its metric scores.
    return BenchmarkSet(name, frames, partial(_read, pairs), "sunrgbd", MAX_DEPTH_M, "indoor", SOURCE)


def unrotate(stored: np.ndarray) -> np.ndarray:
    """Stored numbers into millimetres.

    Args:
        stored: (H, W) uint16, bits rotated left by three.

    Returns:
        (H, W) uint16.
    """
    return (stored >> 3) | (stored << 13)


def _below(folder: str, split: Path) -> PurePosixPath:
    """Returns the part of a folder's name after SUNRGBD/, without the slash or two at its end."""
    _, found, below = folder.partition("SUNRGBD/")
    if not found or not below.strip("/"):
        raise ValueError(f"{split} has {folder!r} in alltest, no folder below SUNRGBD/; take the official file.")
    return PurePosixPath(below.strip("/"))


def _only(folder: Path, pattern: str) -> Path:
    """The first file of a folder, as the toolbox takes it; the pattern where there is none."""
    return min(folder.glob(pattern), default=folder / pattern)


def _read(pairs: list[tuple[Path, Path]], index: int) -> Sample:
    image, depth = pairs[index]
    stored = decode_depth(depth, DepthCoding(scale=1.0)).nan_to_num(0.0)  # what is stored: 16 bits are exact in float32
    millimetres = unrotate(stored.numpy().astype(np.uint16))
    metres = decode_depth(millimetres, DepthCoding(scale=0.001, max_depth_m=MAX_DEPTH_M), name=str(depth))
    return labeled_sample(image, metres, origin=str(image), depth_file=depth, domain="indoor")
