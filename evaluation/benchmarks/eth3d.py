"""ETH3D: the 454 photos of the high-resolution multi-view training scenes, 6048 x 4032, with laser-scanned depth.

Layout, as the original images (multi_view_training_dslr_jpg.7z) and the depth of each scene (<scene>_dslr_depth.7z)
unpack into one folder (https://www.eth3d.net/documentation; Schöps et al., CVPR 2017):

    courtyard/images/dslr_images/DSC_0286.JPG
    courtyard/ground_truth_depth/dslr_images/DSC_0286.JPG    no JPEG: rows of float32 metres, without a header

The depth has the size of the original image and lies on its pixels; it does not fit the undistorted images. It runs
along the optical axis, is little-endian, and is infinite where the scanner saw nothing: that is unknown, not sky.

All 454 images are used, with labels up to 72 m, the largest there is, as MiDaS does (arXiv 1907.01341, "Test datasets
and metrics"), whose sets Depth Anything (2401.10891) takes over.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import labeled_sample, stored_rgb

# Scene -> runs of numbers of its photos, ends included.
SCENES: dict[str, tuple[tuple[int, int], ...]] = {
    "courtyard": ((286, 323),),
    "delivery_area": ((675, 718),),
    "electro": ((9257, 9285), (9287, 9287), (9289, 9303)),
    "facade": ((324, 366), (386, 402), (404, 415), (419, 422)),
    "kicker": ((6487, 6487), (6489, 6497), (6499, 6500), (6502, 6520)),
    "meadow": ((6535, 6541), (6547, 6548), (6553, 6553), (6556, 6560)),
    "office": ((219, 223), (228, 231), (235, 243), (248, 255)),
    "pipes": ((634, 647),),
    "playground": ((567, 599), (602, 606)),
    "relief": ((427, 457),),
    "relief_2": ((458, 478), (480, 489)),
    "terrace": ((259, 264), (266, 279), (283, 285)),
    "terrains": ((614, 620), (622, 632), (648, 671)),
}
OUTDOOR = frozenset({"courtyard", "electro", "facade", "meadow", "playground", "terrace"})
MAX_DEPTH_M = 72.0
LAYOUT = (
    "<scene>/images/dslr_images/DSC_0286.JPG and <scene>/ground_truth_depth/dslr_images/DSC_0286.JPG for 13 scenes "
    "(454 photos)"
)


def open_set(root: Path, name: str) -> BenchmarkSet:
    """The 454 photos, by scene and number; each sample tells whether its scene is indoor or outdoor."""
    frames = [
        f"{scene}/DSC_{number:04}"
        for scene, runs in SCENES.items()
        for first, last in runs
        for number in range(first, last + 1)
    ]
    files = [file for frame in frames for file in _files(root, frame)]
    check_complete(name, root, files, LAYOUT)
    return BenchmarkSet(
        name=name,
        frames=frames,
        read=partial(_read, root, name, frames),
        protocol="none",
        relative_max_depth_m=MAX_DEPTH_M,
        domain="",
        source="https://www.eth3d.net/documentation; images and cap of MiDaS, arXiv 1907.01341",
    )


def read_raw_depth(file: Path, height: int, width: int) -> Tensor:
    """Bare float32 rows.

    Returns:
        (height, width) float32 metres, larger is farther; NaN where nothing finite and positive is stored.

    Raises:
        BrokenSampleError: if the file is not exactly that large.
    """
    found, needed = file.stat().st_size, 4 * height * width
    if found != needed:
        raise BrokenSampleError(
            f"{file} has {found} bytes where {width}x{height} pixels of float32 depth, its image's size, need "
            f"{needed}; unpack it again, with the original images and not the undistorted ones."
        )
    depth = torch.from_numpy(np.fromfile(file, "<f4").astype(np.float32, copy=False)).reshape(height, width)
    return depth.masked_fill_(~((depth > 0) & depth.isfinite()), torch.nan)


def _files(root: Path, frame: str) -> tuple[Path, Path]:
    scene, photo = frame.split("/")
    file = f"{photo}.JPG"
    return root / scene / "images" / "dslr_images" / file, root / scene / "ground_truth_depth" / "dslr_images" / file


def _read(root: Path, name: str, frames: list[str], number: int) -> Sample:
    image_file, depth_file = _files(root, frames[number])
    # As stored: the depth knows nothing of an orientation that EXIF may tell.
    image = stored_rgb(image_file)
    scene = frames[number].split("/")[0]
    return labeled_sample(
        image,
        read_raw_depth(depth_file, *image.shape[1:]),
        origin=f"{name}/{frames[number]}",
        depth_file=depth_file,
        domain="outdoor" if scene in OUTDOOR else "indoor",
    )
