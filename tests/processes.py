"""Processes that tests start: several as torchrun starts them, and such as cannot import semidepth."""

import os
import socket
import subprocess
import sys
from pathlib import Path

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
