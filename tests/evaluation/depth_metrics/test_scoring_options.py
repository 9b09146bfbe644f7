"""Options of the metric: their types, errors, and calls that disagree."""

import numpy as np
import pytest


def test_bounds_can_be_numbers_of_any_type(load, maps):
    predictions, references = maps()
    expected = load(max_depth_m=10).compute(predictions=predictions, references=references)
    for number in (np.float32(10), np.int64(10)):
        assert load(max_depth_m=number).compute(predictions=predictions, references=references) == expected
    with pytest.raises(ValueError, match="max_depth_m is True, expected a number"):
        load(max_depth_m=True)


def test_options_that_differ_from_earlier_ones_are_refused(load, maps):
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
def test_wrong_options_are_refused_in_one_sentence(load, options, message):
    with pytest.raises(ValueError, match=message) as from_compute:
        load().compute(predictions=np.ones((1, 2, 2)), references=np.ones((1, 2, 2)), **options)
    assert "\n" not in str(from_compute.value)
    with pytest.raises(ValueError, match=message):
        load(**options)


def test_an_unknown_configuration_is_refused(load):
    with pytest.raises(
        ValueError, match="'bounds' is not known; choose one of default, boundary, boundary_mask, ordinal"
    ):
        load("bounds")
