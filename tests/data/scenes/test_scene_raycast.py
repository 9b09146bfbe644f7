"""Rays against planes, boxes, cylinders and spheres: hand numbers, and a slow loop of another kind."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from semidepth.data.scenes.layout import EMPTY
from semidepth.data.scenes.raycast import (
    Solids,
    any_hit,
    make_rays,
    nearest_hit,
)

KINDS = ("ground", "aligned", "yawed", "cylinder", "sphere")


def solids(
    *primitives: tuple[str, tuple[float, ...], tuple[float, ...], float], room: tuple[float, ...] = ()
) -> Solids:
    """One scene: primitives in the order of the kinds, on the ground y = 0 or in a room."""
    rows = [("ground", (0.0, -1.0, 0.0), (1e4, 1.0, 1e4), 0.0)] if not room else []
    rows += [("room", (0.0, room[1], 0.0), room, 0.0)] * 6 if room else []
    rows += primitives
    ends = [len(rows) - len(primitives)]
    for kind in KINDS[1:]:
        ends.append(ends[-1] + sum(row[0] == kind for row in rows))
    table = [[*center, *half, np.cos(yaw), np.sin(yaw)] for _, center, half, yaw in rows]
    kinds = [range(low, high) for low, high in pairwise(ends)]
    number = torch.arange(len(rows), dtype=torch.int32)[:, None, None]
    columns = torch.tensor(table, dtype=torch.float32).t()[:, :, None, None]
    return Solids(ends[0], *kinds, columns, number)


def shoot(scene: Solids, origin: tuple[float, ...], *directions: tuple[float, ...]) -> tuple[list[float], list[int]]:
    start = tuple(torch.tensor([[part]], dtype=torch.float32) for part in origin)
    way = tuple(torch.tensor([[direction[axis] for direction in directions]], dtype=torch.float32) for axis in range(3))
    depth, slot = nearest_hit(scene, make_rays(start, way))
    return depth[0].tolist(), slot[0].tolist()


def test_ground_by_hand():
    depth, slot = shoot(solids(), (0.0, 2.0, 0.0), (0.0, -1.0, 1.0), (0.0, -0.5, 1.0), (0.0, 0.0, 1.0), (0.0, 0.3, 1.0))
    assert depth[:2] == [2.0, 4.0]
    assert min(depth[2:]) > 1e15
    assert slot[:2] == [0, 0]


def test_room_by_hand():
    scene = solids(room=(2.0, 1.5, 4.0))  # 4 x 3 x 8 m, floor at 0
    directions = [(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1), (1, 0, 0.5)]
    depth, slot = shoot(scene, (0.5, 1.0, 1.0), *[tuple(map(float, way)) for way in directions])
    assert depth == pytest.approx([2.5, 1.5, 1.0, 2.0, 5.0, 3.0, 1.5])
    assert slot == [0, 1, 2, 3, 4, 5, 1]


def test_boxes_by_hand():
    scene = solids(
        ("aligned", (0.0, 1.0, 5.0), (1.0, 1.0, 1.0), 0.0),
        ("yawed", (10.0, 1.0, 0.0), (1.0, 1.0, 1.0), np.pi / 4),
        ("yawed", (-10.0, 1.0, 0.0), (1.0, 1.0, 3.0), np.pi / 2),
    )
    depth, slot = shoot(scene, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 2.0))
    # front face; the edge of a cube turned by 45 degrees; a long axis turned along x; t counts in directions
    assert depth == pytest.approx([4.0, 10 - np.sqrt(2), 7.0, 2.0], rel=1e-5)
    assert slot == [1, 2, 3, 1]


def test_cylinder_by_hand():
    scene = solids(("cylinder", (0.0, 1.0, 5.0), (0.5, 1.0, 0.5), 0.0))
    depth, slot = shoot(scene, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.06, 0.0, 1.0), (0.2, 0.0, 1.0))
    # off the axis: (0.06 t)^2 + (t - 5)^2 = 0.25
    a, b, c = 1.0036, -10.0, 24.75
    assert depth[:2] == pytest.approx([4.5, (-b - np.sqrt(b * b - 4 * a * c)) / (2 * a)], rel=1e-5)
    assert slot[:2] == [1, 1]
    assert depth[2] > 1e15
    depth, slot = shoot(scene, (0.0, 4.0, 5.0), (0.1, -1.0, 0.0), (0.3, -1.0, 0.0))
    assert depth == pytest.approx([2.0, 4.0])  # on its top, 0.2 m from the axis; past it, to the ground
    assert slot == [1, 0]


def test_sphere_by_hand():
    scene = solids(("sphere", (0.0, 3.0, 4.0), (1.0, 1.0, 1.0), 0.0))
    depth, slot = shoot(scene, (0.0, 0.0, 0.0), (0.0, 0.6, 0.8), (0.0, 0.6, -0.8), (0.0, 1.0, 0.0))
    assert depth[0] == pytest.approx(4.0, rel=1e-6)  # the 3-4-5 triangle, less the radius
    assert slot[0] == 1
    assert min(depth[1:]) > 1e15


def test_what_is_empty_or_behind_is_not_hit():
    for kind in KINDS[1:]:
        empty = solids((kind, (0.0, 1.0, 5.0), (EMPTY, EMPTY, EMPTY), 0.3))
        behind = solids((kind, (0.0, 1.0, -5.0), (1.0, 1.0, 1.0), 0.3))
        for scene in (empty, behind):
            depth, _ = shoot(scene, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.01, 0.02, 1.0))
            assert min(depth) > 1e15, kind


def test_any_hit_ends_at_the_limit():
    start = tuple(torch.tensor([[part]]) for part in (0.0, 1.0, 0.0))
    way = tuple(torch.tensor([[part, part]]) for part in (0.0, 0.0, 1.0))
    for kind in KINDS[1:]:
        rays = make_rays(start, way)
        scene = solids((kind, (0.0, 1.0, 5.0), (1.0, 1.0, 1.0), 0.0))
        hidden = [any_hit(scene, rays, torch.tensor([[limit]]))[0].tolist() for limit in (3.9, 4.1, 50.0)]
        assert hidden == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]], kind


def slow_hit(kind: str, center: np.ndarray, half: np.ndarray, yaw: float, o: np.ndarray, d: np.ndarray) -> float:
    """First t > 0 at which the ray lies on the surface: every face's plane, then a test of containment."""
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    o, d = turn @ (o - center), turn @ d
    found = []
    if kind in ("aligned", "yawed", "cylinder"):
        for axis in (1,) if kind == "cylinder" else (0, 1, 2):
            for side in (-1, 1):
                t = (side * half[axis] - o[axis]) / d[axis]
                other = [n for n in range(3) if n != axis]
                point = (o + t * d)[other] / half[other]
                if (np.hypot(*point) if kind == "cylinder" else np.abs(point).max()) <= 1:
                    found.append(t)
    if kind in ("cylinder", "sphere"):
        axes = [0, 2] if kind == "cylinder" else [0, 1, 2]
        square = [d[axes] @ d[axes], 2 * d[axes] @ o[axes], o[axes] @ o[axes] - half[0] ** 2]
        for t in np.roots(square):
            if np.isreal(t) and (kind == "sphere" or abs((o + t.real * d)[1]) <= half[1]):
                found.append(t.real)
    return min((t for t in found if t > 0), default=np.inf)


def test_many_rays_against_a_slow_loop():
    rng = np.random.default_rng(5)
    for kind in KINDS[1:]:
        center, half = rng.uniform([-6, 6, -6], [6, 18, 6], (5, 3)), rng.uniform(1.0, 2.5, (5, 3))
        if kind in ("cylinder", "sphere"):
            half[:, 2] = half[:, 0]
        if kind == "sphere":
            half[:, 1] = half[:, 0]
        yaw = rng.uniform(-3, 3, 5) if kind == "yawed" else np.zeros(5)
        scene = solids(*[(kind, tuple(c), tuple(h), float(y)) for c, h, y in zip(center, half, yaw, strict=True)])
        origin, aims = np.array([0.0, 25.0, -14.0]), rng.uniform([-6, 6, -6], [6, 18, 6], (150, 3))
        depth, _ = shoot(scene, tuple(origin), *[tuple(aim - origin) for aim in aims])
        hits = 0
        for aim, got in zip(aims, depth, strict=True):
            way = aim - origin
            things = [slow_hit(kind, c, h, y, origin, way) for c, h, y in zip(center, half, yaw, strict=True)]
            expected = min(*things, -origin[1] / way[1] if way[1] < 0 else np.inf)
            hits += bool(np.isfinite(min(things)))
            assert got == pytest.approx(expected, rel=1e-4), kind
        assert hits > 20, kind


def test_only_keeps_what_is_asked_for_and_its_numbers():
    scene = solids(
        ("aligned", (0.0, 1.0, 5.0), (1.0, 1.0, 1.0), 0.0),
        ("aligned", (0.0, 1.0, 9.0), (1.0, 1.0, 1.0), 0.0),
        ("sphere", (5.0, 1.0, 0.0), (1.0, 1.0, 1.0), 0.0),
        ("sphere", (9.0, 1.0, 0.0), (1.0, 1.0, 1.0), 0.0),
    )
    some = scene.only(torch.tensor([[True], [False], [True], [True], [False]]))
    assert (len(some.aligned), len(some.yawed), len(some.cylinders), len(some.spheres)) == (1, 0, 0, 1)
    depth, slot = shoot(some, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    assert depth == pytest.approx([8.0, 4.0])  # the nearer box and the farther ball are gone
    assert slot == [2, 3]
