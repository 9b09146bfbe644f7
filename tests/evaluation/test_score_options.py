"""Options of the score command: their command line gives them again."""

import shlex
from pathlib import Path

import pytest

from semidepth.common.options import parse_options
from semidepth.evaluation.options import ScoreOptions


@pytest.mark.parametrize(
    "options",
    [
        ScoreOptions(model=("a b",), data=("scenes:indoor?count=2",)),
        ScoreOptions(
            model=("org/m", "out/m"), data=("x/*.parquet?depth_scale=0.001", "it's"), benchmark=("nyu",),
            root=("/d/n",), limit=3, mode="both", protocol=("none",), max_depth_m=10.5, align="median",
            space=("disparity",), flip=False, kind="depth", batch_size=2, device="cpu", output=Path("a b/s"),
            overwrite=True,
        ),
    ],
)  # fmt: skip
def test_the_recorded_command_line_gives_the_same_options(options):
    program, command, *words = shlex.split(options.command)
    assert (program, command) == ("semidepth", "score")
    assert parse_options(ScoreOptions, words) == options


def test_defaults_are_left_out_of_the_command_line():
    assert ScoreOptions(model=("m",), data=("d",)).command == "semidepth score --model m --data d"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data": ()}, "--data"),
        ({"batch_size": 0}, "--batch_size"),
        ({"limit": 0}, "--limit"),
        ({"max_depth_m": 0.0}, "--max_depth_m"),
        ({"max_depth_m": float("inf")}, "--max_depth_m"),
        ({"max_depth_m": float("nan")}, "--max_depth_m"),
        ({"protocol": ("nyu", "kitti")}, "--protocol"),
        ({"protocol": ("moon",)}, "moon"),
        ({"protocol": ("nyu",), "mode": "relative"}, "--protocol"),
        ({"overwrite": True}, "--overwrite"),
        ({"output": Path("results.json")}, "--output"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(changes, named):
    with pytest.raises(ValueError, match=named) as refused:
        ScoreOptions(**({"model": ("m",), "data": ("d",)} | changes))
    assert "\n" not in str(refused.value)
