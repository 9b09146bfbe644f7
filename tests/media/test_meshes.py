"""Meshes: which triangles there are, which way they face, and that GLB files hold them."""

import io
import json
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from semidepth.media.meshes import Mesh, mesh_to_glb, points_to_glb, to_mesh, to_squares
from semidepth.media.point_clouds import (
    focal_from_fov,
    to_ply,
    to_points,
    unproject,
)

RNG = np.random.default_rng(0)


def scene(height=12, width=16):
    """A wall 4 m away with a box at 2 m before it, and noise for an image."""
    depth = np.full((height, width), 4.0)
    depth[3:7, 5:10] = 2.0
    return depth, RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_plane_has_two_triangles_for_each_square_and_faces_the_camera():
    image = np.zeros((5, 7, 3), np.uint8)
    mesh = to_mesh(unproject(np.full((5, 7), 3.0), 10.0), image)
    assert (len(mesh.vertices), len(mesh.faces)) == (35, 2 * 4 * 6)
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normals[:, 2] > 0).all()  # towards the camera, which looks along -z
    # The area of the plane between the pixels' centres: a pixel is 3 / 10 m wide there.
    assert np.linalg.norm(normals, axis=1).sum() / 2 == pytest.approx(6 * 4 * 0.3**2, rel=1e-5)
    assert mesh.vertices[0] == pytest.approx([-3 * 0.3, 2 * 0.3, -3], rel=1e-5)  # upper left


def test_no_triangle_bridges_a_jump_and_far_ones_are_cut():
    depth, image = scene()
    points = unproject(depth, 20.0)
    mesh = to_mesh(points, image)
    spans = -mesh.vertices[mesh.faces][..., 2]
    assert (spans.max(1) == spans.min(1)).all()
    # By hand: all squares but those that touch both the box (4 x 5 pixels) and the wall; some of these lose one
    # triangle only. Counted over every triangle in plain loops.
    count = 0
    for row in range(11):
        for column in range(15):
            a, b, c, d = (float(depth[row + i, column + j]) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
            count += (a == b == c) + (b == c == d)
    assert len(mesh.faces) == count
    near = to_mesh(points, image, far_m=3)
    assert (len(near.vertices), len(near.faces)) == (20, 2 * 3 * 4)
    assert len(to_mesh(points, image, max_jump=2.1).faces) == 2 * 11 * 15


def enlarged(inverse, factor, method):
    """Inverse depth as a model's map is enlarged to the image's size, as float64 metres."""
    size = (inverse.shape[1] * factor, inverse.shape[0] * factor)
    return 1 / np.asarray(Image.fromarray(inverse.astype(np.float32)).resize(size, method)).astype(float)


def faces_of(depth, **options):
    return to_mesh(unproject(depth, depth.shape[1] * 0.87), np.zeros((*depth.shape, 3), np.uint8), **options)


@pytest.mark.parametrize(
    ("side", "factor"), [(side, factor) for side in (48, 96, 192, 500) for factor in (1, 2, 4) if side * factor <= 1000]
)
@pytest.mark.parametrize("method", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
@pytest.mark.parametrize("ratio", [1.2, 3.0])
def test_a_jump_that_enlarging_has_smeared_is_cut_at_every_size(side, factor, method, ratio):
    inverse = np.full((side, side), 1.0)
    inverse[:, side // 3 :] = 1 / ratio
    mesh = faces_of(enlarged(inverse, factor, method))
    full = 2 * (side * factor - 1) ** 2
    # No triangle is left in at least one column of squares, and none is lost but in the smear of 4 such pixels.
    assert full - 2 * (side * factor - 1) * 4 * factor <= len(mesh.faces) <= full - 2 * (side * factor - 1)
    near, far = mesh.vertices[mesh.faces][..., 2].max(1), mesh.vertices[mesh.faces][..., 2].min(1)
    assert (far / near).max() < 1.05 + (ratio - 1) / (2 if factor > 1 else 1e9)
    middle = (side // 3) * factor / (side * factor)  # where the jump is, from the image's left
    left = mesh.places[mesh.faces][..., 0]
    assert not ((left.min(1) < middle) & (left.max(1) > middle)).any()
    assert len(faces_of(enlarged(inverse, factor, method), max_jump=ratio * 1.3).faces) == full


def test_the_factor_is_that_between_what_is_behind_and_what_is_before():
    for ratio, cut in ((1.04, False), (1.06, True)):
        inverse = np.full((96, 96), 1.0)
        inverse[:, 40:] = 1 / ratio
        for factor in (1, 4):
            depth = enlarged(inverse, factor, Image.Resampling.BILINEAR)
            assert (len(faces_of(depth).faces) < 2 * (96 * factor - 1) ** 2) == cut


@pytest.mark.parametrize("size", [(48, 64), (384, 512)])
def test_surfaces_stay_whole_however_steep_they_are(size):
    rows, columns = np.mgrid[: size[0], : size[1]] / size[0]
    floor = 1 / (0.002 + rows)  # up to the horizon, where neighbours differ by a factor of 1.1 to 6
    assert (floor[0] / floor[1]).min() > 1.1
    corner = 1 / np.maximum(0.1, rows - 0.4)  # a wall on a floor
    ramp = 2 + 5 * columns
    room = 1 / np.maximum(np.maximum(0.1, rows - 0.4), 2 * (columns - 1))
    ball = 3 - np.sqrt(4 - (rows - 0.5) ** 2 - (columns - 0.6) ** 2)
    for depth in (floor, floor.T, corner, ramp, room, ball):
        assert len(faces_of(depth).faces) == 2 * (depth.shape[0] - 1) * (depth.shape[1] - 1)


def test_a_thin_post_comes_off_the_wall_behind_it_and_off_a_grazing_floor():
    rows, _ = np.mgrid[:300, :400] / 300
    floor = 1 / np.maximum(0.1, rows - 0.4)
    for width in (3, 12, 40):
        depth = floor.copy()
        depth[50:150, 200 : 200 + width] = 2.0
        # Lost are the squares on the outline of the post but for a triangle each at its upper left and lower right.
        assert len(faces_of(depth).faces) == 2 * 299 * 399 - (2 * 2 * (100 + width) - 2)


@pytest.mark.parametrize("unknown", [np.nan, np.inf, 0.0, -1.0])
def test_unknown_pixels_are_in_no_triangle(unknown):
    depth = np.full((3, 3), 2.0)
    depth[1, 1] = unknown
    mesh = to_mesh(unproject(depth, 5.0), np.zeros((3, 3, 3), np.uint8))
    assert np.isfinite(mesh.vertices).all()
    assert len(mesh.faces) == 2  # of the eight, the corners' two that do not touch the middle


def test_large_images_are_thinned():
    mesh = to_mesh(unproject(np.full((40, 60), 2.0), 50.0), np.zeros((40, 60, 3), np.uint8), max_vertices=300)
    assert len(mesh.vertices) == 14 * 20  # every third pixel in both directions


def test_a_glb_shows_each_vertex_where_the_image_has_it():
    depth, image = scene()
    mesh = to_mesh(unproject(depth, focal_from_fov(60, 16)), image)
    content = mesh_to_glb(mesh, image)
    length = struct.unpack("<I", content[12:16])[0]
    header = json.loads(content[20 : 20 + length])
    assert header["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}
    read = next(iter(trimesh.load_scene(io.BytesIO(content), file_type="glb").geometry.values()))
    assert np.allclose(read.vertices, mesh.vertices)
    assert np.array_equal(read.faces, mesh.faces)
    texture = np.asarray(read.visual.material.baseColorTexture.convert("RGB"))
    assert np.array_equal(texture, image)
    columns, rows = read.visual.uv[:, 0] * 16 - 0.5, (1 - read.visual.uv[:, 1]) * 12 - 0.5
    assert np.array_equal(texture[np.rint(rows).astype(int), np.rint(columns).astype(int)], mesh.colors)


@pytest.mark.parametrize("shape", ["mesh", "points"])
def test_a_viewer_turns_the_scene_about_the_cameras_axis(shape):
    depth, image = scene()
    mesh = to_mesh(unproject(depth, 20.0)[:, 3:], image[:, 3:])  # more to the right than to the left
    files = [mesh_to_glb(mesh, image, at) if shape == "mesh" else points_to_glb(mesh.vertices, mesh.colors, at)
             for at in (None, 3.5)]  # fmt: skip
    plain, turned = (trimesh.load_scene(io.BytesIO(each), file_type="glb") for each in files)
    assert np.abs(plain.bounds.mean(0)[:2]).max() > 0.1
    np.testing.assert_allclose(turned.bounds.mean(0), [0, 0, -3.5], atol=1e-6)
    np.testing.assert_allclose(plain.bounds, [mesh.vertices.min(0), mesh.vertices.max(0)], rtol=1e-6)
    assert (turned.bounds[0] <= plain.bounds[0] + 1e-6).all()
    assert (turned.bounds[1] >= plain.bounds[1] - 1e-6).all()
    assert turned.area == pytest.approx(plain.area)  # nothing more is drawn


def test_points_and_meshes_as_files():
    depth, image = scene()
    points, colors = to_points(depth, image, 20.0)
    cloud = next(iter(trimesh.load_scene(io.BytesIO(points_to_glb(points, colors)), file_type="glb").geometry.values()))
    assert np.allclose(cloud.vertices, points)
    # glTF has linear light: 128 of 255 in sRGB is 21.6 % of the light, 55 of 255 (IEC 61966-2-1).
    gray = points_to_glb(np.zeros((1, 3)), np.full((1, 3), 128, np.uint8))
    assert next(iter(trimesh.load_scene(io.BytesIO(gray), file_type="glb").geometry.values())).colors[0, 0] == 55
    mesh = to_mesh(unproject(depth, 20.0), image)
    read = trimesh.load(io.BytesIO(to_ply(mesh.vertices, mesh.colors, mesh.faces)), file_type="ply", process=False)
    assert np.array_equal(read.faces, mesh.faces)
    assert np.array_equal(read.visual.vertex_colors[:, :3], mesh.colors)


def test_what_cannot_be_a_mesh_is_refused():
    points, image = np.zeros((3, 3, 3)), np.zeros((3, 3, 3), np.uint8)
    empty = to_mesh(points, image)
    with pytest.raises(ValueError, match="no triangle"):
        mesh_to_glb(empty, image)
    with pytest.raises(ValueError, match="no point"):
        points_to_glb(np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    with pytest.raises(ValueError, match="of one size"):
        to_mesh(points, image[:2])
    with pytest.raises(ValueError, match="max_jump is 1"):
        to_mesh(points, image, max_jump=1)
    with pytest.raises(ValueError, match="far_m is 0"):
        to_mesh(points, image, far_m=0)


def test_points_become_squares_of_their_own_size_and_colour():
    places = np.array([[0.25, 0.5], [0.75, 0.5]], np.float32)
    points = np.array([[0, 0, -1], [2, 1, -3]], np.float32)
    colors = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    made = to_squares(Mesh(points, colors, np.empty((0, 3), np.int32), places), np.array([0.5, 2.0]))
    for number, (point, side) in enumerate(zip(points, (0.5, 2.0), strict=True)):
        corners = made.vertices[4 * number : 4 * number + 4]
        np.testing.assert_allclose(corners.mean(0), point, atol=1e-6)
        np.testing.assert_allclose(np.ptp(corners, axis=0), [side, side, 0], atol=1e-6)
        assert (made.colors[4 * number : 4 * number + 4] == colors[number]).all()
    triangles = made.vertices[made.faces]
    across = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    np.testing.assert_allclose(across[:, 2] / 2, [0.125, 0.125, 2, 2], atol=1e-6)  # half a square, towards the camera
    image = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    assert len(trimesh.load(io.BytesIO(mesh_to_glb(made, image)), file_type="glb").geometry) == 1
