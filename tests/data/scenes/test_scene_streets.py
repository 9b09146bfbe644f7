"""Streets: what stands where."""

import numpy as np

from semidepth.data.scenes.draws import Draws, uniform_table
from semidepth.data.scenes.layout import CLEARANCE_M, distance_to_boxes
from semidepth.data.scenes.streets import HOUSES, SLOTS, layout_streets

STREETS = layout_streets(Draws(uniform_table(1, 1, range(300), 320)))
THERE = (STREETS.half > 0).all(-1)


def slots(role: str) -> list[int]:
    return [number for number, name in enumerate(SLOTS.roles) if name == role]


def test_one_entry_per_slot():
    assert STREETS.half.shape == (300, len(SLOTS.roles), 3)
    assert len(SLOTS.groups) == len(SLOTS.roles) - len(SLOTS.faces)


def test_nothing_is_near_the_camera_but_the_floor():
    solid = [number for number, role in enumerate(SLOTS.roles) if role not in ("road", "pavement")]
    distance = distance_to_boxes(STREETS.eye, STREETS.center[:, solid], STREETS.half[:, solid], STREETS.yaw[:, solid])
    assert distance.min() >= CLEARANCE_M
    pavement_top = STREETS.center[:, 1, 1] + STREETS.half[:, 1, 1]
    assert (STREETS.eye[:, 1] - pavement_top).min() > 0.9


def test_houses_leave_the_road_free_and_do_not_overlap():
    houses = slots("house")[: 2 * HOUSES]
    inner = np.abs(STREETS.center[:, houses, 0]) - STREETS.half[:, houses, 0]
    road = STREETS.road[:, :1]
    assert (inner - road)[THERE[:, houses]].min() >= 1.5 - 1e-9
    for side in (houses[:HOUSES], houses[HOUSES:]):
        low = STREETS.center[:, side, 2] - STREETS.half[:, side, 2]
        high = STREETS.center[:, side, 2] + STREETS.half[:, side, 2]
        both = THERE[:, side[1:]] & THERE[:, side[:-1]]
        assert (low[:, 1:] - high[:, :-1])[both].min() >= -1e-9


def test_cabins_stand_on_their_cars_and_crowns_on_trunks():
    cars, cabins = slots("car"), slots("cabin")
    both = THERE[:, cars] & THERE[:, cabins]
    roof = STREETS.center[:, cars, 1] + STREETS.half[:, cars, 1]
    bottom = STREETS.center[:, cabins, 1] - STREETS.half[:, cabins, 1]
    np.testing.assert_allclose(roof[both], bottom[both])
    trunks, crowns = slots("trunk"), slots("crown")
    assert np.array_equal(THERE[:, trunks], THERE[:, crowns])
    np.testing.assert_array_equal(STREETS.center[:, trunks, 0], STREETS.center[:, crowns, 0])
