"""Colours and grids."""

import numpy as np
import torch
from PIL import Image

from semidepth.evaluation.pictures import (
    colorize,
    grid,
    prediction_row,
    save_picture,
)
from semidepth.media.color_maps import UNKNOWN_COLOR, color_table


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
    row = prediction_row(torch.zeros(3, 20, 30, dtype=torch.uint8), depth, [3 / depth + 2])
    known = depth.isfinite() | depth.isinf()
    assert (np.abs(row[1][known].astype(int) - row[2][known].astype(int)) <= 3).all()


def test_grid_has_a_cell_for_each_picture(tmp_path):
    cell = np.full((10, 20, 3), 7, np.uint8)
    path = save_picture(grid([[cell, cell], [cell, cell]], ["a", "b"], cell_px=40), tmp_path / "deep/grid.png")
    pixels = np.asarray(Image.open(path))
    assert (pixels == 7).all(-1).sum() >= 4 * 40 * 20
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]
