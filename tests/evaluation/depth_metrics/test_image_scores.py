"""Maps in all accepted forms, and maps that are refused."""

import numpy as np
import pytest
import torch


def test_masked_pixels_are_unknown_in_references_and_refused_elsewhere(load, maps):
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


def test_pixels_masked_by_numpy_are_unknown(load):
    reference = np.full((6, 8), 2.0)
    masked = np.ma.masked_array(reference.copy(), mask=np.zeros((6, 8), bool))
    masked.data[0], masked.mask[0] = 500.0, True
    for references in ([masked], np.ma.stack([masked])):
        scores = load().compute(predictions=[reference * 1.1], references=references, max_depth_m=np.float32(10))
        assert scores["abs_rel"] == pytest.approx(0.1)
        assert scores["rmse"] == pytest.approx(0.2)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, list])
def test_complex_maps_are_refused(load, make):
    waves, ones = [make(np.full((2, 2), 1 + 2j))], [np.ones((2, 2))]
    for name, pair in {"prediction": (waves, ones), "reference": (ones, waves)}.items():
        with pytest.raises(ValueError, match=f"{name} 0 is complex; expected a map"):
            load().compute(predictions=pair[0], references=pair[1])


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
def test_wrong_maps_are_refused_in_one_sentence(load, predictions, references, message):
    metric = load()
    with pytest.raises(ValueError, match=message) as error:
        metric.compute(predictions=predictions, references=references)
    assert "\n" not in str(error.value)
    # Nothing of a refused batch is kept, and the metric is as good as new.
    assert metric.compute(predictions=[[[2.0]]], references=[[[1.0]]], mode="metric")["abs_rel"] == 1
