"""A score run that is killed goes on where it was, and several processes come to what one does."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
from PIL import Image
from processes import interruptible, run_processes

from semidepth.evaluation.cli import main

IMAGES = 13
# Predicts slowly and writes down how many images it predicted.
SCRIPT = """
import contextlib, os, sys, time, torch
from semidepth.evaluation import cli
from semidepth.evaluation.relative import RelativeTask

torch.set_num_threads(1)
plain = RelativeTask.score

def slow(task, model, batch):
    with open(sys.argv[1], "a") as file:
        file.writelines(f"{item['origin']}\\n" for _, item in batch)
    time.sleep(float(sys.argv[2]))
    return plain(task, model, batch)

RelativeTask.score = slow
with open(f"{sys.argv[1]}.{os.environ.get('RANK', 0)}", "w") as file, contextlib.redirect_stdout(file):
    sys.exit(cli.main(sys.argv[3:]))
"""


@pytest.fixture
def run(tmp_path):
    """Options of a run over images of two sizes, so that batches are cut by size and by number."""
    tiny.save_model(tiny.stock_model(), tmp_path / "model")
    (tmp_path / "frames").mkdir()
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        size = (48, 64) if number % 5 else (64, 48)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / f"frames/{number:02}.png")
        np.save(tmp_path / f"frames/{number:02}_depth.npy", rng.uniform(1, 9, size).astype(np.float32))
    (tmp_path / "slow.py").write_text(SCRIPT)
    return [
        "--model", str(tmp_path / "model"), "--data", str(tmp_path / "frames"), "--device", "cpu", "--batch_size", "2"
    ]  # fmt: skip


def results(folder):
    found = json.loads((folder / "results.json").read_text())
    return found["scores"], pq.read_table(folder / "per_image.parquet").to_pylist()


def start(tmp_path, seconds, options):
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "seen.txt"), str(seconds), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return interruptible(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def scored(folder):
    """Images in the files of scores so far; a line that is being written is none."""
    files = (folder / "images").glob("*.jsonl")
    lines = [line for file in files for line in file.read_text().split("\n")[:-1]]
    return sum(len(json.loads(line).get("images", ())) for line in lines)


def finish(started):
    with started as process:
        _, error = process.communicate()
    assert process.returncode == 0, error


def test_a_killed_run_goes_on_where_it_was(tmp_path, run):
    finish(start(tmp_path, 0, [*run, "--output", str(tmp_path / "whole")]))
    with start(tmp_path, 0.3, [*run, "--output", str(tmp_path / "s")]) as process:
        until = time.monotonic() + 120
        while scored(tmp_path / "s") < 4 and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        process.communicate()
    done = scored(tmp_path / "s")
    assert 4 <= done < IMAGES
    with (tmp_path / "s/images/0.jsonl").open("a") as file:
        file.write('{"task": ["torn')
    (tmp_path / "seen.txt").unlink()
    finish(start(tmp_path, 0, [*run, "--output", str(tmp_path / "s")]))
    assert results(tmp_path / "s") == results(tmp_path / "whole")
    assert len((tmp_path / "seen.txt").read_text().splitlines()) == IMAGES - done


def test_a_finished_run_prints_its_table_again(tmp_path, run, capsys, monkeypatch):
    argv = [*run, "--output", str(tmp_path / "s")]
    main(argv)
    table = capsys.readouterr().out
    written = (tmp_path / "s/results.json").stat().st_mtime_ns
    monkeypatch.setattr("semidepth.evaluation.score.load_depth_model", None)
    main([*argv, "--batch_size", "4"])  # another batch size is the same run
    assert capsys.readouterr().out == table
    assert (tmp_path / "s/results.json").stat().st_mtime_ns == written
    (tmp_path / "s/table.md").unlink()
    main(argv)
    assert capsys.readouterr().out == (tmp_path / "s/table.md").read_text() == table


def test_other_files_of_the_same_name_and_number_are_refused(tmp_path, run, capsys):
    argv = [*run, "--output", str(tmp_path / "s")]
    main(argv)
    main(argv)
    labels = np.load(tmp_path / "frames/03_depth.npy")
    np.save(tmp_path / "frames/03_depth.npy", 2 * labels)
    assert main(argv) == 2
    assert "with other files (another folder, or they were changed since)" in capsys.readouterr().err


def test_other_options_than_before_are_refused(tmp_path, run, capsys):
    argv = [*run, "--output", str(tmp_path / "s")]
    main(argv)
    capsys.readouterr()
    for changes, words in (
        (["--max_depth_m", "5"], "with max_depth_m None and not 5.0"),
        (["--limit", "3"], "with another number of images in it"),
        (["--data", "scenes:indoor?count=2"], f"--data {tmp_path / 'frames'} and this is scenes:indoor?count=2"),
        (["--align", "median"], "with align least_squares and not median"),
    ):
        assert main([*argv, *changes]) == 2
        error = capsys.readouterr().err.strip()
        assert words in error
        assert "--overwrite" in error
        assert "\n" not in error
    tiny.stock_model(seed=1).save_pretrained(tmp_path / "model")
    assert main(argv) == 2
    assert "with other weights of it" in capsys.readouterr().err
    before = results(tmp_path / "s")
    assert main([*argv, "--overwrite"]) == 0
    assert results(tmp_path / "s") != before


def test_a_damaged_file_of_scores_is_told(tmp_path, run, capsys):
    argv = [*run, "--output", str(tmp_path / "s")]
    main(argv)
    (tmp_path / "s/results.json").unlink()
    file = tmp_path / "s/images/0.jsonl"
    file.write_text(file.read_text().replace('"images"', '"ima', 1))
    assert main(argv) == 2
    assert f"line 1 of {file} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", '{"scores": [', "[]", '{"scores": []}'])
def test_damaged_results_are_told(tmp_path, run, capsys, content):
    argv = [*run, "--output", str(tmp_path / "s")]
    main(argv)
    table = capsys.readouterr().out
    file = tmp_path / "s/results.json"
    file.write_text(content)
    assert main(argv) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: {file} is damaged")
    assert error.endswith("; delete it and run the same command again.")
    file.unlink()
    main(argv)
    assert capsys.readouterr().out == table


@pytest.mark.parametrize("output", [pytest.param(True, marks=pytest.mark.slow), False])
def test_two_processes_share_the_images(tmp_path, run, output):
    """13 images: 7 for one process and 6 for the other."""
    options = [*run, "--batch_size", "1"]
    finish(start(tmp_path, 0, [*options, "--output", str(tmp_path / "one")]))
    (tmp_path / "seen.txt").unlink()
    folder = ["--output", str(tmp_path / "two")] if output else []
    run_processes(tmp_path / "slow.py", [str(tmp_path / "seen.txt"), "0", *options, *folder])
    seen = (tmp_path / "seen.txt").read_text().splitlines()
    assert len(seen) == len(set(seen)) == IMAGES
    assert (tmp_path / "seen.txt.0").read_text() == (tmp_path / "one/table.md").read_text()
    assert (tmp_path / "seen.txt.1").read_text() == ""
    if output:
        assert results(tmp_path / "two") == results(tmp_path / "one")
        shares = [len(file.read_text().splitlines()) - 1 for file in (tmp_path / "two/images").glob("*.jsonl")]
        assert sorted(shares) == [6, 7]
        run_processes(tmp_path / "slow.py", [str(tmp_path / "seen.txt"), "0", *options, *folder])  # finished
        assert (tmp_path / "seen.txt.0").read_text() == (tmp_path / "one/table.md").read_text()
        assert (tmp_path / "seen.txt.1").read_text() == ""
