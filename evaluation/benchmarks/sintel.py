"""MPI Sintel with depth: 1064 frames of a rendered film, 1024 x 436, with dense depth.

Layout, as the images (MPI-Sintel-training_images.zip) and the depth (MPI-Sintel-depth-training-20150305.zip) unpack
into one folder (http://sintel.is.tue.mpg.de/depth; Butler et al., ECCV 2012):

    training/final/alley_1/frame_0001.png
    training/depth/alley_1/frame_0001.dpt    float 202021.25, int width, int height, then rows of float32 metres

The format of .dpt is that of `sintel_io.py`, which comes with the depth; all numbers are little-endian. Depth runs
along the optical axis. The sky has no mark of its own: it is merely far.

All frames that have depth are used, with labels up to 72 m, as MiDaS does (arXiv 1907.01341, "Test datasets and
metrics"), whose sets Depth Anything (2401.10891) takes over. Neither says which of the two passes it shows to the
model; here it is "final", with motion blur, fog and depth of field, as later evaluations on Sintel write out.
"""

import struct
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.data.depth_decoding import decode_depth
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import labeled_sample

SCENES = {
    **dict.fromkeys(("alley_1", "alley_2"), 50),
    **{"ambush_2": 21, "ambush_4": 33, "ambush_5": 50, "ambush_6": 20, "ambush_7": 50},
    **dict.fromkeys(("bamboo_1", "bamboo_2", "bandage_1", "bandage_2", "cave_2", "cave_4"), 50),
    **{"market_2": 50, "market_5": 50, "market_6": 40},
    **dict.fromkeys(("mountain_1", "shaman_2", "shaman_3", "sleeping_1", "sleeping_2", "temple_2", "temple_3"), 50),
}
MAX_DEPTH_M = 72.0
LAYOUT = "training/final/<scene>/frame_0001.png and training/depth/<scene>/frame_0001.dpt for 23 scenes (1064 frames)"

_TAG = 202021.25
_HEADER = struct.Struct("<fii")


def open_set(root: Path, name: str) -> BenchmarkSet:
    """The 1064 frames of the final pass that have depth, by scene and number."""
    frames = [f"{scene}/frame_{number:04}" for scene, count in SCENES.items() for number in range(1, count + 1)]
    files = [file for frame in frames for file in _files(root, frame)]
    check_complete(name, root, files, LAYOUT)
    return BenchmarkSet(
        name=name,
        frames=frames,
        read=partial(_read, root, name, frames),
        protocol="none",
        relative_max_depth_m=MAX_DEPTH_M,
        domain="",
        source="http://sintel.is.tue.mpg.de/depth; frames and cap of MiDaS, arXiv 1907.01341",
    )


def read_dpt(file: Path) -> Tensor:
    """A Sintel depth file.

    Returns:
        (H, W) float32 metres, larger is farther; NaN where nothing positive is stored.

    Raises:
        BrokenSampleError: if it is none, or cut off.
    """
    content = file.read_bytes()
    tag, width, height = _HEADER.unpack_from(content) if len(content) >= _HEADER.size else (0.0, 0, 0)
    if tag != _TAG or width < 1 or height < 1:
        raise BrokenSampleError(f"{file} is no Sintel depth: {_TAG}, width and height were expected at its beginning.")
    if len(content) != _HEADER.size + 4 * width * height:
        raise BrokenSampleError(
            f"{file} has {len(content)} bytes where {width}x{height} pixels of depth need "
            f"{_HEADER.size + 4 * width * height}; it is damaged, unpack it again."
        )
    values = np.frombuffer(content, "<f4", offset=_HEADER.size).reshape(height, width)
    return decode_depth(values, name=str(file))


def _files(root: Path, frame: str) -> tuple[Path, Path]:
    return root / "training" / "final" / f"{frame}.png", root / "training" / "depth" / f"{frame}.dpt"


def _read(root: Path, name: str, frames: list[str], number: int) -> Sample:
    image_file, depth_file = _files(root, frames[number])
    return labeled_sample(
        decode_image(image_file),
        read_dpt(depth_file),
        origin=f"{name}/{frames[number]}",
        depth_file=depth_file,
        domain="",
    )
