"""A mesh seen by a camera that went round it."""

import math

import numpy as np
import pytest

from semidepth.media.meshes import Mesh, to_mesh
from semidepth.media.point_clouds import unproject
from semidepth.media.turned_views import BACKGROUND, turned_view

FOCAL = 60.0
RED, BLUE = (200, 20, 20), (20, 20, 200)


def wall_and_post():
    """A blue wall 4 m away, and before its middle a red post at 2 m."""
    depth = np.full((48, 64), 4.0)
    image = np.full((48, 64, 3), BLUE, np.uint8)
    depth[10:38, 28:36], image[10:38, 28:36] = 2.0, RED
    return to_mesh(unproject(depth, FOCAL), image), image


def columns_of(picture, color):
    """Columns in which a colour is seen."""
    close = (np.abs(np.asarray(picture).astype(int) - color) < 60).all(-1)
    return np.flatnonzero(close.any(0))


def test_from_the_photos_own_place_it_is_the_photo():
    mesh, image = wall_and_post()
    seen = np.asarray(turned_view(mesh, FOCAL, (64, 48), turn_deg=0, lift_deg=0)).astype(int)
    same = (np.abs(seen - image) < 5).all(-1)
    assert same[12:36, 29:35].all()
    assert same[2:-2, 2:26].all()
    assert same[2:-2, 38:-2].all()


def test_the_nearer_moves_to_the_left_when_the_camera_goes_right():
    mesh, _ = wall_and_post()
    turn = 10.0
    post = columns_of(turned_view(mesh, FOCAL, (64, 48), turn_deg=turn, lift_deg=0), RED)
    # The camera turns about the wall's middle, 4 m away. By hand: the post's middle is 2 m before that, on the line to
    # the old camera, so 2 sin(10 degrees) to the left of the new axis and 4 - 2 cos(10 degrees) away.
    x = 32 - FOCAL * 2 * math.sin(math.radians(turn)) / (4 - 2 * math.cos(math.radians(turn)))
    assert post.mean() == pytest.approx(x - 0.5, abs=1.5)
    assert columns_of(turned_view(mesh, FOCAL, (64, 48), turn_deg=-turn, lift_deg=0), RED).mean() > 36


def test_what_the_photo_did_not_see_is_background():
    mesh, _ = wall_and_post()
    seen = np.asarray(turned_view(mesh, FOCAL, (64, 48), turn_deg=10, lift_deg=0))
    assert (seen[24] == BACKGROUND).all(-1).sum() > 4  # what of the wall was behind the post


def test_from_above_the_nearer_sinks():
    mesh, _ = wall_and_post()
    seen = np.asarray(turned_view(mesh, FOCAL, (64, 48), turn_deg=0, lift_deg=8)).astype(int)
    rows = np.flatnonzero((np.abs(seen - RED) < 60).all(-1).any(1))
    assert rows.mean() > 26


def test_what_cannot_be_drawn_is_refused():
    mesh, _ = wall_and_post()
    with pytest.raises(ValueError, match="turn_deg is 90"):
        turned_view(mesh, FOCAL, (64, 48), turn_deg=90)
    empty = Mesh(*(getattr(mesh, name)[:0] for name in ("vertices", "colors", "faces", "places")))
    with pytest.raises(ValueError, match="no triangle"):
        turned_view(empty, FOCAL, (64, 48))
