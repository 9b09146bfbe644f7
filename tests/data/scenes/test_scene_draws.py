"""The random numbers behind the built-in scenes."""

import numpy as np
import pytest

from semidepth.data.scenes.draws import Draws, uniform_table


def test_a_row_depends_on_its_own_numbers_only():
    table = uniform_table(3, 1, [7, 2, 9], 50)
    assert np.array_equal(uniform_table(3, 1, [2], 50)[0], table[1])
    assert np.array_equal(uniform_table(3, 1, [2], 80)[0, :50], table[1])  # more columns change none before them
    for other in (uniform_table(4, 1, [2], 50), uniform_table(3, 0, [2], 50), uniform_table(3, 1, [3], 50)):
        assert not np.isclose(other[0], table[1]).any()


def test_numbers_are_uniform():
    table = uniform_table(0, 0, range(200), 100)
    assert table.min() >= 0
    assert table.max() < 1
    assert abs(table.mean() - 0.5) < 0.01
    assert abs(table.var() - 1 / 12) < 0.002


def test_columns_are_handed_out_in_turn():
    table = np.array([[0.0, 0.25, 0.5, 0.75, 0.9, 0.1], [0.5, 0.5, 0.5, 0.5, 0.2, 0.8]])
    draws = Draws(table)
    assert draws.uniform(10.0, 20.0).tolist() == [10.0, 15.0]
    assert draws.uniform([0.0, 100.0], [1.0, 200.0], 2).tolist() == [[0.25, 150.0], [0.5, 150.0]]
    assert draws.integer(4).tolist() == [3, 2]
    assert draws.chance(0.5).tolist() == [False, True]
    assert draws.sign().tolist() == [1.0, -1.0]


def test_running_out_is_an_error():
    with pytest.raises(IndexError, match="more than the 3 uniforms"):
        Draws(np.zeros((2, 3))).uniform(0.0, 1.0, 4)
