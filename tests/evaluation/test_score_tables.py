"""Means over images and the files that show them, against values worked out by hand."""

import math
from collections import Counter
from io import BytesIO

import pyarrow.parquet as pq
import pytest

from semidepth.data.source_spec import parse_source
from semidepth.evaluation.data import SourceData
from semidepth.evaluation.depth_metrics.formulas import SCORE_NAMES
from semidepth.evaluation.depth_metrics.protocols import find_protocol
from semidepth.evaluation.metres import MetresTask
from semidepth.evaluation.ordinal import OrdinalTask
from semidepth.evaluation.relative import RelativeTask
from semidepth.evaluation.tables import means, router_entries, task_entries, to_markdown, to_parquet
from semidepth.evaluation.tasks import ImageScores


def data(name):
    return SourceData(name, parse_source("scenes:indoor?count=3"), 3)


RELATIVE = RelativeTask(model="org/m", revision="r", data=data("rooms"), spaces=("depth",), max_depth_m=10.0)
METRES = MetresTask(model="org/m", revision="r", data=data("rooms"), protocol=find_protocol("nyu"))
PAIRS = OrdinalTask(model="org/m", revision="r", data=data("points"))


def image(number, rows, domain="", chosen=""):
    return ImageScores((0, number), f"room {number}", domain, chosen, rows)


def scores(value):
    return dict.fromkeys(SCORE_NAMES, value)


def test_means_leave_out_what_is_not_known():
    found, counted = means([{"a": 1.0, "b": math.nan}, {"a": 4.0, "b": 3.0}, {"a": math.nan, "b": math.nan}])
    assert (found, counted) == ({"a": 2.5, "b": 3.0}, 2)
    found, counted = means([{"a": math.nan}])
    assert math.isnan(found["a"])
    assert counted == 0


def test_means_do_not_depend_on_the_order():
    tables = [{"a": value} for value in (1e16, 1.0, -1e16, 1.0)]
    assert means(tables)[0] == means(tables[::-1])[0] == {"a": 0.5}


def test_pairs_are_weights_and_are_summed():
    """3 of 4 pairs and 1 of 1 are 4 of 5."""
    found, counted = means([{"accuracy": 0.75, "pairs": 4.0}, {"accuracy": 1.0, "pairs": 1.0}])
    assert found == {"accuracy": pytest.approx(0.8), "pairs": 5.0}
    assert counted == 2


def test_a_row_for_each_head_and_space():
    images = [
        image(0, {("router", "depth"): scores(0.5), ("domain given", "depth"): scores(0.25)}),
        image(1, {("router", "depth"): scores(0.0)}),
        image(2, {("router", "depth"): scores(math.nan)}),
    ]
    routed, given = task_entries(METRES, images)
    assert (routed["head"], routed["images"], routed["metrics"]["abs_rel"]) == ("router", 2, 0.25)
    assert (given["head"], given["images"], given["metrics"]["abs_rel"]) == ("domain given", 1, 0.25)
    assert {"align": "none", "protocol": "nyu", "max_depth_m": 10.0, "mode": "metric"}.items() <= routed.items()
    [entry] = task_entries(RELATIVE, [image(0, {("", "depth"): scores(math.nan)})])
    assert (entry["images"], entry["metrics"]["abs_rel"]) == (0, None)
    assert {"align": "least_squares", "protocol": "", "max_depth_m": 10.0}.items() <= entry.items()


def routed_images():
    """Three images of known domain, one of them taken for the other, and one whose domain no head has."""
    both = {("router", "depth"): scores(0.5), ("domain given", "depth"): scores(0.25)}
    own = [("indoor", "indoor"), ("indoor", "outdoor"), ("outdoor", "outdoor")]
    known = [image(number, both, domain, chosen) for number, (domain, chosen) in enumerate(own)]
    return [*known, image(3, {("router", "depth"): scores(0.5)}, "cave", "indoor")]


def test_a_router_is_counted_over_images_of_known_domain():
    [router] = router_entries([(METRES, routed_images()), (RELATIVE, [image(0, {("", "depth"): scores(0.0)})])])
    assert router["images"] == 3
    assert router["accuracy"] == pytest.approx(2 / 3)
    counts = Counter({(each["domain"], each["chosen"]): each["images"] for each in router["confusion"]})
    assert counts == {("indoor", "indoor"): 1, ("indoor", "outdoor"): 1, ("outdoor", "outdoor"): 1}


def test_the_table_has_a_part_for_each_mode_and_router():
    scored = [
        (RELATIVE, [image(0, {("", "depth"): scores(0.125)})]),
        (METRES, routed_images()),
        (PAIRS, [image(0, {("", "disparity"): {"ordinal_accuracy": 0.75, "pairs": 4.0}})]),
    ]
    entries = [entry for task, images in scored for entry in task_entries(task, images)]
    lines = to_markdown(entries, router_entries(scored)).splitlines()
    assert [line for line in lines if line and "|" not in line] == [
        "Aligned inverse depth:", "Metres:", "Pairs of points:", "Router of org/m: 0.667 right",
    ]  # fmt: skip
    assert f"| org/m | rooms | depth | least_squares | 1 |{' 0.125 |' * len(SCORE_NAMES)}" in lines
    assert f"| org/m | rooms | nyu | domain given | 3 |{' 0.250 |' * len(SCORE_NAMES)}" in lines
    assert "| org/m | points | 1 | 0.750 | 4 |" in lines
    assert "| indoor | 1 | 1 |" in lines
    unknown = task_entries(RELATIVE, [image(0, {("", "depth"): scores(math.nan)})])
    assert f"| 0 |{' - |' * len(SCORE_NAMES)}" in to_markdown(unknown, [])


def test_per_image_rows_keep_every_value():
    scored = [
        (METRES, routed_images()[:1]),
        (PAIRS, [image(5, {("", "disparity"): {"ordinal_accuracy": 0.75, "pairs": 4.0}})]),
    ]
    rows = pq.read_table(BytesIO(to_parquet(scored))).to_pylist()
    assert [(row["mode"], row["image"], row["head"]) for row in rows] == [
        ("metric", "room 0", "router"), ("metric", "room 0", "domain given"), ("ordinal", "room 5", ""),
    ]  # fmt: skip
    assert (rows[0]["domain"], rows[0]["chosen_domain"], rows[0]["abs_rel"]) == ("indoor", "indoor", 0.5)
    assert (rows[2]["ordinal_accuracy"], rows[2]["pairs"], rows[2]["abs_rel"]) == (0.75, 4.0, None)
