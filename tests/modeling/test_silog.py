"""SILog against numpy, and its edges."""

import numpy as np
import pytest
import torch

from semidepth.modeling import silog_loss
from semidepth.modeling.losses import silog_loss_by_domain


def test_against_numpy_with_unknown_pixels():
    prediction, target = torch.rand(2, 5, 7) * 9 + 0.5, torch.rand(2, 5, 7) * 9 + 0.5
    target[0, 0], target[0, 1], target[1, 2], target[1, 3] = torch.nan, 0, torch.inf, -1
    known = (target > 0) & target.isfinite()
    g = np.log(prediction[known].double().numpy()) - np.log(target[known].double().numpy())
    expected = 10 * np.sqrt(g.var(ddof=1) + 0.15 * g.mean() ** 2)
    assert silog_loss(prediction, target).item() == pytest.approx(expected, rel=1e-5)


def test_a_common_factor_costs_its_logarithm():
    target = torch.rand(1, 4, 4) + 1
    assert silog_loss(target * 2, target).item() == pytest.approx(10 * np.sqrt(0.15) * np.log(2), rel=1e-4)


@pytest.mark.parametrize("known", [0, 1])
def test_too_few_pixels_give_zero_and_no_gradient(known):
    target = torch.full((1, 2, 2), torch.nan)
    target[0, 0, :known] = 3
    prediction = torch.ones(1, 2, 2, requires_grad=True)
    loss = silog_loss(prediction, target)
    loss.backward()
    assert loss == 0
    assert (prediction.grad == 0).all()


def test_a_perfect_and_a_collapsed_prediction_have_finite_gradients():
    target = torch.rand(1, 4, 4) + 1
    for prediction in (target.clone(), torch.zeros(1, 4, 4)):
        prediction.requires_grad_()
        silog_loss(prediction, target).backward()
        assert prediction.grad.isfinite().all()
    assert prediction.grad.abs().sum() > 0


def test_half_precision_is_computed_in_float32_and_nan_shows():
    target = torch.rand(1, 4, 4) + 1
    assert silog_loss((target * 1.5).bfloat16(), target).dtype == torch.float32
    assert silog_loss(torch.full((1, 4, 4), torch.nan), target).isnan()
    with pytest.raises(ValueError, match="one shape"):
        silog_loss(torch.ones(1, 2, 2), target)


def test_domains_count_by_their_images_and_only_where_labeled():
    prediction, target = torch.rand(4, 6, 6) + 1, torch.rand(4, 6, 6) + 1
    first, second = silog_loss(prediction[:3], target[:3]), silog_loss(prediction[3:], target[3:])
    assert torch.allclose(silog_loss_by_domain(prediction, target, [0, 0, 0, 1]), (3 * first + second) / 4)
    assert torch.allclose(silog_loss_by_domain(prediction, target, [7] * 4), silog_loss(prediction, target))
    sparse = target.clone()
    sparse[3, :, 1:] = torch.nan  # six pixels count as much as thirty-six
    few = silog_loss(prediction[3:, :, :1], target[3:, :, :1])
    assert torch.allclose(silog_loss_by_domain(prediction, sparse, [0, 0, 0, 1]), (3 * first + few) / 4)
    target[3] = 0  # nothing known: the other domain's loss is not thinned
    assert torch.allclose(silog_loss_by_domain(prediction, target, [0, 0, 0, 1]), first)
    nothing = silog_loss_by_domain(prediction.requires_grad_(), torch.zeros(4, 6, 6), [0, 0, 0, 1])
    nothing.backward()
    assert nothing == 0
    assert (prediction.grad == 0).all()
