"""HyperSim: the 7690 images of the test split, rendered rooms of 1024 x 768 with dense depth.

Layout of the set as its archives unpack (https://github.com/apple/ml-hypersim; Roberts et al., ICCV 2021), with the
split's file, evermotion_dataset/analysis/metadata_images_split_scene_v1.csv of that repository, at the top:

    metadata_images_split_scene_v1.csv
    ai_001_010/images/scene_cam_00_final_preview/frame.0000.tonemap.jpg
    ai_001_010/images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5   `dataset` (768, 1024), metres

The stored numbers are distances from the camera's centre, not depths along its axis. They become depths with the
focal length of 886.81 pixels that the publisher gives (issue 9 of that repository), which is a view of 60 degrees; the
axis meets the image in its middle. Some scenes were rendered with shifted lenses, for which this is not exact; ZoeDepth
(arXiv 2302.12288) and Depth Anything score them so, and so does this reader. NaN stays unknown. There is no sky.

Metres are scored up to 80 m, as ZoeDepth does on the same preview images. Neither MiDaS nor Depth Anything scores
relative depth on it, so that there is no cap to take over.
"""

import csv
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.data.depth_decoding import decode_depth
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import first_words, import_extra, labeled_sample

HEIGHT, WIDTH, FOCAL_PX = 768, 1024, 886.81
SPLIT = "metadata_images_split_scene_v1.csv"
LAYOUT = (
    f"{SPLIT}, and for its test rows ai_VVV_NNN/images/scene_cam_XX_final_preview/frame.IIII.tonemap.jpg and "
    "ai_VVV_NNN/images/scene_cam_XX_geometry_hdf5/frame.IIII.depth_meters.hdf5 (7690 images)"
)

_COLUMNS = ("scene_name", "camera_name", "frame_id", "included_in_public_release", "split_partition_name")


def open_set(root: Path, name: str) -> BenchmarkSet:
    """The images of the test split that were made public, in the order of the split's file."""
    check_complete(name, root, [root / SPLIT], LAYOUT)
    frames = read_test_split(root / SPLIT)
    check_complete(name, root, [file for frame in frames for file in _files(root, frame)], LAYOUT)
    import_extra("h5py", name)
    return BenchmarkSet(
        name=name,
        frames=frames,
        read=partial(_read, root, name, frames),
        protocol="hypersim",
        relative_max_depth_m=None,
        domain="indoor",
        source="https://github.com/apple/ml-hypersim, its split v1; range of ZoeDepth, arXiv 2302.12288",
    )


def read_test_split(file: Path) -> list[str]:
    """The test images that were made public, as "ai_001_010/cam_00/0000".

    Raises:
        ValueError: if a column is missing, or no row is of the test split.
    """
    with file.open(newline="") as lines:
        rows = csv.DictReader(lines)
        lacking = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
        if lacking:
            raise ValueError(f"{file} has no column {lacking[0]!r}; the split file of ml-hypersim was expected.")
        frames = [
            f"{row['scene_name']}/{row['camera_name']}/{row['frame_id'].zfill(4)}"
            for row in rows
            if row["split_partition_name"] == "test" and row["included_in_public_release"] == "True"
        ]
    if not frames:
        raise ValueError(f"{file} has no public row of the test partition; the split file of ml-hypersim was expected.")
    return frames


def planar_depth(distance: np.ndarray) -> np.ndarray:
    """Distances from the camera's centre -> depths along its axis.

    A pixel's ray is (x, y, f) with x and y from the middle of the image to the middle of the pixel; its depth is the
    share f / |(x, y, f)| of its distance.

    Args:
        distance: (768, 1024), metres.

    Returns:
        (768, 1024) float64, metres, larger is farther.
    """
    return distance * _axis_share()


@lru_cache(maxsize=1)
def _axis_share() -> np.ndarray:
    x = np.arange(WIDTH) + 0.5 - WIDTH / 2
    y = np.arange(HEIGHT) + 0.5 - HEIGHT / 2
    return FOCAL_PX / np.sqrt(x**2 + y[:, None] ** 2 + FOCAL_PX**2)  # (W,), (H, 1) -> (H, W)


def _files(root: Path, frame: str) -> tuple[Path, Path]:
    scene, camera, number = frame.split("/")
    images = root / scene / "images"
    return (
        images / f"scene_{camera}_final_preview" / f"frame.{number}.tonemap.jpg",
        images / f"scene_{camera}_geometry_hdf5" / f"frame.{number}.depth_meters.hdf5",
    )


def _read(root: Path, name: str, frames: list[str], number: int) -> Sample:
    image_file, depth_file = _files(root, frames[number])
    return labeled_sample(
        decode_image(image_file),
        _read_depth(depth_file, name),
        origin=f"{name}/{frames[number]}",
        depth_file=depth_file,
        domain="indoor",
    )


def _read_depth(file: Path, name: str) -> Tensor:
    try:
        with import_extra("h5py", name).File(file) as content:
            distance = np.asarray(content["dataset"], dtype=np.float64)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise BrokenSampleError(
            f"{file} has no `dataset` of numbers that can be read: {first_words(error)}."
        ) from error
    if distance.shape != (HEIGHT, WIDTH):
        raise BrokenSampleError(
            f"{file} has the shape {distance.shape}; {(HEIGHT, WIDTH)} was expected, to which the focal length belongs."
        )
    depth = decode_depth(planar_depth(distance), name=str(file))
    return depth.masked_fill_(depth.isinf(), torch.nan)
