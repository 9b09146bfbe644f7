"""DIODE: which photos of which domain, depth under its mask, and what is said of missing or broken files."""

import math

import numpy as np
import pytest
import torch
from benchmark_folders import assert_metres, picture, touch, write, write_image
from sample_files import npy

from semidepth.evaluation.benchmarks import open_benchmark
from semidepth.evaluation.benchmarks.diode import SCANS
from semidepth.evaluation.depth_metrics.protocols import find_protocol

INDOORS = "val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010"


@pytest.fixture
def root(tmp_path):
    names = []
    for folder, scans in SCANS.items():
        for scan, count in scans.items():
            scene, number = scan[6:11], scan[-5:]
            for angle in range(count):
                stem = f"val/{folder}/{scan}/{scene}_{number}_{folder}_{angle * 5:03}_010"
                names += [f"{stem}.png", f"{stem}_depth.npy", f"{stem}_depth_mask.npy"]
    return touch(tmp_path, names)


def write_sample(root, depth, mask, stem=INDOORS):
    write_image(root / f"{stem}.png", picture(2, 3))
    write(root / f"{stem}_depth.npy", npy(np.array(depth, dtype=np.float32)))
    write(root / f"{stem}_depth_mask.npy", npy(np.array(mask, dtype=np.float64)))


def test_all_photos_of_a_domain_without_reading_any(root):
    indoor, outdoor = open_benchmark("diode_indoor", root), open_benchmark("diode_outdoor", root)
    assert (len(indoor), len(outdoor)) == (325, 446)  # ZoeDepth, arXiv 2302.12288, table of the test sets
    assert (indoor.domain, outdoor.domain) == ("indoor", "outdoor")
    assert indoor.frames[0] == INDOORS
    assert list(indoor.frames) == sorted(set(indoor.frames))
    assert all("/outdoor/" in frame and "_outdoor_" in frame for frame in outdoor.frames)
    assert find_protocol(indoor.protocol).max_depth_m == 10.0
    assert find_protocol(outdoor.protocol).max_depth_m == 80.0
    assert indoor.relative_max_depth_m is None


def test_what_the_mask_has_as_0_is_unknown(root):
    write_sample(root, [[[1.5], [2.5], [3.5]], [[0.0], [25.0], [4.5]]], [[1, 0, 1], [1, 1, 0]])
    sample = open_benchmark("diode_indoor", root).read(0)
    assert_metres(sample["depth"], [[1.5, math.nan, 3.5], [math.nan, 25.0, math.nan]])
    assert sample["depth"].dtype == torch.float32
    assert torch.equal(sample["image"], torch.from_numpy(picture(2, 3)).permute(2, 0, 1))
    assert (sample["origin"], sample["domain"]) == (f"diode_indoor/{INDOORS}", "indoor")


def test_outdoor_samples_say_so(root):
    stem = "val/outdoor/scene_00022/scan_00193/00022_00193_outdoor_000_010"
    write_sample(root, np.full((2, 3, 1), 200.0), np.ones((2, 3)), stem)
    sample = open_benchmark("diode_outdoor", root).read(0)
    assert sample["domain"] == "outdoor"
    assert_metres(sample["depth"], [[200.0] * 3] * 2)


def test_missing_photos_are_counted_and_their_scan_is_named(root):
    for angle in (0, 5, 10):
        (root / f"val/indoors/scene_00020/scan_00186/00020_00186_indoors_{angle:03}_010.png").unlink()
    said = (
        r"^3 photos missing of the 325 of diode_indoor below .*: val/indoors/scene_00020/scan_00186 holds 45 where 48 "
        r"belong; expected is val/indoors/scene_\*"
    )
    with pytest.raises(ValueError, match=said):
        open_benchmark("diode_indoor", root)
    assert len(open_benchmark("diode_outdoor", root)) == 446


def test_foreign_photos_are_counted(root):
    touch(root, ["val/indoors/scene_00019/scan_00183/mine.png"])
    with pytest.raises(ValueError, match=r"^326 photos of the 325 of diode_indoor .*scan_00183 holds 74 where 73"):
        open_benchmark("diode_indoor", root)


def test_missing_labels_are_counted_and_one_is_named(root):
    (root / f"{INDOORS}_depth.npy").unlink()
    (root / f"{INDOORS}_depth_mask.npy").unlink()
    with pytest.raises(ValueError, match=r"^2 of 975 files of diode_indoor are missing .*_000_010_depth\.npy; exp"):
        open_benchmark("diode_indoor", root)


def test_an_empty_folder_says_what_belongs_there(tmp_path):
    with pytest.raises(ValueError, match=r"^446 photos missing of the 446 of diode_outdoor .*\(446 photos\)\.$"):
        open_benchmark("diode_outdoor", tmp_path)


def test_labels_of_another_shape_are_named(root):
    diode = open_benchmark("diode_indoor", root)
    for depth, mask, said in (
        ((3, 2, 1), (3, 2), r"_depth\.npy has depth of 2x3 and its image has 3x2"),
        ((2, 3, 1), (3, 2), r"_depth_mask\.npy has a mask of the shape \(3, 2\) and its depth \(2, 3\)"),
        ((2, 3, 4), (2, 3), r"_depth\.npy has the shape \(2, 3, 4\)"),
    ):
        write_sample(root, np.ones(depth), np.ones(mask))
        with pytest.raises(ValueError, match=said):
            diode.read(0)


def test_files_cut_off_are_named(root):
    diode = open_benchmark("diode_indoor", root)
    for part in ("_depth.npy", "_depth_mask.npy", ".png"):
        write_sample(root, np.ones((2, 3, 1)), np.ones((2, 3)))
        file = root / f"{INDOORS}{part}"
        file.write_bytes(file.read_bytes()[:-30])
        with pytest.raises(ValueError, match=rf"_000_010{part} cannot be (read|decoded)"):
            diode.read(0)
