"""DDAD: the front camera of the 3950 validation samples, streets, with the points of laser scanners up to 250 m.

Guizilini et al., "3D Packing for Self-Supervised Monocular Depth Estimation" (arXiv 1905.02693);
https://github.com/TRI-ML/DDAD, whose archive unpacks into ddad_train_val/. The layout is DGP's
(https://github.com/TRI-ML/dgp, dgp/proto): `ddad.json` names the scenes of each split (0 train, 1 val); a scene's JSON
has samples, each of which names its data (images, point clouds, with the pose of the sensor in the world) and its
calibration; a cloud is the array `data` of an `.npz`, metres in the scanner's frame. The folder is read without dgp.

Depth is made as dgp's `get_depth_from_point_cloud` does: from the scanner's frame into the world, into the camera's
frame at the time of the image, through the pinhole without distortion, pixel = floor. Where several points fall on one
pixel the nearest wins; dgp keeps the last one of the file.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import (
    first_words,
    labeled_sample,
    read_json,
    warn_if_partial,
)

OFFICIAL_IMAGES = 3950
CAMERA, SCANNER = "camera_01", "lidar"  # datum names, whatever their case, as dgp takes them
VALIDATION = "1"  # DatasetSplit of dgp/proto/dataset.proto
# MiDaS has no DDAD, and Depth Anything does not say what it caps; this is the cap of ZoeDepth's metric scores.
RELATIVE_MAX_DEPTH_M = 80.0
SOURCE = "https://github.com/TRI-ML/DDAD"
LAYOUT = (
    "ddad.json with 000150/{scene_*.json, rgb/CAMERA_01/*.png, point_cloud/LIDAR/*.npz, calibration/*.json} and so on, "
    "as DDAD.tar unpacks into ddad_train_val/"
)


@dataclass(frozen=True)
class Pose:
    """Position of a sensor in the world: x_world = rotation @ x_sensor + translation; metres.

    Args:
        rotation: (3, 3).
        translation: (3,).
    """

    rotation: np.ndarray
    translation: np.ndarray


@dataclass(frozen=True)
class _Frame:
    image: Path
    cloud: Path
    calibration: Path
    camera_pose: Pose
    cloud_pose: Pose


def open_set(root: Path, name: str) -> BenchmarkSet:
    """Finds the front images of the validation scenes, in the order of `ddad.json` and of each scene.

    Args:
        root: folder of `ddad.json`.
        name: of the benchmark.

    Raises:
        ValueError: if files are missing, or a JSON file is not DGP's.
    """
    listed = root / "ddad.json"
    check_complete(name, root, [listed], LAYOUT)
    try:
        scenes = [root / file for file in read_json(listed)["scene_splits"][VALIDATION]["filenames"]]
    except (KeyError, TypeError):
        scenes = []
    if not scenes:
        raise ValueError(f"{listed} names no validation scenes in scene_splits; take the official file.")
    check_complete(name, root, scenes, LAYOUT)
    frames = [frame for scene in scenes for frame in _frames_of(scene)]
    needed = [file for frame in frames for file in (frame.image, frame.cloud, frame.calibration)]
    check_complete(name, root, list(dict.fromkeys(needed)), LAYOUT)
    warn_if_partial(name, len(frames), OFFICIAL_IMAGES)
    names = [str(frame.image.relative_to(root)) for frame in frames]
    return BenchmarkSet(name, names, partial(_read, frames), "ddad", RELATIVE_MAX_DEPTH_M, "outdoor", SOURCE)


def project(points: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> Tensor:
    """Sparse depth of points seen by a pinhole camera.

    Args:
        points: (N, 3) metres in the camera's frame: x right, y down, z forward.
        intrinsics: (3, 3): focal lengths and centre, in pixels.
        height: of the image.
        width: of the image.

    Returns:
        (height, width) float32 metres along the optical axis; of several points on a pixel the nearest; NaN where
        there is none.
    """
    points = points[points[:, 2] > 0]
    column, row, z = (points @ intrinsics.T).T
    columns, rows = np.floor(column / z), np.floor(row / z)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    depth = np.full((height, width), np.inf, dtype=np.float32)
    pixels = rows[inside].astype(np.int64), columns[inside].astype(np.int64)
    np.minimum.at(depth, pixels, z[inside].astype(np.float32))
    return torch.from_numpy(np.where(np.isinf(depth), np.float32(np.nan), depth))


def _frames_of(file: Path) -> list[_Frame]:
    """The samples of a scene that have a front image and a point cloud, in order."""
    scene, folder = read_json(file), file.parent
    try:
        data = {datum["key"]: datum for datum in scene["data"]}
        frames = []
        for sample in scene["samples"]:
            found = {data[key]["id"]["name"].lower(): data[key]["datum"] for key in sample["datum_keys"] if key in data}
            if CAMERA not in found or SCANNER not in found:
                continue  # as dgp's SynchronizedSceneDataset does
            image, cloud = found[CAMERA]["image"], found[SCANNER]["point_cloud"]
            frames.append(
                _Frame(
                    image=folder / image["filename"],
                    cloud=folder / cloud["filename"],
                    calibration=folder / "calibration" / f"{sample['calibration_key']}.json",
                    camera_pose=pose_of(image["pose"]),
                    cloud_pose=pose_of(cloud["pose"]),
                )
            )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not a scene of DGP ({first_words(error)}); take the official file.") from error
    if not frames:
        raise ValueError(f"{file} has no sample with both {CAMERA} and {SCANNER}; take the official file.")
    return frames


def pose_of(stored: dict[str, Any]) -> Pose:
    """A pose of DGP's JSON, in which numbers that are 0 may be left out and no rotation at all is the identity."""
    rotation, translation = stored.get("rotation", {}), stored.get("translation", {})
    w, x, y, z = (float(rotation.get(key, 0.0)) for key in ("qw", "qx", "qy", "qz"))
    moved = np.array([float(translation.get(key, 0.0)) for key in ("x", "y", "z")])
    length = np.sqrt(w * w + x * x + y * y + z * z)
    if length == 0:
        return Pose(np.eye(3), moved)
    w, x, y, z = w / length, x / length, y / length, z / length
    turned = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return Pose(np.array(turned), moved)


def _intrinsics(file: Path) -> np.ndarray:
    """(3, 3) of the front camera, of a calibration's file."""
    stored = read_json(file)
    try:
        place = [listed.lower() for listed in stored["names"]].index(CAMERA)
        fx, fy, cx, cy = (float(stored["intrinsics"][place].get(key, 0.0)) for key in ("fx", "fy", "cx", "cy"))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BrokenSampleError(f"{file} has no intrinsics of {CAMERA}; take the official file") from error
    if fx <= 0 or fy <= 0:
        raise BrokenSampleError(f"{file} has the focal lengths {fx} and {fy} for {CAMERA}; they must be positive")
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _points_of(file: Path) -> np.ndarray:
    """(N, 3) float64 metres in the scanner's frame."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            stored = arrays["data"]
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise BrokenSampleError(f"{file} cannot be read as a point cloud: {first_words(error)}") from error
    if stored.dtype.names is not None:  # the other form that dgp reads
        if not {"X", "Y", "Z"} <= set(stored.dtype.names):
            raise BrokenSampleError(f"{file} has the fields {', '.join(stored.dtype.names)}; expected are X, Y and Z")
        stored = np.stack([stored[axis].reshape(-1) for axis in "XYZ"], axis=1)
    if stored.ndim != 2 or stored.shape[1] < 3 or not np.issubdtype(stored.dtype, np.number):
        raise BrokenSampleError(
            f"{file} has {stored.dtype} of shape {stored.shape}; expected are numbers, (N, 3 or more)"
        )
    return stored[:, :3].astype(np.float64)


def _read(frames: list[_Frame], index: int) -> Sample:
    frame = frames[index]
    image = decode_image(frame.image)
    intrinsics, points = _intrinsics(frame.calibration), _points_of(frame.cloud)
    world = points @ frame.cloud_pose.rotation.T + frame.cloud_pose.translation
    # The inverse of the camera's pose, applied to rows.
    seen = (world - frame.camera_pose.translation) @ frame.camera_pose.rotation
    depth = project(seen, intrinsics, image.shape[-2], image.shape[-1])
    return labeled_sample(image, depth, origin=str(frame.image), depth_file=frame.image, domain="outdoor")
