"""Stability over checkpoints: 1 for affine changes, less for others, worked out by plain loops."""

import numpy as np
import pytest
import torch

from semidepth.evaluation.labels.stability import stability


def by_hand(earlier: np.ndarray, last: np.ndarray) -> float:
    def normalized(values):
        values = np.sort(values.ravel())[(values.size - 1) // 2] * -1 + values
        return values / np.abs(values).mean()

    distances = [np.abs(normalized(each) - normalized(last)).mean() for each in earlier]
    return 1 / (1 + np.mean(distances))


def test_equals_the_definition():
    rng = np.random.default_rng(0)
    earlier, last = rng.random((3, 4, 6, 5)), rng.random((4, 6, 5))
    found = stability(torch.tensor(earlier), torch.tensor(last))
    expected = [by_hand(earlier[:, image], last[image]) for image in range(4)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_scale_and_shift_do_not_count_and_noise_does():
    last = torch.rand(2, 8, 8)
    assert torch.allclose(stability(torch.stack([3 * last + 1, 0.1 * last]), last), torch.ones(2), atol=1e-5)
    noise = torch.rand(2, 8, 8)
    scores = [stability((last + amount * noise)[None], last) for amount in (0.1, 0.5, 2.0)]
    assert (scores[0] > scores[1]).all()
    assert (scores[1] > scores[2]).all()


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="at least one earlier checkpoint"):
        stability(torch.rand(0, 2, 4, 4), torch.rand(2, 4, 4))
