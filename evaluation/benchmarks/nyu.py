"""NYU Depth v2: the 654 test images of the official split, indoors, from a Kinect.

Silberman et al., "Indoor Segmentation and Support Inference from RGBD Images", ECCV 2012;
https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html. Two layouts are read:

- `nyu_depth_v2_labeled.mat` with `splits.mat` beside it, as they are downloaded. The former is HDF5, where MATLAB's
  order of dimensions comes out backwards: images (1449, 3, 640, 480), rawDepths (1449, 640, 480). `testNdxs` of the
  latter counts from 1.
- the folder that BTS exports (https://github.com/cleinc/bts, utils/extract_official_train_test_set_from_mat.py) and
  that AdaBins, ZoeDepth and Depth Anything's metric code evaluate on: `SCENE/rgb_00045.jpg` and
  `SCENE/sync_depth_00045.png`, 16-bit millimetres, numbers from 0. The script paints a black frame on the JPEGs.

Both hold the depth that was measured (`rawDepths`), which those papers score, not the filled-in one (`depths`).
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.depth_decoding import DepthCoding, decode_depth
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import (
    first_words,
    import_extra,
    labeled_sample,
    read_mat,
    warn_if_partial,
)

OFFICIAL_IMAGES = 654
# "the depth cap was set to the maximum ground-truth depth", MiDaS (arXiv 1907.01341), section 6.
RELATIVE_MAX_DEPTH_M = 10.0
SOURCE = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
LAYOUT = (
    "nyu_depth_v2_labeled.mat with splits.mat beside it, or SCENE/rgb_00045.jpg with SCENE/sync_depth_00045.png "
    "(official_splits/test) and, to check it, splits.mat"
)
_NUMBER = re.compile(r"rgb_(\d{5})\.(?:jpg|png)$")


def open_set(root: Path, name: str) -> BenchmarkSet:
    """Finds the test images in the order of `testNdxs`.

    Args:
        root: folder of the two `.mat` files, or an exported one: itself, or one that has it as `official_splits/test`,
            or as `test`.
        name: of the benchmark.

    Raises:
        ValueError: if files are missing or are not what they should be.
    """
    labeled, splits = root / "nyu_depth_v2_labeled.mat", root / "splits.mat"
    exported = [] if labeled.is_file() else _exported_images(root)
    if exported:
        return _open_exported(root, name, exported, splits if splits.is_file() else None)
    check_complete(name, root, [labeled, splits], LAYOUT)
    numbers = _test_numbers(splits, name)
    shape = _check_labeled(labeled, name)
    if numbers.max() >= shape[0]:
        raise ValueError(f"{labeled} holds {shape[0]} images and {splits} names number {numbers.max() + 1}.")
    return _as_set(name, [f"{number:05}" for number in numbers], partial(_read_labeled, labeled, name, numbers))


def _as_set(name: str, frames: list[str], read: Callable[[int], Sample]) -> BenchmarkSet:
    warn_if_partial(name, len(frames), OFFICIAL_IMAGES)
    return BenchmarkSet(name, frames, read, "nyu", RELATIVE_MAX_DEPTH_M, "indoor", SOURCE)


def _test_numbers(splits: Path, name: str) -> np.ndarray:
    """(N,) int, from 0, as the set lists them."""
    numbers = read_mat(splits, "testNdxs", name)
    if not np.issubdtype(numbers.dtype, np.integer) or numbers.ndim != 1 or numbers.size == 0 or numbers.min() < 1:
        raise ValueError(f"{splits} must hold numbers of images from 1 in testNdxs; take the official splits.mat.")
    return numbers.astype(np.int64) - 1


def _check_labeled(labeled: Path, name: str) -> tuple[int, ...]:
    """The shape of `images`; only the file's table of contents is read."""
    h5py = import_extra("h5py", name)
    try:
        with h5py.File(labeled, "r") as file:
            images, depths = _shape(file, "images"), _shape(file, "rawDepths")
    except OSError as error:
        raise ValueError(f"{labeled} cannot be read as HDF5: {first_words(error)}") from error
    if len(images) != 4 or images[1] != 3 or depths != images[:1] + images[2:]:
        raise ValueError(
            f"{labeled} has images of shape {images} and rawDepths of {depths}; expected are (1449, 3, 640, 480) and "
            "(1449, 640, 480)."
        )
    return images


def _shape(file: Any, variable: str) -> tuple[int, ...]:
    return file[variable].shape if variable in file else ()


def _read_labeled(labeled: Path, name: str, numbers: np.ndarray, index: int) -> Sample:
    h5py = import_extra("h5py", name)
    number = int(numbers[index])
    origin = f"{labeled}[{number}]"
    try:
        # Opened for each image: a handle cannot be handed to another process.
        with h5py.File(labeled, "r") as file:
            pixels, depth = file["images"][number], file["rawDepths"][number]
    except OSError as error:
        raise BrokenSampleError(f"{origin} cannot be read: {first_words(error)}") from error
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 2, 1)))  # (3, W, H) -> (3, H, W)
    metres = decode_depth(np.ascontiguousarray(depth.T), name=f"{origin} (depth)")  # (W, H) -> (H, W)
    return labeled_sample(image, metres, origin=origin, depth_file=labeled, domain="indoor")


def _exported_images(root: Path) -> list[Path]:
    """The exported images, by number: of the first of the folders that has some."""
    for folder in (root, root / "official_splits" / "test", root / "test"):
        found = [file for file in folder.glob("*/rgb_*") if _NUMBER.search(file.name)]
        if found:
            return sorted(found, key=_number)
    return []


def _number(image: Path) -> int:
    return int(_NUMBER.search(image.name)[1])  # type: ignore[index]  # only such names come here


def _depth_of(image: Path) -> Path:
    return image.with_name(f"sync_depth_{_number(image):05}.png")


def _open_exported(root: Path, name: str, images: list[Path], splits: Path | None) -> BenchmarkSet:
    if splits is not None:
        by_number = {_number(image): image for image in images}
        # A missing image's scene is not in the split: its folder cannot be told.
        images = [
            by_number.get(number, images[0].parents[1] / "SCENE" / f"rgb_{number:05}.jpg")
            for number in _test_numbers(splits, name).tolist()
        ]
    check_complete(name, root, [file for image in images for file in (image, _depth_of(image))], LAYOUT)
    return _as_set(name, [str(image.relative_to(root)) for image in images], partial(_read_exported, images))


def _read_exported(images: list[Path], index: int) -> Sample:
    image = images[index]
    depth = decode_depth(_depth_of(image), DepthCoding(scale=0.001))
    return labeled_sample(image, depth, origin=str(image), depth_file=_depth_of(image), domain="indoor")
