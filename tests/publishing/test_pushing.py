"""Pushing while training, to a Hub on this machine that is well, stalls, is down or says no: it holds no training up.

The training runs here; pushes are processes of their own, as always, and take their Hub from the environment.
"""

import json
import logging
import re
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
import yaml
from loopback_hub import OTHER_TOKEN, READ_TOKEN, TOKEN, LoopbackHub
from processes import interruptible, run_processes
from safetensors.torch import load_file

from semidepth.publishing import hub as publishing
from semidepth.publishing import pusher as pushing
from semidepth.publishing.hub import Target
from semidepth.publishing.push_process import COMMAND, PushProcess
from semidepth.publishing.pusher import Pusher
from semidepth.publishing.records import public_values
from semidepth.training import metric, student, teacher

# As this process takes it from its environment when it starts; those that push go by that of the test.
PAGE = Target("org/teacher").url


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub that pushes of this process go to; waits between attempts are short."""
    monkeypatch.setattr(publishing, "FIRST_WAIT_S", 0.05)
    with LoopbackHub() as hub:
        for name, value in hub.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield hub


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder") / "encoder")


def status_of(command: Any, *words: str) -> int:
    """Exit status of a command, whether it returns it or exits."""
    try:
        return command.main(list(words))
    except SystemExit as ended:
        return ended.code


def train(folder: Path, encoder: str, *more: str, steps: int = 4) -> int:
    return teacher.main([
        "--encoder", encoder, "--labeled", "scenes:indoor?count=8", "--steps", str(steps), "--batch_size", "2",
        "--checkpoint_every", "1", "--num_workers", "0", "--preview_every", "0", "--output_dir", str(folder),
        "--cpu", "true", "--warmup_steps", "1", *more,
    ])  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, encoder) -> Path:
    """A run without pushing."""
    folder = tmp_path_factory.mktemp("trained") / "teacher"
    train(folder, encoder)
    return folder


def copy_of(folder: Path):
    """A save that copies a trained model."""

    def save(snapshot: Path) -> None:
        for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
            (snapshot / name).write_bytes((folder / name).read_bytes())
        for path in folder.glob("*.py"):
            (snapshot / path.name).write_bytes(path.read_bytes())

    return save


def titles(hub: LoopbackHub, repo: str = "org/teacher") -> list[str]:
    return [commit.title for commit in hub.repositories["model", repo].commits[2:]]


def until(reached, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_is_pushed_as_it_goes_and_whole_at_its_end(hub, encoder, trained, tmp_path, caplog):
    caplog.set_level(logging.INFO, "semidepth")
    folder = tmp_path / "teacher"
    train(folder, encoder, "--push_to_hub", "org/teacher")
    repository = hub.repositories["model", "org/teacher"]
    assert repository.private
    assert titles(hub)[-1] == "The finished model"
    assert len(titles(hub)) >= 2
    assert all(re.fullmatch(r"Step [123]|The finished model", title) for title in titles(hub))
    for commit in repository.commits[2:]:  # never half of one
        assert {"config.json", "model.safetensors", "preprocessor_config.json", "teacher.yaml"} <= set(commit.files)
        assert "| `batch_size` | 2 | 16 |" in commit.files["README.md"].decode()  # with the default, also midway
    files = repository.commits[-1].files
    for name in ("model.safetensors", "modeling_depth_student.py"):
        assert files[name] == (folder / name).read_bytes()
    for name in ("config.json", "results.json"):
        assert json.loads(files[name]) == public_values(json.loads((folder / name).read_text()))
    assert yaml.safe_load(files["teacher.yaml"])["output_dir"] == "teacher"
    assert not [name for name, content in files.items() if str(tmp_path.parent).encode() in content]
    assert not any("checkpoint" in name or "snapshot" in name for name in files)
    assert not list(folder.glob("hub-snapshot-*"))
    assert f"the finished model was pushed to {hub.url}/org/teacher" in caplog.text
    # Pushing changes nothing of what is learned.
    pushed, plain = (load_file(path / "model.safetensors") for path in (folder, trained))
    assert all(pushed[name].equal(plain[name]) for name in plain)


@pytest.mark.slow
def test_of_several_processes_one_pushes(hub, encoder, tmp_path):
    folder, script = tmp_path / "teacher", Path(teacher.__file__)
    run_processes(script, [
        "--encoder", encoder, "--labeled", "scenes:indoor?count=8", "--steps", "3", "--batch_size", "2",
        "--cpu", "true", "--checkpoint_every", "1", "--num_workers", "0", "--preview_every", "0",
        "--output_dir", str(folder), "--push_to_hub", "org/teacher",
    ])  # fmt: skip
    assert titles(hub).count("The finished model") == 1
    assert hub.files("model", "org/teacher")["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert len([call for call in hub.calls if call[1] == "/api/repos/create"]) == 1


def test_a_hub_that_stalls_holds_no_training_up(hub, encoder, trained, tmp_path, caplog, monkeypatch):
    spent: list[float] = []
    offer = Pusher.offer

    def timed(pusher: Pusher, *given) -> None:
        began = time.perf_counter()
        offer(pusher, *given)
        spent.append(time.perf_counter() - began)

    monkeypatch.setattr(Pusher, "offer", timed)
    hub.faults.fail("/preupload/", method=None, stall_after=0, times=10_000)
    hub.faults.fail("/commit/", method=None, stall_after=0, times=10_000)
    folder, began = tmp_path / "teacher", time.perf_counter()
    train(folder, encoder, "--push_to_hub", "org/teacher", "--hub_wait_s", "2")
    took = time.perf_counter() - began
    assert len(spent) == 3  # the last step's model goes up with the results
    assert sum(spent) < 10  # for three snapshots of a small model, on a machine that has other work
    (told,) = [record.getMessage() for record in caplog.records if "finished model was not" in record.getMessage()]
    assert f"not pushed to {PAGE} (not done after 2 s)" in told
    assert f"semidepth publish {folder} --repo org/teacher --private" in told
    assert (folder / "results.json").is_file()
    assert (folder / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    assert not list(folder.glob("hub-snapshot-*"))
    assert took < 100  # a stall alone would be longer
    assert not any(thread.name == "push_to_hub" for thread in pushing.threading.enumerate())


def test_an_outage_is_told_and_tried_again_after_growing_waits(hub, encoder, tmp_path, caplog):
    # The look before the training is the first to ask.
    hub.faults.fail("api/models/org/teacher", method="GET", status=503, skip=1, times=3)
    train(tmp_path / "teacher", encoder, "--push_to_hub", "org/teacher", steps=2)
    assert titles(hub)[-1] == "The finished model"
    told = [record.getMessage() for record in caplog.records if "next attempt in" in record.getMessage()]
    assert len(told) == 3
    assert all("503" in line and TOKEN not in line for line in told)


def test_waits_between_attempts_grow_up_to_some_minutes():
    for failures in range(1, 20):
        longest = min(300, 2.0 * 2 ** (failures - 1))
        assert 0.75 * longest <= publishing.growing_wait_s(failures) <= longest


def test_a_hub_that_is_down_from_the_start_is_told_and_the_training_goes_on(hub, encoder, tmp_path, caplog):
    hub.faults.fail("", method=None, status=503, times=10_000)
    train(tmp_path / "teacher", encoder, "--push_to_hub", "org/teacher", "--hub_wait_s", "1", steps=2)
    assert f"{PAGE} cannot be reached now (" in caplog.text
    assert "the finished model was not pushed" in caplog.text
    assert (tmp_path / "teacher" / "results.json").is_file()


@pytest.mark.parametrize(
    ("token", "repo", "words"),
    [
        ("", "org/teacher", "--push_to_hub: pushing to org/teacher needs a token that may write; run `hf auth login`"),
        ("hf_" + "nobody" * 6, "org/teacher", "--push_to_hub: the Hub does not know the token in use; make one"),
        (READ_TOKEN, "org/teacher", "--push_to_hub: the token of 'tester' may only read; make one that may write"),
        (OTHER_TOKEN, "org/teacher", "--push_to_hub: org/teacher cannot be made by 'somebody', who belongs to"),
        (OTHER_TOKEN, "org/there", "--push_to_hub: org/there is there already and not of 'somebody'; choose another"),
        (TOKEN, "org/there", "--push_to_hub: org/there is there already and public; make it private in its"),
    ],
)
def test_what_cannot_be_pushed_is_said_at_once(hub, encoder, tmp_path, monkeypatch, capsys, token, repo, words):
    hub.add("model", "org/there", {})
    monkeypatch.setenv("HF_TOKEN", token)
    if not token:
        monkeypatch.delenv("HF_TOKEN")
    began = time.perf_counter()
    assert train(tmp_path / "teacher", encoder, "--push_to_hub", repo) == 2
    assert time.perf_counter() - began < 20
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: {words}")
    assert not (tmp_path / "teacher").exists()


def test_every_training_command_asks_the_hub_first(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    for command in (student, teacher, metric):
        folder = tmp_path / command.__name__
        assert status_of(command, "--push_to_hub", "org/new", "--output_dir", str(folder), "--cpu", "true") == 2
        assert "may only read" in capsys.readouterr().err
        assert not folder.exists()
    scenes = "scenes:indoor?count=4"
    selective = ("--select_reliable", "0.5", "--unlabeled", scenes, "--labeled", scenes)
    folder = tmp_path / "x"
    assert status_of(student, "--push_to_hub", "org/new", "--output_dir", str(folder), "--cpu", "true", *selective) == 2
    assert "may only read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["teacher", "org/two/slashes", "org/bad name", "org/x--y"])
def test_a_name_that_cannot_be_is_refused_by_the_options(name, capsys):
    assert status_of(teacher, "--push_to_hub", name, "--cpu", "true") == 2
    assert "error: --push_to_hub" in capsys.readouterr().err


def test_one_push_at_a_time_and_the_newest_snapshot_wins(hub, trained, tmp_path):
    hub.faults.fail("/commit/", method="POST", stall_after=0)
    pusher = Pusher(Target("org/teacher"), tmp_path / "run")
    pusher.offer(1, copy_of(trained))
    until(lambda: any("preupload" in path for _, path, _ in hub.calls))
    for step in (2, 3):
        pusher.offer(step, copy_of(trained))
        assert sorted(path.name for path in pusher.folder.iterdir())[-1] == f"hub-snapshot-step-{step}"
    assert len(list(pusher.folder.iterdir())) == 2  # the one under way and the newest
    assert not (pusher.folder / "hub-snapshot-step-2").exists()
    hub.released.set()
    until(lambda: len(pusher.pushed) == 2)
    assert pusher.pushed == ["step 1", "step 3"]
    pusher.abandon()


def test_a_full_disk_ends_no_training(hub, trained, tmp_path, caplog):
    pusher = Pusher(Target("org/teacher"), tmp_path / "run")

    def full(snapshot: Path) -> None:
        (snapshot / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    pusher.offer(1, full)
    assert (
        "step 1 is not pushed: no snapshot could be written: OSError: [Errno 28] No space left on device" in caplog.text
    )
    assert not list(pusher.folder.iterdir())
    pusher.abandon()


STARTER = """
from semidepth.publishing.hub import Target
from semidepth.publishing.push_process import PushProcess
PushProcess().run(Target("org/x"), {"stalled_s": 60.0}, longest_s=60.0)
"""


def test_a_push_ends_with_the_training_that_started_it(hub):
    hub.faults.fail("", method=None, stall_after=0, times=10_000)
    with interruptible([sys.executable, "-c", STARTER]) as starter:  # its end is a kill
        children: list[psutil.Process] = []
        until(lambda: children.extend(psutil.Process(starter.pid).children()) or bool(children))
        (push,) = children
        time.sleep(2)  # it waits for the Hub by now
        assert push.is_running()
    until(lambda: not push.is_running())


def test_a_push_that_hangs_is_ended_and_told(hub):
    hub.faults.fail("", method=None, stall_after=0, times=10_000)
    answer = PushProcess().run(Target("org/x"), {"stalled_s": 60.0}, longest_s=3.0)
    assert answer == {"error": "no answer after 3 s", "passing": True}


def test_a_process_that_breaks_is_told(hub, monkeypatch):
    monkeypatch.setattr("semidepth.publishing.push_process.COMMAND", [*COMMAND[:-1], "no.such.module"])
    answer = PushProcess().run(Target("org/x"), {}, longest_s=30.0)
    assert answer["passing"]
    assert "the pushing process ended early (" in answer["error"]
    assert "No module named" in answer["error"]
