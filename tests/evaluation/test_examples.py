"""The examples of a score run: the best, median and worst image, and a picture of them."""

import math

import numpy as np
import pytest

from semidepth.data.source_spec import parse_source
from semidepth.evaluation.data import SourceData
from semidepth.evaluation.examples import LEGEND_PX, TITLES, Example, choose, label, make_picture
from semidepth.evaluation.ordinal import OrdinalTask
from semidepth.evaluation.pictures import CELL_PX, color_errors
from semidepth.evaluation.relative import RelativeTask
from semidepth.evaluation.tasks import ImageScores

DATA = SourceData("rooms", parse_source("scenes:indoor?count=3"), 3)
ERRORS = RelativeTask(model="m", revision="r", data=DATA)
ACCURACIES = OrdinalTask(model="m", revision="r", data=DATA)


def images(name, *values):
    return [ImageScores((0, n), f"room {n}", "", "", {("", "depth"): {name: value}}) for n, value in enumerate(values)]


def chosen(task, scored):
    return [(which, value, image.place[1]) for which, value, image in choose(task, scored)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.3, 0.1, 0.2), [("best", 0.1, 1), ("median", 0.2, 2), ("worst", 0.3, 0)]),
        ((0.4, 0.3, 0.1, 0.2), [("best", 0.1, 2), ("median", 0.2, 3), ("worst", 0.4, 0)]),
        ((0.2, 0.1), [("best", 0.1, 1), ("worst", 0.2, 0)]),
        ((0.2,), [("best", 0.2, 0)]),
        ((math.nan, 0.2, math.nan, 0.1), [("best", 0.1, 3), ("worst", 0.2, 1)]),
        ((math.nan,), []),
        ((), []),
        ((0.5, 0.5, 0.5), [("best", 0.5, 0), ("median", 0.5, 1), ("worst", 0.5, 2)]),  # by place where equal
    ],
)
def test_images_are_chosen_by_their_error(values, expected):
    assert chosen(ERRORS, images("abs_rel", *values)) == expected


def test_a_larger_accuracy_is_better():
    found = chosen(ACCURACIES, images("ordinal_accuracy", 0.5, 1.0, 0.75))
    assert found == [("best", 1.0, 1), ("median", 0.75, 2), ("worst", 0.5, 0)]


def test_a_label_is_as_high_as_its_cell_and_holds_its_text():
    assert label(["worst: AbsRel 0.5"], (200, 100, 3)).shape == (2 * CELL_PX, CELL_PX, 3)
    assert label(["x"], (10, 100, 3)).shape[0] > CELL_PX / 10  # too low for its lines
    blank, text = label([], (100, 100, 3)), label(["worst: AbsRel 0.5", "", "rooms"], (100, 100, 3))
    assert blank.min() == 255
    inked = np.flatnonzero(text.min((1, 2)) < 128)
    assert inked.max() < 2 + 2 * 13  # an empty line takes no place


def test_the_picture_has_a_row_for_each_example_and_the_legend_of_the_errors():
    cell = np.full((48, 96, 3), 200, np.uint8)
    one, two = (make_picture([Example([cell] * len(TITLES))] * count) for count in (1, 2))
    assert one.width == two.width > len(TITLES) * CELL_PX
    assert two.height - one.height >= CELL_PX / 2
    right = one.width - 6
    strip = np.asarray(one)[-LEGEND_PX + 5, right - CELL_PX + 1 : right - 1]  # inside its black outline
    shares = np.linspace(0, 0.5, CELL_PX)[1:-1]
    assert np.array_equal(strip, color_errors(shares[None])[0])
