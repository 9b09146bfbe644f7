"""The plan of a stream: checked where it is made, frozen, and made of sources that a command has parsed."""

import ast
import dataclasses
from pathlib import Path

import pytest
import torch
from streams import make_plan

import semidepth.data
from semidepth.data.streaming.loading import BatchLoader
from semidepth.data.streaming.plan import StreamPlan

DATA = Path(semidepth.data.__file__).parent


def test_a_plan_cannot_change():
    plan = make_plan(["scenes:indoor?count=3"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.seed = 2
    with pytest.raises(ValueError, match="seed -1"):
        dataclasses.replace(plan, seed=-1)


def test_the_buffer_is_shared_among_sources_with_an_end():
    plan = make_plan(["scenes:indoor", "scenes:indoor?count=3", "scenes:outdoor?count=3"], shuffle_buffer=9)
    assert plan.buffer_of_each == 4
    assert dataclasses.replace(plan, shuffle_buffer=1).buffer_of_each == 1
    assert dataclasses.replace(plan, shuffle_buffer=0).buffer_of_each == 0


@pytest.mark.parametrize(
    ("specs", "values", "restarts"),
    [
        (["scenes:indoor?count=3"], {"repeat": True}, False),
        (["scenes:indoor?count=3"], {"repeat": True, "weights": (1.0,)}, True),
        (["scenes:indoor", "scenes:outdoor?count=3"], {"repeat": True}, True),
        (["scenes:indoor"], {}, False),
    ],
)
def test_sources_start_over_on_their_own_without_a_common_pass(specs, values, restarts):
    assert make_plan(specs, **values).restarts_each is restarts


def test_nothing_below_a_command_parses_sources():
    """`parse_source` is called in no room of the data but its own file, and a plan's sources are typed as parsed."""
    for path in [*DATA.joinpath("reading").rglob("*.py"), *DATA.joinpath("streaming").rglob("*.py")]:
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & {"parse_source", "parse_sources"}, path
    assert str(StreamPlan.__annotations__["sources"]) == "tuple[semidepth.data.source_spec.Source, ...]"


def test_a_loader_crops_as_its_plan_says_and_decodes_enough_pixels():
    plan = make_plan(["scenes:indoor?count=4&size=64"], labeled=True, size=32, repeat=True)
    narrow = BatchLoader(dataclasses.replace(plan, smallest_crop=0.3, flip_probability=0.0), batch_size=4)
    assert narrow.batches.stream.plan.at_least == 107  # of which 30 % are 32
    assert BatchLoader(plan, batch_size=4).batches.stream.plan.at_least == 32
    wide = next(iter(BatchLoader(dataclasses.replace(plan, flip_probability=0.0), batch_size=4)))
    for image, other in zip(wide["image"], next(iter(narrow))["image"], strict=True):
        assert not torch.equal(image, other)


@pytest.mark.parametrize("field", [{"smallest_crop": 0.0}, {"smallest_crop": 1.5}, {"flip_probability": -0.1}])
def test_shares_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        make_plan(["scenes:indoor"], **field)
