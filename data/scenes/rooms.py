"""Rooms: a box with doors, windows, cabinets, beds, sofas, shelves, tables, chairs, columns, lamps and balls.

Everything lies within 10 m of the camera, because the room's longest diagonal is shorter than that.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from semidepth.data.scenes.draws import Array, Draws
from semidepth.data.scenes.layout import (
    CLEARANCE_M,
    EMPTY,
    Layout,
    Slots,
    camera_axes,
    clear_view,
)

MAX_DIAGONAL_M = 9.9
BELOW = np.array([0.0, -5.0, 0.0])  # under the floor, where nothing is seen
WALL_ITEMS = 6  # pieces of furniture with their back to a wall, each of a block and a back or headboard
SLOTS = Slots(
    faces=("wall", "wall", "floor", "ceiling", "wall", "wall"),
    aligned=("door", "window", "window", "picture", "rug")
    + ("furniture",) * WALL_ITEMS
    + ("furniture",) * WALL_ITEMS
    + ("furniture", "furniture", "object", "object"),
    yawed=("furniture",) * 5 + ("object",) * 3,
    cylinders=("column", "object", "object"),
    spheres=("lamp", "ball", "ball"),
    groups=(
        *range(5),
        *range(5, 5 + WALL_ITEMS),
        *range(5, 5 + WALL_ITEMS),
        *(20, 21, 20, 21),
        *(22, 22, 22, 23, 23, 24, 25, 26),
        *(27, 28, 22),
        *(29, 30, 22),
    ),
)
# width, depth, height, height of the back above the floor (0 for none): low and high ends, metres
WALL_ITEM_KINDS = np.array(
    [
        [[0.7, 1.5], [0.35, 0.6], [0.7, 1.1], [0.0, 0.0]],  # cabinet
        [[0.8, 1.8], [0.5, 0.65], [1.7, 2.1], [0.0, 0.0]],  # wardrobe
        [[1.0, 1.9], [1.9, 2.1], [0.4, 0.6], [0.8, 1.2]],  # bed
        [[1.3, 2.2], [0.8, 0.95], [0.38, 0.45], [0.7, 0.9]],  # sofa
        [[0.8, 1.4], [0.5, 0.7], [0.7, 0.78], [1.2, 1.9]],  # desk with a board
    ]
)


def layout_rooms(draws: Draws) -> Layout:
    """Lays out one room per row of uniforms.

    Args:
        draws: uniforms of B scenes.

    Returns:
        The rooms; floor at y = 0, walls along the axes, centre of the floor at the origin.
    """
    height = draws.uniform(2.3, 3.5)
    floor = draws.uniform(2.6, 9.0, 2)
    diagonal = np.hypot(floor[:, 0], floor[:, 1])
    floor = floor * np.minimum(1.0, np.sqrt(MAX_DIAGONAL_M**2 - height**2) / diagonal)[:, None]
    room = np.stack([floor[:, 0] / 2, height / 2, floor[:, 1] / 2], -1)  # (B, 3), half sizes
    eye, axes, fov_deg = _camera(draws, room)

    on_walls = [_opening(draws, room, *size) for size in (((0.8, 1.0), (2.0, 2.1), (0.0, 0.0)),)]
    on_walls += [_opening(draws, room, (0.7, 1.8), (0.8, 1.4), (0.8, 1.0)) for _ in range(2)]
    on_walls += [_opening(draws, room, (0.4, 1.2), (0.4, 0.9), (1.2, 1.4))]
    parts = [*on_walls, _rug(draws, room), *_wall_items(draws, room), *_shelves(draws, room)]
    table, table_yaw, vase, bowl = _table(draws, room)
    chair, chair_yaw = _chair(draws, room)
    clutter, clutter_yaw = _clutter(draws, room)
    rounds, lamp = _rounds(draws, room, vase, bowl)
    parts += [table, chair, clutter, rounds]

    center = np.concatenate([part[0] for part in parts], 1)
    half = np.concatenate([part[1] for part in parts], 1)
    count = len(center)
    yaw = np.zeros(center.shape[:2])
    first = len(SLOTS.aligned)
    yaw[:, first : first + len(SLOTS.yawed)] = np.concatenate([table_yaw, chair_yaw, clutter_yaw], 1)
    half = clear_view(eye, center, half, yaw, SLOTS.groups)

    shell = np.broadcast_to(np.stack([np.zeros(count), height / 2, np.zeros(count)], -1)[:, None], (count, 6, 3))
    second_lamp = draws.uniform(-0.8, 0.8, 3) * room * [1.0, 0.5, 1.0] + [0.0, 1.6, 0.0]
    second_lamp[:, 1] = np.minimum(second_lamp[:, 1], height - 0.3)
    return Layout(
        slots=SLOTS,
        center=np.concatenate([shell, center], 1),
        half=np.concatenate([np.repeat(room[:, None], 6, 1), half], 1),
        yaw=np.concatenate([np.zeros((count, 6)), yaw], 1),
        eye=eye,
        axes=axes,
        fov_deg=fov_deg,
        lamps=np.stack([lamp, second_lamp], 1),
        road=np.zeros((count, 3)),
    )


Part = tuple[Array, Array]  # centres and half sizes, (B, n, 3) each


def _camera(draws: Draws, room: Array) -> tuple[Array, Array, Array]:
    """A camera inside the room that looks across its middle."""
    free = room[:, [0, 2]] - CLEARANCE_M
    place = draws.sign(2) * np.sqrt(draws.uniform(0.0, 1.0, 2)) * free  # more often near a wall than in the middle
    target = -np.sign(place) * draws.uniform(0.0, 0.8, 2) * free
    height = np.minimum(draws.uniform(0.8, 1.9), 2 * room[:, 1] - CLEARANCE_M)
    eye = np.stack([place[:, 0], height, place[:, 1]], -1)
    yaw = np.arctan2(target[:, 0] - place[:, 0], target[:, 1] - place[:, 1]) + np.radians(draws.uniform(-12, 12))
    pitch = np.radians(draws.uniform(-24, 6))
    roll = np.radians(draws.uniform(-6, 6) * draws.uniform())
    return eye, camera_axes(yaw, pitch, roll), draws.uniform(50.0, 100.0)


def _at_wall(wall: NDArray[np.signedinteger[Any]], along: Array, size: Array, bottom: Array, room: Array) -> Part:
    """Boxes with their backs to a wall.

    Args:
        wall: (B, n), 0 ... 3 for -x, +x, -z, +z.
        along: (B, n), place along the wall, -1 ... 1 from end to end.
        size: (B, n, 3), width along the wall, depth into the room, height, metres.
        bottom: (B, n), metres above the floor.
        room: (B, 3), half sizes, metres.
    """
    half = size / 2
    across_x = (wall < 2)[..., None]
    swapped = np.stack([half[..., 1], half[..., 2], half[..., 0]], -1)
    straight = np.stack([half[..., 0], half[..., 2], half[..., 1]], -1)
    box = np.where(across_x, swapped, straight)
    side = np.where(wall % 2 == 0, -1.0, 1.0)
    free = np.maximum(room[:, None] - box, 0.0)
    at_x = np.stack([side * free[..., 0], bottom + half[..., 2], along * free[..., 2]], -1)
    at_z = np.stack([along * free[..., 0], bottom + half[..., 2], side * free[..., 2]], -1)
    return np.where(across_x, at_x, at_z), box


def _opening(
    draws: Draws,
    room: Array,
    width: tuple[float, float],
    height: tuple[float, float],
    bottom: tuple[float, float],
) -> Part:
    """A door, window or picture: a slab of 4 cm on a wall, there three times out of four."""
    wall = draws.integer(4, 1)
    size = np.stack([draws.uniform(*width, 1), np.full_like(wall, 0.04, dtype=float), draws.uniform(*height, 1)], -1)
    center, half = _at_wall(wall, draws.uniform(-0.9, 0.9, 1), size, draws.uniform(*bottom, 1), room)
    return center, np.where(draws.chance(0.75, 1)[..., None], half, EMPTY)


def _rug(draws: Draws, room: Array) -> Part:
    half = np.stack([draws.uniform(0.6, 1.6), np.full(len(room), 0.006), draws.uniform(0.6, 1.6)], -1)
    half[:, [0, 2]] = np.minimum(half[:, [0, 2]], room[:, [0, 2]] - 0.2)
    center = draws.uniform(-1.0, 1.0, 3) * (room - half) * [1.0, 0.0, 1.0] + [0.0, 0.006, 0.0]
    return center[:, None], np.where(draws.chance(0.5)[:, None], half, EMPTY)[:, None]


def _wall_items(draws: Draws, room: Array) -> list[Part]:
    """Blocks along the walls, then their backs."""
    kind = draws.integer(len(WALL_ITEM_KINDS), WALL_ITEMS)
    ranges = WALL_ITEM_KINDS[kind]  # (B, n, 4, 2)
    size = draws.uniform(ranges[..., 0], ranges[..., 1], WALL_ITEMS, 4)
    first = draws.integer(4, 1)
    wall = (first + np.arange(WALL_ITEMS)) % 4  # every wall gets one before any gets two
    along = draws.uniform(-1.0, 1.0, WALL_ITEMS)
    center, half = _at_wall(wall, along, size[..., :3], np.zeros_like(along), room)
    back_size = np.stack([size[..., 0], np.full_like(along, 0.1), size[..., 3]], -1)
    back_center, back_half = _at_wall(wall, along, back_size, np.zeros_like(along), room)
    there = draws.chance(0.7, WALL_ITEMS)[..., None] & (half < room[:, None] * 0.9).all(-1, keepdims=True)
    has_back = there & (size[..., 3:] > 0)
    return [(center, np.where(there, half, EMPTY)), (back_center, np.where(has_back, back_half, EMPTY))]


def _shelves(draws: Draws, room: Array) -> list[Part]:
    """Two boards on the walls, then a box standing on each."""
    wall = draws.integer(4, 2)
    along = draws.uniform(-0.9, 0.9, 2)
    thick = np.full((len(room), 2), 0.04)
    size = np.stack([draws.uniform(0.6, 1.5, 2), draws.uniform(0.2, 0.35, 2), thick], -1)
    bottom = draws.uniform(1.1, 1.7, 2)
    center, half = _at_wall(wall, along, size, bottom, room)
    box_size = np.stack([draws.uniform(0.15, 0.5, 2), draws.uniform(0.1, 0.2, 2), draws.uniform(0.1, 0.4, 2)], -1)
    box_center, box_half = _at_wall(wall, along, box_size, bottom + 0.04, room)
    there = draws.chance(0.6, 2)[..., None]
    return [(center, np.where(there, half, EMPTY)), (box_center, np.where(there, box_half, EMPTY))]


def _table(draws: Draws, room: Array) -> tuple[Part, Array, Array, Array]:
    """A table top on two panels; its yaw; places on it for a vase and a bowl (`BELOW` without a table)."""
    half = np.stack([draws.uniform(0.4, 0.9), np.full(len(room), 0.02), draws.uniform(0.3, 0.5)], -1)
    half[:, [0, 2]] *= np.minimum(1.0, 0.3 * room[:, [0, 2]].min(-1, keepdims=True) / 0.5)
    height = draws.uniform(0.4, 0.78)
    place = draws.uniform(-0.5, 0.5, 2) * (room[:, [0, 2]] - 0.5)
    yaw = draws.uniform(0.0, np.pi)
    there = draws.chance(0.75)[:, None, None]
    along = np.stack([np.cos(yaw), np.zeros_like(yaw), -np.sin(yaw)], -1)  # the table's x axis in the world
    middle = np.stack([place[:, 0], height - 0.02, place[:, 1]], -1)
    leg = np.stack([np.full_like(height, 0.03), (height - 0.04) / 2, half[:, 2] * 0.9], -1)
    reach = along * (half[:, :1] - 0.08)
    foot = middle * [1.0, 0.0, 1.0] + leg * [0.0, 1.0, 0.0]
    center = np.stack([middle, foot + reach, foot - reach], 1)
    size = np.where(there, np.stack([half, leg, leg], 1), EMPTY)
    vase = np.where(there[:, 0], middle + reach * draws.uniform(-0.7, 0.0, 1), BELOW)
    bowl = np.where(there[:, 0], middle + reach * draws.uniform(0.3, 0.7, 1), BELOW)
    return (center, size), np.repeat(yaw[:, None], 3, 1), vase, bowl


def _chair(draws: Draws, room: Array) -> tuple[Part, Array]:
    """A seat and a back."""
    seat = draws.uniform(0.2, 0.24)
    place = draws.uniform(-0.75, 0.75, 2) * (room[:, [0, 2]] - 0.4)
    yaw = draws.uniform(0.0, 2 * np.pi)
    behind = np.stack([np.sin(yaw), np.zeros_like(yaw), np.cos(yaw)], -1)
    floor = np.stack([place[:, 0], np.zeros_like(yaw), place[:, 1]], -1)
    high = draws.uniform(0.38, 0.5)
    up = np.array([0.0, 1.0, 0.0])
    back_at = floor + behind * (seat[:, None] - 0.03) + high[:, None] * up
    center = np.stack([floor + 0.22 * up, back_at], 1)
    block = np.stack([seat, np.full_like(seat, 0.22), seat], -1)
    back = np.stack([seat, high, np.full_like(seat, 0.03)], -1)
    there = draws.chance(0.7)[:, None, None]
    return (center, np.where(there, np.stack([block, back], 1), EMPTY)), np.repeat(yaw[:, None], 2, 1)


def _clutter(draws: Draws, room: Array) -> tuple[Part, Array]:
    """Three boxes on the floor."""
    half = draws.uniform(0.1, 0.4, 3, 3)
    free = room[:, None] - 0.55
    center = draws.uniform(-1.0, 1.0, 3, 3) * free
    center[..., 1] = half[..., 1]
    there = draws.chance(0.6, 3)[..., None]
    return (center, np.where(there, half, EMPTY)), draws.uniform(0.0, np.pi, 3)


def _rounds(draws: Draws, room: Array, vase: Array, bowl: Array) -> tuple[Part, Array]:
    """Column, bin and vase, then lamp, ball on the floor and ball on the table; also where the lamp hangs."""
    height = 2 * room[:, 1]
    zero = np.zeros_like(height)
    radius = draws.uniform([0.12, 0.12, 0.04], [0.28, 0.3, 0.1], 3)
    tall = np.stack([height / 2, draws.uniform(0.15, 0.5), draws.uniform(0.08, 0.2)], -1)
    spot = draws.uniform(-0.9, 0.9, 3, 2) * (room[:, None, [0, 2]] - 0.35)
    column = np.stack([spot[:, 0, 0], height / 2, spot[:, 0, 1]], -1)
    can = np.stack([spot[:, 1, 0], tall[:, 1], spot[:, 1, 1]], -1)
    cylinders = np.stack([column, can, vase + (tall[:, 2:] + 0.02) * [0, 1, 0]], 1)
    cylinder_half = np.stack([radius, tall, radius], -1)
    cylinder_half = np.where(draws.chance(np.array([0.3, 0.6, 0.5]), 3)[..., None], cylinder_half, EMPTY)

    size = draws.uniform([0.1, 0.1, 0.06], [0.2, 0.35, 0.13], 3)
    lamp = np.stack([0.5 * spot[:, 2, 0], height - draws.uniform(0.35, 0.7), 0.5 * spot[:, 2, 1]], -1)
    at = draws.uniform(-0.9, 0.9, 2) * (room[:, [0, 2]] - 0.4)
    ball = np.stack([at[:, 0], size[:, 1], at[:, 1]], -1)
    spheres = np.stack([lamp, ball, bowl + (size[:, 2:] + 0.02) * [0, 1, 0] + zero[:, None]], 1)
    sphere_half = np.where(draws.chance(np.array([0.6, 0.6, 0.5]), 3)[..., None], size[..., None], EMPTY)
    sphere_half = np.broadcast_to(sphere_half, (*size.shape, 3))
    center = np.concatenate([cylinders, spheres], 1)
    return (center, np.concatenate([cylinder_half, sphere_half], 1)), lamp
