"""Multi-scale gradient matching against a plain float64 loop and a value by hand."""

import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from semidepth.training.losses.gradient_matching import gradient_matching_loss

NAN = math.nan


def normalize(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    known = values[mask]
    median = np.sort(known)[(len(known) - 1) // 2]
    deviation = np.abs(known - median).mean()
    constant = deviation <= max(1e-12, 1e-6 * abs(median))
    return (values - median) / (1.0 if constant else deviation)


def loss_by_loop(prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, scales: int) -> float:
    losses = []
    for p, t, v in zip(prediction.double().numpy(), target.double().numpy(), valid.numpy(), strict=True):
        if not v.any():
            continue
        residual, pairs, loss = normalize(p, v) - normalize(t, v), 0, 0.0
        for scale in range(scales):
            step, total, pixels = 2**scale, 0.0, 0
            for i in range(0, v.shape[0], step):
                for j in range(0, v.shape[1], step):
                    if not v[i, j]:
                        continue
                    pixels += 1
                    for a, b in ((i + step, j), (i, j + step)):
                        if a < v.shape[0] and b < v.shape[1] and v[a, b]:
                            total += abs(residual[a, b] - residual[i, j])
                            pairs += 1
            loss += total / max(pixels, 1)
        if pairs:
            losses.append(loss)
    return sum(losses) / len(losses) if losses else 0.0


def maps(seed: int, height: int = 13, width: int = 18) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(3, height, width, generator=generator)
    target = torch.rand(3, height, width, generator=generator)
    target[torch.rand(3, height, width, generator=generator) < 0.25] = NAN
    return prediction, target


def test_value_by_hand():
    # Prediction 0 1 2 4: lower median 1, mean deviation (1+0+1+3)/4 = 5/4 -> -.8 0 .8 2.4.
    # Target 0 1 1 2: median 1, mean deviation 1/2 -> -2 0 0 2. Residual 1.2 0 .8 .4.
    # Scale 0: steps 1.2 .8 .4 over 4 pixels = .6. Scale 1 keeps 1.2 and .8: .4 over 2 pixels = .2.
    prediction, target = torch.tensor([[[0.0, 1.0, 2.0, 4.0]]]), torch.tensor([[[0.0, 1.0, 1.0, 2.0]]])
    torch.testing.assert_close(gradient_matching_loss(prediction, target, scales=1), torch.tensor(0.6))
    torch.testing.assert_close(gradient_matching_loss(prediction, target, scales=2), torch.tensor(0.8))
    # Beyond the image's size there is nothing left to match.
    torch.testing.assert_close(gradient_matching_loss(prediction, target, scales=9), torch.tensor(0.8))


@pytest.mark.parametrize("scales", [1, 2, 4])
def test_equals_the_loop(scales):
    prediction, target = maps(0)
    expected = loss_by_loop(prediction, target, target.isfinite(), scales)
    assert gradient_matching_loss(prediction, target, scales=scales).item() == pytest.approx(expected, rel=1e-5)
    asked = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    expected = loss_by_loop(prediction, target, asked & target.isfinite(), scales)
    assert gradient_matching_loss(prediction, target, asked, scales=scales).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("scale", "shift"), [(5.0, -2.0), (1e-6, 0.0), (1e6, 1e6)])
def test_affine_changes_change_nothing(scale, shift):
    prediction, target = maps(2)
    expected = gradient_matching_loss(prediction, target)
    changed = gradient_matching_loss(scale * prediction + shift, target)
    torch.testing.assert_close(changed, expected, rtol=1e-4, atol=0)


def test_identical_inputs_give_zero():
    prediction, _ = maps(3)
    assert gradient_matching_loss(prediction, prediction) == 0


HARD = {
    "constant prediction": lambda p, t: (torch.full_like(p, 0.7), t),
    "constant target": lambda p, t: (p, torch.where(t.isnan(), t, 0.4)),
    "only sky": lambda p, t: (p, torch.where(t.isnan(), t, 0.0)),
    "all unknown": lambda p, t: (p, torch.full_like(t, NAN)),
    "tiny": lambda p, t: (1e-6 * p, 1e-6 * t),
    "huge": lambda p, t: (1e6 * p, 1e6 * t),
    "NaN where masked": lambda p, t: (torch.where(t.isnan(), NAN, p), t),
}


@pytest.mark.parametrize("case", HARD)
def test_hard_inputs_stay_finite(case):
    prediction, target = HARD[case](*maps(4))
    prediction.requires_grad_()
    loss = gradient_matching_loss(prediction, target)
    loss.backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    assert prediction.grad[target.isnan()].abs().max() == 0
    expected = loss_by_loop(prediction.detach(), target, target.isfinite(), 4)
    assert loss.item() == pytest.approx(expected, rel=2e-5, abs=1e-6)


def test_images_without_a_pair_do_not_count():
    prediction, target = maps(5)
    target[0] = NAN
    target[1] = NAN
    target[1, 4, 4] = 1.0
    target[1, 9, 9] = 2.0  # two valid pixels, never neighbours
    prediction.requires_grad_()
    loss = gradient_matching_loss(prediction, target)
    loss.backward()
    torch.testing.assert_close(loss.detach(), gradient_matching_loss(prediction[2:].detach(), target[2:]))
    assert prediction.grad is not None
    assert prediction.grad[:2].abs().max() == 0


def test_float32_under_autocast_and_from_half_precision():
    prediction, target = maps(6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = gradient_matching_loss(prediction, target)
    torch.testing.assert_close(inside, gradient_matching_loss(prediction, target), rtol=0, atol=0)
    half = gradient_matching_loss(prediction.bfloat16(), target)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, inside, rtol=2e-2, atol=0)


def test_nothing_waits_for_the_device():
    with FakeTensorMode():
        prediction = torch.rand(2, 16, 16, requires_grad=True)
        gradient_matching_loss(prediction, torch.rand(2, 16, 16)).backward()


def test_wrong_arguments_are_refused():
    prediction, target = maps(7)
    with pytest.raises(ValueError, match="one shape"):
        gradient_matching_loss(prediction, target[:, 1:])
    with pytest.raises(ValueError, match="at least 1"):
        gradient_matching_loss(prediction, target, scales=0)
