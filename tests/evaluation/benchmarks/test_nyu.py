"""NYU Depth v2: dimensions that MATLAB wrote backwards, the official split, the exported folder, what is refused."""

import sys
from pathlib import Path

import h5py
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

HEIGHT, WIDTH = 4, 6
IMAGES = 5
TEST_NUMBERS = [2, 3, 5]  # as MATLAB counts


def metres(number: int) -> np.ndarray:
    """(H, W): 1 m at the left, 1.5 m next to it and so on, 0.01 m more a row; unknown at the top left."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    depth = (number + 1 + 0.5 * columns + 0.01 * rows).astype(np.float32)
    depth[0, 0] = 0
    return depth


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """The two files, their dimensions in the order in which HDF5 shows what MATLAB writes: last first."""
    height_width_channel_number = np.stack([gradient(HEIGHT, WIDTH, number) for number in range(IMAGES)], axis=-1)
    height_width_number = np.stack([metres(number) for number in range(IMAGES)], axis=-1)
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = height_width_channel_number.transpose()
        file["rawDepths"] = height_width_number.transpose()
        file["depths"] = np.full_like(height_width_number, 9).transpose()
    write_splits(tmp_path)
    return tmp_path


def write_splits(folder: Path, numbers: list[int] = TEST_NUMBERS) -> None:
    column = np.array(numbers, dtype=np.uint16)[:, None]
    scipy.io.savemat(folder / "splits.mat", {"testNdxs": column, "trainNdxs": np.array([[1], [4]], dtype=np.uint16)})


def exported(folder: Path, numbers: list[int]) -> Path:
    for number in numbers:
        scene = folder / ("kitchen" if number % 2 else "bathroom")
        write_image(scene / f"rgb_{number:05}.jpg", np.full((HEIGHT, WIDTH, 3), 40 * number, dtype=np.uint8))
        write_depth(scene / f"sync_depth_{number:05}.png", (metres(number) * 1000).round().astype(np.uint16))
    return folder


def test_images_and_depth_stand_upright(labeled):
    opened = open_benchmark("nyu", labeled)
    assert opened.frames == ["00001", "00002", "00004"]
    sample = opened.read(1)
    assert sample["image"].shape == (3, HEIGHT, WIDTH)
    assert sample["image"].dtype == torch.uint8
    assert sample["image"][:, 3, 1].tolist() == [3, 1, 2]  # row, column, number of the image
    assert sample["image"][:, 0, 5].tolist() == [0, 5, 2]
    assert sample["depth"].shape == (HEIGHT, WIDTH)
    assert sample["depth"].dtype == torch.float32
    assert sample["depth"][0, 5].item() == pytest.approx(3 + 2.5)
    assert sample["depth"][3, 0].item() == pytest.approx(3.03)
    assert torch.isnan(sample["depth"]).nonzero().tolist() == [[0, 0]]
    assert sample["domain"] == opened.domain == "indoor"


def test_the_set_says_how_it_is_scored(labeled):
    opened = open_benchmark("nyu", labeled)
    assert (opened.name, opened.protocol, opened.relative_max_depth_m) == ("nyu", "nyu", 10.0)
    assert len(opened) == 3


def test_numbers_keep_the_order_of_the_split(labeled):
    write_splits(labeled, [5, 1])
    opened = open_benchmark("nyu", labeled)
    assert opened.frames == ["00004", "00000"]
    assert [opened.read(index)["image"][2, 0, 0].item() for index in range(2)] == [4, 0]


def test_one_test_image_is_a_list_too(labeled):
    write_splits(labeled, [3])
    assert open_benchmark("nyu", labeled).frames == ["00002"]


def test_a_split_that_is_not_the_official_one_is_told(labeled, caplog):
    open_benchmark("nyu", labeled)
    assert warnings(caplog) == [
        "nyu lists 3 images here and 654 officially; scores on it compare with no published ones"
    ]


def test_opening_reads_no_image(labeled, monkeypatch):
    read = []
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda *_: read.append(1))
    assert len(open_benchmark("nyu", labeled)) == 3
    assert not read


def test_a_reader_goes_to_other_processes(labeled):
    opened = open_benchmark("nyu", labeled)
    assert torch.equal(travels(opened)(0)["image"], opened.read(0)["image"])


def test_the_exported_folder_is_read_in_the_order_of_numbers(tmp_path):
    exported(tmp_path, [4, 1, 2])
    opened = open_benchmark("nyu", tmp_path)
    assert opened.frames == ["kitchen/rgb_00001.jpg", "bathroom/rgb_00002.jpg", "bathroom/rgb_00004.jpg"]
    sample = opened.read(2)
    assert sample["image"][:, 0, 0].tolist() == [160, 160, 160]
    assert sample["depth"][3, 5].item() == pytest.approx(5 + 2.5 + 0.03, abs=1e-4)
    assert torch.isnan(sample["depth"]).nonzero().tolist() == [[0, 0]]


@pytest.mark.parametrize("below", ["official_splits/test", "test"])
def test_the_exported_folder_may_lie_below(tmp_path, below):
    exported(tmp_path / below, [1, 2, 4])
    write_splits(tmp_path)
    assert open_benchmark("nyu", tmp_path).frames[0] == f"{below}/kitchen/rgb_00001.jpg"


def test_with_splits_an_exported_folder_is_checked(tmp_path):
    exported(tmp_path, [1, 2])
    write_splits(tmp_path)
    assert refused("nyu", tmp_path) == (
        f"2 of 6 files of nyu are missing below {tmp_path}, such as SCENE/rgb_00004.jpg; expected is "
        "nyu_depth_v2_labeled.mat with splits.mat beside it, or SCENE/rgb_00045.jpg with SCENE/sync_depth_00045.png "
        "(official_splits/test) and, to check it, splits.mat."
    )


def test_an_exported_image_without_depth_is_missed(tmp_path):
    exported(tmp_path, [1, 2])
    (tmp_path / "kitchen/sync_depth_00001.png").unlink()
    assert "1 of 4 files of nyu are missing" in refused("nyu", tmp_path)
    assert "kitchen/sync_depth_00001.png" in refused("nyu", tmp_path)


def test_missing_files_are_told(tmp_path, labeled):
    (labeled / "splits.mat").unlink()
    assert f"1 of 2 files of nyu are missing below {labeled}, such as splits.mat" in refused("nyu", labeled)
    assert "is not a folder; nyu is expected there as" in refused("nyu", tmp_path / "nowhere")


def test_a_file_cut_off_is_named(labeled):
    truncate(labeled / "nyu_depth_v2_labeled.mat")
    assert refused("nyu", labeled).startswith(f"{labeled}/nyu_depth_v2_labeled.mat cannot be read as HDF5: ")


def test_other_dimensions_are_refused(labeled):
    with h5py.File(labeled / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.zeros((2, 480, 640, 3), dtype=np.uint8)
        file["rawDepths"] = np.zeros((2, 480, 640), dtype=np.float32)
    assert refused("nyu", labeled) == (
        f"{labeled}/nyu_depth_v2_labeled.mat has images of shape (2, 480, 640, 3) and rawDepths of (2, 480, 640); "
        "expected are (1449, 3, 640, 480) and (1449, 640, 480)."
    )


def test_a_split_beyond_the_images_is_refused(labeled):
    write_splits(labeled, [1, 6])
    assert refused("nyu", labeled) == (
        f"{labeled}/nyu_depth_v2_labeled.mat holds 5 images and {labeled}/splits.mat names number 6."
    )


@pytest.mark.parametrize("content", [b"no MATLAB", b""])
def test_a_split_that_is_no_mat_is_named(labeled, content):
    write(labeled / "splits.mat", content)
    assert f"{labeled}/splits.mat cannot be read as a MATLAB file: " in refused("nyu", labeled)


def test_a_split_without_the_test_numbers_is_named(labeled):
    scipy.io.savemat(labeled / "splits.mat", {"trainNdxs": np.array([[1]])})
    assert f"{labeled}/splits.mat has no variable 'testNdxs'" in refused("nyu", labeled)
    write_splits(labeled, [0])
    assert "must hold numbers of images from 1 in testNdxs" in refused("nyu", labeled)


def test_an_exported_png_cut_off_is_named(tmp_path):
    exported(tmp_path, [1])
    depth = tmp_path / "kitchen/sync_depth_00001.png"
    truncate(depth)
    assert str(depth) in broken(open_benchmark("nyu", tmp_path), 0)


def test_depth_of_another_size_is_not_resized(tmp_path):
    exported(tmp_path, [1])
    write_depth(tmp_path / "kitchen/sync_depth_00001.png", np.ones((2, 3), dtype=np.uint16))
    assert broken(open_benchmark("nyu", tmp_path), 0) == (
        f"{tmp_path}/kitchen/sync_depth_00001.png has depth of 3x2 and its image has 6x4; "
        "the set stores both at one size, so one of the two is not the set's own."
    )


def test_opening_an_exported_folder_reads_no_image(tmp_path):
    opens_without_reading("nyu", exported(tmp_path, [1, 2]))


@pytest.mark.parametrize(("module", "package"), [("h5py", "h5py"), ("scipy.io", "scipy")])
def test_a_package_that_is_not_there_is_named(labeled, monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)  # what Python itself does to forbid an import
    message = refused("nyu", labeled)
    assert message.startswith(f"nyu needs {package} (")
    assert message.endswith("run: pip install 'semidepth[benchmarks]'.")
