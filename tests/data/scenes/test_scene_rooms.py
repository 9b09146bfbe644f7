"""Rooms: what stands where."""

import numpy as np

from semidepth.data.scenes.draws import Draws, uniform_table
from semidepth.data.scenes.layout import CLEARANCE_M, distance_to_boxes
from semidepth.data.scenes.rooms import MAX_DIAGONAL_M, SLOTS, layout_rooms

ROOMS = layout_rooms(Draws(uniform_table(1, 0, range(300), 320)))


def test_one_entry_per_slot():
    assert ROOMS.half.shape == (300, len(SLOTS.roles), 3)
    assert len(SLOTS.groups) == len(SLOTS.roles) - len(SLOTS.faces)


def test_rooms_are_2_to_10_metres():
    size = 2 * ROOMS.half[:, 0]
    assert size[:, [0, 2]].min() > 2.0
    assert size[:, [0, 2]].max() < 9.5
    assert np.linalg.norm(size, axis=-1).max() <= MAX_DIAGONAL_M + 1e-9
    assert size[:, 1].min() >= 2.3


def test_camera_is_inside_and_nothing_is_near_it():
    center, half = ROOMS.center[:, 0], ROOMS.half[:, 0]
    assert (half - np.abs(ROOMS.eye - center)).min() >= CLEARANCE_M - 1e-9
    distance = distance_to_boxes(ROOMS.eye, ROOMS.center[:, 6:], ROOMS.half[:, 6:], ROOMS.yaw[:, 6:])
    assert distance.min() >= CLEARANCE_M


def test_furniture_along_walls_stays_in_the_room():
    aligned = slice(6, 6 + len(SLOTS.aligned))
    there = (ROOMS.half[:, aligned] > 0).all(-1)
    reach = np.abs(ROOMS.center[:, aligned] - ROOMS.center[:, :1]) + ROOMS.half[:, aligned]
    beyond = (reach - ROOMS.half[:, :1]).max(-1)[there]
    assert beyond.max() < 0.2  # a shelf's box may reach into the ceiling of a low room
    assert there.mean() > 0.4


def test_a_vase_needs_a_table():
    first = 6 + len(SLOTS.aligned)
    table = ROOMS.half[:, first, 0] > 0
    vase_slot = len(SLOTS.roles) - len(SLOTS.spheres) - 1
    vase = (ROOMS.half[:, vase_slot, 0] > 0) & (ROOMS.center[:, vase_slot, 1] > 0)
    assert vase.any()
    assert not (vase & ~table).any()
