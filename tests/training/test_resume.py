"""A run that is killed and started again is the run that was never killed: same samples, draws and weights."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import torch
from processes import interruptible
from safetensors.torch import load_file
from sample_files import write_images, write_parquet

# Writes the samples of every step, and dies where it is told to, as if by kill -9.
SCRIPT = """
import os, signal, sys, torch
from semidepth.training import student
from semidepth.training.recipes import student as recipe

torch.set_num_threads(1)
log, die_at = sys.argv[1], int(sys.argv[2])
compute = recipe.student_losses

def spy(model, batch, **others):
    losses = compute(model, batch, **others)
    with open(log, "a") as file:
        names = batch["labeled"]["origin"] + batch["unlabeled"]["origin"]
        file.write("\\t".join([*names, repr(losses.total.item())]) + "\\n")
    spy.steps += 1
    if spy.steps == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return losses

spy.steps = 0
recipe.student_losses = spy
if status := student.main(sys.argv[3:]): sys.exit(status)
"""


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Script and options of a short student run: two loader workers a stream, EMA, accumulation, perturbation."""
    root = tmp_path_factory.mktemp("resume")
    tiny.save_encoder(root / "encoder")
    for shard in range(3):
        write_parquet(root / "labeled" / f"{shard}.parquet", range(shard * 5, shard * 5 + 5))
    write_images(root / "photos", range(100, 123))
    (root / "train.py").write_text(SCRIPT)
    common = [
        "--encoder", str(root / "encoder"), "--teacher_dir", str(root / "teacher"), "--teacher_steps", "2",
        "--labeled", str(root / "labeled"), "--unlabeled", str(root / "photos"), "--batch_size", "2",
        "--steps", "9", "--checkpoint_every", "2", "--learning_rate", "1e-3", "--num_workers", "2",
        "--shuffle_buffer", "7", "--ema_decay", "0.9", "--gradient_accumulation_steps", "2", "--cpu", "true",
        "--log_every", "100", "--preview_every", "0",
    ]  # fmt: skip
    run(root, "whole", common)
    return root, common


def run(root, name, common, die_at=0, more=()):
    """Runs the student into the folder of that name; returns its log."""
    command = [sys.executable, str(root / "train.py"), str(root / f"{name}.txt"), str(die_at)]
    command += [*common, "--output_dir", str(root / name), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == (-signal.SIGKILL if die_at else 0), done.stderr[-3000:]
    return done.stderr


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("die_at", [7, *(pytest.param(die_at, marks=pytest.mark.slow) for die_at in (8, 15))])
def test_killed_and_started_again_is_the_same_run(setting, die_at):
    """Killed amid accumulation, between checkpoints, and late; steps since the last checkpoint are done once more."""
    root, common = setting
    name = f"killed{die_at}"
    run(root, name, common, die_at=die_at)
    done = int(sorted((root / name).glob("checkpoint-*"))[-1].name[-8:])
    assert done == (die_at - 1) // 2 // 2 * 2
    (root / f"{name}.txt").unlink()
    run(root, name, common)
    whole = lines(root / "whole.txt")
    assert len(whole) == 18
    assert lines(root / f"{name}.txt") == whole[2 * done :]
    for file in ("model.safetensors", "checkpoint-00000009/optimizer.safetensors"):
        expected, found = load_file(root / "whole" / file), load_file(root / name / file)
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_killed_at_any_moment(setting):
    """A kill from outside, whenever it comes, also amid the writing of a checkpoint."""
    root, common = setting
    command = [sys.executable, str(root / "train.py"), str(root / "outside.txt"), "0", *common]
    command += ["--output_dir", str(root / "outside"), "--checkpoint_every", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with interruptible(command, env=environment, stderr=subprocess.DEVNULL) as process:  # its end is a kill
        while (
            len(list((root / "outside").glob("checkpoint-*"))) < 2
        ):  # at the earliest moment that the second one shows
            assert process.poll() is None
            time.sleep(0.001)
    run(root, "outside", common, more=["--checkpoint_every", "1"])
    expected, found = (load_file(root / name / "model.safetensors") for name in ("whole", "outside"))
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_ctrl_c_ends_in_one_line_that_says_where_the_run_is_resumed(setting):
    root, common = setting
    command = [sys.executable, str(root / "train.py"), str(root / "stopped.txt"), "0", *common]
    command += ["--output_dir", str(root / "stopped"), "--steps", "500"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with interruptible(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 200
        while not list((root / "stopped").glob("checkpoint-*2")) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=100)[1]
    assert process.returncode == 130
    assert "Traceback" not in told
    newest = sorted((root / "stopped").glob("checkpoint-*"))[-1]
    assert told.splitlines()[-1] == f"stopped; run the same command again to resume from {newest}."


def test_another_number_of_workers_goes_on_and_is_told(setting):
    root, common = setting
    run(root, "changed", common, die_at=9)
    (root / "changed.txt").unlink()
    log = run(root, "changed", common, more=["--num_workers", "1"])
    assert "was written by another number of processes or workers: 2 readers have become 1" in log
    before = [line.split("\t") for line in lines(root / "whole.txt")[:8]]
    after = [line.split("\t") for line in lines(root / "changed.txt")]
    # 14 labeled images (one of 15 is held out) and 23 unlabeled ones: two passes and a bit of both. None is missing,
    # none comes once too often.
    labeled = [name for line in before + after for name in line[:2]]
    unlabeled = [name for line in before + after for name in line[2:6]]
    for names, size in ((labeled, 14), (unlabeled, 23)):
        counts = {name: names.count(name) for name in names}
        assert len(counts) == size
        assert max(counts.values()) - min(counts.values()) <= 1, counts
    assert all(re.search(r"photos/0\d+\.png$", name) for name in unlabeled)


def test_killed_after_the_last_checkpoint_is_finished_by_the_same_command(setting):
    root, common = setting
    name = "almost"
    run(root, name, common)
    for file in ("model.safetensors", "results.json"):  # what a kill during the last validation leaves out
        (root / name / file).unlink()
    run(root, name, common)
    expected, found = (load_file(root / each / "model.safetensors") for each in ("whole", name))
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert (root / name / "results.json").is_file()


def test_torchs_own_generator_is_where_it_was(setting):
    """An encoder with drop path draws from it: the loaders must not, or a resumed run would draw otherwise."""
    from streams import make_loader

    root, _ = setting
    for num_workers in (0, 1):
        loader = make_loader([str(root / "photos")], labeled=False, batch_size=2, size=16, num_workers=num_workers)
        before = torch.get_rng_state()
        next(iter(loader))
        assert torch.equal(torch.get_rng_state(), before)
