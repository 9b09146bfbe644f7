"""Stored numbers to metres: what is unknown, sky, inverse, logarithm, or known up to a factor and a summand."""

import numpy as np
import pytest
from sample_files import encoded

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.depth_decoding import DepthCoding, decode_depth
from semidepth.data.source_spec import parse_source

NAN, INF = np.nan, np.inf
INTEGERS = np.array([[0, 100, 250, 65535]], np.uint16)
FLOATS = np.array([[0.0, -1.0, 4.0, 1e10, np.inf, np.nan]], np.float32)


def found(stored: np.ndarray, **coding: object) -> list[float]:
    return decode_depth(stored, DepthCoding(**coding)).flatten().tolist()


def same(values: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["depth", "disparity", "log_depth"])
def test_a_stored_0_is_unknown_in_integers_unless_it_is_said_otherwise(kind):
    """Stereo sets store 0 for "no match": it is not the sky, in inverse depth either."""
    assert np.isnan(found(INTEGERS, kind=kind, scale=0.01)[0])
    assert found(INTEGERS, kind=kind, scale=0.01, zero="sky")[0] == INF
    own = found(INTEGERS, kind=kind, scale=0.01, zero="value")[0]
    same([own], [{"depth": NAN, "disparity": INF, "log_depth": 1.0}[kind]])


def test_a_stored_0_of_floats():
    same(found(FLOATS, kind="depth"), [NAN, NAN, 4.0, 1e10, INF, NAN])
    same(found(FLOATS, kind="disparity"), [INF, NAN, 0.25, 1e-10, NAN, NAN])
    assert np.isnan(found(FLOATS, kind="disparity", zero="unknown")[0])
    assert found(FLOATS, kind="depth", zero="sky")[0] == INF


def test_further_numbers_mean_unknown_or_sky():
    same(found(INTEGERS, scale=0.01, unknown=(65535, 100)), [NAN, NAN, 2.5, NAN])
    same(found(INTEGERS, scale=0.01, sky=(65535,)), [NAN, 1.0, 2.5, INF])
    same(found(INTEGERS, scale=0.01, unknown=(-1, 0.5, INF)), [NAN, 1.0, 2.5, 655.35])  # none of them is stored
    same(found(FLOATS, unknown=(4, INF)), [NAN, NAN, NAN, 1e10, NAN, NAN])
    same(found(FLOATS, sky=(-1, 1e10)), [NAN, INF, 4.0, INF, INF, NAN])
    # As it is stored: 0.1 in 32 bits is not 0.1.
    same(found(np.array([[0.1, 0.2]], np.float32), unknown=(0.1,)), [NAN, 0.2])
    same(found(np.array([[0.1, 0.2]], np.float32), scale=10, sky=(0.2,)), [1.0, INF])


def test_large_maps_agree_with_small_ones():
    """Maps of more than 65536 pixels go by a table of all numbers."""
    large = np.resize(np.arange(65536, dtype=np.uint16), (300, 300))
    for coding in (
        DepthCoding(scale=1e-3, unknown=(7,), sky=(9, 65535)),
        DepthCoding(kind="disparity", scale=1e-3, zero="sky", max_depth_m=40.0),
        DepthCoding(kind="log_depth", scale=1e-4, shift=-2.0),
        DepthCoding(kind="disparity", invariant="affine", shift=-100.0),
    ):
        rows = [decode_depth(large[first : first + 200], coding).numpy() for first in (0, 200)]
        np.testing.assert_array_equal(decode_depth(large, coding).numpy(), np.concatenate(rows))


def test_logarithm_of_depth():
    same(found(np.log(np.array([[0.5, 3.0, 80.0]], np.float32)), kind="log_depth"), [0.5, 3.0, 80.0])
    # Base 10, and a 16-bit PNG from 0.1 m to 100 m: 65535 steps of three decades.
    stored = np.log10(np.array([[1.0, 20.0]]) / 0.1) / 3 * 65535
    ten = np.log(10)
    values = found(np.rint(stored).astype(np.uint16), kind="log_depth", scale=3 * ten / 65535, shift=np.log(0.1))
    np.testing.assert_allclose(values, [1.0, 20.0], rtol=1e-4)
    same(found(np.array([[INF, -INF, NAN, 200.0]], np.float32), kind="log_depth"), [INF, NAN, NAN, NAN])


def test_inverse_depth_of_unknown_factor_and_summand_begins_at_0():
    """What matters of such a map is its shape, which no factor and summand changes."""
    inverse = np.array([[0.0, 1.0, 3.0, 4.0]], np.float32)
    for factor, summand in ((1.0, 0.0), (2.0, -5.0), (0.1, -0.1)):
        moved = 1 / np.array(found(inverse * factor + summand, kind="disparity", invariant="affine"))
        shape = (moved - moved[0]) / (moved[-1] - moved[0])
        np.testing.assert_allclose(shape, inverse[0] / 4, rtol=1e-5)
    # No integer of such a map needs a scale.
    same(found(np.array([[1, 2, 4]], np.uint8), kind="disparity", invariant="affine"), [1.0, 0.5, 0.25])


def test_depth_of_unknown_factor_and_summand_needs_its_nearest_distance():
    """10 m to 50 m stored as 0 to 1: the nearest is a fifth of the farthest, and 30 m lies halfway."""
    stored = np.array([[0.0, 0.5, 1.0, np.inf, np.nan]], np.float32)
    same(found(stored, invariant="affine", near=0.2), [0.2, 0.6, 1.0, INF, NAN])
    same(found(stored * 3 - 7, invariant="affine", near=0.2), [0.2, 0.6, 1.0, INF, NAN])
    same(found(np.array([[0, 3, 6]], np.uint16), invariant="affine", near=0.5, zero="value"), [0.5, 0.75, 1.0])
    with pytest.raises(BrokenSampleError, match="everywhere"):
        found(np.ones((2, 2), np.float32), invariant="affine", near=0.2)


def test_axes_of_length_1_are_dropped():
    map_ = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    for shaped in (map_[None, None], map_[None, ..., None], map_[..., None, None]):
        assert decode_depth(shaped).tolist() == map_.tolist()
    assert decode_depth(np.ones((1, 1, 5), np.float32)).shape == (1, 5)
    with pytest.raises(BrokenSampleError, match=r"the shape \(2, 2, 3\)"):
        decode_depth(np.stack([map_, map_]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("kind=depth&invariant=affine", "near=SHARE"),
        ("invariant=affine&near=1.5", "between 0 and 1"),
        ("kind=disparity&invariant=affine&near=0.1", "near is for kind=depth"),
        ("kind=log_depth&invariant=affine", "base is missing"),
        ("invariant=scale&max_depth_m=80", "are metres"),
        ("kind=inverse", "must be one of depth, disparity, log_depth"),
        ("zero=far", "must be one of unknown, sky, value"),
        ("unknown=0,x", "unknown must be a number"),
        ("unknown=nan", "unknown must be a number"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, options, words):
    (tmp_path / "a.png").write_bytes(encoded(np.zeros((2, 2, 3), np.uint8)))
    with pytest.raises(ValueError, match="source") as told:
        parse_source(f"{tmp_path}?{options}")
    assert words in str(told.value)


def test_options_of_a_source_reach_its_labels(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(np.zeros((2, 2, 3), np.uint8)))
    source = parse_source(f"{tmp_path}?kind=log_depth&depth_scale=0.5&depth_shift=-1&unknown=65535,-1&sky=9&zero=value")
    assert source.coding(scale=3.0, shift=4.0) == DepthCoding(
        kind="log_depth", scale=0.5, shift=-1.0, unknown=(65535.0, -1.0), sky=(9.0,), zero="value"
    )
    # A pseudo label is stored over its own range: its 0 is the farthest pixel.
    assert parse_source(str(tmp_path)).coding(scale=3.0, shift=0.5) == DepthCoding(scale=3.0, shift=0.5, zero="value")
    assert parse_source(str(tmp_path)).coding(scale=3.0) == DepthCoding(scale=3.0)
