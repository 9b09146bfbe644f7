"""HyperSim: the public test rows of the split, distances made depths, and what is said of missing or broken files."""

import math
import sys

import h5py
import numpy as np
import pytest
import torch
from benchmark_folders import touch, write, write_image

from semidepth.evaluation.benchmarks import open_benchmark

HEADER = "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name"
ROWS = [
    "ai_001_001,cam_00,0,True,,train",
    "ai_001_010,cam_00,0,True,,test",
    "ai_001_010,cam_00,12,True,,test",
    "ai_001_010,cam_01,3,False,CONTENT FLAGGED FOR REMOVAL,",
    "ai_002_003,cam_00,7,True,,val",
    "ai_010_008,cam_02,99,True,,test",
]
FRAMES = ["ai_001_010/cam_00/0000", "ai_001_010/cam_00/0012", "ai_010_008/cam_02/0099"]
IMAGE = "ai_001_010/images/scene_cam_00_final_preview/frame.0000.tonemap.jpg"
DEPTH = "ai_001_010/images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5"
FILES = [
    IMAGE,
    DEPTH,
    "ai_001_010/images/scene_cam_00_final_preview/frame.0012.tonemap.jpg",
    "ai_001_010/images/scene_cam_00_geometry_hdf5/frame.0012.depth_meters.hdf5",
    "ai_010_008/images/scene_cam_02_final_preview/frame.0099.tonemap.jpg",
    "ai_010_008/images/scene_cam_02_geometry_hdf5/frame.0099.depth_meters.hdf5",
]


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "metadata_images_split_scene_v1.csv", "\n".join([HEADER, *ROWS, ""]).encode())
    return touch(tmp_path, FILES)


def write_distance(root, distance):
    with h5py.File(root / DEPTH, "w") as file:
        file.create_dataset("dataset", data=distance)


def write_sample(root, distance):
    """Rows darken downwards, in the one image that is not empty."""
    gray = np.repeat(np.linspace(255, 0, 768).astype(np.uint8), 1024).reshape(768, 1024)
    write_image(root / IMAGE, np.stack([gray] * 3, -1))
    write_distance(root, distance)


def test_the_public_test_rows_in_order_without_reading_any(root):
    images = open_benchmark("hypersim", root)
    assert list(images.frames) == FRAMES
    assert (images.protocol, images.relative_max_depth_m, images.domain) == ("hypersim", None, "indoor")


def test_distances_become_depths_along_the_axis(root):
    distance = np.full((768, 1024), 10.0, dtype=np.float16)
    distance[0, 0] = 5.0
    distance[1, 1] = np.nan
    distance[2, 2] = np.inf
    distance[3, 3] = 0.0
    write_sample(root, distance)
    sample = open_benchmark("hypersim", root).read(0)
    depth = sample["depth"]
    assert depth.shape == (768, 1024)
    assert depth.dtype == torch.float32
    # Pixel (383, 511) is half a pixel off the middle: 10 * 886.81 / sqrt(0.5² + 0.5² + 886.81²).
    assert depth[383, 511].item() == pytest.approx(9.999996821, rel=1e-6)
    # The corner (0, 0): x = -511.5, y = -383.5; 511.5² + 383.5² + 886.81² = 261632.25 + 147072.25 + 786431.9761.
    assert depth[0, 0].item() == pytest.approx(5 * 886.81 / math.sqrt(1195136.4761), rel=1e-6)
    # The corner (767, 1023) mirrors it; (767, 0) too.
    assert depth[767, 1023].item() == pytest.approx(10 * 886.81 / math.sqrt(1195136.4761), rel=1e-6)
    assert depth[767, 0] == depth[767, 1023]
    # The middle of the left edge sees 30 degrees off the axis, less half a pixel: cos 30° = 0.8660.
    assert depth[384, 0].item() == pytest.approx(10 * 0.8660, abs=3e-3)
    assert torch.isnan(depth[[1, 2, 3], [1, 2, 3]]).all()
    assert depth.isnan().sum() == 3
    assert sample["image"].shape == (3, 768, 1024)
    assert sample["image"][0, 0].float().mean() > 250 > 5 > sample["image"][0, 767].float().mean()
    assert (sample["origin"], sample["domain"]) == (f"hypersim/{FRAMES[0]}", "indoor")


def test_missing_files_are_counted_and_one_is_named(root):
    (root / FILES[4]).unlink()
    (root / FILES[5]).unlink()
    said = r"^2 of 6 files of hypersim are missing .*ai_010_008/images/scene_cam_02_final_preview/frame\.0099\.tonemap"
    with pytest.raises(ValueError, match=said):
        open_benchmark("hypersim", root)
    (root / "metadata_images_split_scene_v1.csv").unlink()
    with pytest.raises(ValueError, match=r"^1 of 1 files of hypersim .*such as metadata_images_split_scene_v1\.csv;"):
        open_benchmark("hypersim", root)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", r"has no column 'scene_name'; the split file"),
        (f"{HEADER}\n{ROWS[0]}\n", r"has no public row of the test partition"),
        ("", r"has no column 'scene_name'"),
    ],
)
def test_another_csv_is_named(root, content, said):
    (root / "metadata_images_split_scene_v1.csv").write_text(content)
    with pytest.raises(ValueError, match=rf"metadata_images_split_scene_v1\.csv {said}"):
        open_benchmark("hypersim", root)


def test_broken_depth_is_named(root):
    write_sample(root, np.ones((768, 1024), np.float32))
    file = root / DEPTH
    whole = file.read_bytes()
    for content in (b"", b"nonsense" * 100, whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"frame\.0000\.depth_meters\.hdf5 has no `dataset` of numbers"):
            open_benchmark("hypersim", root).read(0)
    with h5py.File(file, "w") as other:
        other.create_dataset("depth", data=np.ones((768, 1024)))
    with pytest.raises(ValueError, match=r"depth_meters\.hdf5 has no `dataset` of numbers"):
        open_benchmark("hypersim", root).read(0)
    write_distance(root, np.ones((384, 512)))
    with pytest.raises(ValueError, match=r"depth_meters\.hdf5 has the shape \(384, 512\); \(768, 1024\) was expected"):
        open_benchmark("hypersim", root).read(0)


def test_an_image_of_another_size_is_named(root):
    write_sample(root, np.ones((768, 1024), np.float32))
    write_image(root / IMAGE, np.zeros((384, 512, 3), np.uint8))
    with pytest.raises(ValueError, match=r"depth_meters\.hdf5 has depth of 1024x768 and its image has 512x384"):
        open_benchmark("hypersim", root).read(0)


def test_without_h5py_it_says_what_to_install_when_opened(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)  # what Python itself takes for "cannot be imported"
    with pytest.raises(ValueError, match=r"^hypersim needs h5py .*; run: pip install 'semidepth\[benchmarks\]'\.$"):
        open_benchmark("hypersim", root)
