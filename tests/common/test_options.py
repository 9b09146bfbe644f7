"""Options: command line, YAML and presets of a dataclass, and one sentence for everything that is wrong."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path
from typing import Literal

import pytest
import yaml

from semidepth.common.options import (
    check_choices,
    load_options,
    option,
    option_words,
    parse_options,
    read_options,
    save_options,
)


@dataclass(frozen=True, kw_only=True)
class Base:
    steps: int | None = option(None, help="updates of the weights")
    flip: bool = option(True, help="mirror images")


@dataclass(frozen=True, kw_only=True)
class Command(Base):
    inputs: tuple[str, ...] = option(help="images or folders", positional=True)
    model: tuple[str, ...] = option(help="Hub ids or folders", metavar="MODEL")
    rate: float = option(5e-6, help="100% of the rate")
    mode: Literal["auto", "metric"] = option("auto", help="how it is scored")
    formats: tuple[Literal["npy", "ply"], ...] = option(("npy",), help="what is written", name="format")
    seeds: tuple[int, ...] = option((0,), help="random seeds")
    legend: bool = option(False, help="numbers below the picture")
    output_dir: Path | None = option(None, help="folder for results")

    def __post_init__(self):
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"--steps is {self.steps}; give at least 1.")


REQUIRED = ["photo.jpg", "--model", "m"]


def parsed(*words, **settings):
    return parse_options(Command, [*REQUIRED, *words], prog="semidepth try", **settings)


def test_defaults_are_the_dataclasses_and_stay_frozen():
    options = parsed()
    assert options == Command(inputs=("photo.jpg",), model=("m",))
    with pytest.raises(FrozenInstanceError):
        options.steps = 3


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--steps", "3"], "steps", 3),
        (["--rate", "1e-4"], "rate", 1e-4),
        (["--rate=2"], "rate", 2.0),
        (["--mode", "metric"], "mode", "metric"),
        (["--format", "ply", "npy"], "formats", ("ply", "npy")),
        (["--seeds", "0", "1", "2"], "seeds", (0, 1, 2)),
        (["--output_dir", "a/b"], "output_dir", Path("a/b")),
        (["--output-dir", "a/b"], "output_dir", Path("a/b")),
        (["--legend"], "legend", True),
        (["--legend", "true"], "legend", True),
        (["--legend=1"], "legend", True),
        (["--legend", "--steps", "3"], "legend", True),
        (["--no-legend"], "legend", False),
        (["--flip", "false"], "flip", False),
        (["--flip", "No"], "flip", False),
        (["--no-flip"], "flip", False),
        (["--no_flip"], "flip", False),
        (["--no-flip", "--flip"], "flip", True),
        (["--steps", "3", "--steps", "4"], "steps", 4),
    ],
)
def test_every_form_on_the_command_line(words, name, value):
    assert getattr(parsed(*words), name) == value


def test_a_switch_takes_no_positional_word_for_its_value():
    options = parse_options(Command, ["--model", "m", "--legend", "a.jpg", "b.jpg"])
    assert (options.legend, options.inputs) == (True, ("a.jpg", "b.jpg"))


def test_positional_words_after_two_dashes_may_look_like_options():
    assert parse_options(Command, ["--model", "m", "--", "--legend"]).inputs == ("--legend",)


def test_command_line_wins_over_yaml_over_preset_over_defaults(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("rate: 1e-4\nsteps: 7\nseeds: [1, 2]\nformat: [ply]\n")
    preset = {"rate": 1.0, "steps": 3, "flip": False}
    options = parsed("--config", str(path), "--steps", "9", preset=preset)
    assert (options.steps, options.rate, options.flip, options.mode) == (9, 1e-4, False, "auto")
    assert (options.seeds, options.formats) == ((1, 2), ("ply",))


def test_a_preset_may_depend_on_what_was_given(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("rate: 1.0\n")
    seen = {}

    def preset(given):
        seen.update(given)
        return {} if "mode" in given else {"steps": 3}

    assert parsed("--config", str(path), preset=preset).steps == 3
    assert seen == {"inputs": ("photo.jpg",), "model": ("m",), "rate": 1.0}
    assert parsed("--mode", "auto", preset=preset).steps is None


def test_required_options_may_come_from_the_yaml(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("inputs: [a.jpg]\nmodel: [m]\n")
    assert parse_options(Command, ["--config", str(path)]).inputs == ("a.jpg",)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", "many"], "--steps is 'many'; expected a whole number"),
        (["--steps", "0"], "--steps is 0"),
        (["--rate", "fast"], "--rate is 'fast'"),
        (["--mode", "relative"], "choose one of auto, metric"),
        (["--format", "npy", "obj"], "--format is 'obj'; choose one of npy, ply"),
        (["--flip=maybe"], "--flip is 'maybe'; expected true or false"),
        (["--conf", "x.yaml"], "unrecognized arguments: --conf"),
        (["--step", "3"], "unrecognized arguments: --step"),
        (["--steps"], "--steps"),
        (["--seeds"], "--seeds"),
        (["--config", "/no/such.yaml"], "/no/such.yaml is not a file"),
        (["--mode", "https://me:word@host/x"], "password or token"),
        (["--seeds", "1", "hf_" + "a" * 30], "password or token"),
    ],
)
def test_wrong_words_get_one_sentence(words, told):
    with pytest.raises(ValueError) as refused:
        parsed(*words)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "aaaa" not in str(refused.value)


@pytest.mark.parametrize(("words", "named"), [(["a.jpg"], "--model"), (["--model", "m"], "inputs"), ([], "inputs")])
def test_missing_options_are_named(words, named):
    with pytest.raises(ValueError, match=f"{named}.* must be given"):
        parse_options(Command, words)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rates: 1\n", "unknown options rates"),
        ("formats: [npy]\n", "unknown options formats"),
        ("steps: many\n", "steps is 'many'; expected a whole number or none"),
        ("steps: true\n", "steps is True"),
        ("steps: 1.5\n", "steps is 1.5"),
        ("flip: 1\n", "flip is 1; expected true or false"),
        ("rate: fast\n", "rate is 'fast'; expected a number"),
        ("rate: null\n", "rate is None"),
        ("mode: relative\n", "expected one of auto, metric"),
        ("model: m\n", "model is 'm'; expected a list, each text"),
        ("mode: [auto]\n", "mode is ['auto']"),
        ("seeds: [a]\n", "expected a list, each a whole number"),
        ("- a\n", "holds a list"),
        ("a: [\n", "is not valid YAML"),
        ("mode: 'https://me:word@host/x'\n", "mode"),
        ("model: ['https://me:word@host/x']\n", "password or token"),
    ],
)
def test_wrong_yaml_gets_one_sentence(tmp_path, text, told):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as refused:
        parsed("--config", str(path))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_saved_options_are_loaded_again_and_are_a_config(tmp_path):
    path = tmp_path / "folder" / "try.yaml"
    options = parsed("--output_dir", "out", "--format", "ply", "--no-flip", "--steps", "3")
    text = save_options(options, path)
    assert path.read_text() == text
    assert yaml.safe_load(text)["format"] == ["ply"]
    assert yaml.safe_load(text)["output_dir"] == "out"
    assert load_options(Command, path) == options
    assert parse_options(Command, ["--config", str(path)]) == options
    assert read_options(path) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], []),
        (["--rate", "5e-6", "--flip", "--format", "npy"], []),
        (["--format", "ply", "npy", "--no-flip", "--legend"], ["--no-flip", "--format", "ply", "npy", "--legend"]),
        (["--output-dir", "a b", "--steps", "3"], ["--steps", "3", "--output_dir", "a b"]),
    ],
)
def test_words_are_of_the_options_that_differ_and_give_them_again(words, told):
    options = parsed(*words)
    assert sorted(option_words(options)) == sorted(["photo.jpg", "--model", "m", *told])
    assert parse_options(Command, option_words(options)) == options


def test_records_of_other_versions_are_read_where_the_caller_asks(tmp_path):
    path = tmp_path / "try.yaml"
    save_options(parsed("--steps", "3"), path)
    values = yaml.safe_load(path.read_text())
    del values["mode"]
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ValueError, match="lacks the options mode"):
        load_options(Command, path)
    path.write_text(yaml.safe_dump(values | {"momentum": 0.9}))
    with pytest.raises(ValueError, match="unknown options momentum"):
        load_options(Command, path)
    assert load_options(Command, path, of_other_version=True) == replace(parsed(), steps=3)
    assert read_options(path)["momentum"] == 0.9


def test_help_shows_description_defaults_and_no_second_spellings(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_options(Command, ["--help"], prog="semidepth try", description="Tries.\n\n    an example, indented")
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: semidepth try inputs ... --model MODEL ... [options]")
    assert "\n    an example, indented\n" in shown
    for words in (
        "5e-06",
        "{auto,metric}",
        "--flip, --no-flip",
        "(default: true)",
        "100% of the rate",
        "(default: npy)",
    ):
        assert words in shown
    assert "--output-dir" not in shown
    assert "None" not in shown


def test_a_type_that_no_command_line_can_express_is_a_mistake_in_the_code():
    @dataclass(frozen=True)
    class Wrong:
        scores: dict[str, float] = option(None, help="no")

    with pytest.raises(TypeError, match="dict"):
        parse_options(Wrong, [])


def test_options_import_neither_torch_nor_transformers():
    code = (
        "import sys, semidepth.common.options\n"
        "sys.exit(bool({'torch', 'transformers', 'huggingface_hub', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_options_given_by_code_are_checked_and_their_lists_frozen():
    @dataclass(frozen=True, kw_only=True)
    class Checked:
        seeds: tuple[int, ...] = option((0,), help="random seeds")
        mode: Literal["auto", "metric"] | None = option(None, help="how it is scored")

        def __post_init__(self):
            check_choices(self)

    assert Checked(seeds=[1, 2]) == Checked(seeds=(1, 2))
    with pytest.raises(ValueError, match="--mode is 'relative'; choose one of auto, metric"):
        Checked(mode="relative")
