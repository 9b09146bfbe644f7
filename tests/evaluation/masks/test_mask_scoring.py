"""Scores of segmenters whose answers are known, and the tables that are made of them."""

import math
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest

from semidepth.evaluation.masks.annotator import Answer
from semidepth.evaluation.masks.baselines import FilledBox
from semidepth.evaluation.masks.scoring import ImageWithObjects, by_area, score_objects, summary
from semidepth.evaluation.masks.tables import entries, to_markdown, to_parquet


def square(top, bottom, left, right, size=(50, 100)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


TARGETS = np.stack([square(0, 4, 0, 10), square(10, 30, 10, 60), square(0, 50, 0, 100)])  # 0.8 %, 20 %, 100 %
IMAGE = ImageWithObjects(np.zeros((50, 100, 3), np.uint8), TARGETS, "one")


class Half:
    """Answers with the left half, then three quarters of it, and so on; says 0.9 of each."""

    name, takes_clicks = "half", True

    def look(self, image):
        assert image is IMAGE.image

    def click(self, clicks, objects):
        share = 1 - 0.5 ** clicks.points.shape[1]
        masks = []
        for index in objects:
            columns = TARGETS[index].any(0).nonzero()[0]
            masks.append(TARGETS[index] & (np.arange(100) < columns[0] + share * len(columns)))
        return Answer(np.array(masks)[:, None], np.full((len(masks), 1), 0.9))

    def box(self, boxes):
        return Answer(TARGETS[:, None], np.ones((3, 1)))


def test_means_by_hand():
    found = score_objects([Half(), FilledBox()], [IMAGE, IMAGE], limit=20)
    assert [len(objects) for objects in found.values()] == [6, 6]
    means = summary(found["half"], limit=20)
    wide = next(scores for scores in found["half"] if scores.area == 1.0)
    assert wide.predicted[:4] == [0.5, 0.75, 0.88, 0.94]  # columns 0 to 87 have their left edge below 87.5
    assert len(wide.predicted) == 8  # every object gets eight clicks; none needs more
    assert means["miou@1"] == pytest.approx(0.5, abs=0.02)
    assert means["oracle@1"] == means["miou@1"]
    assert means["box"] == 1.0
    assert means["noc80"] == pytest.approx(8 / 3)  # 8 of 10 columns after two clicks, the others after three
    assert means["failed80"] == 0
    assert means["score_bias"] == pytest.approx(0.4, abs=0.02)
    boxes = summary(found["filled box"], limit=20)
    assert boxes["box"] == 1.0
    assert math.isnan(boxes["miou@1"])
    assert math.isnan(boxes["noc80"])


def test_areas_divide_the_objects():
    found = score_objects([Half()], [IMAGE], limit=3)["half"]
    counts = {area: len(by_area(found, area)) for area in ("all", "above 1 %", "below 1 %", "1 to 10 %", "above 10 %")}
    assert counts == {"all": 3, "above 1 %": 2, "below 1 %": 1, "1 to 10 %": 0, "above 10 %": 2}


def test_a_limit_below_the_scored_clicks_leaves_them_open():
    means = summary(score_objects([Half()], [IMAGE], limit=2)["half"], limit=2)
    assert math.isnan(means["miou@3"])
    assert (means["noc80"], means["failed80"]) == (2, pytest.approx(2 / 3))


def test_one_table_has_every_segmenter_and_area():
    found = score_objects([Half(), FilledBox()], [IMAGE], limit=20)
    rows = entries("photos/", found, limit=20)
    table = to_markdown(rows, 20)
    lines = table.splitlines()
    assert len(lines) == 2 + 2 * 4  # no object has 1 to 10 %
    assert len({line.count("|") for line in lines}) == 1
    assert "| photos/ | 3, all | half |" in table
    stored = pq.read_table(BytesIO(to_parquet({"photos/": found}))).to_pylist()
    assert [row["model"] for row in stored] == ["half"] * 3 + ["filled box"] * 3
    assert len(stored[0]["clicks"]) == 8
    assert stored[3]["clicks"] == []
