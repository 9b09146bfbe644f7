"""Feature alignment against a plain loop, above all which side of the margin counts."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from semidepth.training.losses.feature_alignment import feature_alignment_loss


def loss_by_loop(student: torch.Tensor, frozen: torch.Tensor, tolerance: float) -> float:
    losses = []
    for a, b in zip(student.double().flatten(0, 1).tolist(), frozen.double().flatten(0, 1).tolist(), strict=True):
        norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
        cosine = sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 0.0
        if cosine <= tolerance:
            losses.append(1 - cosine)
    return sum(losses) / len(losses) if losses else 0.0


def tokens_at(*cosines: float) -> tuple[torch.Tensor, torch.Tensor]:
    """One image whose tokens lie at the given cosines to the frozen ones, at lengths that must not matter."""
    angles = torch.tensor(cosines, dtype=torch.float64).acos()
    student = torch.stack((angles.cos(), angles.sin()), dim=-1)[None] * 3
    frozen = torch.tensor([1.0, 0.0], dtype=torch.float64).expand_as(student) * 0.2
    return student.float(), frozen.float()


def test_value_by_hand_and_the_right_side_of_the_margin():
    student, frozen = tokens_at(0.9, 0.8, 0.5, -1.0)
    # 0.9 exceeds the margin and is left out: (0.2 + 0.5 + 2.0) / 3.
    torch.testing.assert_close(feature_alignment_loss(student, frozen), torch.tensor(0.9))
    # Everything counts: (0.1 + 0.2 + 0.5 + 2.0) / 4.
    torch.testing.assert_close(feature_alignment_loss(student, frozen, tolerance=1.0), torch.tensor(0.7))


def test_a_token_exactly_at_the_margin_counts():
    # 3-4-5: the cosine of (3, 4) to (1, 0) is 0.6 in exact arithmetic and in float32 after the division.
    student, frozen = torch.tensor([[[3.0, 4.0], [4.0, 3.0]]]), torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    at = float((torch.tensor(3.0) / torch.tensor(5.0)).item())
    torch.testing.assert_close(feature_alignment_loss(student, frozen, tolerance=at), torch.tensor(0.4))
    assert feature_alignment_loss(student, frozen, tolerance=at - 1e-6) == 0


@pytest.mark.parametrize("tolerance", [-0.2, 0.0, 0.1, 0.85, 1.0])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_equals_the_loop_at_any_length(tolerance, scale):
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 11, 8, generator=generator)
    frozen = student * 0.5 + torch.randn(2, 11, 8, generator=generator)
    expected = loss_by_loop(student, frozen, tolerance)
    loss = feature_alignment_loss(scale * student, frozen, tolerance=tolerance)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_tokens_above_the_margin_get_no_gradient():
    student, frozen = tokens_at(0.9, 0.8)
    student.requires_grad_()
    frozen.requires_grad_()
    feature_alignment_loss(student, frozen).backward()
    assert student.grad is not None
    assert student.grad[0, 0].abs().max() == 0
    assert student.grad[0, 1].abs().max() > 0
    assert frozen.grad is None


@pytest.mark.parametrize("tolerance", [0.85, 1.0])
def test_identical_tokens_give_zero(tolerance):
    student = torch.randn(2, 50, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = feature_alignment_loss(student, student.detach(), tolerance=tolerance)
    loss.backward()
    assert 0 <= loss.item() < 1e-6
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-6
    if tolerance < 1:
        assert loss == 0
        assert student.grad.abs().max() == 0


def test_zero_tokens_count_as_cosine_zero_and_keep_gradients_finite():
    student = torch.zeros(1, 3, 4)
    student[0, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    student.requires_grad_()
    frozen = torch.tensor([0.5, 0.0, 0.0, 0.0]).expand(1, 3, 4)
    loss = feature_alignment_loss(student, frozen)
    loss.backward()
    assert loss.item() == 1.0  # the first token is above the margin, the others are at 1 - 0
    assert student.grad is not None
    assert student.grad.abs().max() <= 1


def test_a_nan_token_reaches_the_loss():
    student, frozen = tokens_at(0.9, 0.8)
    student[0, 0, 0] = math.nan
    assert feature_alignment_loss(student, frozen).isnan()


def test_float32_under_autocast_and_from_half_precision():
    generator = torch.Generator().manual_seed(2)
    student, frozen = torch.randn(2, 9, 8, generator=generator), torch.randn(2, 9, 8, generator=generator)
    plain = feature_alignment_loss(student, frozen)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = feature_alignment_loss(student, frozen)
    torch.testing.assert_close(inside, plain, rtol=0, atol=0)
    half = feature_alignment_loss(student.bfloat16(), frozen.bfloat16())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=2e-2, atol=0)


def test_nothing_waits_for_the_device():
    with FakeTensorMode():
        student = torch.randn(2, 5, 4, requires_grad=True)
        feature_alignment_loss(student, torch.randn(2, 5, 4)).backward()


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        feature_alignment_loss(torch.rand(1, 4, 8), torch.rand(1, 4, 6))
    with pytest.raises(ValueError, match="one shape"):
        feature_alignment_loss(torch.rand(4, 8), torch.rand(4, 8))
    with pytest.raises(ValueError, match="cosine between -1 and 1"):
        feature_alignment_loss(torch.rand(1, 4, 8), torch.rand(1, 4, 8), tolerance=1.5)
