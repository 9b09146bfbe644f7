"""iBims-1 in both released layouts: order of the list, units, the two masks, and what is said of missing files."""

import math
import sys

import numpy as np
import pytest
import torch
from benchmark_folders import assert_metres, picture, touch, write, write_image
from scipy.io import savemat

from semidepth.evaluation.benchmarks import open_benchmark

# What the released list has, in no alphabetical order, so that its order can be told from one.
ROOMS = {"storageroom": 8, "corridor": 10, "factory": 8, "kitchen": 8, "lab": 11, "lectureroom": 10, "livingroom": 15}
ROOMS |= {"meetingroom": 8, "office": 8, "restaurant": 12, "restroom": 2}
NAMES = [f"{room}_{number:02}" for room, count in ROOMS.items() for number in range(1, count + 1)]
FIRST = NAMES[0]
PARTS = ("rgb", "depth", "mask_invalid", "mask_transp")


@pytest.fixture
def raw(tmp_path):
    touch(tmp_path, [f"ibims1_core_raw/{part}/{name}.png" for name in NAMES for part in PARTS])
    write(tmp_path / "ibims1_core_raw/imagelist.txt", "\n".join(NAMES).encode())
    return tmp_path


@pytest.fixture
def mat(tmp_path):
    touch(tmp_path, [f"ibims1_core_mat/{name}.mat" for name in NAMES])
    write(tmp_path / "imagelist.txt", "\r\n".join(NAMES).encode())
    return tmp_path


def write_raw(root, depth, invalid, transp):
    folder = root / "ibims1_core_raw"
    write_image(folder / f"rgb/{FIRST}.png", picture(2, 3))
    write_image(folder / f"depth/{FIRST}.png", np.array(depth, dtype=np.uint16))
    write_image(folder / f"mask_invalid/{FIRST}.png", np.array(invalid, dtype=np.uint8))
    write_image(folder / f"mask_transp/{FIRST}.png", np.array(transp, dtype=bool))


def write_mat(root, **fields):
    data = {
        "rgb": picture(2, 3),
        "depth": np.array([[1.5, 2.5, 3.5], [0.0, 5.5, 49.5]]),
        "edges": np.zeros((2, 3), np.uint8),
        "calib": np.eye(3),
        "mask_invalid": np.array([[1, 0, 1], [1, 1, 1]], dtype=np.uint8),
        "mask_transp": np.array([[1, 1, 1], [1, 0, 1]], dtype=bool),
    }
    savemat(root / f"ibims1_core_mat/{FIRST}.mat", {"data": {**data, **fields}}, do_compression=True)


def test_all_photos_in_the_lists_order_without_reading_any(raw):
    photos = open_benchmark("ibims", raw)
    assert len(photos) == 100
    assert list(photos.frames) == NAMES
    assert (photos.protocol, photos.relative_max_depth_m, photos.domain) == ("ibims", None, "indoor")


def test_65535_is_50_metres_and_what_a_mask_has_as_0_is_unknown(raw):
    write_raw(raw, [[65535, 13107, 6553], [0, 100, 200]], [[255, 255, 0], [255, 255, 255]], [[1, 1, 1], [1, 0, 1]])
    sample = open_benchmark("ibims", raw).read(0)
    # 13107 is a fifth of 65535.
    assert_metres(sample["depth"], [[50.0, 10.0, math.nan], [math.nan, math.nan, 200 * 50 / 65535]])
    assert sample["depth"].dtype == torch.float32
    assert torch.equal(sample["image"], torch.from_numpy(picture(2, 3)).permute(2, 0, 1))
    assert (sample["origin"], sample["domain"]) == (f"ibims/{FIRST}", "indoor")


def test_a_mat_file_holds_metres_and_the_same_masks(mat):
    write_mat(mat)
    photos = open_benchmark("ibims", mat)
    assert list(photos.frames) == NAMES
    sample = photos.read(0)
    assert_metres(sample["depth"], [[1.5, math.nan, 3.5], [math.nan, math.nan, 49.5]])
    assert sample["depth"].dtype == torch.float32
    assert torch.equal(sample["image"], torch.from_numpy(picture(2, 3)).permute(2, 0, 1))


@pytest.mark.parametrize("layout", ["raw", "mat"])
def test_the_inner_folder_may_be_given_itself(layout, request):
    root = request.getfixturevalue(layout)
    assert list(open_benchmark("ibims", root / f"ibims1_core_{layout}").frames) == NAMES


def test_missing_files_are_counted_and_one_is_named(raw):
    (raw / "ibims1_core_raw/mask_transp/lab_07.png").unlink()
    with pytest.raises(ValueError, match=r"^1 of 400 files of ibims are missing .*mask_transp/lab_07\.png; expected"):
        open_benchmark("ibims", raw)


def test_missing_mat_files_are_counted_and_one_is_named(mat):
    (mat / "ibims1_core_mat/lab_07.mat").unlink()
    with pytest.raises(ValueError, match=r"^1 of 100 files of ibims are missing .*ibims1_core_mat/lab_07\.mat; exp"):
        open_benchmark("ibims", mat)


def test_a_missing_or_short_list_is_named(raw, tmp_path_factory):
    file = raw / "ibims1_core_raw/imagelist.txt"
    file.write_text("\n".join(NAMES[:-1]))
    with pytest.raises(ValueError, match=r"imagelist\.txt names 99 different photos in 99 lines; the set's own"):
        open_benchmark("ibims", raw)
    file.unlink()
    with pytest.raises(
        ValueError, match=r"^1 of 1 files of ibims .*, such as ibims1_core_raw/imagelist\.txt; expected is"
    ):
        open_benchmark("ibims", raw)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(ValueError, match=r"^1 of 1 files of ibims are missing .*expected is ibims1_core_raw with"):
        open_benchmark("ibims", empty)
    (empty / "imagelist.txt").write_text("\n".join(NAMES))
    with pytest.raises(ValueError, match=r"^400 of 400 files of ibims .*, such as ibims1_core_raw/rgb/storageroom_01"):
        open_benchmark("ibims", empty)


def test_parts_of_another_size_are_named(raw):
    write_raw(raw, [[1, 2], [3, 4], [5, 6]], [[1, 1]] * 3, [[1, 1]] * 3)
    with pytest.raises(ValueError, match=rf"depth/{FIRST}\.png has depth of 2x3 and its image has 3x2"):
        open_benchmark("ibims", raw).read(0)
    write_raw(raw, [[1, 2, 3], [4, 5, 6]], [[1, 1]], [[1, 1, 1]] * 2)
    with pytest.raises(ValueError, match=rf"mask_invalid/{FIRST}\.png has a mask of the shape \(1, 2\)"):
        open_benchmark("ibims", raw).read(0)


def test_8_bit_depth_made_for_viewing_is_refused(raw):
    write_raw(raw, [[1, 2, 3]] * 2, [[1, 1, 1]] * 2, [[1, 1, 1]] * 2)
    write_image(raw / f"ibims1_core_raw/depth/{FIRST}.png", np.ones((2, 3), np.uint8))
    with pytest.raises(ValueError, match=rf"depth/{FIRST}\.png holds 8-bit depth"):
        open_benchmark("ibims", raw).read(0)


def test_a_broken_mat_file_is_named(mat):
    write_mat(mat)
    file = mat / f"ibims1_core_mat/{FIRST}.mat"
    whole = file.read_bytes()
    for content in (b"", b"nonsense", whole[:150], whole[:-20]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{FIRST}\.mat has no struct `data` .* that can be read"):
            open_benchmark("ibims", mat).read(0)
    savemat(file, {"data": {"rgb": picture(2, 3), "depth": np.ones((2, 3))}})
    with pytest.raises(ValueError, match=rf"{FIRST}\.mat has no struct `data` .*mask_invalid"):
        open_benchmark("ibims", mat).read(0)
    write_mat(mat, rgb=picture(2, 3)[..., 0])
    with pytest.raises(
        ValueError, match=rf"^`rgb` of .*{FIRST}\.mat has pixels of uint8 in the shape \(2, 3\); 8-bit RGB"
    ):
        open_benchmark("ibims", mat).read(0)
    write_mat(mat, mask_transp=np.ones((3, 2)))
    with pytest.raises(ValueError, match=rf"{FIRST}\.mat has a mask of the shape \(3, 2\)"):
        open_benchmark("ibims", mat).read(0)


def test_without_scipy_it_says_what_to_install_when_opened(mat, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)  # what Python itself takes for "cannot be imported"
    with pytest.raises(ValueError, match=r"^ibims needs scipy .*; run: pip install 'semidepth\[benchmarks\]'\.$"):
        open_benchmark("ibims", mat)
