"""Run lengths and polygons, against pycocotools and against what can be counted by hand."""

import numpy as np
import pytest
from pycocotools import mask as library

from semidepth.media.run_lengths import box_of, decode_run_lengths, encode_run_lengths, fill_polygons


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_compressed_run_lengths_are_decoded_as_the_library_does(share: float):
    rng = np.random.default_rng(5)
    for height, width in ((1, 1), (3, 7), (61, 40), (300, 211)):
        inside = np.kron(rng.random((height, width)) < share, np.ones((2, 3))).astype(bool)
        encoded = library.encode(np.asfortranarray(inside, dtype=np.uint8))
        assert (decode_run_lengths(encoded) == inside).all()
        assert (decode_run_lengths(encoded) == library.decode(encoded)).all()
        assert encode_run_lengths(inside) == {"size": list(inside.shape), "counts": encoded["counts"].decode()}


def test_listed_run_lengths_go_down_the_columns():
    found = decode_run_lengths({"size": [2, 3], "counts": [1, 2, 3]})
    assert found.tolist() == [[False, True, False], [True, False, False]]


WHOLE = library.encode(np.asfortranarray(np.ones((40, 40)), dtype=np.uint8))["counts"]


@pytest.mark.parametrize(
    "record",
    [
        {"size": [4, 4], "counts": [3, 5, 100]},
        {"size": [4, 4], "counts": [3, 5]},
        {"size": [4, 4], "counts": [20, -4]},
        {"size": [4, 4], "counts": []},
        {"size": [4, 4], "counts": "garbage ~ more"},
        {"size": [4, 4], "counts": ""},
        {"size": [4, 4], "counts": "\u00e9"},
        {"size": [4, 4], "counts": b"o" * 40},  # a number that does not end
        {"size": [4, 4], "counts": WHOLE},
        {"size": [400, 40], "counts": WHOLE},  # too short, which the library fills with what lies in memory
        {"size": [0, 0], "counts": [0]},
        {"size": [4], "counts": [16]},
        {"size": None, "counts": [16]},
        {"counts": [16]},
        {"size": [4, 4]},
        {"size": [4, 4], "counts": None},
        {"size": [4, 4], "counts": [[16]]},
    ],
)
def test_broken_run_lengths_are_refused(record: dict):
    with pytest.raises(ValueError, match="run lengths"):
        decode_run_lengths(record)


def test_polygons_are_filled():
    square, other = [1, 1, 4, 1, 4, 3, 1, 3], [5, 0, 7, 0, 7, 1, 5, 1]
    expected = np.zeros((5, 8), dtype=bool)
    expected[1:3, 1:4] = expected[0, 5:7] = True
    assert (fill_polygons([square, np.array(other, dtype=float)], 5, 8) == expected).all()
    outside = fill_polygons([[-3, -3, 2, -3, 2, 2, -3, 2]], 5, 8)  # a corner beyond the picture, as annotators draw it
    assert outside.sum() == 4
    assert outside[:2, :2].all()


@pytest.mark.parametrize(
    "polygons",
    [
        [], [[]], [[1, 1, 2, 2]], [[1, 1, 2, 2, 3]], [[0, 0, 1e9, 0, 1e9, 1e9]], [[0, 0, -1e9, 0, 5, 5]],
        [[0, 0, float("nan"), 0, 3, 3]], [["a", 0, 1, 0, 3, 3]], 7, None, [[[0, 0], [3, 0], [3, 3]]],
    ],
)  # fmt: skip
def test_polygons_that_are_none_are_refused(polygons: object):
    with pytest.raises(ValueError, match="polygon"):
        fill_polygons(polygons, 4, 4)


def test_the_box_round_a_mask():
    mask = np.zeros((6, 9), bool)
    assert box_of(mask) == (0, 0, 0, 0)
    mask[2, 3] = mask[4, 7] = True
    assert box_of(mask) == (3, 2, 5, 3)
