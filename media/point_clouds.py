"""Metres to points in space, and points to a PLY file that opens right way up.

PLY is written here, not by trimesh's `export(file_type="ply")`: that cannot write the comment with units
and axes, and it adds an alpha channel to every point. Trimesh is also an optional package, and PLY is among the formats
that `semidepth predict` makes without any.
"""

import math
from typing import Any

import numpy as np

FAR_OF_RELATIVE = 6.0  # depth of the farthest point where the model has no unit; the nearest is 1


def focal_from_fov(fov_deg: float, width: int) -> float:
    """Focal length in pixels of a pinhole camera that sees `fov_deg` over `width` pixels."""
    return width / 2 / math.tan(math.radians(fov_deg) / 2)


def guessed_depth(inverse_depth: np.ndarray) -> np.ndarray:
    """Depth in a unit of its own for a map of relative inverse depth, whose scale and shift nobody knows: a guess.

    Args:
        inverse_depth: (H, W), larger is nearer; its half per cent of smallest and largest values are clipped.

    Returns:
        (H, W), from 1 for the nearest to `FAR_OF_RELATIVE` for the farthest.
    """
    low, high = (float(each) for each in np.nanpercentile(inverse_depth, [0.5, 99.5]))
    return depth_of_nearness(np.clip((inverse_depth - low) / max(high - low, 1e-12), 0, 1))


def depth_of_nearness(nearness: Any) -> Any:
    """Depth from nearness, 0 for the farthest and 1 for the nearest, linear in inverse depth."""
    return 1 / (nearness * (1 - 1 / FAR_OF_RELATIVE) + 1 / FAR_OF_RELATIVE)


def unproject(depth_m: np.ndarray, focal_px: float) -> np.ndarray:
    """Points in space of all pixels, for a pinhole camera whose axis goes through the middle of the image.

    Args:
        depth_m: (H, W) metres along the camera's axis.
        focal_px: focal length, pixels of this image.

    Returns:
        (H, W, 3) float32 metres, x right, y up, z backwards (the camera sits at the origin and looks along -z, as
        viewers have it); not finite where the depth is not.
    """
    height, width = depth_m.shape
    # Pixel centres are at half pixels, and so is the middle of the image.
    x = (np.arange(width) + 0.5 - width / 2) / focal_px
    y = (height / 2 - np.arange(height) - 0.5) / focal_px
    with np.errstate(invalid="ignore"):  # 0 times infinite, where the depth is unknown
        return np.stack([x[None] * depth_m, y[:, None] * depth_m, -depth_m], -1).astype(np.float32)


def point_at(depth_m: np.ndarray, x: int, y: int, focal_px: float) -> np.ndarray:
    """(3,) float64 metres: the point in space of one pixel, as [`unproject`] has it.

    Args:
        depth_m: (H, W) metres along the camera's axis.
        x: column.
        y: row.
        focal_px: focal length, pixels of this image.
    """
    height, width = depth_m.shape
    depth = float(depth_m[y, x])
    return np.array([(x + 0.5 - width / 2) / focal_px * depth, (height / 2 - y - 0.5) / focal_px * depth, -depth])


def to_points(depth_m: np.ndarray, image: np.ndarray, focal_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and colours of the pixels whose depth is known.

    Args:
        depth_m: (H, W) metres along the camera's axis; unknown where not finite or not positive, which is left out.
        image: (H, W, 3) uint8.
        focal_px: focal length, pixels of this image.

    Returns:
        (N, 3) float32 metres as [`unproject`] has them, and (N, 3) uint8 colours.
    """
    known = np.isfinite(depth_m) & (depth_m > 0)
    return unproject(depth_m, focal_px)[known], image[known]


def to_ply(points: np.ndarray, colors: np.ndarray, faces: np.ndarray | None = None) -> bytes:
    """Content of a binary little-endian PLY file of points, or of a mesh.

    Args:
        points: (N, 3) float32 metres.
        colors: (N, 3) uint8.
        faces: (M, 3) int, triangles of a mesh as indices of points; None: points alone.

    Returns:
        The file's content.
    """
    fields = [(name, "<f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.empty(len(points), dtype=fields)
    for axis, name in enumerate("xyz"):
        vertices[name] = points[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = colors[:, channel]
    kinds = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment metres; x right, y up, camera at the origin looking along -z",
        f"element vertex {len(points)}",
        *(f"property {kinds[kind]} {name}" for name, kind in fields),
    ]
    triangles = b""
    if faces is not None:
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
        rows = np.empty(len(faces), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
        rows["count"], rows["corners"] = 3, faces
        triangles = rows.tobytes()
    return ("\n".join([*header, "end_header"]) + "\n").encode() + vertices.tobytes() + triangles
