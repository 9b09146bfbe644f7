"""Local alignment against a plain float64 loop, a value by hand, and what the windows are for."""

import math

import numpy as np
import pytest
import torch

from semidepth.training.losses.local_alignment import local_alignment_loss

NAN = math.nan


def center_and_spread(values: np.ndarray) -> tuple[float, float]:
    median = np.sort(values)[(len(values) - 1) // 2]
    spread = np.abs(values - median).mean()
    return median, 0.0 if spread <= max(1e-12, 1e-6 * abs(median)) else spread


def loss_by_loop(prediction: torch.Tensor, target: torch.Tensor, parts: int) -> float:
    losses = []
    for p, t in zip(prediction.double().numpy(), target.double().numpy(), strict=True):
        known = np.isfinite(t)
        (_, whole_p), (_, whole_t) = center_and_spread(p[known]), center_and_spread(t[known])
        height, width = math.ceil(p.shape[0] / parts), math.ceil(p.shape[1] / parts)
        total, pixels = 0.0, 0
        for top, left in ((0, 0), (-(height // 2), -(width // 2))):
            for row in range(top, p.shape[0], height):
                for column in range(left, p.shape[1], width):
                    rows, columns = slice(max(row, 0), row + height), slice(max(column, 0), column + width)
                    inside = known[rows, columns]
                    if inside.sum() < 32:
                        continue
                    ours, theirs = p[rows, columns][inside], t[rows, columns][inside]
                    (median, spread), (target_median, target_spread) = map(center_and_spread, (ours, theirs))
                    if spread == 0 or not 0.1 < (target_spread / spread) / (whole_t / whole_p) < 10:
                        continue
                    aligned = (ours - median) / spread * target_spread + target_median
                    total += np.abs(aligned - theirs).sum() / whole_t
                    pixels += len(ours)
        if pixels:
            losses.append(total / pixels)
    return sum(losses) / len(losses) if losses else 0.0


def maps(seed: int, height: int = 37, width: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(3, height, width, generator=generator)
    target = torch.rand(3, height, width, generator=generator)
    target[torch.rand(3, height, width, generator=generator) < 0.25] = NAN
    return prediction, target


def test_value_by_hand():
    # 16 x 16 in 2 x 2 windows of 8 x 8; two of them are known, but for one pixel, which leaves the window moved by half
    # with 31 known pixels: too few.
    target, prediction = torch.full((1, 16, 16), NAN), torch.zeros(1, 16, 16)
    # First: median 0 and deviation 1 against median 1 and deviation 16 * 4 / 64 = 1. Differences: 2 at 16 pixels of
    # prediction 1, and 4 - 2 at 16 pixels of prediction 5; 64 altogether.
    target[0, :4, :8], prediction[0, :4, :8] = 0.0, 1.0
    target[0, 4:8, :8], prediction[0, 4:6, :8], prediction[0, 6:8, :8] = 2.0, 1.0, 5.0
    # Second: 7 * target + 3, no difference. 63 pixels, 21 of each value.
    values = torch.tensor([10.0, 13.0, 16.0]).repeat(21)
    target[0, 8:, 8:] = torch.cat((torch.tensor([NAN]), values)).view(8, 8)
    prediction[0, 8:, 8:] = torch.where(target.isnan(), 0.0, 7 * target + 3)[0, 8:, 8:]
    # The whole image, 127 pixels: median 2, deviation (32 * 2 + 21 * (8 + 11 + 14)) / 127 = 757 / 127.
    torch.testing.assert_close(local_alignment_loss(prediction, target, parts=2), torch.tensor(64 / 757))


@pytest.mark.parametrize("parts", [1, 2, 4, 5, 16])
def test_equals_the_loop(parts):
    prediction, target = maps(0)
    expected = loss_by_loop(prediction, target, parts)
    assert local_alignment_loss(prediction, target, parts=parts).item() == pytest.approx(expected, rel=1e-4)
    assert (expected > 0) == (parts < 16)  # 37 / 16 is a window of 3 pixels


def test_the_smallest_image_that_64_parts_are_windows_of():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(1, 321, 321, generator=generator), torch.rand(1, 321, 321, generator=generator)
    assert local_alignment_loss(prediction, target, parts=64) > 0
    assert local_alignment_loss(prediction[:, 1:, 1:], target[:, 1:, 1:], parts=64) == 0


def test_windows_at_scales_of_their_own_cost_nothing():
    """A scene whose parts are each right but not in proportion: only the windows across borders are charged."""
    _, target = maps(1, 64, 64)
    target = torch.where(target.isnan(), 0.5, target)
    scale = torch.tensor([[1.0, 3.0], [2.0, 0.5]]).repeat_interleave(32, 0).repeat_interleave(32, 1)
    prediction = target * scale + scale
    # Cut into 4, all windows lie on one side of a border but those moved across it.
    inside = torch.zeros(3, 64, 64, dtype=torch.bool)
    for row in (0, 32):
        for column in (0, 32):
            inside[:, row + 8 : row + 24, column + 8 : column + 24] = True
    assert local_alignment_loss(prediction, target, inside, parts=4) < 1e-5
    assert local_alignment_loss(prediction, target, inside, parts=1) > 0.1


def test_the_noise_of_a_flat_wall_counts_next_to_nothing():
    generator = torch.Generator().manual_seed(2)
    target = torch.rand(1, 32, 32, generator=generator)
    target[:, :, 16:] = 0.5 + 1e-3 * torch.rand(1, 32, 16, generator=generator)
    prediction = target.clone()
    prediction[:, :, 16:] = 0.5 + 1e-3 * torch.rand(1, 32, 16, generator=generator)  # other noise, unrelated
    assert local_alignment_loss(prediction, target, parts=2) < 5e-3


def test_windows_far_from_the_images_scale_are_left_out():
    _, target = maps(3, 32, 32)
    target = torch.where(target.isnan(), 0.5, target)
    for factor, counts in ((0.2, True), (0.05, False)):  # of the prediction in one quarter: aligned by 5, by 20
        prediction = target.clone()
        prediction[:, :16, :16] *= factor
        prediction[:, :16, :16] += (0.1 * factor) * torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(4))
        expected = loss_by_loop(prediction, target, 2)
        prediction.requires_grad_()
        loss = local_alignment_loss(prediction, target, parts=2)
        loss.backward()
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        assert prediction.grad is not None
        # Only windows that are moved by half see this pixel elsewhere; they are at rows below 8 too small to count.
        assert (prediction.grad[:, :4, :4].abs().max() > 1e-6) == counts


def test_images_without_a_window_do_not_count():
    prediction, target = maps(5)
    target[0] = NAN
    target[1, :, 5:] = NAN  # windows have 5 x 10 known pixels at most: with a quarter of them missing, few have 32
    target[1, ::2] = NAN
    loss = local_alignment_loss(prediction, target, parts=4)
    torch.testing.assert_close(loss, local_alignment_loss(prediction[2:], target[2:], parts=4))


def test_a_nan_prediction_reaches_the_loss():
    prediction, target = maps(6)
    prediction[0, 3, 4], target[0, 3, 4] = NAN, 0.5
    assert local_alignment_loss(prediction, target, parts=4).isnan()


def test_no_parts_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        local_alignment_loss(*maps(7), parts=0)
