"""Virtual KITTI 2: 21,260 rendered street images of the left camera, 1242 x 375, with dense depth.

Layout (https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2/; Cabon et al., arXiv
2001.10773), as vkitti_2.0.3_rgb.tar and vkitti_2.0.3_depth.tar unpack into one folder, or each into a folder of its
own, called vkitti_2.0.3_rgb and vkitti_2.0.3_depth, or rgb and depth:

    Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg
    Scene01/clone/frames/depth/Camera_0/depth_00000.png    16 bits, centimetres; 65535 is the sky

Five scenes, each in ten variants of weather, light and direction.

ZoeDepth (arXiv 2302.12288), and Depth Anything (2401.10891) with its code, score 1701 of these 21,260 images, all
variants, up to 80 m: 8 in 100, drawn at random without a seed; the list was not published. Here it is 1701 images
spread evenly over the 21,260 in order, always the same, unless the folder has a `test.txt` as ZoeDepth's code writes
it: paths of images, one a line, of which the part from the scene on is used. Neither MiDaS nor Depth Anything scores
relative depth on it, so that there is no cap to take over.
"""

import re
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from semidepth.data.decoding import decode_image
from semidepth.data.depth_decoding import DepthCoding, decode_depth
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks.base import BenchmarkSet, check_complete
from semidepth.evaluation.benchmarks.files import labeled_sample

SCENES = {"Scene01": 447, "Scene02": 233, "Scene06": 270, "Scene18": 339, "Scene20": 837}
VARIANTS = (
    "15-deg-left",
    "15-deg-right",
    "30-deg-left",
    "30-deg-right",
    "clone",
    "fog",
    "morning",
    "overcast",
    "rain",
    "sunset",
)
TEST_IMAGES = 1701
LAYOUT = (
    "Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg and Scene01/clone/frames/depth/Camera_0/depth_00000.png for 5 "
    "scenes in 10 variants, together or below vkitti_2.0.3_rgb and vkitti_2.0.3_depth or rgb and depth"
)

# 65535 cm; the largest depth is 1 cm less.
_SKY_M = 655.345
_LINE = re.compile(r"(Scene\d\d)/([^/]+)/frames/rgb/(Camera_\d)/rgb_(\d{5})\.jpg$")


def open_set(root: Path, name: str) -> BenchmarkSet:
    """The images of test.txt in its order, or 1701 spread evenly over the set."""
    check_complete(name, root, [], LAYOUT)
    listed = root / "test.txt"
    frames = read_list(listed) if listed.is_file() else spread_evenly()
    tops = _find_tops(root)
    check_complete(name, root, [file for frame in frames for file in _files(tops, frame)], LAYOUT)
    return BenchmarkSet(
        name=name,
        frames=frames,
        read=partial(_read, tops, name, frames),
        protocol="vkitti2",
        relative_max_depth_m=None,
        domain="outdoor",
        source="https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2/; range and number "
        "of images of ZoeDepth, arXiv 2302.12288",
    )


def spread_evenly() -> list[str]:
    """1701 of the left camera's 21,260 images, as "Scene01/clone/Camera_0/00000"."""
    every = [
        f"{scene}/{variant}/Camera_0/{number:05}"
        for scene, count in SCENES.items()
        for variant in VARIANTS
        for number in range(count)
    ]
    return [every[index * len(every) // TEST_IMAGES] for index in range(TEST_IMAGES)]


def read_list(file: Path) -> list[str]:
    """The images that a list of paths names, as [`spread_evenly`] does.

    Raises:
        ValueError: if a line names no image of the set, or two name the same.
    """
    frames = []
    for line in filter(None, map(str.strip, file.read_text().splitlines())):
        match = _LINE.search(line.replace("\\", "/"))
        if match is None:
            raise ValueError(
                f"{file} has the line {line!r}; paths such as Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg were "
                "expected, one a line."
            )
        frames.append("/".join(match.groups()))
    if not frames or len(set(frames)) < len(frames):
        raise ValueError(
            f"{file} names {len(set(frames))} different images in {len(frames)} lines; each image once was expected."
        )
    return frames


def _find_tops(root: Path) -> tuple[Path, Path]:
    """The folders of the scenes with images, and with depth."""
    for rgb, depth in (("vkitti_2.0.3_rgb", "vkitti_2.0.3_depth"), ("rgb", "depth")):
        if (root / rgb).is_dir():
            return root / rgb, root / depth
    return root, root


def _files(tops: tuple[Path, Path], frame: str) -> tuple[Path, Path]:
    scene, variant, camera, number = frame.split("/")
    rgb, depth = (top / scene / variant / "frames" for top in tops)
    return rgb / "rgb" / camera / f"rgb_{number}.jpg", depth / "depth" / camera / f"depth_{number}.png"


def _read(tops: tuple[Path, Path], name: str, frames: list[str], number: int) -> Sample:
    image_file, depth_file = _files(tops, frames[number])
    return labeled_sample(
        decode_image(image_file),
        read_depth(depth_file),
        origin=f"{name}/{frames[number]}",
        depth_file=depth_file,
        domain="outdoor",
    )


def read_depth(file: Path) -> Tensor:
    """Centimetres of 16 bits.

    Returns:
        (H, W) float32 metres, larger is farther; inf for the sky, NaN where 0 is stored.

    Raises:
        BrokenSampleError: not a depth map, or cut off.
    """
    depth = decode_depth(file, DepthCoding(scale=0.01))
    return torch.where(depth > _SKY_M, torch.inf, depth)
