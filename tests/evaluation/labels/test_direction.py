"""The direction of maps: rank correlation against scipy's, and when it is refused."""

import logging
import math

import numpy as np
import pytest
import scipy.stats
import torch

from semidepth.evaluation.labels.direction import judge, rank_correlation


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 9, (13, 17)).astype(np.float32)  # many of one value, as sky is
    second = (first + rng.normal(0, 3, first.shape)).astype(np.float32)
    expected = scipy.stats.spearmanr(first.ravel(), second.ravel()).statistic
    assert rank_correlation(torch.tensor(first), torch.tensor(second)) == pytest.approx(expected, abs=1e-9)
    holes = torch.tensor(first)
    holes[::2] = math.nan
    expected = scipy.stats.spearmanr(first[1::2].ravel(), second[1::2].ravel()).statistic
    assert rank_correlation(torch.tensor(second), holes) == pytest.approx(expected, abs=1e-9)
    assert math.isnan(rank_correlation(torch.ones(3, 3), torch.tensor(first[:3, :3])))


def test_a_direction_is_refused_only_where_it_is_clear(caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(ValueError, match=r"maps run against model .*-0\.70 on 3 photos.*kind="):
        judge([-0.7, -0.9, 0.2, math.nan], "maps", "model")
    judge([-0.2, -0.9, 0.1], "maps", "model")
    judge([0.8, 0.9, -0.1], "maps", "model")
    judge([math.nan], "maps", "model")
    told = [record.getMessage() for record in caplog.records]
    assert ["little in common" in told[0], "run the same way" in told[1], "cannot be compared" in told[2]] == [True] * 3
