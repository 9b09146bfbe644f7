"""Parts of a built-in scene: the slots for primitives, the camera, and the places of the lamps.

The world is in metres, y up. Every scene of a domain has the same slots in the same order (faces of the room
or the ground, boxes along the axes, boxes with a yaw, cylinders, spheres); a scene that does not use a slot
leaves it empty. So one batch is a few arrays, and the ray-caster walks over slots and never over images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semidepth.data.scenes.draws import Array

EMPTY = -1.0  # half size of a primitive that is not there: no ray can hit it
CLEARANCE_M = 0.55  # nothing comes nearer to the camera; at the widest view this keeps the z-depth above 0.2 m

SEMANTIC_CLASSES: tuple[str, ...] = (
    "sky",
    "ground",
    "ceiling",
    "wall",
    "opening",
    "furniture",
    "column",
    "ball",
    "pavement",
    "house",
    "vehicle",
    "trunk",
    "foliage",
    "pole",
    "person",
)


@dataclass(frozen=True)
class Slots:
    """The fixed kinds of primitives of one domain, in the order of the arrays.

    Args:
        faces: roles of the faces of the room (-x, +x, floor, ceiling, -z, +z) or of the one ground plane.
        aligned: roles of the boxes along the world's axes.
        yawed: roles of the boxes turned about the vertical.
        cylinders: roles of the upright cylinders.
        spheres: roles of the spheres.
        groups: for each box, cylinder and sphere the number of the thing that it is a part of.
    """

    faces: tuple[str, ...]
    aligned: tuple[str, ...]
    yawed: tuple[str, ...]
    cylinders: tuple[str, ...]
    spheres: tuple[str, ...]
    groups: tuple[int, ...]

    @property
    def roles(self) -> tuple[str, ...]:
        return self.faces + self.aligned + self.yawed + self.cylinders + self.spheres


@dataclass(frozen=True)
class Layout:
    """Primitives and cameras of a batch of scenes of one domain.

    Args:
        slots: the kinds of the P primitives.
        center: (B, P, 3), metres; faces hold the room's centre, the ground a point one metre below it.
        half: (B, P, 3), half sizes in metres; cylinders (r, h/2, r), spheres (r, r, r), `EMPTY` if not there.
        yaw: (B, P), radians about y.
        eye: (B, 3), metres.
        axes: (B, 3, 3), the camera's right, up and forward vectors as rows.
        fov_deg: (B,), horizontal field of view.
        lamps: (B, 2, 3), metres, places where a lamp may burn.
        road: (B, 3): half width of the road, half width of its lines, period of the dashes (zeros in a room).
    """

    slots: Slots
    center: Array
    half: Array
    yaw: Array
    eye: Array
    axes: Array
    fov_deg: Array
    lamps: Array
    road: Array


def camera_axes(yaw: Array, pitch: Array, roll: Array) -> Array:
    """Right, up and forward vectors of a camera.

    Args:
        yaw: (B,), radians, 0 looks along +z and pi/2 along +x.
        pitch: (B,), radians, positive looks up.
        roll: (B,), radians, positive tilts the head to the right.

    Returns:
        (B, 3, 3), rows right, up, forward, orthonormal.
    """
    sin_yaw, cos_yaw, sin_pitch, cos_pitch = np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch)
    zero = np.zeros_like(yaw)
    forward = np.stack([sin_yaw * cos_pitch, sin_pitch, cos_yaw * cos_pitch], -1)
    right = np.stack([cos_yaw, zero, -sin_yaw], -1)
    up = np.stack([-sin_yaw * sin_pitch, cos_pitch, -cos_yaw * sin_pitch], -1)
    sin_roll, cos_roll = np.sin(roll)[:, None], np.cos(roll)[:, None]
    return np.stack([cos_roll * right - sin_roll * up, sin_roll * right + cos_roll * up, forward], 1)


def distance_to_boxes(point: Array, center: Array, half: Array, yaw: Array) -> Array:
    """Distance of one point per image to its solids' (yawed) bounding boxes, 0 inside.

    Args:
        point: (B, 3), metres.
        center: (B, P, 3), metres.
        half: (B, P, 3), metres; empty solids are infinitely far.
        yaw: (B, P), radians.

    Returns:
        (B, P), metres.
    """
    offset = point[:, None] - center
    cos_yaw, sin_yaw = np.cos(yaw), np.sin(yaw)
    x = cos_yaw * offset[..., 0] - sin_yaw * offset[..., 2]
    z = sin_yaw * offset[..., 0] + cos_yaw * offset[..., 2]
    local = np.stack([x, offset[..., 1], z], -1)
    distance = np.sqrt((np.maximum(np.abs(local) - half, 0.0) ** 2).sum(-1))
    return np.where((half <= 0).any(-1), np.inf, distance)


def clear_view(eye: Array, center: Array, half: Array, yaw: Array, groups: tuple[int, ...]) -> Array:
    """Empties every thing that has a part nearer to the camera than `CLEARANCE_M`.

    Args:
        eye: (B, 3), metres.
        center, half, yaw: the solids, as in `Layout`, without the faces.
        groups: the number of the thing that each solid is a part of.

    Returns:
        (B, P, 3), half sizes in metres, `EMPTY` where a thing was too near.
    """
    near: NDArray[np.bool_] = distance_to_boxes(eye, center, half, yaw) < CLEARANCE_M
    member = np.asarray(groups)[:, None] == np.asarray(groups)[None, :]  # (P, P), parts of the same thing
    dropped = (near[:, None, :] & member[None]).any(-1)
    return np.where(dropped[..., None], EMPTY, half)


def in_view(layout: Layout, half_width: Array, half_height: Array) -> NDArray[np.bool_]:
    """Mask of primitives that may be visible; the others lie outside a plane through one of the picture's edges.

    Args:
        layout: B scenes of P slots.
        half_width, half_height: (B,), half the size of the picture at a depth of one metre, metres.

    Returns:
        (B, P), False for what is empty or surely out of view.
    """
    right, up, forward = layout.axes[:, 0], layout.axes[:, 1], layout.axes[:, 2]
    wide, high = half_width[:, None] * forward, half_height[:, None] * forward
    planes = np.stack([right - wide, -right - wide, up - high, -up - high], 1)  # (B, 4, 3), pointing outwards
    offset = layout.center - layout.eye[:, None]
    beyond = planes @ offset.transpose(0, 2, 1)  # (B, 4, P)
    cos_yaw, sin_yaw = np.cos(layout.yaw)[:, None], np.sin(layout.yaw)[:, None]
    x, y, z = (planes[..., axis, None] for axis in range(3))
    half_x, half_y, half_z = (layout.half[:, None, :, axis] for axis in range(3))
    reach = np.abs(cos_yaw * x - sin_yaw * z) * half_x + np.abs(y) * half_y
    reach = reach + np.abs(sin_yaw * x + cos_yaw * z) * half_z
    seen: NDArray[np.bool_] = np.logical_and((beyond <= reach + 1e-3).all(1), (layout.half > 0).all(-1))
    return seen
