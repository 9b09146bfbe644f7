"""Virtual KITTI 2: which images, centimetres and sky, where it may be unpacked, and what is said of missing files."""

import math
import struct
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from benchmark_folders import assert_metres, picture, touch, write, write_image

from semidepth.evaluation.benchmarks import open_benchmark
from semidepth.evaluation.benchmarks.vkitti2 import SCENES, VARIANTS, spread_evenly

RGB = "Scene01/15-deg-left/frames/rgb/Camera_0/rgb_00000.jpg"
DEPTH = "Scene01/15-deg-left/frames/depth/Camera_0/depth_00000.png"


def files_of(frame, rgb="", depth=""):
    scene, variant, camera, number = frame.split("/")
    return (
        f"{rgb}{scene}/{variant}/frames/rgb/{camera}/rgb_{number}.jpg",
        f"{depth}{scene}/{variant}/frames/depth/{camera}/depth_{number}.png",
    )


@pytest.fixture
def root(tmp_path):
    return touch(tmp_path, [file for frame in spread_evenly() for file in files_of(frame)])


@pytest.fixture
def small(tmp_path):
    """Only the first image, by a list."""
    (tmp_path / "test.txt").write_text(RGB)
    return touch(tmp_path, [RGB, DEPTH])


def png16(rows: list[list[int]]) -> bytes:
    """A 16-bit gray PNG written out by hand: big-endian, each row after a filter byte."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 16, 0, 0, 0, 0)
    pixels = b"".join(b"\0" + struct.pack(f">{len(row)}H", *row) for row in rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def test_1701_images_spread_over_all_scenes_and_variants_without_reading_any(root):
    images = open_benchmark("vkitti2", root)
    assert len(images) == 1701  # ZoeDepth, arXiv 2302.12288
    assert sum(SCENES.values()) * len(VARIANTS) == 21260
    assert images.frames[0] == "Scene01/15-deg-left/Camera_0/00000"
    # 21260 / 1701 = 12.4985…: steps of 12 and 13, so that the next ones are 12, 24, 37.
    assert [frame[-5:] for frame in images.frames[1:4]] == ["00012", "00024", "00037"]
    assert list(images.frames) == sorted(set(images.frames))
    by_scene = Counter(frame.split("/")[0] for frame in images.frames)
    for scene, count in SCENES.items():  # each has its share of 8.0 in 100
        assert by_scene[scene] == pytest.approx(count * 10 * 1701 / 21260, abs=1)
    assert set(Counter(frame.split("/")[1] for frame in images.frames)) == set(VARIANTS)
    assert (images.protocol, images.relative_max_depth_m, images.domain) == ("vkitti2", None, "outdoor")


def test_centimetres_become_metres_and_65535_is_sky(small):
    write_image(small / RGB, np.full((2, 3, 3), (10, 200, 90), np.uint8), quality=100)
    write(small / DEPTH, png16([[100, 12345, 65535], [65534, 0, 1]]))
    sample = open_benchmark("vkitti2", small).read(0)
    assert_metres(sample["depth"], [[1.0, 123.45, math.inf], [655.34, math.nan, 0.01]])
    assert sample["depth"].dtype == torch.float32
    assert sample["image"].shape == (3, 2, 3)
    assert (sample["image"].float().mean((1, 2)) - torch.tensor([10.0, 200.0, 90.0])).abs().max() < 4
    assert (sample["origin"], sample["domain"]) == ("vkitti2/Scene01/15-deg-left/Camera_0/00000", "outdoor")


def test_large_maps_are_read_alike(small):
    """Maps beyond 65536 pixels are converted another way."""
    write_image(small / RGB, picture(375, 1242))
    rows = [[65535] * 1242] * 100 + [[2500] * 1242] * 275
    write(small / DEPTH, png16(rows))
    depth = open_benchmark("vkitti2", small).read(0)["depth"]
    assert torch.isinf(depth[:100]).all()
    assert (depth[100:] == 25.0).all()


@pytest.mark.parametrize(("rgb", "depth"), [("vkitti_2.0.3_rgb/", "vkitti_2.0.3_depth/"), ("rgb/", "depth/")])
def test_the_archives_may_lie_in_folders_of_their_own(tmp_path, rgb, depth):
    frames = ["Scene20/rain/Camera_0/00836", "Scene01/15-deg-left/Camera_0/00000"]
    touch(tmp_path, [file for frame in frames for file in files_of(frame, rgb, depth)])
    (tmp_path / "test.txt").write_text("".join(f"{files_of(frame)[0]}\n" for frame in frames))
    write_image(tmp_path / rgb / RGB, picture(1, 2))
    write(tmp_path / depth / DEPTH, png16([[300, 400]]))
    images = open_benchmark("vkitti2", tmp_path)
    assert list(images.frames) == frames
    assert_metres(images.read(1)["depth"], [[3.0, 4.0]])


def test_a_list_in_the_folder_is_followed(tmp_path):
    lines = [
        "/home/someone/vkitti2/rgb/Scene20/rain/frames/rgb/Camera_0/rgb_00836.jpg",
        "Scene02/clone/frames/rgb/Camera_1/rgb_00004.jpg",
        "",
    ]
    frames = ["Scene20/rain/Camera_0/00836", "Scene02/clone/Camera_1/00004"]
    touch(tmp_path, [file for frame in frames for file in files_of(frame)])
    (tmp_path / "test.txt").write_text("\n".join(lines))
    assert list(open_benchmark("vkitti2", tmp_path).frames) == frames


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "Scene01/clone/depth_00000.png\n",
            r"has the line 'Scene01/clone/depth_00000\.png'; paths such as Scene01",
        ),
        ("Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg\n" * 2, r"names 1 different images in 2 lines"),
        ("", r"names 0 different images in 0 lines"),
    ],
)
def test_a_wrong_list_is_named(tmp_path, content, said):
    (tmp_path / "test.txt").write_text(content)
    with pytest.raises(ValueError, match=rf"test\.txt {said}"):
        open_benchmark("vkitti2", tmp_path)


def test_missing_files_are_counted_and_one_is_named(root):
    (root / DEPTH).unlink()
    said = r"^1 of 3402 files of vkitti2 are missing .*15-deg-left/frames/depth/Camera_0/depth_00000\.png; expected"
    with pytest.raises(ValueError, match=said):
        open_benchmark("vkitti2", root)
    with pytest.raises(ValueError, match=r"not a folder; vkitti2 is expected there as Scene01/clone/frames/rgb"):
        open_benchmark("vkitti2", root / "nowhere")


def test_broken_depth_is_named(small):
    write_image(small / RGB, picture(2, 3))
    whole = png16([[100, 200, 300], [400, 500, 600]])
    for content in (b"", whole[:50]):
        write(small / DEPTH, content)
        with pytest.raises(ValueError, match=r"depth_00000\.png cannot be decoded as depth"):
            open_benchmark("vkitti2", small).read(0)
    write(small / DEPTH, png16([[100, 200]]))
    with pytest.raises(ValueError, match=r"depth_00000\.png has depth of 2x1 and its image has 3x2"):
        open_benchmark("vkitti2", small).read(0)
