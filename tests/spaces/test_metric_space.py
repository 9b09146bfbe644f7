"""The metric Space through `evaluate.load`: its numbers against numpy in float64, options, batches and processes."""

import math
import os
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch

SPACE = Path(__file__).parents[2] / "spaces" / "depth_metrics"
NAMES = ("abs_rel", "delta1", "delta2", "delta3", "rmse", "rmse_log", "log10", "silog")


@pytest.fixture
def load(tmp_path):
    return lambda *names, **options: evaluate.load(str(SPACE), *names, cache_dir=str(tmp_path), **options)


def maps(seed: int = 0, sizes=((24, 32), (30, 20), (48, 64))) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Predictions in metres and references, with unknown pixels of every kind, some values beyond any range."""
    random = np.random.default_rng(seed)
    predictions, references = [], []
    for size in sizes:
        depth = random.uniform(0.5, 14, size).astype(np.float32)
        prediction = (depth * random.uniform(0.6, 1.5, size) + 0.3).astype(np.float32)
        depth[random.random(size) < 0.1] = random.choice([np.nan, 0.0, np.inf])
        predictions.append(prediction)
        references.append(depth)
    return predictions, references


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
def test_scores_are_those_of_numpy(load, mode, align, space, protocol, crop, least, most, given):
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


def test_arrays_tensors_lists_and_batches_are_one(load):
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


def test_masked_pixels_are_unknown_in_references_and_refused_elsewhere(load):
    predictions, references = maps(sizes=((12, 16),) * 2)
    hidden = [np.random.default_rng(5).random(depth.shape) < 0.3 for depth in references]
    unknown = [np.where(mask, np.nan, depth) for mask, depth in zip(hidden, references, strict=True)]
    expected = load().compute(predictions=predictions, references=unknown)
    masked = [np.ma.array(depth, mask=mask) for mask, depth in zip(hidden, references, strict=True)]
    for form in (masked, np.ma.stack(masked), [list(depth) for depth in masked]):
        assert load().compute(predictions=predictions, references=form) == expected
        with pytest.raises(ValueError, match=r"^prediction 0 has \d+ masked pixels, where every value is needed; fill"):
            load().compute(predictions=form, references=references)
    with pytest.raises(ValueError, match=r"reference 0 has \d+ masked pixels"):
        load("boundary_mask").compute(predictions=predictions, references=masked)
    pairs = np.ma.masked_equal([[[0, 0], [0, 1]]], 1)
    for form in (pairs, list(pairs)):
        with pytest.raises(ValueError, match="reference 0 has masked points"):
            load("ordinal").compute(predictions=predictions[:1], references=[form])


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, list])
def test_complex_maps_are_refused(load, make):
    waves, ones = [make(np.full((2, 2), 1 + 2j))], [np.ones((2, 2))]
    for name, pair in {"prediction": (waves, ones), "reference": (ones, waves)}.items():
        with pytest.raises(ValueError, match=f"{name} 0 is complex; expected a map"):
            load().compute(predictions=pair[0], references=pair[1])


def test_bounds_are_numbers_of_any_kind(load):
    predictions, references = maps()
    expected = load(max_depth_m=10).compute(predictions=predictions, references=references)
    for number in (np.float32(10), np.int64(10)):
        assert load(max_depth_m=number).compute(predictions=predictions, references=references) == expected
    with pytest.raises(ValueError, match="max_depth_m is True, expected a number"):
        load(max_depth_m=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_relative_predictions_have_to_be_finite(load, value):
    second = np.array([[1.0, value], [2.0, 3.0]])
    with pytest.raises(
        ValueError, match="prediction 1 is not finite in 1 scored pixels; predictions have to be finite"
    ):
        load(mode="relative").compute(predictions=[np.ones((2, 2)), second], references=np.ones((2, 2, 2)))


def test_a_smaller_prediction_is_resized_with_corners_aligned(load):
    """0 and 3 m at the ends of a row of two are 1 and 2 m at the thirds of a row of four."""
    scores = load().compute(predictions=[[[1.0, 4.0]]], references=[[[1.0, 2.0, 3.0, 4.0]]])
    assert scores["abs_rel"] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match=r"size 2 x 3 and its reference 3 x 2; transpose"):
        load().compute(predictions=[np.ones((2, 3))], references=[np.ones((3, 2))])


def test_kitti_takes_the_whole_image_or_the_cut_one(load):
    (prediction,), (depth,) = maps(sizes=((375, 1242),))
    whole = load().compute(predictions=[prediction], references=[depth], protocol="kitti")
    cut = np.s_[23:, 13 : 13 + 1216]
    assert load().compute(predictions=[prediction[cut]], references=[depth], protocol="kitti") == whole
    garg = (slice(143, 349), slice(43, 1172))  # of 352 x 1216, by hand
    expected = by_numpy(prediction[cut], depth[cut], "metric", "none", "depth", garg, 1e-3, 80.0)
    np.testing.assert_allclose(list(whole.values()), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="needs that of its reference, 375 x 1242, or of the cut, 352 x 1216"):
        load().compute(predictions=[prediction[::2, ::2]], references=[depth], protocol="kitti")


def test_images_without_a_scored_pixel_count_in_no_mean(load, caplog):
    predictions, references = maps()
    expected = load().compute(predictions=predictions, references=references)
    scores = load().compute(predictions=[*predictions, np.ones((4, 4))], references=[*references, np.zeros((4, 4))])
    assert scores == expected
    assert "1 of 4 images had no pixel to score" in caplog.text
    scores = load().compute(predictions=[np.ones((4, 4))], references=[np.full((4, 4), np.nan)])
    assert all(math.isnan(value) for value in scores.values())


def test_options_are_never_dropped(load):
    predictions, references = maps(sizes=((12, 16),) * 2)
    metric = load()
    metric.add_batch(predictions=predictions, references=references, align="median", max_depth_m=10)
    with pytest.raises(
        ValueError, match=r"align='none' was asked for, but 2 images were already scored with align='med"
    ):
        metric.compute(align="none")
    with pytest.raises(ValueError, match="max_depth_m=8"):
        metric.add(prediction=predictions[0], reference=references[0], max_depth_m=8)
    with pytest.raises(
        ValueError, match="space='disparity' was asked for, but 2 images"
    ):  # a default is an option, too
        metric.compute(space="disparity")
    median = metric.compute(align="median", space="depth")
    once = load().compute(predictions=predictions, references=references, align="median", max_depth_m=10)
    assert median == once
    at_load = load(align="median", max_depth_m=10.0)
    assert at_load.compute(predictions=predictions, references=references) == once
    with pytest.raises(ValueError, match="the metric was loaded with align='median'"):
        at_load.compute(predictions=predictions, references=references, align="none")
    assert metric.compute(predictions=predictions, references=references) != once  # a new start


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "metrics"}, "mode is 'metrics', expected 'metric' or 'relative'"),
        ({"align": "mean"}, "align is 'mean', expected 'least_squares', 'median' or 'none'"),
        ({"space": "log"}, "space is 'log', expected 'depth' or 'disparity'"),
        ({"protocol": "nyuv2"}, "'nyuv2' is not known; choose one of nyu, "),
        ({"min_depth_m": 5, "max_depth_m": 5}, "expected 0 < min < max, in metres"),
        ({"max_depth_m": "10"}, "max_depth_m is '10', expected a number of metres"),
        ({"aling": "none"}, "the option 'aling' means nothing to the configuration 'default'; it has mode, align"),
    ],
)
def test_wrong_options_are_told_in_one_sentence(load, options, message):
    with pytest.raises(ValueError, match=message) as from_compute:
        load().compute(predictions=np.ones((1, 2, 2)), references=np.ones((1, 2, 2)), **options)
    assert "\n" not in str(from_compute.value)
    with pytest.raises(ValueError, match=message):
        load(**options)


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "there is no image to score"),
        (None, None, "there is no image to score"),
        (np.ones((2, 3, 3)), np.ones((1, 3, 3)), "2 predictions came with 1 references"),
        (np.ones((3, 3)), np.ones((1, 3, 3)), r"predictions are one ndarray \(3, 3\); expected a list of maps"),
        ([np.ones(3)], [np.ones(3)], r"prediction 0 has the shape \(3,\), expected a map"),
        ([[[1.0, 2.0], [3.0]]], [[[1.0]]], "prediction 0 is a list that is no map"),
        (
            [np.ones((2, 2)), np.full((2, 2), np.nan)],
            np.ones((2, 2, 2)),
            "prediction 1 is not finite in 4 scored pixels; predictions have to be finite wherever",
        ),
    ],
)
def test_wrong_maps_are_told_in_one_sentence(load, predictions, references, message):
    metric = load()
    with pytest.raises(ValueError, match=message) as error:
        metric.compute(predictions=predictions, references=references)
    assert "\n" not in str(error.value)
    # Nothing of a refused batch is kept, and the metric is as good as new.
    assert metric.compute(predictions=[[[2.0]]], references=[[[1.0]]], mode="metric")["abs_rel"] == 1


def test_an_unknown_configuration_is_told(load):
    with pytest.raises(
        ValueError, match="'bounds' is not known; choose one of default, boundary, boundary_mask, ordinal"
    ):
        load("bounds")


def test_boundaries_and_masks(load):
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


def test_combined_with_others(load):
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


PROCESS = """
import sys
import evaluate, numpy as np
space, cache, number, count, align = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
random = np.random.default_rng(0)
depth = random.uniform(1, 9, (5, 12, 16))
prediction = depth * random.uniform(0.7, 1.4, depth.shape)
metric = evaluate.load(
    space, cache_dir=cache, num_process=count, process_id=number, experiment_id="one", align=align, timeout=60
)
share = slice(number, None, 2) if count == 2 else slice(5 * number, 5)  # of three, one has all and two have none
if len(depth[share]):
    metric.add_batch(predictions=prediction[share], references=depth[share])
print(metric.compute())
"""


def run_together(folder: Path, aligns: list[str]) -> list[subprocess.CompletedProcess]:
    count = len(aligns)
    commands = [
        [sys.executable, "-c", PROCESS, str(SPACE), str(folder), str(number), str(count), align]
        for number, align in enumerate(aligns)
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for command in commands
    ]
    done = []
    for process in started:
        out, err = process.communicate(timeout=120)
        done.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    return done


@pytest.mark.parametrize("count", [2, 3])
def test_processes_make_one_mean(load, tmp_path, count):
    first, *others = run_together(tmp_path, ["none"] * count)
    assert not any(process.returncode for process in (first, *others)), [process.stderr for process in (first, *others)]
    assert {process.stdout.strip() for process in others} == {"None"}
    random = np.random.default_rng(0)
    depth = random.uniform(1, 9, (5, 12, 16))
    prediction = depth * random.uniform(0.7, 1.4, depth.shape)
    expected = load().compute(predictions=prediction, references=depth)
    assert eval(first.stdout) == pytest.approx(expected, rel=1e-12)


def test_two_processes_with_different_options_are_told(tmp_path):
    first, _ = run_together(tmp_path, ["none", "median"])
    assert first.returncode == 1
    assert "ValueError: the processes scored with different options" in first.stderr


MEMORY = """
import resource, sys
import evaluate, numpy as np
metric = evaluate.load(sys.argv[1], cache_dir=sys.argv[2])
depth = np.random.default_rng(0).uniform(1, 9, (480, 640)).astype(np.float32)
peaks = []
for images in (8, 56):
    for _ in range(images):
        metric.add(prediction=depth, reference=depth)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
metric.compute()
peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(peaks[0], peaks[-1])
"""


def test_memory_does_not_grow_with_images(tmp_path):
    """56 more maps and predictions of 480 x 640 in float32 are 131 MiB, as Arrow would hold them at the least."""
    command = [sys.executable, "-c", MEMORY, str(SPACE), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    before, after = map(float, done.stdout.split())
    assert after - before < 30


def test_it_has_the_library_s_form(load):
    metric = load()
    assert list(metric.features) == ["predictions", "references"]
    assert metric.name == "depth_metrics"
    for text in ("mode", "align", "space", "protocol", "min_depth_m", "max_depth_m", "abs_rel", "NaN, 0 or inf"):
        assert text in metric.compute.__doc__
    assert metric.inputs_description.count(">>>") == 3


def test_what_numpy_masks_is_unknown(load):
    reference = np.full((6, 8), 2.0)
    masked = np.ma.masked_array(reference.copy(), mask=np.zeros((6, 8), bool))
    masked.data[0], masked.mask[0] = 500.0, True
    for references in ([masked], np.ma.stack([masked])):
        scores = load().compute(predictions=[reference * 1.1], references=references, max_depth_m=np.float32(10))
        assert scores["abs_rel"] == pytest.approx(0.1)
        assert scores["rmse"] == pytest.approx(0.2)
