"""Ways to score: a prediction that is not finite is an error; settings and columns say how a task scores."""

import json

import pytest
import torch

from semidepth.data.source_spec import parse_source
from semidepth.evaluation.data import SourceData
from semidepth.evaluation.depth_metrics.protocols import find_protocol
from semidepth.evaluation.metres import MetresTask
from semidepth.evaluation.ordinal import OrdinalTask
from semidepth.evaluation.relative import RelativeTask
from semidepth.evaluation.tasks import Task, require_finite

SHARED = {"model": "m", "revision": "r", "data": SourceData("rooms", parse_source("scenes:indoor?count=3"), 3)}
TASKS = {
    "relative": RelativeTask(**SHARED, max_depth_m=10.0),
    "metric": MetresTask(**SHARED, protocol=find_protocol("kitti")),
    "ordinal": OrdinalTask(**SHARED),
}


def test_only_images_with_a_value_that_is_not_finite_are_named():
    predicted = torch.ones(4, 2, 3)
    batch = [{"origin": f"frame {number}"} for number in range(4)]
    require_finite(predicted, batch)
    predicted[1, 0, 2], predicted[3, 1, 0] = torch.nan, torch.inf
    with pytest.raises(ValueError, match=r"frame 1, frame 3\b") as refused:
        require_finite(predicted, batch)
    assert "frame 0" not in str(refused.value)


@pytest.mark.parametrize("mode", TASKS)
def test_each_way_says_how_it_scores_in_plain_values(mode):
    task = TASKS[mode]
    assert task.mode == mode
    assert json.loads(json.dumps(task.settings())) == task.settings() | (
        {"space": ["depth", "disparity"]} if mode == "relative" else {}
    )
    assert set(task.columns()) == {"align", "protocol", "max_depth_m"}


def test_each_way_to_score_is_tested_here():
    assert set(Task.__subclasses__()) == {type(task) for task in TASKS.values()}
