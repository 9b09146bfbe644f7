"""Normals of the surface that a depth map shows, and pictures of them."""

import numpy as np

from semidepth.media.point_clouds import unproject

EDGE = 3.0
BAND_ROWS = 256  # rows worked on at once: large photos would take gigabytes


def normals(depth_m: np.ndarray, focal_px: float) -> np.ndarray:
    """Returns unit vectors that stand on the surface and point to the camera's side.

    They go by the neighbours on both sides, along rows and columns. Where the step in depth to one is more than `EDGE`
    times the other's it does not count: at an edge that gives the normal of one of the two surfaces, not of a wall.

    Args:
        depth_m: (H, W) metres along the camera's axis, two rows and columns at least; unknown where not finite.
        focal_px: focal length, pixels of this image.

    Returns:
        (H, W, 3) float32, x right, y up, z towards the camera; NaN where the depth or a neighbour's is unknown.
    """
    height, width = depth_m.shape
    if min(height, width) < 2:
        raise ValueError(f"the depth map is {width} x {height}; normals need two rows and two columns at least.")
    found = np.empty((height, width, 3), np.float32)
    for first in range(0, height, BAND_ROWS):
        last = min(first + BAND_ROWS, height)
        above, below = max(first - 1, 0), min(last + 1, height)
        found[first:last] = _of_points(_rows(depth_m, above, below, focal_px))[first - above :][: last - first]
    return found


def normals_picture(found: np.ndarray) -> np.ndarray:
    """Returns normals as colours: x, y and z from -1 to 1 become red, green and blue from 0 to 255; unknown is black.

    Args:
        found: (H, W, 3) from [`normals`].

    Returns:
        (H, W, 3) uint8.
    """
    return np.where(np.isfinite(found), np.rint((found + 1) * 127.5), 0).astype(np.uint8)


def _rows(depth_m: np.ndarray, first: int, last: int, focal_px: float) -> np.ndarray:
    """(last - first, W, 3): the points of some rows, as [`unproject`] has them for the whole map."""
    points = unproject(depth_m[first:last], focal_px)
    # It has taken the middle of these rows for the middle of the image, and z is minus the depth.
    points[..., 1] -= points[..., 2] * (depth_m.shape[0] - first - last) / 2 / focal_px
    return points


def _of_points(points: np.ndarray) -> np.ndarray:
    right, down = _step(points, 1), _step(points, 0)
    with np.errstate(invalid="ignore"):
        found = np.cross(right, -down)
        return found / np.linalg.norm(found, axis=-1, keepdims=True)


def _step(points: np.ndarray, axis: int) -> np.ndarray:
    """(H, W, 3): along an axis from the point before to the one after; without the half of it that crosses an edge."""
    between = np.diff(points, axis=axis)
    ahead = np.concatenate([between, np.take(between, [-1], axis)], axis)
    back = np.concatenate([np.take(between, [0], axis), between], axis)
    with np.errstate(invalid="ignore"):
        rise, fall = np.abs(ahead[..., 2:]), np.abs(back[..., 2:])
        only_back = np.isfinite(fall) & ~(rise <= EDGE * fall)
        only_ahead = np.isfinite(rise) & ~(fall <= EDGE * rise)
        return np.where(only_back, back, np.where(only_ahead, ahead, ahead + back))


def normals_of(picture: np.ndarray) -> np.ndarray:
    """Returns the normals of a picture by [`normals_picture`], (H, W, 3) float32 unit vectors; NaN where it is black.

    Args:
        picture: (H, W, 3) uint8.
    """
    vectors = picture.astype(np.float32) / 127.5 - 1
    vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
    return np.where((picture == 0).all(-1, keepdims=True), np.float32(np.nan), vectors)
