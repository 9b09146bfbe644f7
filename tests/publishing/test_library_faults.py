"""Faults of huggingface_hub that keep code of ours in use. Where one of these tests fails, that code may go.

hub.py makes one commit instead of calling `upload_folder`; push_process.py pushes in a process instead of a thread.
"""

import os
import subprocess
import sys
import time

import pytest
from loopback_hub import LoopbackHub

UPLOAD = """
import sys
from huggingface_hub import HfApi
HfApi().upload_folder(repo_id="org/x", folder_path=sys.argv[1], commit_message="Whole")
"""

BACKGROUND = """
import sys, threading, time
from huggingface_hub import CommitOperationAdd, HfApi
weights = [CommitOperationAdd(f"model-0000{n}-of-00002.safetensors", b"weights %d" % n) for n in (1, 2)]
if sys.argv[1] == "future":
    HfApi().create_commit("org/x", weights, commit_message="Step 1", run_as_future=True)
else:
    given = {"args": ("org/x", weights), "kwargs": {"commit_message": "Step 1"}}
    threading.Thread(target=HfApi().create_commit, **given, daemon=True).start()
sys.stdin.readline()
"""


@pytest.fixture
def hub():
    with LoopbackHub() as hub:
        hub.add("model", "org/x", {})
        yield hub


def test_upload_folder_makes_several_commits(hub, tmp_path):
    """More than 250 files, or five minutes, and others can load a part of the folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number}.py").write_text(str(number))
    # Only with hf_xet, which the Hub's own servers need.
    environment = os.environ | hub.environment(tmp_path) | {"HF_HUB_DISABLE_XET": "0"}
    subprocess.run([sys.executable, "-c", UPLOAD, str(folder)], env=environment, check=True, timeout=100)
    commits = hub.repositories["model", "org/x"].commits[2:]
    assert len(commits) == 2
    assert len(commits[0].files) < 300


@pytest.mark.parametrize("way", ["future", "daemon thread"])
def test_a_push_in_a_thread_keeps_python_from_ending(hub, tmp_path, way):
    hub.faults.fail("/_lfs/", method="PUT", stall_after=0, times=1000)
    environment = os.environ | hub.environment(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", BACKGROUND, way], env=environment, stdin=subprocess.PIPE)
    try:
        hub.wait_for("/info/lfs/objects/batch")
        time.sleep(2)  # until the upload itself is under way, on a busy machine, too
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(b"end\n", timeout=8)
    finally:
        process.kill()
        process.wait()
