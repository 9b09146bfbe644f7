"""Colour maps and legends."""

import numpy as np
import pytest

from semidepth.media.color_maps import (
    COLOR_MAPS,
    UNKNOWN_COLOR,
    color_table,
    colorize,
    legend,
    ticks,
)


@pytest.mark.parametrize("name", ["magma", "cividis", "gray"])
def test_every_map_goes_from_dark_to_bright(name):
    luma = color_table(name) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma) > -0.5).all()
    assert luma[-1] - luma[0] > 150


def test_turbo_and_spectral_pass_through_their_published_colours():
    assert color_table("turbo")[[0, 60, 120, 255]].tolist() == [
        [48, 18, 59],
        [47, 178, 244],
        [139, 255, 75],
        [122, 4, 3],
    ]
    table = color_table("spectral")  # of 11 colours: every other one is an entry
    assert table[[0, 51, 102, 153, 204, 255]].tolist() == (
        [[94, 79, 162], [102, 194, 165], [230, 245, 152], [254, 224, 139], [244, 109, 67], [158, 1, 66]]
    )
    assert len(COLOR_MAPS) == 5


def test_cividis_keeps_its_order_without_red_and_green():
    # What is left for both kinds of red-green deficiency: blue against yellow, and brightness.
    table = color_table("cividis").astype(int)
    assert (np.diff(table[20:, :2].mean(1)) >= 0).all()


def test_values_take_the_colours_of_their_places_in_the_limits():
    table = color_table("cividis")
    values = np.array([[1.0, 2.0, 3.0, 9.0, -9.0, np.nan]])
    colors = colorize(values, (1, 3), "cividis")[0]
    expected = [table[0], table[128], table[255], table[255], table[0], UNKNOWN_COLOR]
    assert np.array_equal(colors, expected)
    assert np.array_equal(colorize(values, (1, 3), "cividis", reverse=True)[0, [0, 2]], table[[255, 0]])


def test_ticks_are_round_and_within():
    assert list(ticks(0, 1)) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert list(ticks(0.5, 80)) == [20, 40, 60, 80]
    assert list(ticks(3, 3)) == [3]
    for low, high in np.random.default_rng(0).uniform(0, 100, (50, 2)):
        found = ticks(min(low, high), max(low, high))
        assert 2 <= len(found) <= 7
        assert min(low, high) - 1e-6 <= found[0] <= found[-1] <= max(low, high) + 1e-6


@pytest.mark.parametrize("options", [{}, {"unit": None}, {"inverse": True}, {"dark": True, "reverse": True}])
def test_a_legend_runs_through_the_colours(options):
    bar = np.asarray(legend((0.1, 2.0), "magma", width=300, **options))
    assert bar.shape == (44, 300, 3)
    table = color_table()[::-1] if options.get("reverse") else color_table()
    assert np.array_equal(bar[10, 18], table[0])
    assert np.array_equal(bar[10, 18 + 263], table[255])


def test_an_unknown_map_names_the_known_ones():
    with pytest.raises(ValueError, match="choose one of magma, cividis"):
        color_table("jet")
