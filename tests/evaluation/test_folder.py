"""The folder of a score run: scores survive as they were, and another run's are refused."""

import json
import math

import pytest

from semidepth.data.source_spec import parse_source
from semidepth.evaluation.data import SourceData
from semidepth.evaluation.depth_metrics.protocols import find_protocol
from semidepth.evaluation.folder import ScoreFolder, identity_of, key_of
from semidepth.evaluation.metres import MetresTask
from semidepth.evaluation.relative import RelativeTask
from semidepth.evaluation.tasks import ImageScores

DATA = SourceData("rooms", parse_source("scenes:indoor?count=3"), 3, "sha256:0")
RELATIVE = RelativeTask(model="org/m", revision="r", data=DATA)
METRES = MetresTask(model="org/m", revision="r", data=DATA, protocol=find_protocol("nyu"))


def image(number, value, **changes):
    fields = {"origin": f"room {number}", "domain": "indoor", "chosen": "", "rows": {("", "depth"): {"abs_rel": value}}}
    return ImageScores((0, number), **(fields | changes))


def opened(path, *tasks, process=0, processes=1, overwrite=False):
    folder = ScoreFolder(path, tasks or [RELATIVE, METRES], process, processes)
    folder.check(overwrite=overwrite)
    if process == 0:
        folder.begin(overwrite=overwrite)
    return folder


@pytest.fixture(params=["on disk", "in memory"])
def folder(request, tmp_path):
    return opened(tmp_path / "s" if request.param == "on disk" else None)


def test_scores_come_back_as_they_were_in_the_order_of_places(folder):
    third = 1 / 3  # all digits of a float64 are kept
    two_heads = {("router", "depth"): {"abs_rel": third}, ("domain given", "depth"): {"abs_rel": 0.0}}
    routed = image(0, 0.0, chosen="outdoor", rows=two_heads)
    folder.add(key_of(RELATIVE), [image(2, third), image(1, 0.25)])
    folder.add(key_of(METRES), [routed])
    found = folder.progress()
    assert found[key_of(RELATIVE)].in_order() == [image(1, 0.25), image(2, third)]
    assert found[key_of(METRES)].in_order() == [routed]


def test_not_a_number_comes_back(folder):
    folder.add(key_of(RELATIVE), [image(0, math.nan)])
    [found] = folder.progress()[key_of(RELATIVE)].in_order()
    assert math.isnan(found.rows["", "depth"]["abs_rel"])


def test_a_task_is_complete_once_every_process_of_one_run_has_ended(tmp_path):
    first, second = (opened(tmp_path, process=number, processes=2) for number in range(2))
    assert not first.progress()[key_of(RELATIVE)].complete
    first.end(key_of(RELATIVE))
    assert not first.progress()[key_of(RELATIVE)].complete
    resumed = opened(tmp_path, processes=3)  # a run of three processes whose first ends: one of three and one of two
    resumed.end(key_of(RELATIVE))
    assert not first.progress()[key_of(RELATIVE)].complete
    second.end(key_of(RELATIVE))
    assert first.progress()[key_of(RELATIVE)].complete
    assert not first.progress()[key_of(METRES)].complete


def test_a_line_that_was_torn_is_cut_off(tmp_path):
    folder = opened(tmp_path)
    folder.add(key_of(RELATIVE), [image(0, 0.5)])
    with (tmp_path / "images/0.jsonl").open("a") as file:
        file.write('{"task": ["org/m", "rooms"')
    assert list(folder.progress()[key_of(RELATIVE)].images) == [(0, 0)]
    again = opened(tmp_path)
    again.add(key_of(RELATIVE), [image(1, 0.5)])
    assert list(again.progress()[key_of(RELATIVE)].images) == [(0, 0), (0, 1)]


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (RelativeTask(model="org/m", revision="r", data=DATA, align="median"), "align least_squares and not median"),
        (
            RelativeTask(model="org/m", revision="r", data=DATA, spaces=("depth",)),
            "space depth disparity and not depth",
        ),
        (RelativeTask(model="org/m", revision="q", data=DATA), "other weights"),
        (RelativeTask(model="org/n", revision="r", data=DATA), "--model org/m and this is org/n"),
        (METRES, "--mode relative and this is metric"),
    ],
)
def test_another_run_is_refused_with_what_differs(tmp_path, now, words):
    opened(tmp_path, RELATIVE).add(key_of(RELATIVE), [image(0, 0.5)])
    with pytest.raises(ValueError) as refused:
        opened(tmp_path, now)
    assert words in str(refused.value)
    assert opened(tmp_path, now, overwrite=True).progress()[key_of(RELATIVE)].images == {}


def test_a_run_recorded_before_an_option_existed_is_refused_in_one_sentence(tmp_path):
    opened(tmp_path, METRES)
    record = json.loads((tmp_path / "options.json").read_text())
    del record["tasks"][0]["flip"]
    (tmp_path / "options.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"flip None and not True; .*--overwrite") as refused:
        opened(tmp_path, METRES)
    assert "\n" not in str(refused.value)


def test_an_option_that_is_gone_does_not_stop_a_run(tmp_path):
    opened(tmp_path, RELATIVE).add(key_of(RELATIVE), [image(0, 0.5)])
    record = json.loads((tmp_path / "options.json").read_text())
    record["tasks"][0]["shuffle"] = False
    (tmp_path / "options.json").write_text(json.dumps(record))
    assert list(opened(tmp_path, RELATIVE).progress()[key_of(RELATIVE)].images) == [(0, 0)]
    assert json.loads((tmp_path / "options.json").read_text())["tasks"] == [identity_of(RELATIVE)]
