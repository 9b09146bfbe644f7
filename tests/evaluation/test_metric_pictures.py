"""Metres as colours: near is bright, equal ratios are equal steps, unknown is grey."""

import numpy as np
import torch

from semidepth.evaluation.pictures import (
    colorize_metres,
    metre_range,
    metric_row,
    scale_bar,
)
from semidepth.media.color_maps import UNKNOWN_COLOR, color_table


def test_near_is_bright_and_equal_ratios_are_equal_steps():
    colors = colorize_metres(np.array([[1.0, 10.0, 100.0, np.nan, 0.0, np.inf, 1000.0]]), (1.0, 100.0))[0]
    table = color_table()
    assert colors[0].tolist() == table[255].tolist()
    assert colors[1].tolist() == table[128].tolist()
    assert colors[2].tolist() == colors[6].tolist() == table[0].tolist()
    assert colors[3].tolist() == colors[4].tolist() == colors[5].tolist() == list(UNKNOWN_COLOR)


def test_the_range_leaves_out_single_outliers_and_what_is_unknown():
    depth = np.linspace(2, 4, 1000)
    depth[:3] = [900, np.nan, -1]
    near, far = metre_range(depth)
    assert 2 <= near < 2.1
    assert 3.9 < far <= 4.1
    assert metre_range(np.full((2, 2), np.nan)) == (1.0, 10.0)


def test_the_scale_bar_has_the_colours_of_its_ends():
    bar = scale_bar((1.0, 50.0), ["domain: outdoor"])
    table = color_table()
    assert bar[10, 5].tolist() == table[0].tolist()  # far at the top
    assert bar[-11, 5].tolist() == table[255].tolist()


def test_a_scale_bar_always_has_numbers_at_its_ends():
    """From 2.1 to 4.8 m none of 1, 2, 5 fits."""
    text = scale_bar((2.1, 4.8), [])[:, 30:]
    assert (text[:25] < 128).any()
    assert (text[-25:] < 128).any()


def test_a_row_has_image_truth_prediction_and_bar():
    depth = torch.linspace(1, 5, 64).expand(48, 64)
    image = torch.zeros(3, 48, 64, dtype=torch.uint8)
    row = metric_row(image, depth, [depth], ["indoor"])
    assert [cell.shape[:2] for cell in row[:3]] == [(48, 64)] * 3
    assert np.array_equal(row[1], row[2])
    assert len(metric_row(image, None, [depth])) == 3
