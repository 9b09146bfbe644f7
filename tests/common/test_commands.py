"""A command: options from words, exit statuses, and one sentence for what is wrong."""

from dataclasses import dataclass

import pytest

from semidepth.common.commands import Command
from semidepth.common.options import option


@dataclass(frozen=True, kw_only=True)
class Options:
    steps: int = option(3, help="updates")
    status: int | None = option(None, help="exit status")

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"--steps is {self.steps}; give at least 1.")


@pytest.fixture
def ran():
    return []


@pytest.fixture
def command(ran):
    def run(options):
        ran.append(options)
        return options.status

    return Command("semidepth try", Options, run, "Tries.", {"steps": 5})


@pytest.mark.parametrize(("words", "status"), [([], 0), (["--status", "0"], 0), (["--status", "1"], 1)])
def test_it_runs_with_checked_options_and_gives_its_status(command, ran, words, status):
    assert command.main(words) == status
    assert [options.steps for options in ran] == [5]  # the preset's


def test_wrong_options_are_2_and_nothing_runs(command, ran, capsys):
    assert command.main(["--steps", "0"]) == 2
    assert capsys.readouterr().err == "error: --steps is 0; give at least 1.\n"
    assert ran == []


def test_help_names_the_command(command, ran, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("usage: semidepth try [options]\n\nTries.\n")
    assert ran == []
