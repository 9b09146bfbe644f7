"""A folder is written into by one run at a time."""

import os
import signal
import subprocess
import sys

import pytest
from processes import held_by_another

from semidepth.common.locks import folder_held, hold_folder, new_folder_held, release_folder

# Holds the folder, starts a child that outlives it, and waits to be killed.
HOLDER = """
import subprocess, sys, time
from pathlib import Path
from semidepth.common.locks import hold_folder
hold_folder("output_dir", Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_second_run_is_refused_at_once_and_a_killed_one_lets_go(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(ValueError, match=rf"--output_dir .*in use by another run \(process {holder.pid} on "):
            hold_folder("output_dir", tmp_path / "run")
        holder.kill()
        holder.wait()
        os.kill(child, 0)  # the child is still there, and does not hold the folder
        hold_folder("output_dir", tmp_path / "run")
    finally:
        holder.kill()
        os.kill(child, signal.SIGKILL)
        release_folder(tmp_path / "run")


def test_a_folder_is_held_within_a_block_and_nothing_is_left_of_it(tmp_path):
    folder = tmp_path / "deep" / "out"
    with folder_held("output", folder):
        with folder_held("output", folder):
            pass
        assert (folder / ".lock").is_file()  # still held
    assert list(tmp_path.iterdir()) == []
    with folder_held("output", folder):
        (folder / "result").touch()
    assert [path.name for path in folder.iterdir()] == ["result"]
    with held_by_another(folder), pytest.raises(ValueError, match=r"--output .*in use"), folder_held("output", folder):
        pass
    assert (folder / ".lock").is_file()  # the other's


def test_a_lock_that_its_run_removes_while_it_is_being_opened_holds_nothing(tmp_path, monkeypatch):
    """Between opening the file and locking it the run before may end: then the file is made anew."""
    import fcntl

    plain, calls = fcntl.lockf, []

    def removed_in_between(file, *how):
        if not calls:
            (tmp_path / ".lock").unlink()
        calls.append(how)
        return plain(file, *how)

    monkeypatch.setattr(fcntl, "lockf", removed_in_between)
    with folder_held("output", tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} ")
    assert len(calls) == 2


def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"--output .*file/out cannot be written to"):
        hold_folder("output", tmp_path / "file" / "out")


def test_holding_twice_changes_nothing_and_a_released_folder_is_free(tmp_path):
    hold_folder("output", tmp_path)
    hold_folder("output", tmp_path / ".")
    release_folder(tmp_path)
    code = "import sys\nfrom pathlib import Path\nfrom semidepth.common.locks import hold_folder\n"
    code += "hold_folder('output', Path(sys.argv[1]))"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


def test_other_processes_of_a_distributed_run_hold_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    hold_folder("output_dir", tmp_path)
    assert not (tmp_path / ".lock").exists()


def test_a_folder_that_is_made_whole_is_held_by_its_name(tmp_path):
    told = rf"--output {tmp_path}/exports is in use by another run"
    with held_by_another(tmp_path / ".exports.made"), pytest.raises(ValueError, match=told):
        new_folder_held("output", tmp_path / "exports").__enter__()
    with new_folder_held("output", tmp_path / "exports"):
        assert not (tmp_path / "exports").exists()
        (tmp_path / "exports").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["exports"]
