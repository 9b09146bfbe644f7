"""Ordinal accuracy on hand-made pairs of points."""

import math

import pytest
import torch

from semidepth.evaluation.depth_metrics.ordinal_metrics import ordinal_hits

MAP = torch.tensor([[5.0, 3.0], [3.0, 1.0]])
NEARER = torch.tensor([[0, 0], [1, 1], [0, 1], [1, 0]])
FARTHER = torch.tensor([[1, 1], [0, 0], [1, 0], [1, 1]])


def test_hits_misses_and_ties():
    assert ordinal_hits(MAP, NEARER, FARTHER).tolist() == [True, False, False, True]
    assert ordinal_hits(MAP, NEARER, FARTHER, larger_is_nearer=False).tolist() == [False, True, False, False]


def test_only_the_order_counts():
    for change in (MAP * 9 - 20, MAP.exp()):
        assert ordinal_hits(change, NEARER, FARTHER).tolist() == [True, False, False, True]
    assert not ordinal_hits(torch.ones(2, 2), NEARER, FARTHER).any()


def test_no_pair_has_no_hits():
    none = torch.zeros(0, 2, dtype=torch.long)
    assert ordinal_hits(MAP, none, none).tolist() == []


def test_wrong_points_are_refused():
    with pytest.raises(ValueError, match=r"the point \(0, 2\) \(row, column\) lies outside the map of \(2, 2\)"):
        ordinal_hits(MAP, torch.tensor([[0, 2]]), torch.tensor([[0, 0]]))
    with pytest.raises(ValueError, match=r"the point \(-1, 0\)"):
        ordinal_hits(MAP, torch.tensor([[0, 0]]), torch.tensor([[-1, 0]]))
    with pytest.raises(ValueError, match=r"points \(N, 2\), \(N, 2\), got \(2, 2\), \(4, 2\) and \(3, 2\)"):
        ordinal_hits(MAP, NEARER, FARTHER[:3])
    with pytest.raises(ValueError, match="whole rows and columns"):
        ordinal_hits(MAP, NEARER.float(), FARTHER)
    with pytest.raises(ValueError, match="not finite at a labeled point"):
        ordinal_hits(torch.full((2, 2), math.nan), NEARER, FARTHER)
