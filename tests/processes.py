"""Processes that tests start: several as torchrun starts them, and such as cannot import semidepth. Tests that hang."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

LIMIT_S = 600.0  # longer than a process that a test waits for may take, on a machine that is shared
LIMITS_S = {"browser": 300.0, "slow": 7200.0, "gpu": 7200.0}
AGAIN_S = 15.0

# Put before a process's own code: no import of semidepth succeeds there, from wherever it might come.
WITHOUT_SEMIDEPTH = """
import sys
class NoSemidepth:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "semidepth":
            raise ImportError("semidepth is not here")
sys.meta_path.insert(0, NoSemidepth())
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def run_processes(script: Path, arguments: list[str], *, processes: int = 2, **settings: str) -> None:
    """Runs a script in several processes with these settings in their environment, and shows its errors if it fails."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes),
        "--master_port", str(free_port()), str(script), *arguments,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | settings
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@contextmanager
def held_by_another(folder: Path) -> Iterator[None]:
    """Has another process hold a folder, as a run that writes into it does."""
    code = "import sys, time\nfrom pathlib import Path\nfrom semidepth.common.locks import hold_folder\n"
    code += "hold_folder('output', Path(sys.argv[1]))\nprint('held', flush=True)\ntime.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
    finally:
        holder.kill()
        holder.communicate()


@contextmanager
def interruptible(command: Sequence[str], **settings: Any) -> Iterator[subprocess.Popen]:
    """A process that Ctrl-C stops, also where the suite itself was started with SIGINT ignored; it ends with the test.

    Args:
        command: its words.
        settings: of `subprocess.Popen`.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # an ignored signal would be inherited
    try:
        process = subprocess.Popen(command, **settings)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Fails what is still going on after so long.

    Chromium goes first: what Playwright waits for fails then by itself. To be torn out of its loop leaves Playwright
    unable to do anything more, so that is what comes next, and again and again where something waits anew.
    """
    stopped, says = False, f"this went on for more than {seconds:g} seconds"

    def stop(*_: object) -> None:
        nonlocal stopped
        browsers = [each for each in psutil.Process().children(recursive=True) if "chrom" in each.name()]
        for browser in browsers:
            browser.kill()
        if stopped or not browsers:
            pytest.fail(says)
        stopped = True

    before = signal.signal(signal.SIGALRM, stop)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    except BaseException as error:
        if stopped:
            error.add_note(says)
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *outer)
    if stopped:
        pytest.fail(says)


def limit_of(item: pytest.Item) -> float:
    """Returns how many seconds each of a test's set-up, call and tear-down may take."""
    return max((LIMITS_S[mark.name] for mark in item.iter_markers() if mark.name in LIMITS_S), default=LIMIT_S)
