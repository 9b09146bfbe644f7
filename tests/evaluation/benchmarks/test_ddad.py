"""DDAD: points through two poses and a pinhole, worked out by hand; the nearest wins; what is refused."""

import json
import math
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
    write_image,
)  # fmt: skip

from semidepth.evaluation.benchmarks import open_benchmark
from semidepth.evaluation.benchmarks.ddad import pose_of, project

HEIGHT, WIDTH = 8, 10
FX, FY, CX, CY = 5.0, 4.0, 4.5, 3.5
INTRINSICS = np.array([[FX, 0, CX], [0, FY, CY], [0, 0, 1]])
HALF = math.sqrt(0.5)
# The camera looks along the world's x; its right is the world's -y, its down the world's -z. It is at (100, 20, 1.5).
CAMERA = {"rotation": {"qw": 0.5, "qx": -0.5, "qy": 0.5, "qz": -0.5}, "translation": {"x": 100.0, "y": 20.0, "z": 1.5}}
# The scanner stands at (98, 20, 2) and is turned left by a quarter: its x is the world's y, its y the world's -x.
SCANNER = {"rotation": {"qw": HALF, "qz": HALF}, "translation": {"x": 98.0, "y": 20.0, "z": 2.0}}
# From the scanner, along the world's axes; in the camera's frame: right = -y, down = -(z + 0.5), forward = x - 2.
OFFSETS = [
    (12.0, 0.0, -0.5),  # 10 m ahead on the axis: column floor(4.5), row floor(3.5)
    (6.0, -2.0, -1.5),  # 2 m right, 1 m down, 4 m ahead: column 4.5 + 5 * 2 / 4 = 7.0, row 3.5 + 4 * 1 / 4 = 4.5
    (26.0, 0.0, -0.5),  # 24 m ahead behind the first, later in the file: the first stays
    (1.0, 0.0, -0.5),  # 1 m behind the camera, would fall on the axis too
    (2.0, 0.0, -0.5),  # in the camera's plane
    (6.0, 8.0, -0.5),  # 8 m left at 4 m: column 4.5 - 10, outside
    (6.0, 3.8, -0.5),  # column 4.5 - 4.75 = -0.25, outside by a quarter of a pixel
]
POINTS = [(y, -x, z, 0.7) for x, y, z in OFFSETS]  # in the scanner's frame, and how strong the echo was


def datum(key: str, name: str, kind: str, file: str, pose: dict) -> dict:
    return {
        "key": key,
        "id": {"name": name, "index": "0", "log": ""},
        "datum": {kind: {"filename": file, "pose": pose}},
    }


def write_scene(folder: Path, numbers: list[int], points: object = POINTS) -> str:
    """A scene with a front and a side camera; data are listed backwards, as keys and not places tell what belongs."""
    data, samples = [], []
    for number in numbers:
        image, side = f"rgb/CAMERA_01/{number}.png", f"rgb/CAMERA_05/{number}.png"
        cloud = f"point_cloud/LIDAR/{number}.npz"
        write_image(folder / image, gradient(HEIGHT, WIDTH, number))
        (folder / cloud).parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / cloud, data=np.array(points, dtype=np.float32))
        samples.append({"calibration_key": "c0ffee", "datum_keys": [f"s{number}", f"f{number}", f"l{number}"]})
        data.insert(0, datum(f"f{number}", "CAMERA_01", "image", image, CAMERA))
        data.insert(0, datum(f"s{number}", "CAMERA_05", "image", side, {}))
        data.insert(0, datum(f"l{number}", "LIDAR", "point_cloud", cloud, SCANNER))
    lens = {"fx": FX, "fy": FY, "cx": CX, "cy": CY, "skew": 0.0}
    calibration = {"names": ["LIDAR", "CAMERA_05", "CAMERA_01"], "intrinsics": [{}, {"fx": 1.0, "fy": 1.0}, lens]}
    write(folder / "calibration/c0ffee.json", calibration)
    write(folder / f"scene_{folder.name}.json", {"name": folder.name, "data": data, "samples": samples})
    return f"{folder.name}/scene_{folder.name}.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    validation = [write_scene(tmp_path / "000151", [3, 1]), write_scene(tmp_path / "000150", [2])]
    train = {"filenames": ["000000/scene_not_there.json"]}
    write(tmp_path / "ddad.json", {"scene_splits": {"0": train, "1": {"filenames": validation}}})
    return tmp_path


def test_front_images_of_validation_scenes_come_in_order(root):
    opened = open_benchmark("ddad", root)
    assert opened.frames == [
        "000151/rgb/CAMERA_01/3.png", "000151/rgb/CAMERA_01/1.png", "000150/rgb/CAMERA_01/2.png",
    ]  # fmt: skip
    assert [opened.read(index)["image"][2, 0, 0].item() for index in range(3)] == [3, 1, 2]
    assert (opened.protocol, opened.relative_max_depth_m, opened.domain) == ("ddad", 80.0, "outdoor")


def test_points_land_where_they_were_worked_out_to(root):
    depth = open_benchmark("ddad", root).read(0)["depth"]
    assert depth.shape == (HEIGHT, WIDTH)
    assert depth.dtype == torch.float32
    assert (~torch.isnan(depth)).nonzero().tolist() == [[3, 4], [4, 7]]
    assert depth[3, 4].item() == pytest.approx(10.0)
    assert depth[4, 7].item() == pytest.approx(4.0)


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearest_of_two_points_wins_in_any_order(order):
    points = np.array([[0.0, 0.0, 30.0], [0.0, 0.0, 7.0]])[::order]
    assert project(points, INTRINSICS, HEIGHT, WIDTH)[3, 4].item() == 7.0


def test_projection_agrees_with_a_loop():
    generator = np.random.default_rng(0)
    points = generator.uniform([-8, -8, -5], [8, 8, 20], size=(4000, 3))
    expected = np.full((HEIGHT, WIDTH), np.nan)
    for x, y, z in points:
        if z <= 0:
            continue
        column, row = math.floor(FX * x / z + CX), math.floor(FY * y / z + CY)
        if 0 <= column < WIDTH and 0 <= row < HEIGHT and not expected[row, column] <= z:
            expected[row, column] = z
    assert np.isnan(expected).sum() < HEIGHT * WIDTH / 2
    found = project(points, INTRINSICS, HEIGHT, WIDTH).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_no_points_are_no_depth():
    assert torch.isnan(project(np.zeros((0, 3)), INTRINSICS, HEIGHT, WIDTH)).all()


def test_rotations_are_those_of_their_quaternions():
    """A quarter about z takes x to y; numbers need not have length one; none at all is the identity."""
    quarter = pose_of({"rotation": {"qw": 2 * HALF, "qz": 2 * HALF}, "translation": {"x": 1.0, "z": 3.0}})
    np.testing.assert_allclose(quarter.rotation, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    assert quarter.translation.tolist() == [1.0, 0.0, 3.0]
    front = pose_of(CAMERA).rotation
    np.testing.assert_allclose(front @ [0, 0, 1], [1, 0, 0], atol=1e-12)  # forward
    np.testing.assert_allclose(front @ [1, 0, 0], [0, -1, 0], atol=1e-12)  # right
    np.testing.assert_allclose(front @ [0, 1, 0], [0, 0, -1], atol=1e-12)  # down
    zeros = {"rotation": {"qw": 0.0, "qx": 0.0, "qy": 0.0, "qz": 0.0}}
    assert pose_of(zeros).rotation.tolist() == pose_of({}).rotation.tolist() == np.eye(3).tolist()


def test_clouds_with_named_fields_are_read(root):
    named = np.zeros(2, dtype=[("INTENSITY", "f4"), ("X", "f4"), ("Y", "f4"), ("Z", "f4")])
    named["Y"], named["Z"] = [-12.0, -7.0], [-0.5, -0.5]
    np.savez(root / "000150/point_cloud/LIDAR/2.npz", data=named)
    assert open_benchmark("ddad", root).read(2)["depth"][3, 4].item() == pytest.approx(5.0)


def test_samples_without_front_image_or_points_are_left_out(root):
    file = root / "000151/scene_000151.json"
    scene = json.loads(file.read_text())
    scene["samples"][0]["datum_keys"].remove("l3")
    write(file, scene)
    assert open_benchmark("ddad", root).frames == ["000151/rgb/CAMERA_01/1.png", "000150/rgb/CAMERA_01/2.png"]


def test_a_folder_that_is_not_the_official_one_is_told(root, caplog):
    open_benchmark("ddad", root)
    assert "ddad lists 3 images here and 3950 officially" in warnings(caplog)[0]


def test_missing_files_are_counted(root):
    (root / "000151/point_cloud/LIDAR/1.npz").unlink()
    (root / "000150/calibration/c0ffee.json").unlink()
    # Three images and clouds, two calibrations.
    assert f"2 of 8 files of ddad are missing below {root}, such as 000151/point_cloud/LIDAR/1.npz; " in refused(
        "ddad", root
    )
    (root / "000150/scene_000150.json").unlink()
    assert f"1 of 2 files of ddad are missing below {root}, such as 000150/scene_000150.json; " in refused("ddad", root)
    (root / "ddad.json").unlink()
    assert "1 of 1 files of ddad are missing" in refused("ddad", root)


@pytest.mark.parametrize("content", ["[]", "{}", '{"scene_splits": {"0": {"filenames": ["a"]}}}', "{"])
def test_a_list_without_validation_scenes_is_refused(root, content):
    write(root / "ddad.json", content)
    assert refused("ddad", root).startswith(f"{root}/ddad.json ")


@pytest.mark.parametrize("content", ["[]", "{}", '{"data": [], "samples": []}', '{"data": [{}], "samples": []}'])
def test_a_scene_that_is_none_is_refused(root, content):
    file = write(root / "000150/scene_000150.json", content)
    assert refused("ddad", root).startswith(f"{file} ")


@pytest.mark.parametrize("content", ["{", "{}", '{"names": ["CAMERA_01"], "intrinsics": [{"fx": 0.0, "fy": 1.0}]}'])
def test_a_calibration_that_is_none_is_named(root, content):
    opened = open_benchmark("ddad", root)
    file = write(root / "000150/calibration/c0ffee.json", content)
    with pytest.raises(ValueError) as caught:
        opened.read(2)
    assert str(caught.value).startswith(f"{file} ")


def test_clouds_that_are_none_are_named(root):
    opened = open_benchmark("ddad", root)
    file = root / "000150/point_cloud/LIDAR/2.npz"
    np.savez(file, data=np.zeros((3, 2)))
    assert broken(opened, 2) == f"{file} has float64 of shape (3, 2); expected are numbers, (N, 3 or more)"
    np.savez(file, data=np.zeros(3, dtype=[("X", "f4"), ("Y", "f4")]))
    assert broken(opened, 2) == f"{file} has the fields X, Y; expected are X, Y and Z"
    np.savez(file, points=np.zeros((3, 3)))
    assert broken(opened, 2).startswith(f"{file} cannot be read as a point cloud: ")
    truncate(file)
    assert broken(opened, 2).startswith(f"{file} cannot be read as a point cloud: ")


def test_an_image_cut_off_is_named(root):
    truncate(root / "000150/rgb/CAMERA_01/2.png")
    assert f"{root}/000150/rgb/CAMERA_01/2.png" in broken(open_benchmark("ddad", root), 2)


def test_opening_reads_no_image(root):
    opens_without_reading("ddad", root)


def test_a_reader_goes_to_other_processes(root):
    opened = open_benchmark("ddad", root)
    read = travels(opened)
    assert torch.equal(read(1)["image"], opened.read(1)["image"])
