"""Metres and an image to a triangle mesh, cut where depth jumps; meshes and points to GLB files.

Points come from `point_clouds.unproject`, and `point_clouds.to_ply` writes meshes, too:

    points = unproject(depth_m, focal_from_fov(60, depth_m.shape[1]))
    mesh = to_mesh(points, image, far_m=20)
    Path("scene.glb").write_bytes(mesh_to_glb(mesh, image))
    Path("scene.ply").write_bytes(to_ply(mesh.vertices, mesh.colors, mesh.faces))
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

# Cut where something lies before what is behind it by 5 % or more, such as a cup 0.95 m away before a wall at 1 m.
MAX_JUMP = 1.05
# A model's map is made at its own size and stretched to the image's, and is soft at edges even there. So a jump is what
# happens within a stretch of this share of the longer side: the same of a small image and of the same one enlarged.
JUMP_WIDTH = 1 / 32


@dataclass(frozen=True)
class Mesh:
    """Triangles in space. It may be empty.

    Args:
        vertices: (N, 3) float32 metres, x right, y up, the camera at the origin looking along -z.
        colors: (N, 3) uint8 sRGB.
        faces: (M, 3) int32 numbers of vertices, counterclockwise as the camera sees them.
        places: (N, 2) float32 in [0, 1], where in the image each vertex lies, from its left and from its bottom.
    """

    vertices: np.ndarray
    colors: np.ndarray
    faces: np.ndarray
    places: np.ndarray


def to_mesh(
    points: np.ndarray,
    image: np.ndarray,
    *,
    max_jump: float = MAX_JUMP,
    far_m: float | None = None,
    max_vertices: int | None = None,
) -> Mesh:
    """Mesh over an image's pixels: two triangles for each square of four pixels.

    Args:
        points: (H, W, 3) metres of each pixel, the camera at the origin looking along -z; not finite where unknown.
        image: (H, W, 3) uint8.
        max_jump: triangles are left out where what lies behind is more than so many times as far as what lies
            before it; slopes of surfaces do not count, however steep they are; see [`jumps`]. Above 1.
        far_m: leave out what is farther, metres; None: nothing.
        max_vertices: of a larger image only every second, third, ... pixel in both directions is used; None: all are.

    Returns:
        The mesh, without vertices that have no triangle.

    Raises:
        ValueError: sizes differ, or a number is out of range.
    """
    if points.ndim != 3 or points.shape != image.shape or points.shape[2] != 3:
        raise ValueError(f"points are {points.shape} and the image {image.shape}; expected (H, W, 3) of one size.")
    if not max_jump > 1:
        raise ValueError(f"max_jump is {max_jump}; give a factor above 1, such as {MAX_JUMP}.")
    for name, value in (("far_m", far_m), ("max_vertices", max_vertices)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value}; give a positive number.")
    full_height, full_width = points.shape[:2]
    step = 1
    while max_vertices is not None and -(-full_height // step) * -(-full_width // step) > max_vertices:
        step += 1
    points, colors = points[::step, ::step], image[::step, ::step]
    height, width = points.shape[:2]
    depth = -points[..., 2]
    known = np.isfinite(points).all(-1) & (depth > 0)
    known &= np.where(known, depth, 0) <= (np.inf if far_m is None else far_m)
    whole = ~_across_a_jump(depth, max_jump)
    faces = _grid(height, width)
    faces = faces[known.ravel()[faces].all(1) & whole]
    used = np.zeros(height * width, dtype=bool)
    used[faces] = True
    numbers = np.cumsum(used) - 1  # of each used pixel among the used ones
    rows, columns = np.divmod(np.flatnonzero(used), width)
    places = np.stack([(columns * step + 0.5) / full_width, 1 - (rows * step + 0.5) / full_height], 1)
    return Mesh(
        points.reshape(-1, 3)[used].astype(np.float32),
        colors.reshape(-1, 3)[used],
        numbers[faces].astype(np.int32),
        places.astype(np.float32),
    )


def mesh_to_glb(mesh: Mesh, image: np.ndarray, turned_at_m: float | None = None) -> bytes:
    """Content of a GLB file of a mesh with the image as its texture, in metres, y up, seen along -z.

    Args:
        mesh: from [`to_mesh`].
        image: (H, W, 3) uint8, the one that it was made from.
        turned_at_m: see [`points_to_glb`].

    Returns:
        The file's content.

    Raises:
        ValueError: the mesh is empty.
    """
    if not len(mesh.faces):
        raise ValueError("the mesh has no triangle; allow larger jumps in depth (max_jump) or a greater far_m.")
    import trimesh  # an optional package, which only the files need

    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(image), metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True
    )
    visual = trimesh.visual.TextureVisuals(uv=mesh.places, material=material)
    return _glb(trimesh.Trimesh(mesh.vertices, mesh.faces, visual=visual, process=False), mesh.vertices, turned_at_m)


def to_squares(mesh: Mesh, sides_m: np.ndarray) -> Mesh:
    """A mesh of one square for each vertex, which faces the camera's plane: points that have a size in any viewer.

    Args:
        mesh: whose vertices become squares.
        sides_m: (N,) metres.

    Returns:
        The squares; all corners of one have the colour and the place in the image of its vertex.
    """
    corners = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]], np.float32)
    vertices = mesh.vertices[:, None] + corners * np.asarray(sides_m, np.float32)[:, None, None]
    faces = 4 * np.arange(len(vertices))[:, None, None] + np.array([[0, 1, 2], [0, 2, 3]])
    colors, places = np.repeat(mesh.colors, 4, 0), np.repeat(mesh.places, 4, 0)
    return Mesh(vertices.reshape(-1, 3), colors, faces.reshape(-1, 3).astype(np.int32), places)


def points_to_glb(points: np.ndarray, colors: np.ndarray, turned_at_m: float | None = None) -> bytes:
    """Content of a GLB file of coloured points.

    Args:
        points: (N, 3) metres.
        colors: (N, 3) uint8 sRGB.
        turned_at_m: distance on the camera's axis of the point about which viewers turn the scene, metres: a triangle
            without an area puts the middle of the scene's box there. None: the box of the points alone.

    Returns:
        The file's content.

    Raises:
        ValueError: there is no point.
    """
    if not len(points):
        raise ValueError("there is no point with a known depth; allow a farther cut-off.")
    import trimesh

    return _glb(trimesh.PointCloud(points, colors=_linear(colors)), points, turned_at_m)


def _grid(height: int, width: int) -> np.ndarray:
    """(M, 3) triangles of a grid of pixels that are numbered row by row, counterclockwise with rows going down."""
    numbers = np.arange(height * width).reshape(height, width)
    upper_left, upper_right = numbers[:-1, :-1].ravel(), numbers[:-1, 1:].ravel()
    lower_left, lower_right = numbers[1:, :-1].ravel(), numbers[1:, 1:].ravel()
    return np.concatenate(
        [np.stack([upper_left, lower_left, upper_right], 1), np.stack([upper_right, lower_left, lower_right], 1)]
    )


def _across_a_jump(depth: np.ndarray, max_jump: float) -> np.ndarray:
    """(M,) bool: triangles of [`_grid`] with a side, along a row or a column, at which depth jumps."""
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(float)
    width = math.ceil(JUMP_WIDTH * max(depth.shape))
    along, down = jumps(depth, max_jump, width), jumps(depth.T, max_jump, width).T
    # The first half have their upper and left side along the grid, the second half their lower and right side.
    return np.concatenate([(along[:-1] | down[:, :-1]).ravel(), (along[1:] | down[:, 1:]).ravel()])


def jumps(depth: np.ndarray, max_jump: float, width: int) -> np.ndarray:
    """(H, W - 1) bool: depth jumps between a pixel and its right neighbour.

    Inverse depth q is a straight line over the pixels of a plane, at whatever angle it is seen. So of the step d from a
    pixel to its neighbour, what counts is the rest e by which it is steeper than the surface to its left and the one
    to its right: e = d - clip(d, min(0, left, right), max(0, left, right)), where left and right are the mean slopes of
    q over `width` pixels that begin `width` pixels away. On a plane and at a corner of two planes e is 0; at a jump,
    sharp or smeared over up to `width` pixels, the e of its pixels add up to J = 1 / near - 1 / far. It is cut where
    near * J > 1 - 1 / max_jump, which is far / near > max_jump, and there between those neighbours that have at least
    half of an even share of J.

    Args:
        depth: (H, W) float64 metres, above 0; NaN where unknown.
        max_jump: smallest far / near that counts as a jump.
        width: pixels over which a jump may be smeared.
    """
    inverse = 1 / depth
    columns = depth.shape[1]
    steps = np.diff(inverse)  # (H, W - 1)
    # At the image's border the stretch on its side is shorter and nearer, at last the step itself.
    first = np.maximum(np.arange(columns - 1) - 2 * width, 0)
    last = np.maximum(np.arange(columns - 1) - width, first + 1)
    left = (inverse[:, last] - inverse[:, first]) / (last - first)
    right = (inverse[:, ::-1][:, last] - inverse[:, ::-1][:, first]) / (last - first)
    right = -right[:, ::-1]
    left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
    left, right = np.nan_to_num(left), np.nan_to_num(right)
    # What is flatter than both is the tread of a stair: no triangle is stretched there.
    lowest, highest = np.minimum(left, right).clip(max=0), np.maximum(left, right).clip(min=0)
    rest = np.nan_to_num(steps - np.clip(steps, lowest, highest))
    around = [(0, 0), (width // 2, width - 1 - width // 2)]
    # A post has a jump up and one down within the width, which are not to make up for one another.
    up, down = (_windows(np.pad(each, around), width).sum(-1) for each in (rest.clip(min=0), -rest.clip(max=0)))
    jump = np.where(rest > 0, up, down)
    nearest = _windows(np.pad(np.nan_to_num(inverse), around), width + 1).max(-1)  # 1 / metres
    return (jump > nearest * (1 - 1 / max_jump)) & (np.abs(rest) >= jump / width / 2)


def _windows(values: np.ndarray, width: int) -> np.ndarray:
    """(H, W - width + 1, width): all windows of each row."""
    return np.lib.stride_tricks.sliding_window_view(values, width, axis=1)


def _linear(colors: np.ndarray) -> np.ndarray:
    """sRGB to linear light, as glTF stores colours of points (IEC 61966-2-1)."""
    table = np.arange(256) / 255
    table = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    return np.round(table * 255).astype(np.uint8)[colors]


def _glb(geometry: Any, points: np.ndarray, turned_at_m: float | None) -> bytes:
    """Content of the file, with unlit materials: a photo has its light in it."""
    import trimesh

    def unlit(tree: dict[str, Any]) -> None:
        materials = tree.get("materials", [])
        tree["materials"] = [{**material, "extensions": {"KHR_materials_unlit": {}}} for material in materials]
        tree["extensionsUsed"] = sorted({*tree.get("extensionsUsed", []), "KHR_materials_unlit"})

    scene = trimesh.Scene(geometry)
    if turned_at_m is not None:
        middle = np.array([0, 0, -turned_at_m])
        reach = np.abs(points - middle).max(0)
        corners = np.stack([middle - reach, middle + reach, middle + reach])
        scene.add_geometry(trimesh.Trimesh(corners, [[0, 1, 2]], process=False))
    return bytes(trimesh.exchange.gltf.export_glb(scene, tree_postprocessor=unlit))
