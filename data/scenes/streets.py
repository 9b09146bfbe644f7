"""Streets: a road between pavements, rows of houses, parked cars, trees, lamp posts and people, under a sky.

The street runs along z. What is farther than `MAX_DEPTH_M` counts as sky.
"""

import numpy as np

from semidepth.data.scenes.draws import Array, Draws
from semidepth.data.scenes.layout import (
    EMPTY,
    Layout,
    Slots,
    camera_axes,
    clear_view,
)

MAX_DEPTH_M = 80.0
HOUSES = 6  # on each side
CARS = 4
TREES = 4
POLES = 3
PEOPLE = 3
SLOTS = Slots(
    faces=("road",),
    aligned=("pavement",) * 2 + ("house",) * (2 * HOUSES),
    yawed=("house",) + ("car", "cabin") * CARS + ("kiosk",) * 2,
    cylinders=("trunk",) * TREES + ("pole",) * POLES + ("person",) * PEOPLE,
    spheres=("crown",) * TREES + ("head",) * PEOPLE,
    groups=(
        *range(2 + 2 * HOUSES),
        20,
        *(21 + n // 2 for n in range(2 * CARS)),
        *(30, 31),
        *range(40, 40 + TREES),
        *range(50, 50 + POLES),
        *range(60, 60 + PEOPLE),
        *range(40, 40 + TREES),
        *range(60, 60 + PEOPLE),
    ),
)
Part = tuple[Array, Array]  # centres and half sizes, (B, n, 3) each


def layout_streets(draws: Draws) -> Layout:
    """Lays out one street per row of uniforms.

    Args:
        draws: uniforms of B scenes.

    Returns:
        The streets; road at y = 0 with its middle on the z axis, camera at z = 0.
    """
    road = draws.uniform(3.0, 6.5)  # half width
    kerb = draws.uniform(0.1, 0.2)
    front = road + draws.uniform(1.5, 4.5)  # where the houses begin
    eye, axes, fov_deg = _camera(draws, road)

    houses = _houses(draws, front, kerb)
    end, end_yaw = _end_house(draws)
    cars, car_yaw = _cars(draws, road)
    kiosks, kiosk_yaw = _kiosks(draws, road, front, kerb)
    trunks, crowns = _trees(draws, road, front, kerb)
    poles = _poles(draws, road, kerb)
    bodies, heads = _people(draws, front, kerb)
    parts = [_pavements(road, kerb), houses, end, cars, kiosks, trunks, poles, bodies, crowns, heads]
    center = np.concatenate([part[0] for part in parts], 1)
    half = np.concatenate([part[1] for part in parts], 1)
    yaw = np.zeros(center.shape[:2])
    first = len(SLOTS.aligned)
    yaw[:, first : first + len(SLOTS.yawed)] = np.concatenate([end_yaw, car_yaw, kiosk_yaw], 1)
    half = clear_view(eye, center, half, yaw, SLOTS.groups)
    # a pavement under the camera stays: it is a floor, and no nearer than the road
    half[:, :2] = parts[0][1]

    count = len(center)
    ground = np.broadcast_to(np.array([0.0, -1.0, 0.0]), (count, 1, 3))
    lamp_z = draws.uniform([4.0, 12.0], [12.0, 30.0], 2)
    lamps = np.stack([draws.sign(2) * (road[:, None] - 0.3), draws.uniform(4.0, 6.5, 2), lamp_z], -1)
    return Layout(
        slots=SLOTS,
        center=np.concatenate([ground, center], 1),
        half=np.concatenate([np.broadcast_to(np.array([1e4, 1.0, 1e4]), (count, 1, 3)), half], 1),
        yaw=np.concatenate([np.zeros((count, 1)), yaw], 1),
        eye=eye,
        axes=axes,
        fov_deg=fov_deg,
        lamps=lamps,
        road=np.stack([road, draws.uniform(0.06, 0.12), draws.uniform(4.0, 9.0)], -1),
    )


def _camera(draws: Draws, road: Array) -> tuple[Array, Array, Array]:
    """A camera on the road or at its edge, at a person's height or, one time in four, from higher up."""
    height = np.where(draws.chance(0.25), draws.uniform(2.2, 5.0), draws.uniform(1.2, 2.1))
    x = draws.uniform(-1.0, 1.0) * (road + 0.4)
    eye = np.stack([x, height, np.zeros_like(x)], -1)
    yaw = np.radians(draws.uniform(-1.0, 1.0) * draws.uniform(0.0, 50.0)) - 0.04 * x
    pitch = np.radians(draws.uniform(-10, 9)) - 0.05 * np.maximum(height - 2.0, 0.0)
    roll = np.radians(draws.uniform(-5, 5) * draws.uniform())
    return eye, camera_axes(yaw, pitch, roll), draws.uniform(45.0, 95.0)


def _pavements(road: Array, kerb: Array) -> Part:
    half = np.stack([np.full_like(road, 30.0), kerb / 2, np.full_like(road, 150.0)], -1)
    x = road + 30.0
    center = np.stack([np.stack([side * x, kerb / 2, np.zeros_like(x)], -1) for side in (-1.0, 1.0)], 1)
    return center, np.repeat(half[:, None], 2, 1)


def _houses(draws: Draws, front: Array, kerb: Array) -> Part:
    """Two rows, one after the other along z, with gaps and setbacks; a few lots are left empty."""
    frontage = draws.uniform(6.0, 16.0, 2, HOUSES)
    gap = draws.uniform(0.0, 4.0, 2, HOUSES) * draws.chance(0.5, 2, HOUSES)
    end = np.cumsum(frontage + gap, -1) - draws.uniform(8.0, 20.0, 2, 1)
    tall = draws.uniform(3.0, 14.0, 2, 1) * draws.uniform(0.6, 1.4, 2, HOUSES)
    half = np.stack([draws.uniform(3.0, 6.0, 2, HOUSES), tall / 2, frontage / 2], -1)
    setback = draws.uniform(0.0, 3.0, 2, HOUSES) * draws.chance(0.6, 2, HOUSES)
    side = np.array([-1.0, 1.0])[:, None]
    x = side * (front[:, None, None] + setback + half[..., 0])
    center = np.stack([x, kerb[:, None, None] + half[..., 1], end - frontage / 2], -1)
    half = np.where(draws.chance(0.92, 2, HOUSES)[..., None], half, EMPTY)
    return center.reshape(len(front), -1, 3), half.reshape(len(front), -1, 3)


def _end_house(draws: Draws) -> tuple[Part, Array]:
    """A house across the end of the street, in half of the scenes."""
    half = draws.uniform([8.0, 2.5, 4.0], [14.0, 8.0, 8.0], 3)
    center = np.stack([draws.uniform(-4.0, 4.0), half[:, 1], draws.uniform(45.0, 80.0)], -1)
    half = np.where(draws.chance(0.5)[:, None], half, EMPTY)
    return (center[:, None], half[:, None]), draws.uniform(-0.4, 0.4, 1)


def _cars(draws: Draws, road: Array) -> tuple[Part, Array]:
    """Bodies and cabins in turn; parked at the kerb, now and then driving."""
    z = np.cumsum(draws.uniform(2.0, 12.0, CARS), -1) + np.arange(CARS) * 3.0 + 2.0
    x = draws.sign(CARS) * (road[:, None] - np.where(draws.chance(0.8, CARS), 1.15, 0.5 * road[:, None]))
    yaw = np.radians(draws.uniform(-4.0, 4.0, CARS)) + np.where(draws.chance(0.5, CARS), 0.0, np.pi)
    low = draws.uniform([0.8, 0.28, 1.8], [0.95, 0.42, 2.3], CARS, 3)
    van = draws.chance(0.25, CARS)
    high = low * draws.uniform([0.85, 0.8, 0.45], [0.95, 1.0, 0.6], CARS, 3)
    high = np.where(van[..., None], low * [0.98, 1.8, 0.8], high)
    back = draws.uniform(-0.3, 0.0, CARS)
    body = np.stack([x, 0.22 + low[..., 1], z], -1)
    along = np.stack([np.sin(yaw), np.zeros_like(yaw), np.cos(yaw)], -1)
    cabin = body + (low[..., 1] + high[..., 1])[..., None] * [0.0, 1.0, 0.0] + along * back[..., None]
    there = draws.chance(0.75, CARS)[..., None, None]
    center = np.stack([body, cabin], 2)  # (B, n, 2, 3)
    half = np.where(there, np.stack([low, high], 2), EMPTY)
    count = len(road)
    return (center.reshape(count, -1, 3), half.reshape(count, -1, 3)), np.repeat(yaw, 2, 1)


def _beside(draws: Draws, inner: Array, outer: Array, spread: float, count: int) -> tuple[Array, Array]:
    """Places x, z (B, n) on the pavements, x between inner and outer from the middle, z to about spread."""
    x = draws.sign(count) * (inner[:, None] + draws.uniform(0.0, 1.0, count) * (outer - inner)[:, None])
    return x, 2.0 + spread * draws.uniform(0.0, 1.0, count)


def _kiosks(draws: Draws, road: Array, front: Array, kerb: Array) -> tuple[Part, Array]:
    """Kiosks, bins and benches on the pavement."""
    x, z = _beside(draws, road + 0.8, front - 0.4, 25.0, 2)
    half = draws.uniform([0.2, 0.25, 0.2], [0.6, 1.1, 0.9], 2, 3)
    center = np.stack([x, kerb[:, None] + half[..., 1], z], -1)
    return (center, np.where(draws.chance(0.6, 2)[..., None], half, EMPTY)), draws.uniform(0.0, np.pi, 2)


def _trees(draws: Draws, road: Array, front: Array, kerb: Array) -> tuple[Part, Part]:
    x, z = _beside(draws, road + 0.5, road + 1.0, 40.0, TREES)
    tall = draws.uniform(1.2, 2.2, TREES)
    radius = draws.uniform(0.1, 0.22, TREES)
    crown = draws.uniform(0.9, 2.2, TREES)
    there = draws.chance(0.65, TREES)[..., None]
    trunk = np.stack([x, kerb[:, None] + tall, z], -1)
    top = np.stack([x, kerb[:, None] + 2 * tall + 0.7 * crown, z], -1)
    trunk_half = np.stack([radius, tall, radius], -1)
    crown_half = np.repeat(crown[..., None], 3, -1)
    return (trunk, np.where(there, trunk_half, EMPTY)), (top, np.where(there, crown_half, EMPTY))


def _poles(draws: Draws, road: Array, kerb: Array) -> Part:
    x, z = _beside(draws, road + 0.25, road + 0.45, 35.0, POLES)
    radius = draws.uniform(0.05, 0.1, POLES)
    tall = draws.uniform(1.3, 3.6, POLES)
    half = np.where(draws.chance(0.8, POLES)[..., None], np.stack([radius, tall, radius], -1), EMPTY)
    return np.stack([x, kerb[:, None] + tall, z], -1), half


def _people(draws: Draws, front: Array, kerb: Array) -> tuple[Part, Part]:
    """A cylinder and a head each, on the pavement or, with luck, on the road."""
    x = draws.uniform(-1.0, 1.0, PEOPLE) * (front[:, None] - 0.4)
    z = draws.uniform(2.5, 25.0, PEOPLE)
    tall = draws.uniform(0.5, 0.78, PEOPLE)
    radius = draws.uniform(0.17, 0.25, PEOPLE)
    there = draws.chance(0.7, PEOPLE)[..., None]
    ground = kerb[:, None] * (np.abs(x) > front[:, None] - 1.4)
    body_half = np.stack([radius, tall, radius], -1)
    head_half = np.repeat(np.full_like(radius, 0.13)[..., None], 3, -1)
    head = np.stack([x, ground + 2 * tall + 0.1, z], -1)
    body = np.stack([x, ground + tall, z], -1)
    return (body, np.where(there, body_half, EMPTY)), (head, np.where(there, head_half, EMPTY))
