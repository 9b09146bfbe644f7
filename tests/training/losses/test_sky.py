"""Sky as a class: charged for what lies in front of infinity, and no part of the others' alignment."""

import math

import pytest
import torch

from semidepth.modeling.affine_invariant import affine_invariant_loss
from semidepth.training.losses.sky import sky_loss, without_sky


def test_values_by_hand():
    # Rest: 3 2 1, median 2, deviation 2/3: inverse depth 0 is at -3. Predicted 6 4 2, median 4, deviation 4/3.
    target = torch.tensor([[[3.0, 2.0, 1.0, 0.0, math.nan]]])
    for predicted, expected in ((1.0, 0.75 / 4), (4.0, 3.0 / 4), (0.0, 0.0), (-7.0, 0.0)):
        prediction = torch.tensor([[[6.0, 4.0, 2.0, predicted, 100.0]]])
        assert sky_loss(prediction, target).item() == pytest.approx(expected, abs=1e-6)
    asked = torch.tensor([[[True, True, True, False, True]]])
    assert sky_loss(prediction, target, asked) == 0


def test_only_the_sky_that_is_too_near_gets_a_gradient_of_its_own():
    target = torch.tensor([[[3.0, 2.0, 1.0, 0.0, 0.0]]])
    prediction = torch.tensor([[[6.0, 4.0, 2.0, 1.0, -2.0]]], requires_grad=True)
    sky_loss(prediction, target).backward()
    assert prediction.grad is not None
    # Per pixel 1 / (5 * 4/3); the last lies behind infinity already.
    assert prediction.grad[0, 0, 3].item() == pytest.approx(3 / 20)
    assert prediction.grad[0, 0, 4] == 0


def test_the_alignment_of_the_rest_does_not_see_the_sky():
    """Half of the image is sky: as a known 0 it moves the median, as a class it changes nothing."""
    generator = torch.Generator().manual_seed(0)
    rest = torch.rand(2, 8, 10, generator=generator) + 0.1
    target = torch.cat((torch.zeros(2, 8, 11), rest), 2)
    prediction = torch.cat((0.3 * torch.rand(2, 8, 11, generator=generator), rest), 2)
    assert affine_invariant_loss(prediction, target) > 0.1
    assert affine_invariant_loss(prediction, without_sky(target, torch.tensor(True))) == 0
    assert sky_loss(prediction, target) > 0.1
    assert sky_loss(target, target) == 0


def test_images_without_anything_but_sky_do_not_count_and_those_without_sky_are_zero():
    target = torch.tensor([[[3.0, 2.0, 1.0, 0.0]]]).repeat(4, 1, 1)
    prediction = torch.tensor([[[6.0, 4.0, 2.0, 1.0]]]).repeat(4, 1, 1)
    target[1] = 0.0
    target[2, 0, 3] = 4.0
    target[3] = math.nan
    assert sky_loss(prediction, target).item() == pytest.approx(0.75 / 4 / 2)
