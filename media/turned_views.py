"""A mesh of a photo, drawn as another camera would see it: what depth is good for, in one picture."""

import math

import numpy as np
from PIL import Image, ImageDraw

from semidepth.media.meshes import Mesh

BACKGROUND = (24, 26, 32)
SMOOTHING = 2  # triangles are drawn so many times as large, and the picture is shrunk: no ragged outlines


def turned_view(
    mesh: Mesh, focal_px: float, size: tuple[int, int], *, turn_deg: float = 10.0, lift_deg: float = 4.0
) -> Image.Image:
    """Draws a mesh as a camera sees it that went round its middle, to the right and up, and still looks at it.

    The middle is the median distance of its vertices, on the axis of the photo's camera. Triangles are drawn from the
    farthest to the nearest in their vertices' mean colour. What the photo's camera did not see is background.

    Args:
        mesh: of a photo, see `meshes.to_mesh`.
        focal_px: focal length of the photo and of the picture, pixels of the photo.
        size: width and height of the photo and of the picture, pixels.
        turn_deg: how far the camera goes round to the right; below 0: to the left.
        lift_deg: how far it goes up.

    Returns:
        RGB picture.

    Raises:
        ValueError: the mesh has no triangle, or an angle is not between -90 and 90 degrees.
    """
    if not len(mesh.faces):
        raise ValueError("the mesh has no triangle to draw; allow larger jumps in depth (max_jump).")
    for name, angle in (("turn_deg", turn_deg), ("lift_deg", lift_deg)):
        if not -90 < angle < 90:
            raise ValueError(f"{name} is {angle:g}; give an angle between -90 and 90 degrees, such as 15.")
    width, height = (SMOOTHING * side for side in size)
    seen = _as_seen(mesh.vertices.astype(np.float64), turn_deg, lift_deg)
    before = -seen[:, 2]
    faces = mesh.faces[(before[mesh.faces] > 1e-6 * before.max()).all(1)]  # nothing beside or behind the camera
    with np.errstate(divide="ignore", invalid="ignore"):
        x = width / 2 + SMOOTHING * focal_px * seen[:, 0] / before
        y = height / 2 - SMOOTHING * focal_px * seen[:, 1] / before
    faces = faces[np.argsort(-before[faces].mean(1))]
    corners = np.stack([x[faces], y[faces]], -1).reshape(len(faces), 6)
    colors = mesh.colors[faces].mean(1).round().astype(np.uint8)
    picture = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for corner, color in zip(corners.tolist(), colors.tolist(), strict=True):
        draw.polygon(corner, fill=tuple(color))
    return picture.resize(size, Image.Resampling.BOX)


def _as_seen(points: np.ndarray, turn_deg: float, lift_deg: float) -> np.ndarray:
    """Points (N, 3) in the turned camera's own axes: x right, y up, z backwards."""
    turn, lift = math.radians(turn_deg), math.radians(lift_deg)
    middle = np.array([0.0, 0.0, float(np.median(points[:, 2]))])
    # The scene turns the other way round than the camera.
    around_y = np.array([[math.cos(turn), 0, -math.sin(turn)], [0, 1, 0], [math.sin(turn), 0, math.cos(turn)]])
    around_x = np.array([[1, 0, 0], [0, math.cos(lift), -math.sin(lift)], [0, math.sin(lift), math.cos(lift)]])
    return (points - middle) @ (around_x @ around_y).T + middle
