"""Points in space out of metres: places, colours, which way is up, and a file that reads back."""

import io

import numpy as np
import pytest
import trimesh

from semidepth.media.point_clouds import focal_from_fov, to_ply, to_points


def test_the_focal_length_of_a_right_angle_is_half_the_width():
    assert focal_from_fov(90, 640) == pytest.approx(320)


def test_a_wall_at_two_metres():
    """4 x 4 pixels at focal 2: the corners' centres are 1.5 pixels off the axis, which is 1.5 m at 2 m."""
    depth = np.full((4, 4), 2.0, np.float32)
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    points, colors = to_points(depth, image, 2.0)
    assert points[0].tolist() == [-1.5, 1.5, -2.0]  # top left: left, up, ahead
    assert points[-1].tolist() == [1.5, -1.5, -2.0]
    assert colors[0].tolist() == [0, 1, 2]


def test_unknown_pixels_are_left_out():
    depth = np.array([[np.nan, 1.0], [np.inf, 0.0]], np.float32)
    points, colors = to_points(depth, np.zeros((2, 2, 3), np.uint8), 1.0)
    assert points.shape == colors.shape == (1, 3)


def test_the_file_reads_back():
    points = np.array([[0, 1, -2], [3, 4, -5]], np.float32)
    colors = np.array([[255, 0, 1], [2, 3, 4]], np.uint8)
    header, _, body = to_ply(points, colors).partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert "element vertex 2" in lines
    assert [line.split()[1:] for line in lines if line.startswith("property")] == [
        ["float", "x"], ["float", "y"], ["float", "z"], ["uchar", "red"], ["uchar", "green"], ["uchar", "blue"],
    ]  # fmt: skip
    assert len(body) == 2 * 15
    assert np.frombuffer(body[15:27], "<f4").tolist() == [3, 4, -5]
    assert list(body[27:30]) == [2, 3, 4]


def test_trimesh_reads_the_file_and_would_write_neither_units_nor_plain_colours():
    """Why PLY files are written here."""
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    colors = np.random.default_rng(1).integers(0, 256, (20, 3), dtype=np.uint8)
    content = to_ply(points, colors)
    read = trimesh.load(io.BytesIO(content), file_type="ply")
    assert np.array_equal(read.vertices, points)
    assert np.array_equal(read.colors[:, :3], colors)
    ours = content.partition(b"end_header")[0]
    theirs = trimesh.PointCloud(points, colors=colors).export(file_type="ply").partition(b"end_header")[0]
    assert b"comment metres" in ours
    assert b"metres" not in theirs
    assert b"alpha" in theirs
    assert b"alpha" not in ours
