"""The command `semidepth`: help without waiting, exit statuses, and what goes to which command."""

import dataclasses
import importlib
import json
import os
import subprocess
import sys

import pytest
import tiny
from processes import interruptible

from semidepth import cli
from semidepth.publishing.facts import count_parameters


def semidepth(*words):
    return subprocess.run(
        [sys.executable, "-m", "semidepth.cli", *map(str, words)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.save_model(tiny.stock_model(), folder)
    return folder


LIGHT = [[], *([name] for name in cli.COMMANDS), *(["train", name] for name in cli.TRAINED)]


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_help_shows_an_example_and_needs_no_torch(words):
    code = (
        "import sys\nfrom semidepth.cli import main\n"
        f"try: status = main({[*words, '--help']!r})\nexcept SystemExit as stop: status = stop.code\n"
        "sys.exit(100 if {'torch', 'transformers', 'datasets'} & set(sys.modules) else status or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"    semidepth {' '.join(words) or 'predict'} " in done.stdout


MODULES = {entry.target: name for name, entry in cli.COMMANDS.items() if isinstance(entry.target, str)}
MODULES |= {module: f"train {name}" for name, module in cli.TRAINED.items()} | {cli.LABELING: "pseudo-label"}


@pytest.mark.parametrize("module", MODULES)
def test_each_command_has_one_frozen_dataclass_of_options(module):
    command = importlib.import_module(module).COMMAND
    assert command.options.__dataclass_params__.frozen
    assert all(field.metadata["help"] for field in dataclasses.fields(command.options) if field.init)
    assert command.name == f"semidepth {MODULES[module]}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "usage: semidepth"),
        (["bogus"], "invalid choice: 'bogus'"),
        (["train"], "usage: semidepth train"),
        (["train", "dragon"], "choose one of teacher, student, metric"),
        (["info", "/nowhere"], "is not here; give the folder of a model"),
        (["predict", "/nowhere/*.jpg", "--model", "x", "--output", "y"], "matches no file"),
    ],
)
def test_wrong_usage_is_2_and_one_sentence(words, told):
    done = semidepth(*words)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "options", "told"),
    [
        (["train", "teacher"], ["--steps", "0"], "--steps is 0; give at least 1."),
        (["pseudo-label"], ["--unlabeled", "photos/"], "--teacher must be given"),
    ],
)
def test_options_are_handed_to_the_launcher_and_the_command(command, options, told):
    launcher = ["--num_processes", "1", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    done = semidepth(*command, *launcher, "--", *options)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 2  # the command's own


def test_predict_passes_its_status_on(tmp_path, model_folder):
    (tmp_path / "a.png").write_text("no picture")
    done = semidepth("predict", tmp_path / "a.png", "--model", model_folder, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "a.png" in done.stderr


def test_the_demo_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cli, "APP", tmp_path / "app.py")
    assert cli.main(["demo"]) == 2
    assert "the demo's page is missing" in capsys.readouterr().err


def test_info_reads_what_is_there(model_folder, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in model_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "teacher.yaml").write_text("encoder: some/encoder\nlabeled: [rooms/]\nsteps: null\nsize: 48\n")
    (folder / "results.json").write_text('{"steps": 30, "run": {"hours": 1.5}}')
    (folder / "scores").mkdir()
    entry = {"data": "rooms", "space": "depth", "head": "", "images": 7, "metrics": {"abs_rel": 0.125, "delta1": 0.75}}
    (folder / "scores/results.json").write_text(json.dumps({"scores": [entry]}))
    told = json.loads(semidepth("info", folder, "--json").stdout)
    assert told["parameters"] == sum(parameter.numel() for parameter in tiny.stock_model().parameters())
    assert (told["model_type"], told["unit"], told["image_size_px"]) == ("depth_anything", "inverse depth", tiny.SIZE)
    assert told["encoder"] == {"kind": "dinov2", "width": 32, "layers": 4, "heads": 2, "patch": 8}
    assert told["training"]["command"] == "teacher"
    assert told["training"]["options"]["labeled"] == ["rooms/"]
    assert (told["training"]["steps"], told["training"]["hours"]) == (30, 1.5)
    assert told["scores"][0]["abs_rel"] == 0.125
    text = semidepth("info", folder).stdout
    for words in ("inverse depth, larger is nearer", "rooms/", "30", "1.5", "abs_rel 0.125", "some/encoder"):
        assert words in text


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\x10\x27\0\0\0\0\0\0{")
    with pytest.raises(ValueError, match="no whole safetensors file"):
        count_parameters([tmp_path / "model.safetensors"])


def test_a_reader_that_has_gone_and_ctrl_c_are_no_tracebacks(model_folder):
    words = [sys.executable, "-m", "semidepth.cli", "info", str(model_folder), "--json"]
    reader, writer = os.pipe()
    os.close(reader)  # as `head` does when it has seen enough
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
    code = (
        "import signal, sys\nfrom semidepth import cli\nfrom semidepth.publishing import info as model_info\n"
        "model_info.model_info = lambda folder: signal.raise_signal(signal.SIGINT)\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with interruptible([sys.executable, "-c", code, *words[3:]], **pipes) as process:
        assert process.communicate(timeout=120)[1] == "stopped\n"
    assert process.returncode == 130
