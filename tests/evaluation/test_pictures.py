"""Colours of inverse depth and of metres, rows and grids of pictures."""

import numpy as np
import torch
from PIL import Image

from semidepth.evaluation.pictures import (
    colorize_metres,
    grid,
    metre_range,
    metres_row,
    relative_row,
    save_picture,
    scale_bar,
)
from semidepth.media.color_maps import UNKNOWN_COLOR, color_table, colorize


def test_brightness_grows_with_disparity():
    luma = color_table() @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma) > -0.5).all()
    assert luma[0] < 5
    assert luma[-1] > 240


def test_unknown_is_grey_and_outliers_do_not_stretch_the_range():
    disparity = np.linspace(1, 2, 10_000).reshape(100, 100)
    disparity[0, 0] = 1e9
    disparity[50, 50] = np.nan
    colors = colorize(disparity)
    assert tuple(colors[50, 50]) == UNKNOWN_COLOR
    assert len(np.unique(colors.reshape(-1, 3), axis=0)) > 200


def test_nothing_known_is_all_grey():
    assert (colorize(np.full((2, 2), np.nan)) == UNKNOWN_COLOR[0]).all()


def test_a_right_prediction_looks_like_the_ground_truth():
    depth = torch.rand(20, 30) * 5 + 1
    depth[:2] = torch.inf
    depth[5, 5] = torch.nan
    row = relative_row(torch.zeros(3, 20, 30, dtype=torch.uint8), depth, [3 / depth + 2])
    known = depth.isfinite() | depth.isinf()
    assert (np.abs(row[1][known].astype(int) - row[2][known].astype(int)) <= 3).all()


def test_grid_has_a_cell_for_each_picture(tmp_path):
    cell = np.full((10, 20, 3), 7, np.uint8)
    path = save_picture(grid([[cell, cell], [cell, cell]], ["a", "b"], cell_px=40), tmp_path / "deep/grid.png")
    pixels = np.asarray(Image.open(path))
    assert (pixels == 7).all(-1).sum() >= 4 * 40 * 20
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]


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
    row = metres_row(image, depth, [depth], ["indoor"])
    assert [cell.shape[:2] for cell in row[:3]] == [(48, 64)] * 3
    assert np.array_equal(row[1], row[2])
    assert len(metres_row(image, None, [depth])) == 3
