"""SUN RGB-D: bits that are rotated, the official split with its foreign folders, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from benchmark_folders import (
    broken,
    gradient,
    opens_without_reading,
    refused,
    travels,
    truncate,
    warnings,
    write,
    write_depth,
    write_image,
)  # fmt: skip

from semidepth.evaluation.benchmarks import open_benchmark
from semidepth.evaluation.benchmarks.sunrgbd import unrotate

HEIGHT, WIDTH = 3, 4
SPLIT = "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat"
# As the split has them: one ends in a slash, some do not; below it 2, 2 and 5 folders.
FOLDERS = ["kv2/kinect2data/000002_2014-resize/", "kv1/NYUdata/NYU0001", "xtion/sun3ddata/brown/a/b/"]


def rotated(millimetres: int) -> int:
    """Sixteen bits, the first three moved to the end, as text."""
    bits = f"{millimetres:016b}"
    return int(bits[3:] + bits[:3], 2)


def write_split(root: Path, folders: list[str]) -> None:
    cells = np.empty((1, len(folders)), dtype=object)
    cells[0] = [f"/n/fs/sun3d/data/SUNRGBD/{folder}" for folder in folders]
    (root / SPLIT).parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(root / SPLIT, {"alltest": cells, "alltrain": cells[:, :1]})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, folder in enumerate(FOLDERS, start=1):
        place = tmp_path / "SUNRGBD" / folder
        write_image(place / "image" / f"{number:07}.jpg", np.full((HEIGHT, WIDTH, 3), 60 * number, dtype=np.uint8))
        depth = np.full((HEIGHT, WIDTH), rotated(1000 * number + 5), dtype=np.uint16)
        depth[0] = [0, rotated(7999), rotated(8000), rotated(8001)]
        write_depth(place / "depth" / f"{number + 100:07}.png", depth)
        write_depth(place / "depth_bfx" / f"{number + 100:07}.png", np.full((HEIGHT, WIDTH), 8, dtype=np.uint16))
    write_split(tmp_path, FOLDERS)
    return tmp_path


def test_bits_are_rotated_back_for_all_numbers():
    every = np.arange(65536, dtype=np.uint16)
    stored = np.array([rotated(int(number)) for number in every], dtype=np.uint16)
    assert np.array_equal(unrotate(stored), every)
    assert unrotate(np.array([[8, 1]], dtype=np.uint16)).tolist() == [[1, 8192]]


def test_images_come_in_the_order_of_the_split(root):
    opened = open_benchmark("sunrgbd", root)
    assert opened.frames == [
        "SUNRGBD/kv2/kinect2data/000002_2014-resize/image/0000001.jpg",
        "SUNRGBD/kv1/NYUdata/NYU0001/image/0000002.jpg",
        "SUNRGBD/xtion/sun3ddata/brown/a/b/image/0000003.jpg",
    ]
    assert [opened.read(index)["image"][0, 0, 0].item() for index in range(3)] == [60, 120, 180]
    assert (opened.protocol, opened.relative_max_depth_m, opened.domain) == ("sunrgbd", 8.0, "indoor")


def test_depth_is_metres_up_to_eight(root):
    depth = open_benchmark("sunrgbd", root).read(1)["depth"]
    assert depth.shape == (HEIGHT, WIDTH)
    assert depth[1:].unique().tolist() == pytest.approx([2.005])
    assert depth[0, 1:3].tolist() == pytest.approx([7.999, 8.0])
    assert torch.isnan(depth).nonzero().tolist() == [[0, 0], [0, 3]]


def test_the_first_image_of_a_folder_is_taken(root):
    write_image(root / "SUNRGBD" / FOLDERS[1] / "image/0000001.jpg", gradient(HEIGHT, WIDTH))
    assert open_benchmark("sunrgbd", root).frames[1].endswith("NYU0001/image/0000001.jpg")


def test_a_split_of_one_folder(root):
    write_split(root, FOLDERS[:1])
    assert len(open_benchmark("sunrgbd", root)) == 1


def test_a_split_that_is_not_the_official_one_is_told(root, caplog):
    open_benchmark("sunrgbd", root)
    assert "sunrgbd lists 3 images here and 5050 officially" in warnings(caplog)[0]


def test_missing_files_are_counted(root):
    write_split(root, [*FOLDERS, "realsense/lg/1"])
    (root / "SUNRGBD/kv1/NYUdata/NYU0001/depth/0000102.png").unlink()
    assert refused("sunrgbd", root) == (
        f"3 of 8 files of sunrgbd are missing below {root}, such as SUNRGBD/kv1/NYUdata/NYU0001/depth/*.png; expected "
        f"is SUNRGBD/kv2/kinect2data/.../{{image/*.jpg, depth/*.png}} with {SPLIT}."
    )
    (root / SPLIT).unlink()
    assert f"1 of 1 files of sunrgbd are missing below {root}, such as {SPLIT}" in refused("sunrgbd", root)


def test_another_split_is_refused(root):
    cells = np.empty((1, 2), dtype=object)
    cells[0] = ["/data/elsewhere/1", "/data/elsewhere/2"]
    scipy.io.savemat(root / SPLIT, {"alltest": cells})
    assert f"{root}/{SPLIT} has '/data/elsewhere/1' in alltest, no folder below SUNRGBD/" in refused("sunrgbd", root)
    write(root / SPLIT, b"MATLAB 5.0 MAT-file, but not at all")
    assert f"{root}/{SPLIT} cannot be read as a MATLAB file: " in refused("sunrgbd", root)


def test_files_cut_off_are_named(root):
    opened = open_benchmark("sunrgbd", root)
    depth, image = root / "SUNRGBD" / FOLDERS[0] / "depth/0000101.png", root / opened.frames[1]
    truncate(depth)
    truncate(image)
    assert str(depth) in broken(opened, 0)
    assert str(image) in broken(opened, 1)


def test_opening_reads_no_image(root):
    opens_without_reading("sunrgbd", root)


def test_a_reader_goes_to_other_processes(root):
    opened = open_benchmark("sunrgbd", root)
    assert torch.equal(travels(opened)(2)["image"], opened.read(2)["image"])
