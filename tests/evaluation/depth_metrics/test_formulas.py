"""Alignment and metrics against numpy.linalg.lstsq, plain numpy and values by hand."""

import math

import numpy as np
import pytest
import torch

from semidepth.evaluation.depth_metrics.formulas import (
    SCORE_NAMES,
    align_scale_shift,
    metres_scores,
    relative_scores,
)

NAN, INF = math.nan, math.inf


def scene(seed: int, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy prediction and a label in metres with unknown pixels and sky."""
    generator = torch.Generator().manual_seed(seed)
    depth = 0.5 + 9 * torch.rand(batch, 12, 15, generator=generator)
    prediction = 7 / depth + 2 + 0.8 * torch.randn(batch, 12, 15, generator=generator)
    depth[torch.rand(batch, 12, 15, generator=generator) < 0.2] = NAN
    depth[:, :2] = INF
    return prediction, depth


def scores_by_numpy(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    log = np.log(prediction) - np.log(target)
    ratio = np.maximum(prediction / target, target / prediction)
    return {
        "abs_rel": float(np.mean(np.abs(prediction - target) / target)),
        "delta1": float(np.mean(ratio < 1.25)),
        "delta2": float(np.mean(ratio < 1.25**2)),
        "delta3": float(np.mean(ratio < 1.25**3)),
        "rmse": float(np.sqrt(np.mean((prediction - target) ** 2))),
        "rmse_log": float(np.sqrt(np.mean(log**2))),
        "log10": float(np.mean(np.abs(np.log10(prediction) - np.log10(target)))),
        "silog": float(100 * np.sqrt(np.mean(log**2) - np.mean(log) ** 2)),
    }


def relative_by_numpy(
    p: torch.Tensor, d: torch.Tensor, space: str, cap: float | None, least: float
) -> dict[str, float]:
    depth = d.double().numpy()
    known = np.isfinite(depth) & (depth >= least) & (depth <= (cap or INF))
    prediction, depth = p.double().numpy()[known], depth[known]
    design = np.stack([prediction, np.ones_like(prediction)], axis=1)
    (scale, shift), *_ = np.linalg.lstsq(design, 1 / depth, rcond=None)
    aligned = np.clip(scale * prediction + shift, 1 / (cap or depth.max()), 1 / least)
    return scores_by_numpy(aligned, 1 / depth) if space == "disparity" else scores_by_numpy(1 / aligned, depth)


def test_alignment_equals_lstsq():
    prediction, depth = scene(0)
    valid = depth.isfinite()
    scale, shift = align_scale_shift(prediction, 1 / depth, valid)
    assert scale.dtype == shift.dtype == torch.float64
    for i in range(3):
        x = prediction[i][valid[i]].double().numpy()
        y = (1 / depth)[i][valid[i]].double().numpy()
        expected, *_ = np.linalg.lstsq(np.stack([x, np.ones_like(x)], axis=1), y, rcond=None)
        np.testing.assert_allclose([scale[i], shift[i]], expected, rtol=1e-9)


@pytest.mark.parametrize("spread", [1e-2, 1e-4, 1e-6])
def test_nearly_constant_predictions_align_like_lstsq_on_centred_values(spread):
    target = torch.rand(1, 20, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = torch.rand(1, 20, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    prediction = (5 + spread * (target + 0.1 * noise)).float()
    scale, shift = align_scale_shift(prediction, target, torch.ones_like(target, dtype=torch.bool))
    x, y = prediction.double().numpy().ravel(), target.numpy().ravel()
    centred, *_ = np.linalg.lstsq((x - x.mean())[:, None], y - y.mean(), rcond=None)
    assert scale.item() == pytest.approx(centred[0], rel=1e-9)
    assert (scale * x.mean() + shift).item() == pytest.approx(y.mean(), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e6, 1e-6])
def test_constant_prediction_gets_scale_zero_and_the_mean(value):
    target = torch.rand(1, 7, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    valid = torch.ones_like(target, dtype=torch.bool)
    scale, shift = align_scale_shift(torch.full_like(target, value), target, valid)
    assert scale.item() == 0
    assert shift.item() == pytest.approx(target.mean().item(), rel=1e-12)


def test_one_valid_pixel_and_none():
    prediction, target = torch.rand(2, 3, 3), torch.rand(2, 3, 3)
    valid = torch.zeros(2, 3, 3, dtype=torch.bool)
    valid[0, 1, 1] = True
    scale, shift = align_scale_shift(prediction, target, valid)
    assert scale[0].item() == 0
    assert shift[0].item() == pytest.approx(target[0, 1, 1].item(), rel=1e-12)
    assert scale[1].isnan()
    assert shift[1].isnan()


def test_exact_affine_change_is_found_and_scores_perfectly():
    _, depth = scene(4)
    prediction = 250.0 / depth.double().nan_to_num(1.0) - 31.0
    for space in ("depth", "disparity"):
        scores = relative_scores(prediction, depth, space=space)
        assert tuple(scores) == SCORE_NAMES
        for name, values in scores.items():
            assert values.dtype == torch.float64
            perfect = 1.0 if name.startswith("delta") else 0.0
            torch.testing.assert_close(values, torch.full_like(values, perfect), rtol=0, atol=1e-6)


@pytest.mark.parametrize("space", ["depth", "disparity"])
@pytest.mark.parametrize(("cap", "least"), [(None, 1e-3), (8.0, 1e-3), (8.0, 1.0), (80.0, 1e-3)])
def test_relative_equals_numpy(space, cap, least):
    prediction, depth = scene(5)
    scores = relative_scores(prediction, depth, space=space, max_depth_m=cap, min_depth_m=least)
    for i in range(3):
        expected = relative_by_numpy(prediction[i], depth[i], space, cap, least)
        for name in SCORE_NAMES:
            assert scores[name][i].item() == pytest.approx(expected[name], rel=1e-7), name


def test_the_cap_catches_what_aligns_below_zero():
    # Disparity 1, 1/2, 1/4, 1/4 and prediction 4 3 2 0: centred least squares by hand. mean x 9/4, mean y
    # 1/2;
    # cov 4*(1/2) + 3*0 - 2/4 - 0 = 3/2, var 49/16 + 9/16 + 1/16 + 81/16 = 35/4, scale 6/35, shift 1/2 - 27/70
    # = 4/35.
    # Aligned 28/35, 22/35, 16/35, 4/35: the last is under 1/4 and is clamped to it, as the label's farthest
    # is 4 m.
    prediction, depth = torch.tensor([[[4.0, 3.0, 2.0, 0.0]]]), torch.tensor([[[1.0, 2.0, 4.0, 4.0]]])
    errors = [35 / 28 - 1, abs(35 / 22 - 2), abs(35 / 16 - 4), 0.0]
    scores = relative_scores(prediction, depth)
    expected = (errors[0] / 1 + errors[1] / 2 + errors[2] / 4) / 4
    assert scores["abs_rel"].item() == pytest.approx(expected, rel=1e-9)
    assert scores["rmse"].item() == pytest.approx(math.sqrt(sum(e * e for e in errors) / 4), rel=1e-9)
    # With the cap of a street the last one becomes 35/4 m and is scored as the miss it is.
    scores = relative_scores(prediction, depth, max_depth_m=80.0)
    assert scores["abs_rel"].item() == pytest.approx(expected + (35 / 4 - 4) / 4 / 4, rel=1e-9)
    # Ratios are the same in both spaces: max(35/28, ...) = 1.25 is not *under* 1.25; 44/35 fails delta1 too.
    for space in ("depth", "disparity"):
        deltas = relative_scores(prediction, depth, space=space)
        assert deltas["delta2"].item() == 0.75


def test_ratio_and_log_metrics_agree_between_the_spaces():
    prediction, depth = scene(6)
    in_depth = relative_scores(prediction, depth, space="depth")
    in_disparity = relative_scores(prediction, depth, space="disparity")
    for name in SCORE_NAMES:
        same = torch.allclose(in_depth[name], in_disparity[name], rtol=1e-9)
        assert same == (name not in ("abs_rel", "rmse")), name


def test_sky_and_unknown_pixels_do_not_count():
    prediction, depth = scene(7)
    expected = relative_scores(prediction, depth)
    changed = torch.where(depth.isfinite(), prediction, NAN)
    for name, values in relative_scores(changed, depth).items():
        torch.testing.assert_close(values, expected[name], rtol=0, atol=0)
    as_unknown = torch.where(depth.isinf(), NAN, depth)
    for name, values in relative_scores(prediction, as_unknown).items():
        torch.testing.assert_close(values, expected[name], rtol=0, atol=0)


def test_each_image_is_scored_by_itself():
    prediction, depth = scene(8)
    together = relative_scores(prediction, depth)
    for i in range(3):
        alone = relative_scores(prediction[i : i + 1], depth[i : i + 1])
        for name in SCORE_NAMES:
            torch.testing.assert_close(alone[name][0], together[name][i])


def test_no_scored_pixel_gives_nan_for_that_image_only():
    prediction, depth = scene(9)
    depth[1] = INF
    for scores in (relative_scores(prediction, depth), metres_scores(prediction, depth)):
        for values in scores.values():
            assert values[1].isnan()
    assert all(values[[0, 2]].isfinite().all() for values in relative_scores(prediction, depth).values())


def test_a_nan_prediction_is_nan_in_every_score():
    prediction, depth = scene(10, batch=1)
    prediction[0, 5] = NAN
    for scores in (relative_scores(prediction, depth), metres_scores(prediction, depth)):
        assert all(values.isnan().all() for values in scores.values())


@pytest.mark.parametrize("scale", [1e-6, 1e6, -1.0])
def test_scores_do_not_depend_on_the_scale(scale):
    prediction, depth = scene(11)
    expected = relative_scores(prediction, depth)
    for name, values in relative_scores(prediction.double() * scale, depth).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-9, atol=1e-9)


def test_constant_prediction_scores_the_mean_disparity():
    depth = torch.tensor([[[1.0, 2.0, 4.0, 4.0]]])
    scores = relative_scores(torch.full_like(depth, 0.3), depth)  # mean disparity 1/2: 2 m everywhere
    assert scores["abs_rel"].item() == pytest.approx((1 + 0 + 0.5 + 0.5) / 4, rel=1e-9)
    assert scores["delta1"].item() == 0.25


def test_half_precision_is_scored_in_float64():
    prediction, depth = scene(12)
    rounded = prediction.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = relative_scores(rounded, depth)
    for name, values in relative_scores(rounded.double(), depth).items():
        torch.testing.assert_close(scores[name], values, rtol=0, atol=0)


def test_metric_scores_equal_numpy():
    generator = torch.Generator().manual_seed(13)
    _, depth = scene(13)
    prediction = depth.nan_to_num(1.0, posinf=70.0) * (0.6 + torch.rand(depth.shape, generator=generator)) - 0.5
    scores = metres_scores(prediction, depth, max_depth_m=8.0, min_depth_m=0.1)
    for i in range(3):
        label = depth[i].double().numpy()
        known = np.isfinite(label) & (label >= 0.1) & (label <= 8)
        expected = scores_by_numpy(np.clip(prediction[i].double().numpy()[known], 0.1, 8), label[known])
        for name in SCORE_NAMES:
            assert scores[name][i].item() == pytest.approx(expected[name], rel=1e-7), name


def test_metric_scores_do_not_align():
    _, depth = scene(14)
    scores = metres_scores(2 * depth.nan_to_num(1.0), depth)
    torch.testing.assert_close(scores["abs_rel"], torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(scores["rmse_log"], torch.full((3,), math.log(2), dtype=torch.float64))
    torch.testing.assert_close(scores["silog"], torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)


def test_wrong_arguments_are_refused():
    prediction, depth = scene(15)
    with pytest.raises(ValueError, match="one shape"):
        relative_scores(prediction[:, 1:], depth)
    with pytest.raises(ValueError, match="one shape"):
        metres_scores(prediction[0], depth[0])
    with pytest.raises(ValueError, match="'disparity' or 'depth'"):
        relative_scores(prediction, depth, space="log")
    with pytest.raises(ValueError, match="0 < min < max"):
        relative_scores(prediction, depth, max_depth_m=1e-4)
    with pytest.raises(ValueError, match="0 < min < max"):
        metres_scores(prediction, depth, min_depth_m=0.0)
    with pytest.raises(ValueError, match="bool mask"):
        align_scale_shift(prediction, depth, depth)
