"""Predicting into a folder that holds something: what is kept, what is refused, and what a stop leaves behind."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny
from PIL import Image
from processes import held_by_another, interruptible

from semidepth.prediction.cli import main
from semidepth.prediction.files import maker_of, predict_files
from semidepth.prediction.inputs import find_inputs
from semidepth.prediction.models import DepthModel
from semidepth.prediction.options import ResultOptions
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.prediction.record import RECORD, read_record

PREPROCESSING = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH)


def model(seed=0):
    return DepthModel(tiny.stock_model(seed=seed).requires_grad_(False), PREPROCESSING, "disparity")


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def predict(tmp_path):
    """Predicts into one folder; gives names of inputs that were predicted and kept, and what was said of the others."""

    def run(*inputs, seed=0, **options):
        report = predict_files(
            model(seed), find_inputs(list(map(str, inputs))), tmp_path / "out", ResultOptions(**options)
        )
        predicted, kept = ([result.input.name for result in some] for some in (report.results, report.kept))
        return predicted, kept, {file.name: failure for file, failure in report.broken.items()}

    return run


def state(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != RECORD}


def test_finished_ones_are_kept_and_only_what_is_missing_is_made(tmp_path, predict):
    for number in range(3):
        picture(tmp_path / f"in/{number}.png", number)
    assert predict(tmp_path / "in") == (["0.png", "1.png", "2.png"], [], {})
    before = state(tmp_path / "out")
    (tmp_path / "out/1_depth.npy").unlink()
    assert predict(tmp_path / "in") == (["1.png"], ["0.png", "2.png"], {})
    after = state(tmp_path / "out")
    assert [name for name in before if before[name] != after[name]] in ([], ["1_depth.npy"])  # rounding of a batch
    assert predict(tmp_path / "in/0.png", formats=("npy",)) == ([], ["0.png"], {})


def test_another_picture_of_that_name_is_refused_and_the_rest_goes_on(tmp_path, predict):
    picture(tmp_path / "a/x.png", 0)
    picture(tmp_path / "b/x.png", 1)
    picture(tmp_path / "b/y.png", 2)
    predict(tmp_path / "a")
    before = state(tmp_path / "out")
    predicted, kept, broken = predict(tmp_path / "b")
    assert (predicted, kept) == (["y.png"], [])
    assert broken["x.png"].what == "not replaced"
    assert f"x_depth.png is there and was made from {tmp_path}/a/x.png; --overwrite" in broken["x.png"].reason
    assert before.items() <= state(tmp_path / "out").items()
    assert predict(tmp_path / "b", overwrite=True)[0] == ["x.png", "y.png"]
    assert predict(tmp_path / "b") == ([], ["x.png", "y.png"], {})
    assert predict(tmp_path / "a")[2].keys() == {"x.png"}


def test_a_changed_picture_another_model_and_other_options_are_refused(tmp_path, predict):
    file = picture(tmp_path / "x.png", 0)
    predict(file)
    assert "made by an earlier state of" in predict(file, seed=1)[2]["x.png"].reason
    assert "with other options (color_map magma)" in predict(file, color_map="cividis")[2]["x.png"].reason
    assert predict(file, formats=("npy",)) == ([], ["x.png"], {})
    picture(file, 1)
    assert "made from an earlier state of" in predict(file)[2]["x.png"].reason


def test_what_was_moved_copied_or_touched_is_the_same_picture(tmp_path, predict):
    file = picture(tmp_path / "a/x.png")
    predict(file)
    shutil.copy(file, picture(tmp_path / "b/x.png"))
    os.utime(tmp_path / "b/x.png", ns=(1, 1))
    for _ in range(2):
        assert predict(tmp_path / "b/x.png") == ([], ["x.png"], {})
    assert read_record(tmp_path / "out")["x_depth.npy"]["source"] == f"{tmp_path}/b/x.png"


def test_results_keep_their_names_when_another_picture_of_that_name_comes(tmp_path, predict):
    for name in ("0.png", "1.png", "sub/0.png"):
        picture(tmp_path / "in" / name, len(name))
    predict(tmp_path / "in", formats=("npy",))
    before = state(tmp_path / "out")
    picture(tmp_path / "in/0.jpg", 3)
    picture(tmp_path / "in/sub/0.jpg", 4)
    assert predict(tmp_path / "in", formats=("npy",)) == (["0.jpg", "0.jpg"], ["0.png", "1.png", "0.png"], {})
    after = state(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    expected = {"0_depth.npy", "1_depth.npy", "sub/0_depth.npy", "0.jpg_depth.npy", "sub/0.jpg_depth.npy"}
    assert read_record(tmp_path / "out").keys() == expected
    # Further formats and replacements, too, have the names that are there.
    assert len(predict(tmp_path / "in", overwrite=True)[0]) == 5
    made = read_record(tmp_path / "out")
    assert made["0_color.png"]["source"] == f"{tmp_path}/in/0.png"
    assert made["0.jpg_color.png"]["source"] == f"{tmp_path}/in/0.jpg"
    assert len(made) == 15


def test_parts_of_a_killed_run_are_removed_and_those_of_a_living_one_left(tmp_path, predict):
    picture(tmp_path / "x.png")
    (tmp_path / "out").mkdir()
    gone = subprocess.Popen(["true"])
    gone.wait()
    parts = [f".{name}.{end}.part" for name in ("x_depth.npy", "y_depth.npy") for end in (gone.pid, os.getppid(), "a")]
    for name in parts:
        (tmp_path / "out" / name).write_bytes(b"")
    predict(tmp_path / "x.png", formats=("npy",))
    assert {path.name for path in (tmp_path / "out").glob(".*")} == set(parts[1:])


def test_files_of_unknown_origin_are_refused_and_inputs_never_replaced(tmp_path, predict):
    picture(tmp_path / "x.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x_depth.npy").write_bytes(b"mine")
    assert f"{RECORD} does not say what it was made from" in predict(tmp_path / "x.png")[2]["x.png"].reason
    assert state(tmp_path / "out") == {"x_depth.npy": b"mine"}
    picture(tmp_path / "out/y.png")
    picture(tmp_path / "out/y_depth.png")
    predicted, _, broken = predict(tmp_path / "out/y.png", tmp_path / "out/y_depth.png", overwrite=True)
    assert (predicted, list(broken)) == (["y_depth.png"], ["y.png"])
    assert "y_depth.png is itself an input" in broken["y.png"].reason


def test_a_record_that_is_something_else_is_left_alone(tmp_path, predict):
    picture(tmp_path / "x.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / RECORD).write_text('{"text": "of another program"}\n')
    with pytest.raises(ValueError, match="is no record of predictions"):
        predict(tmp_path / "x.png")


def test_a_torn_line_costs_one_result(tmp_path, predict):
    for name in ("x", "y"):
        picture(tmp_path / f"{name}.png", len(name))
    predict(tmp_path / "x.png", formats=("npy",))
    with (tmp_path / "out" / RECORD).open("a") as opened:
        opened.write('{"file": "y_dep')
    assert predict(tmp_path / "x.png", tmp_path / "y.png", formats=("npy",)) == (["y.png"], ["x.png"], {})
    assert predict(tmp_path / "x.png", tmp_path / "y.png", formats=("npy",)) == ([], ["x.png", "y.png"], {})


def test_the_digest_of_a_model_is_that_of_its_weights_and_of_how_it_sees(tmp_path):
    first = maker_of(model())
    assert maker_of(model()) == first
    assert maker_of(model(1)).weights != first.weights
    changed = model()
    changed.model.head.conv3.bias += 1e-6
    assert maker_of(changed).weights != first.weights
    assert maker_of(DepthModel(model().model, Preprocessing(56, 8), "disparity")).weights != first.weights
    assert maker_of(DepthModel(model().model, PREPROCESSING, "depth")).weights != first.weights


@pytest.fixture
def command(tmp_path):
    """The command line in a process of its own, for a folder of twelve pictures."""
    for number in range(12):
        picture(tmp_path / f"in/{number:02}.png", number)
    tiny.save_model(model().model, tmp_path / "model")
    words = ["predict", tmp_path / "in", "--model", tmp_path / "model", "--output", tmp_path / "out", "--device", "cpu"]
    return [sys.executable, "-m", "semidepth.cli", *map(str, words), "--batch_size", "1"]


def test_a_full_disk_stops_the_run_in_one_sentence_and_leaves_no_parts(tmp_path, command):
    def limit():  # files end at 4 kB: no room for the maps, and enough for the record's first lines
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "not written: " in done.stderr
    assert "not read" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_no_room_is_said_once_with_the_folder(tmp_path, command, capsys):
    (tmp_path / "out").mkdir()
    for number in range(12):  # to write there is to write to a full disk
        (tmp_path / f"out/.{number:02}_depth.npy.{os.getpid()}.part").symlink_to("/dev/full")
    assert main([*command[4:], "--format", "npy", "--json"]) == 1
    printed, told = capsys.readouterr()
    reason = f"{tmp_path}/out cannot be written to any more (No space left on device)"
    assert f"stopped: {reason}; 12 inputs lack results" in told
    assert "Errno" not in told
    report = json.loads(printed)
    assert (report["results"], report["broken"], report["stopped"]) == ([], [], reason)


def test_a_folder_that_another_run_writes_into_is_refused_at_once(tmp_path, command, capsys):
    with held_by_another(tmp_path / "out"):
        assert main(command[4:]) == 2
    assert "--output" in (told := capsys.readouterr().err)
    assert "in use by another run" in told
    assert not (tmp_path / "out" / RECORD).exists()


def test_a_record_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path, command, capsys):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / RECORD)
    assert main(command[4:]) == 2
    assert "no record of predictions" in capsys.readouterr().err


def test_ctrl_c_tells_what_is_done_and_the_same_command_goes_on(tmp_path, command, capsys):
    for number in range(12, 150):
        picture(tmp_path / f"in/{number:03}.png", number)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with interruptible([*command, "--json"], **pipes) as process:
        until = time.monotonic() + 120
        while not (tmp_path / "out" / RECORD).is_file() and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        printed, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert "of 150 inputs predicted, 0 kept; run the same command again" in told
    whole = {path.name for path in (tmp_path / "out").iterdir()}
    assert not [name for name in whole if name.startswith(".")]
    finished = len([name for name in whole if name.endswith("_color.png")])
    assert f"stopped; {finished} of 150" in told
    assert 0 < finished < 150
    report = json.loads(printed)
    assert (len(report["results"]), report["stopped"], report["unit"]) == (finished, "by Ctrl-C", "inverse depth")
    assert [result["input"] for result in report["results"]] == sorted(result["input"] for result in report["results"])
    assert main([*command[4:], "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (len(report["kept"]), len(report["results"])) == (finished, 150 - finished)
