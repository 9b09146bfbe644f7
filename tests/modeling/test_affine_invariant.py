"""The affine-invariant loss against plain float64 loops, values by hand, and inputs that break losses."""

import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from semidepth.modeling.affine_invariant import (
    affine_invariant_loss,
    affine_invariant_normalize,
    cutmix_affine_invariant_loss,
)

NAN = math.nan


def normalize_by_loop(values: list[float]) -> list[float]:
    """Median 0, mean absolute deviation 1; a constant list becomes zeros."""
    median = sorted(values)[(len(values) - 1) // 2]
    deviation = sum(abs(v - median) for v in values) / len(values)
    if deviation <= max(1e-12, 1e-6 * abs(median)):
        return [v - median for v in values]
    return [(v - median) / deviation for v in values]


def image_loss_by_loop(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray, drop: float) -> float:
    rows, columns = np.nonzero(mask)
    pixels = list(zip(rows, columns, strict=True))
    p = normalize_by_loop([float(prediction[pixel]) for pixel in pixels])
    t = normalize_by_loop([float(target[pixel]) for pixel in pixels])
    losses = np.sort([abs(a - b) for a, b in zip(p, t, strict=True)])
    keep = len(losses) - math.floor(round(drop * len(losses), 9))
    return float(losses[:keep].mean())


def loss_by_loop(prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, drop: float = 0.0) -> float:
    losses = [
        image_loss_by_loop(p, t, v, drop)
        for p, t, v in zip(prediction.double().numpy(), target.double().numpy(), valid.numpy(), strict=True)
        if v.sum() >= 2
    ]
    return sum(losses) / len(losses) if losses else 0.0


def maps(seed: int, batch: int = 3, height: int = 7, width: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(batch, height, width, generator=generator)
    target = torch.rand(batch, height, width, generator=generator)
    target[torch.rand(batch, height, width, generator=generator) < 0.3] = NAN
    return prediction, target


def loss_and_gradient(prediction: torch.Tensor, target: torch.Tensor, **options) -> tuple[torch.Tensor, torch.Tensor]:
    prediction = prediction.clone().requires_grad_()
    loss = affine_invariant_loss(prediction, target, **options)
    loss.backward()
    assert prediction.grad is not None
    return loss.detach(), prediction.grad


def test_value_by_hand():
    # Lower median 2, deviations 1 0 1 5, mean 7/4; target median 0 (sky), deviations 0 0 1 2, mean 3/4.
    prediction = torch.tensor([[[1.0, 2.0, 3.0, 7.0]]])
    target = torch.tensor([[[0.0, 0.0, 1.0, 2.0]]])
    every = torch.ones(1, 1, 4, dtype=torch.bool)
    torch.testing.assert_close(
        affine_invariant_normalize(prediction, every), torch.tensor([[[-4 / 7, 0.0, 4 / 7, 20 / 7]]])
    )
    torch.testing.assert_close(affine_invariant_normalize(target, every), torch.tensor([[[0.0, 0.0, 4 / 3, 8 / 3]]]))
    # |-4/7| + 0 + |4/7 - 4/3| + |20/7 - 8/3| = 12/21 + 16/21 + 4/21 = 32/21, over 4 pixels.
    torch.testing.assert_close(affine_invariant_loss(prediction, target), torch.tensor(8 / 21))


def test_gradient_by_hand():
    # Three pixels 0, 1, 3 with median 1 and mean deviation 1: d_hat = -1, 0, 2. Against -1, 0, 2 shifted to
    # -2, 0, 1 (target 0, 2, 3: median 2, deviations 2 0 1, mean 1). Residual 1, 0, 1; d_hat = 3 (d - t) /
    # (sum|d - t|).
    # rho = (1/3) (r1 + r3) with r1 = x1 + 2, r3 = x3 - 1 and x1 + x3 = 3 (d1 + d3 - 2 t) / (d3 - d1).
    # At 0, 1, 3: d(x1 + x3)/dd1 = 3 (3 + 1) / 9 = 4/3, dd3 = 3 (3 - 1) / 9 = 2/3, dt = -2.
    _, gradient = loss_and_gradient(torch.tensor([[[0.0, 1.0, 3.0]]]), torch.tensor([[[0.0, 2.0, 3.0]]]))
    torch.testing.assert_close(gradient, torch.tensor([[[4 / 9, -2 / 3, 2 / 9]]]))


@pytest.mark.parametrize("drop_fraction", [0.0, 0.1, 0.29, 0.5, 0.99])
def test_equals_the_loop(drop_fraction):
    prediction, target = maps(0)
    loss = affine_invariant_loss(prediction, target, drop_fraction=drop_fraction)
    assert loss.item() == pytest.approx(loss_by_loop(prediction, target, target.isfinite(), drop_fraction), rel=1e-5)


def test_whole_products_of_the_drop_fraction_stay_whole():
    # 100 pixels, 29 % of them dropped: 29, although 0.29 * 100 is 28.999999999999996 in floating point.
    generator = torch.Generator().manual_seed(1)
    prediction = torch.rand(1, 10, 10, generator=generator)
    target = torch.rand(1, 10, 10, generator=generator)
    every = torch.ones(1, 10, 10, dtype=torch.bool)
    differences = (affine_invariant_normalize(prediction, every) - affine_invariant_normalize(target, every)).abs()
    expected = np.sort(differences.double().numpy().ravel())[:71].mean()
    assert affine_invariant_loss(prediction, target, drop_fraction=0.29).item() == pytest.approx(expected, rel=1e-5)


def test_an_outlier_is_dropped():
    prediction = torch.arange(10.0).view(1, 1, 10)
    target = prediction.clone()
    target[..., 9] = 1e4
    kept = affine_invariant_loss(prediction, target, drop_fraction=0.1)
    plain = affine_invariant_loss(prediction, target)
    assert kept < plain
    assert kept.item() == pytest.approx(loss_by_loop(prediction, target, target.isfinite(), 0.1), rel=1e-5)


def test_the_mask_and_unknown_targets_are_combined():
    prediction, target = maps(2)
    asked = torch.rand(target.shape, generator=torch.Generator().manual_seed(3)) < 0.6
    loss = affine_invariant_loss(prediction, target, asked)
    assert loss.item() == pytest.approx(loss_by_loop(prediction, target, asked & target.isfinite()), rel=1e-5)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (3.0, -7.0), (1e-6, 0.0), (1e6, 1e6), (0.02, 0.3)])
def test_affine_changes_of_either_side_change_nothing(scale, shift):
    prediction, target = maps(4)
    expected = affine_invariant_loss(prediction, target)
    torch.testing.assert_close(affine_invariant_loss(scale * prediction + shift, target), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(affine_invariant_loss(prediction, scale * target + shift), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(
        affine_invariant_loss(scale * target.nan_to_num() + shift, target),
        torch.tensor(0.0),
        atol=1e-5,
        rtol=0,
    )


def test_a_prediction_the_wrong_way_round_is_not_forgiven():
    prediction, _ = maps(5)
    assert affine_invariant_loss(-prediction, prediction) > 1.0


def test_identical_inputs_give_zero():
    prediction, _ = maps(6)
    loss, gradient = loss_and_gradient(prediction, prediction)
    assert loss == 0
    assert gradient.abs().max() == 0


@pytest.mark.parametrize("drop_fraction", [0.0, 0.1])
def test_images_without_two_valid_pixels_do_not_count(drop_fraction):
    prediction, target = maps(7, batch=4)
    target[0] = NAN
    target[2] = NAN
    target[2, 3, 3] = 0.5
    loss, gradient = loss_and_gradient(prediction, target, drop_fraction=drop_fraction)
    others = affine_invariant_loss(prediction[[1, 3]], target[[1, 3]], drop_fraction=drop_fraction)
    torch.testing.assert_close(loss, others)
    assert gradient[[0, 2]].abs().max() == 0
    assert gradient[[1, 3]].abs().max() > 0
    loss, gradient = loss_and_gradient(prediction[[0, 2]], target[[0, 2]], drop_fraction=drop_fraction)
    assert loss == 0
    assert gradient.abs().max() == 0


HARD = {
    "constant prediction": lambda p, t: (torch.full_like(p, 0.7), t),
    "zero prediction": lambda p, t: (torch.zeros_like(p), t),
    "nearly constant prediction": lambda p, t: (1.0 + 1e-7 * p, t),
    "constant target": lambda p, t: (p, torch.where(t.isnan(), t, 3.0)),
    "only sky": lambda p, t: (p, torch.where(t.isnan(), t, 0.0)),
    "both constant": lambda p, t: (torch.full_like(p, 0.7), torch.where(t.isnan(), t, 3.0)),
    "mostly sky": lambda p, t: (p, torch.where(t < 0.8, 0.0, t)),
    "tiny prediction": lambda p, t: (1e-6 * p, t),
    "huge prediction": lambda p, t: (1e6 * p, t),
    "tiny target": lambda p, t: (p, 1e-6 * t),
    "huge target": lambda p, t: (p, 1e6 * t),
    "vanishing prediction": lambda p, t: (1e-30 * p, t),
    "NaN and inf where masked": lambda p, t: (
        torch.where(t.isnan(), NAN, p),
        torch.where(t.isnan(), math.inf, t),
    ),
}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("drop_fraction", [0.0, 0.1])
def test_hard_inputs_stay_finite(case, drop_fraction):
    prediction, target = HARD[case](*maps(8))
    loss, gradient = loss_and_gradient(prediction, target, drop_fraction=drop_fraction)
    assert gradient.isfinite().all()
    assert gradient[~target.isfinite()].abs().max() == 0
    expected = loss_by_loop(prediction, target, target.isfinite(), drop_fraction)
    assert loss.item() == pytest.approx(expected, rel=2e-5, abs=1e-6)


def test_a_constant_side_gives_one_and_a_gradient_of_ordinary_size():
    prediction, target = maps(9)
    loss, gradient = loss_and_gradient(torch.full_like(prediction, 0.7), target)
    assert loss.item() == pytest.approx(1.0, rel=1e-6)
    assert 0 < gradient.abs().max() <= 1
    loss, gradient = loss_and_gradient(prediction, torch.where(target.isnan(), target, 2.0))
    assert loss.item() == pytest.approx(1.0, rel=1e-6)
    assert gradient.abs().max() < 1e-6  # nothing to learn from a constant target


@pytest.mark.parametrize("bad", [NAN, math.inf])
@pytest.mark.parametrize("drop_fraction", [0.0, 0.1])
def test_a_bad_prediction_at_a_valid_pixel_reaches_the_loss(bad, drop_fraction):
    prediction, target = maps(10)
    row, column = target[0].isfinite().nonzero()[0]
    prediction[0, row, column] = bad
    assert not affine_invariant_loss(prediction, target, drop_fraction=drop_fraction).isfinite()


def test_half_precision_in_float32_out():
    prediction, target = maps(11)
    rounded = prediction.bfloat16()
    loss = affine_invariant_loss(rounded, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, affine_invariant_loss(rounded.float(), target), rtol=0, atol=0)
    torch.testing.assert_close(loss, affine_invariant_loss(prediction, target), rtol=2e-2, atol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = affine_invariant_loss(prediction, target)
        mask = torch.ones_like(prediction, dtype=torch.bool)
        mixed = cutmix_affine_invariant_loss(prediction, prediction.flip(0), prediction.flip(1), mask)
    assert inside.dtype == mixed.dtype == torch.float32
    torch.testing.assert_close(inside, affine_invariant_loss(prediction, target), rtol=0, atol=0)


def test_nothing_waits_for_the_device():
    # A fake tensor has no values: reading one (.item(), a boolean index, a branch) raises.
    with FakeTensorMode():
        prediction, target = torch.rand(2, 8, 8, requires_grad=True), torch.rand(2, 8, 8)
        mask = torch.rand(2, 8, 8) < 0.5
        with pytest.raises(DataDependentOutputException):
            prediction.sum().item()
        loss = affine_invariant_loss(prediction, target, mask, drop_fraction=0.1)
        (loss + cutmix_affine_invariant_loss(prediction, target, target, mask)).backward()


def box_masks(batch: int, height: int, width: int) -> torch.Tensor:
    """A different box in each image, the last one without any."""
    mask = torch.ones(batch, height, width, dtype=torch.bool)
    for i in range(batch - 1):
        mask[i, i : i + 3, 1 : 4 + i] = False
    return mask


@pytest.mark.parametrize("drop_fraction", [0.0, 0.2])
def test_cutmix_equals_two_masked_losses_weighted_by_area(drop_fraction):
    prediction, _ = maps(12)
    teacher_a, teacher_b = maps(13)[0], 50 * maps(14)[0] + 3
    mask = box_masks(*prediction.shape)
    expected = 0.0
    for p, a, b, m in zip(*(x.double().numpy() for x in (prediction, teacher_a, teacher_b)), mask.numpy(), strict=True):
        share = m.mean()
        expected += share * image_loss_by_loop(p, a, m, drop_fraction)
        if share < 1:
            expected += (1 - share) * image_loss_by_loop(p, b, ~m, drop_fraction)
    loss = cutmix_affine_invariant_loss(prediction, teacher_a, teacher_b, mask, drop_fraction=drop_fraction)
    assert loss.item() == pytest.approx(expected / len(prediction), rel=1e-5)


def test_cutmix_regions_are_aligned_apart():
    # Each region is right up to its own scale and shift, so the loss is 0; one alignment for both could not
    # be.
    teacher_a, teacher_b = maps(15)[0], maps(16)[0]
    mask = box_masks(*teacher_a.shape)
    prediction = torch.where(mask, 2 * teacher_a + 1, 40 * teacher_b - 300)
    loss = cutmix_affine_invariant_loss(prediction, teacher_a, teacher_b, mask)
    assert loss.item() == pytest.approx(0.0, abs=1e-4)
    assert affine_invariant_loss(prediction, torch.where(mask, teacher_a, teacher_b)) > 0.1


def test_cutmix_with_a_full_mask_is_the_plain_loss():
    prediction, teacher_a, teacher_b = maps(17)[0], maps(18)[0], torch.full((3, 7, 9), NAN)
    mask = torch.ones_like(prediction, dtype=torch.bool)
    expected = affine_invariant_loss(prediction, teacher_a)
    torch.testing.assert_close(cutmix_affine_invariant_loss(prediction, teacher_a, teacher_b, mask), expected)
    torch.testing.assert_close(cutmix_affine_invariant_loss(prediction, teacher_b, teacher_a, ~mask), expected)


def test_cutmix_leaves_out_what_the_teacher_does_not_know():
    """Against each region's own pixels alone; an image of which nothing is known does not count."""
    prediction, teacher_a, teacher_b = maps(24)[0], maps(25)[0], maps(26)[0]
    mask = box_masks(*prediction.shape)
    teacher_a[:, :3], teacher_b[:, :, ::2] = NAN, NAN
    teacher_a[-1], teacher_b[-1] = NAN, NAN
    expected = []
    for p, a, b, m in zip(*(x.double().numpy() for x in (prediction, teacher_a, teacher_b)), mask.numpy(), strict=True):
        sides = [(a, m & np.isfinite(a)), (b, ~m & np.isfinite(b))]
        total = sum(known.sum() for _, known in sides)
        if total:
            losses = [known.sum() / total * image_loss_by_loop(p, t, known, 0.0) for t, known in sides if known.any()]
            expected.append(sum(losses))
    prediction.requires_grad_()
    loss = cutmix_affine_invariant_loss(prediction, teacher_a, teacher_b, mask, unknown=True)
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-5)
    assert len(expected) == len(prediction) - 1
    loss.backward()
    assert prediction.grad.isfinite().all()
    # A teacher that labels now has to know every pixel: its NaN is a fault, and shows.
    assert cutmix_affine_invariant_loss(prediction, teacher_a, teacher_b, mask).isnan()


def test_cutmix_does_not_depend_on_the_order_of_the_batch():
    arguments = (maps(19)[0], maps(20)[0], maps(21)[0], box_masks(3, 7, 9))
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        cutmix_affine_invariant_loss(*(x[order] for x in arguments)), cutmix_affine_invariant_loss(*arguments)
    )


def test_cutmix_region_of_one_pixel_adds_nothing():
    prediction, teacher = maps(22)[0].requires_grad_(), maps(23)[0]
    mask = torch.ones_like(teacher, dtype=torch.bool)
    mask[:, 2, 2] = False
    loss = cutmix_affine_invariant_loss(prediction, teacher, teacher, mask)
    loss.backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    assert prediction.grad[:, 2, 2].abs().max() == 0
    expected = affine_invariant_loss(prediction.detach(), teacher, mask) * 62 / 63
    torch.testing.assert_close(loss.detach(), expected)


def test_wrong_arguments_are_refused():
    prediction, target = maps(24)
    with pytest.raises(ValueError, match="one shape"):
        affine_invariant_loss(prediction[:, :-1], target)
    with pytest.raises(ValueError, match="one shape"):
        affine_invariant_loss(prediction[:, None], target[:, None])
    with pytest.raises(ValueError, match="bool mask"):
        affine_invariant_loss(prediction, target, torch.ones_like(target))
    with pytest.raises(ValueError, match="drop_fraction is 1"):
        affine_invariant_loss(prediction, target, drop_fraction=1.0)
    with pytest.raises(ValueError, match="one shape"):
        cutmix_affine_invariant_loss(prediction, target, target[:2], target.isnan())
