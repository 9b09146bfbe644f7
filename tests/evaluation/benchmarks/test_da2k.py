"""DA-2K: rows before columns, the nearer point first, scenes by folder, what is refused."""

from pathlib import Path

import pytest
import torch
from benchmark_folders import broken, gradient, opens_without_reading, refused, travels, truncate, write, write_image

from semidepth.evaluation.benchmarks import open_benchmark
from semidepth.evaluation.benchmarks.base import PointPairSet

HEIGHT, WIDTH = 6, 9
ANNOTATIONS = {
    "images/underwater/b.jpg": [
        {"point1": [5, 8], "point2": [0, 1], "closer_point": "point1"},
        {"point1": [2, 3], "point2": [4, 7], "closer_point": "point2"},
    ],
    "images/indoor/a.png": [{"point1": [1, 0], "point2": [0, 2], "closer_point": "point1"}],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for frame in ANNOTATIONS:
        write_image(tmp_path / frame, gradient(HEIGHT, WIDTH, 9))
    write(tmp_path / "annotations.json", ANNOTATIONS)
    return tmp_path


def test_the_nearer_point_comes_first_as_row_and_column(root):
    opened = open_benchmark("da2k", root)
    assert isinstance(opened, PointPairSet)
    assert opened.frames == ["images/underwater/b.jpg", "images/indoor/a.png"]
    pairs = opened.read(0)
    assert pairs["nearer"].tolist() == [[5, 8], [4, 7]]
    assert pairs["farther"].tolist() == [[0, 1], [2, 3]]
    assert pairs["nearer"].dtype.kind == "i"
    assert pairs["domain"] == "underwater"
    assert pairs["origin"] == str(root / "images/underwater/b.jpg")
    assert pairs["image"].shape == (3, HEIGHT, WIDTH)
    second = opened.read(1)
    assert second["domain"] == "indoor"
    row, column = second["nearer"][0]
    assert second["image"][:, row, column].tolist() == [1, 0, 9]  # the picture tells its rows and columns


def test_missing_files_are_counted(root):
    (root / "images/indoor/a.png").unlink()
    assert f"1 of 2 files of da2k are missing below {root}, such as images/indoor/a.png; expected is" in refused(
        "da2k", root
    )
    (root / "annotations.json").unlink()
    assert "1 of 1 files of da2k are missing" in refused("da2k", root)
    assert "such as annotations.json; expected is annotations.json and images/" in refused("da2k", root)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_annotations_that_are_none_are_refused(root, content):
    write(root / "annotations.json", content)
    assert refused("da2k", root).startswith(f"{root}/annotations.json ")


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        3,
        [{"point1": [1, 2], "point2": [1, 2]}],
        [{"point1": [1, 2], "point2": [1, 2], "closer_point": "left"}],
        [{"point1": [1, 2, 3], "point2": [1, 2, 3], "closer_point": "point1"}],
        [{"point1": [1, 2], "point2": 5, "closer_point": "point1"}],
    ],
)
def test_pairs_in_another_form_are_refused(root, pairs):
    write(root / "annotations.json", ANNOTATIONS | {"images/indoor/a.png": pairs})
    assert refused("da2k", root).startswith(f"{root}/annotations.json has for 'images/indoor/a.png' something else")


@pytest.mark.parametrize("point", [[HEIGHT, 0], [0, WIDTH], [-1, 0]])
def test_a_point_outside_the_image_is_refused(root, point):
    pair = {"point1": [0, 0], "point2": point, "closer_point": "point1"}
    write(root / "annotations.json", ANNOTATIONS | {"images/indoor/a.png": [pair]})
    assert broken(open_benchmark("da2k", root), 1) == (
        f"{root}/images/indoor/a.png has 9x6 pixels and a labeled point lies outside"
    )


def test_an_image_cut_off_is_named(root):
    truncate(root / "images/indoor/a.png")
    assert str(root / "images/indoor/a.png") in broken(open_benchmark("da2k", root), 1)


def test_opening_reads_no_image(root):
    opens_without_reading("da2k", root)


def test_a_reader_goes_to_other_processes(root):
    opened = open_benchmark("da2k", root)
    assert torch.equal(travels(opened)(1)["image"], opened.read(1)["image"])
