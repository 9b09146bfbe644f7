"""The metric loaded by `evaluate` from the checkout: scores against numpy in float64, configurations, batches."""

import math

import evaluate
import numpy as np
import pytest
import torch

NAMES = ("abs_rel", "delta1", "delta2", "delta3", "rmse", "rmse_log", "log10", "silog")


def by_numpy(prediction, depth, mode, align, space, crop, least, most):
    """One image's scores, recomputed from the definitions."""
    prediction, depth = prediction.astype(np.float64), depth.astype(np.float64)
    known = np.isfinite(depth) & (depth >= least) & (depth <= most)
    if crop:
        inside = np.zeros_like(known)
        inside[crop] = True
        known &= inside
    x, y = prediction[known], depth[known]
    if mode == "relative":
        cap = y.max() if most == math.inf else most
        if align == "least_squares":
            x = np.polyval(np.polyfit(x, 1 / y, 1), x)
        elif align == "median":
            x = 1 / (1 / x * np.median(y) / np.median(1 / x))
        x = 1 / np.clip(x, 1 / cap, 1 / least)
    else:
        if align == "least_squares":
            x = np.polyval(np.polyfit(x, y, 1), x)
        elif align == "median":
            x = x * (np.median(y) / np.median(x))
        x = np.clip(x, least, most)
    ratio, log = np.maximum(x / y, y / x), np.log(x) - np.log(y)
    if space == "disparity":
        x, y = 1 / x, 1 / y
    found = [np.mean(np.abs(x - y) / y), *(np.mean(ratio < 1.25**n) for n in (1, 2, 3)), np.sqrt(np.mean((x - y) ** 2))]
    found += [np.sqrt(np.mean(log**2)), np.mean(np.abs(log)) / np.log(10), 100 * np.std(log)]
    return np.array(found)


@pytest.mark.parametrize("mode", ["metric", "relative"])
@pytest.mark.parametrize("align", ["least_squares", "median", "none"])
@pytest.mark.parametrize("space", ["depth", "disparity"])
@pytest.mark.parametrize(
    ("protocol", "crop", "least", "most", "given"),
    [
        ("none", None, 1e-3, math.inf, {}),
        ("nyu", (slice(45, 471), slice(41, 601)), 1e-3, 10.0, {}),
        ("ddad", "garg", 1e-3, 80.0, {}),
        ("diode_indoor", (slice(45, 471), slice(41, 601)), 1.0, 5.0, {"min_depth_m": 1.0, "max_depth_m": 5}),
    ],
)
def test_scores_are_those_of_numpy(load, maps, mode, align, space, protocol, crop, least, most, given):
    sizes = ((472, 60), (480, 50)) if crop else ((24, 32), (30, 20), (17, 23))
    predictions, references = maps(sizes=sizes)
    if mode == "relative":
        scale, shift = (3.0, 0.7) if align == "least_squares" else (3.0, 0.0) if align == "median" else (1.0, 0.0)
        predictions = [scale / prediction + shift for prediction in predictions]
    options = {"mode": mode, "align": align, "space": space, "protocol": protocol, **given}
    scores = load().compute(predictions=predictions, references=references, **options)
    each = []
    for prediction, depth in zip(predictions, references, strict=True):
        part = crop
        if crop == "garg":
            rows, columns = (0.40810811, 0.99189189), (0.03594771, 0.96405229)
            part = tuple(
                slice(*(int(share * side) for share in shares))
                for shares, side in zip((rows, columns), depth.shape, strict=True)
            )
        each.append(by_numpy(prediction, depth, mode, align, space, part, least, most))
    assert tuple(scores) == NAMES
    np.testing.assert_allclose(list(scores.values()), np.mean(each, axis=0), rtol=1e-6, atol=1e-6)
    assert all(type(value) is float for value in scores.values())


def test_arrays_tensors_lists_and_batches_score_the_same(load, maps):
    predictions, references = maps(sizes=((12, 16),) * 4)
    expected = load().compute(predictions=predictions, references=references)
    stacked = np.stack(predictions), np.stack(references)
    forms = {
        "array": stacked,
        "tensor": tuple(map(torch.from_numpy, stacked)),
        "with a channel": tuple(torch.from_numpy(values)[:, None] for values in stacked),
        "nested lists": tuple(values.tolist() for values in stacked),
        "half of each": (list(map(torch.from_numpy, predictions)), references),
    }
    for form, (ours, theirs) in forms.items():
        assert load().compute(predictions=ours, references=theirs) == expected, form
    metric = load()
    metric.add_batch(predictions=predictions[:2], references=references[:2])
    metric.add(prediction=predictions[2], reference=references[2])
    assert len(metric) == 3
    assert metric.compute(predictions=predictions[3:], references=references[3:]) == expected
    assert metric.compute(predictions=predictions, references=references) == expected  # nothing is left of before
    assert load(keep_in_memory=True).compute(predictions=predictions, references=references) == expected


def test_images_without_a_scored_pixel_are_left_out_of_the_means(load, maps, caplog):
    predictions, references = maps()
    expected = load().compute(predictions=predictions, references=references)
    scores = load().compute(predictions=[*predictions, np.ones((4, 4))], references=[*references, np.zeros((4, 4))])
    assert scores == expected
    assert "1 of 4 images had no pixel to score" in caplog.text
    scores = load().compute(predictions=[np.ones((4, 4))], references=[np.full((4, 4), np.nan)])
    assert all(math.isnan(value) for value in scores.values())


def test_kitti_takes_the_whole_image_or_the_cut_one(load, maps):
    (prediction,), (depth,) = maps(sizes=((375, 1242),))
    whole = load().compute(predictions=[prediction], references=[depth], protocol="kitti")
    cut = np.s_[23:, 13 : 13 + 1216]
    assert load().compute(predictions=[prediction[cut]], references=[depth], protocol="kitti") == whole
    garg = (slice(143, 349), slice(43, 1172))  # of 352 x 1216, by hand
    expected = by_numpy(prediction[cut], depth[cut], "metric", "none", "depth", garg, 1e-3, 80.0)
    np.testing.assert_allclose(list(whole.values()), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="needs that of its reference, 375 x 1242, or of the cut, 352 x 1216"):
        load().compute(predictions=[prediction[::2, ::2]], references=[depth], protocol="kitti")


def test_boundary_scores_of_a_square_before_a_wall(load):
    """A square in front of a wall, found exactly, one pixel beside, and not at all."""
    depth = np.full((1, 16, 16), 4.0)
    depth[:, 4:9, 4:9] = 2.0
    exact = load("boundary").compute(predictions=depth * 3, references=depth)
    assert exact == pytest.approx({"boundary_f1": 1, "boundary_precision": 1, "boundary_recall": 1})
    aligned = load("boundary").compute(predictions=5 / depth + 2, references=depth, mode="relative", protocol="ddad")
    assert set(aligned) == set(exact)
    beside = load("boundary").compute(predictions=np.roll(depth, 1, 2), references=depth)
    # Left and right edges are missed; of the five columns of the horizontal ones four are found.
    assert beside["boundary_f1"] == pytest.approx((0 + 0 + 0.8 + 0.8) / 4)
    flat = load("boundary").compute(predictions=np.ones((1, 16, 16)), references=depth)
    assert flat["boundary_f1"] == 0
    recall = load("boundary_mask").compute(predictions=1 / depth, references=depth == 2, mode="relative")
    assert recall == pytest.approx({"boundary_mask_recall": 1})
    assert load("boundary_mask").compute(predictions=depth, references=depth == 2) == pytest.approx(recall)
    with pytest.raises(ValueError, match="'protocol' means nothing to the configuration 'boundary_mask'"):
        load("boundary_mask", protocol="nyu")


def test_ordinal_accuracy_is_of_all_pairs(load):
    disparity = np.array([[3.0, 2.0, 1.0, 1.0]])
    pairs = [[[[0, 0], [0, 1]], [[0, 1], [0, 0]], [[0, 2], [0, 3]]], [[[0, 0], [0, 3]]], np.zeros((0, 2, 2), int)]
    scores = load("ordinal").compute(predictions=[disparity] * 3, references=pairs, mode="relative")
    assert scores == {"ordinal_accuracy": 2 / 4}  # a hit, a miss, a tie that is a miss; a hit
    scores = load("ordinal").compute(predictions=[disparity] * 3, references=pairs, mode="metric")
    assert scores == {"ordinal_accuracy": 1 / 4}
    with pytest.raises(ValueError, match=r"image 0: the point \(0, 4\)"):
        load("ordinal").compute(predictions=[disparity], references=[[[[0, 4], [0, 0]]]])
    with pytest.raises(ValueError, match=r"expected pairs of points \(N, 2, 2\)"):
        load("ordinal").compute(predictions=[disparity], references=[[[0, 4], [0, 0]]])


def test_combined_with_others(load, maps):
    predictions, references = maps(sizes=((12, 16),) * 3)
    single = load().compute(predictions=predictions, references=references)
    boundary = load("boundary").compute(predictions=predictions, references=references)
    both = evaluate.combine([load(), load("boundary")])
    assert both.compute(predictions=predictions, references=references) == single | boundary
    both.add_batch(predictions=predictions[:1], references=references[:1])
    for prediction, reference in zip(predictions[1:], references[1:], strict=True):
        both.add(prediction, reference)
    assert both.compute() == single | boundary
    median = load().compute(predictions=predictions, references=references, align="median")
    named = evaluate.combine({"as_is": load(), "median": load(align="median")})
    expected = {f"as_is_{name}": value for name, value in single.items()}
    expected |= {f"median_{name}": value for name, value in median.items()}
    assert named.compute(predictions=predictions, references=references) == expected


def test_it_has_the_form_of_an_evaluate_metric(load):
    metric = load()
    assert list(metric.features) == ["predictions", "references"]
    assert metric.name == "depth_metrics"
    for text in ("mode", "align", "space", "protocol", "min_depth_m", "max_depth_m", "abs_rel", "NaN, 0 or inf"):
        assert text in metric.compute.__doc__
    assert metric.inputs_description.count(">>>") == 3
