"""Metres to points in space, and points to a PLY file that opens right way up."""

import math

import numpy as np


def focal_from_fov(fov_deg: float, width: int) -> float:
    """Focal length in pixels of a pinhole camera that sees `fov_deg` over `width` pixels."""
    return width / 2 / math.tan(math.radians(fov_deg) / 2)


def to_points(depth_m: np.ndarray, image: np.ndarray, focal_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Unprojects each pixel through a pinhole camera whose axis goes through the middle of the image.

    Args:
        depth_m: (H, W) metres along the camera's axis; unknown where not finite or not positive, which is left out.
        image: (H, W, 3) uint8.
        focal_px: focal length, pixels of this image.

    Returns:
        (N, 3) float32 metres, x right, y up, z backwards (the camera sits at the origin and looks along -z, as viewers
        have it), and (N, 3) uint8 colours.
    """
    height, width = depth_m.shape
    rows, columns = np.mgrid[:height, :width]
    # Pixel centres are at half pixels, and so is the middle of the image.
    x = (columns + 0.5 - width / 2) / focal_px * depth_m
    y = (height / 2 - rows - 0.5) / focal_px * depth_m
    known = np.isfinite(depth_m) & (depth_m > 0)
    points = np.stack([x, y, -depth_m], -1)[known]
    return points.astype(np.float32), image[known]


def to_ply(points: np.ndarray, colors: np.ndarray) -> bytes:
    """A binary little-endian PLY file.

    Args:
        points: (N, 3) float32 metres.
        colors: (N, 3) uint8.

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
        "end_header",
    ]
    return ("\n".join(header) + "\n").encode() + vertices.tobytes()
