"""DA-2K: pairs of points in 1K images of eight kinds of scene, of which the nearer is known.

Yang et al., "Depth Anything V2" (arXiv 2406.09414), section 6; https://huggingface.co/datasets/depth-anything/DA-2K,
its DA-2K.zip unpacked. `annotations.json` has for each image's path a list of {"point1": [row, column], "point2": [row,
column], "closer_point": "point1"}; images are `images/SCENE/NAME`, and SCENE is one of indoor, outdoor, non_real,
transparent_reflective, adverse_style, aerial, underwater, object.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.evaluation.benchmarks.base import PointPairs, PointPairSet, check_complete
from semidepth.evaluation.benchmarks.files import read_json

SOURCE = "https://huggingface.co/datasets/depth-anything/DA-2K"
ANNOTATIONS = "annotations.json"
LAYOUT = f"{ANNOTATIONS} and images/indoor/*.jpg, images/outdoor/*.jpg and so on, as DA-2K.zip unpacks into DA-2K/"


def open_set(root: Path, name: str) -> PointPairSet:
    """Finds the images in the order of the annotations; all points are read, no image is.

    Args:
        root: folder of `annotations.json`.
        name: of the benchmark.

    Raises:
        ValueError: if files are missing, or the annotations are not as described.
    """
    file = root / ANNOTATIONS
    check_complete(name, root, [file], LAYOUT)
    annotations = read_json(file)
    if not isinstance(annotations, dict) or not annotations:
        raise ValueError(f"{file} must be a JSON object of image paths with lists of pairs; take that of DA-2K.")
    pairs = [_points(file, image, listed) for image, listed in annotations.items()]
    frames = list(annotations)
    check_complete(name, root, [root / frame for frame in frames], LAYOUT)
    return PointPairSet(name, frames, partial(_read, root, frames, pairs), SOURCE)


def _points(file: Path, image: str, listed: Any) -> np.ndarray:
    """(N, 2, 2) int: of each pair the nearer point, then the farther, as row and column."""
    points = []
    try:
        for pair in listed:
            nearer = pair["closer_point"]
            farther = {"point1": "point2", "point2": "point1"}[nearer]
            points.append([[int(number) for number in pair[key]] for key in (nearer, farther)])
        found = np.array(points, dtype=np.int64)
        if found.ndim != 3 or found.shape[1:] != (2, 2):
            raise ValueError
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{file} has for {image!r} something else than a list of {{point1: [row, column], point2: [row, column], "
            "closer_point: point1 or point2}; take that of DA-2K."
        ) from error
    return found


def _read(root: Path, frames: list[str], pairs: list[np.ndarray], index: int) -> PointPairs:
    frame, points = frames[index], pairs[index]
    origin = str(root / frame)
    image = decode_image(root / frame).contiguous()
    height, width = image.shape[-2:]
    if points.min() < 0 or points[..., 0].max() >= height or points[..., 1].max() >= width:
        raise BrokenSampleError(f"{origin} has {width}x{height} pixels and a labeled point lies outside")
    parts = Path(frame).parts
    scene = parts[1] if len(parts) > 2 else ""
    return PointPairs(image=image, nearer=points[:, 0], farther=points[:, 1], domain=scene, origin=origin)
