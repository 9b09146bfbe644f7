"""KITTI: the Eigen list, labels of two folders in metres times 256, images without a label, what is refused."""

from pathlib import Path

import numpy as np
import pytest
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

HEIGHT, WIDTH = 5, 12
DRIVES = {"0002": "train", "0013": "val"}
LINES = [("0013", 5, True), ("0002", 69, True), ("0002", 75, False), ("0002", 54, True)]


def image_of(drive: str, number: int) -> str:
    return f"2011_09_26/2011_09_26_drive_{drive}_sync/image_02/data/{number:010}.png"


def label_of(drive: str, number: int) -> str:
    return f"2011_09_26_drive_{drive}_sync/proj_depth/groundtruth/image_02/{number:010}.png"


def stored(number: int) -> np.ndarray:
    """(H, W) uint16: known in the last two rows alone, each pixel number metres and its column in sixteenths."""
    label = np.zeros((HEIGHT, WIDTH), dtype=np.uint16)
    label[3:] = number * 256 + 16 * np.arange(WIDTH)
    return label


def list_text() -> str:
    """As published: image, label or None, focal length; no line feed at the end."""
    return "\n".join(
        f"{image_of(drive, number)} {label_of(drive, number) if labeled else 'None'} 721.5377"
        for drive, number, labeled in LINES
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path, "", "data_depth_annotated/")


def make(folder: Path, images: str, labels: str, name: str = "eigen_test_files_with_gt.txt") -> Path:
    for drive, number, labeled in LINES:
        write_image(folder / images / image_of(drive, number), gradient(HEIGHT, WIDTH, number))
        if labeled:
            write_depth(folder / labels / DRIVES[drive] / label_of(drive, number), stored(number))
    write(folder / name, list_text())
    return folder


def test_labeled_images_come_in_the_order_of_the_list(root):
    opened = open_benchmark("kitti", root)
    assert opened.frames == [image_of("0013", 5), image_of("0002", 69), image_of("0002", 54)]
    assert [opened.read(index)["image"][2, 0, 0].item() for index in range(3)] == [5, 69, 54]
    assert (opened.protocol, opened.relative_max_depth_m, opened.domain) == ("kitti", 80.0, "outdoor")


def test_depth_is_metres(root):
    sample = open_benchmark("kitti", root).read(0)
    assert sample["image"].shape == (3, HEIGHT, WIDTH)
    assert sample["image"][:, 4, 11].tolist() == [4, 11, 5]
    assert sample["depth"][3, 0].item() == 5.0
    assert sample["depth"][4, 8].item() == 5.5  # 5 * 256 + 16 * 8
    assert torch.isnan(sample["depth"][:3]).all()
    assert not torch.isnan(sample["depth"][3:]).any()


@pytest.mark.parametrize(("images", "labels"), [("raw/", ""), ("", "data_depth_annotated/"), ("raw", "")])
def test_folders_as_people_have_them(tmp_path, images, labels):
    opened = open_benchmark("kitti", make(tmp_path, images, labels, "kitti_eigen_test_files_with_gt.txt"))
    assert opened.read(2)["depth"][3, 0].item() == 54.0


def test_labels_may_lie_in_one_folder(root):
    for folder in ("train", "val"):
        for drive in (root / "data_depth_annotated" / folder).iterdir():
            target = root / "gts" / drive.name
            target.parent.mkdir(exist_ok=True)
            drive.rename(target)
    assert open_benchmark("kitti", root).read(1)["depth"][3, 0].item() == 69.0


def test_a_list_that_is_not_the_official_one_is_told(root, caplog):
    open_benchmark("kitti", root)
    assert warnings(caplog) == [
        "kitti lists 3 images here and 652 officially; scores on it compare with no published ones"
    ]


def test_without_the_list_its_source_is_told(root):
    (root / "eigen_test_files_with_gt.txt").unlink()
    message = refused("kitti", root)
    assert (
        f"1 of 1 files of kitti are missing below {root}, such as eigen_test_files_with_gt.txt; expected is" in message
    )
    assert "https://github.com/cleinc/bts/blob/master/train_test_inputs/eigen_test_files_with_gt.txt" in message


def test_missing_files_are_counted(root):
    (root / "data_depth_annotated/val" / label_of("0013", 5)).unlink()
    (root / image_of("0002", 54)).unlink()
    assert (
        f"2 of 6 files of kitti are missing below {root}, such as data_depth_annotated/train/{label_of('0013', 5)}; "
        "expected is 2011_09_26/" in refused("kitti", root)
    )


def test_an_image_without_a_label_need_not_be_there(root):
    (root / image_of("0002", 75)).unlink()
    assert len(open_benchmark("kitti", root)) == 3


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("2011_09_26/2011_09_26_drive_0002_sync 0000000069 l\n", "in line 1, which is not IMAGE.png LABEL.png FOCAL"),
        (f"\n{image_of('0002', 75)}\n", "in line 2, which is not IMAGE.png LABEL.png FOCAL"),
        ("\n", "names no labeled image"),
        (f"{image_of('0002', 75)} None 721.5\n", "names no labeled image"),
    ],
)
def test_another_list_is_refused(root, text, cause):
    write(root / "eigen_test_files_with_gt.txt", text)
    message = refused("kitti", root)
    assert message.startswith(f"{root}/eigen_test_files_with_gt.txt ")
    assert cause in message


def test_a_list_that_is_no_text_is_refused(root):
    write(root / "eigen_test_files_with_gt.txt", b"\xff\xfe\x00")
    assert "is not a text file; take the list from" in refused("kitti", root)


def test_files_cut_off_are_named(root):
    opened = open_benchmark("kitti", root)
    truncate(root / "data_depth_annotated/train" / label_of("0002", 69))
    assert label_of("0002", 69) in broken(opened, 1)
    truncate(root / image_of("0013", 5))
    assert image_of("0013", 5) in broken(opened, 0)


def test_an_8_bit_label_is_refused(root):
    label = write_image(root / "data_depth_annotated/val" / label_of("0013", 5), np.ones((HEIGHT, WIDTH), np.uint8))
    assert broken(open_benchmark("kitti", root), 0).startswith(f"{label} holds 8-bit depth")


def test_opening_reads_no_image(root):
    opens_without_reading("kitti", root)


def test_a_reader_goes_to_other_processes(root):
    opened = open_benchmark("kitti", root)
    assert torch.equal(travels(opened)(1)["image"], opened.read(1)["image"])
