"""Workers of a pool: Ctrl-C is for their parent, and they end with it, whatever ends it."""

import signal
import subprocess
import sys

import psutil
import pytest
from processes import interruptible

POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from semidepth.common.workers import tie_to_parent
if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=tie_to_parent) as pool:
        try:
            print(pool.submit(os.getpid).result(), flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print(pool.submit(os.getpid).result(), flush=True)
            sys.exit(3)
"""


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(ended_by, tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with interruptible([sys.executable, str(tmp_path / "pool.py")], **pipes) as process:
        worker = psutil.Process(int(process.stdout.readline()))
        if ended_by == signal.SIGINT:
            worker.send_signal(signal.SIGINT)  # as a terminal does, to all of its processes
        process.send_signal(ended_by)
        told = process.communicate(timeout=20)
        psutil.wait_procs([worker], timeout=20)
        assert not worker.is_running()
    if ended_by == signal.SIGINT:
        assert (process.returncode, told) == (3, (f"{worker.pid}\n", ""))  # it still did what it was asked for
