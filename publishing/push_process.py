"""A push in a process of its own, so that a training run never waits for the Hub.

huggingface_hub pushes in the background with threads (`run_as_future=True`). They cannot be stopped, and Python waits
for them when it exits; even from a daemon thread it waits for those that upload several large files. A Hub that stalls
would keep a finished training run from ending; tests/publishing/test_library_faults.py shows it. A process can be
killed.

The process reads a request in JSON from its standard input and writes the result to its standard output. It ends with
the process that started it.
"""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub.utils import disable_progress_bars

from semidepth.common.redaction import redact
from semidepth.common.retrying import describe
from semidepth.publishing.files import HubFile
from semidepth.publishing.hub import STALLED_S, HubDownError, Target, limit_waiting, prepare, push

COMMAND = [sys.executable, "-P", "-m", "semidepth.publishing.push_process"]
LOOK_EVERY_S = 1.0


class PushProcess:
    """Runs at most one process at a time. Any thread may end it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._ended = False
        self._lock = threading.Lock()

    def run(self, target: Target, request: dict[str, Any], *, longest_s: float) -> dict[str, Any]:
        """Runs one request to its end and returns the result of [`work`].

        Args:
            target: where to push.
            request: see [`work`]; target and time limits are added.
            longest_s: seconds after which the process is killed.
        """
        request = {
            "target": asdict(target),
            "stalled_s": min(STALLED_S, longest_s / 2),
            "starter": os.getpid(),
        } | request
        with self._lock:
            if self._ended:
                return {"error": "the run has ended", "passing": False}
            # In a session of its own: Ctrl-C in the terminal stops the training run, which then ends this process.
            process = self._process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip
        try:
            answer, errors = process.communicate(json.dumps(request), timeout=longest_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return {"error": f"no answer after {longest_s:.0f} s", "passing": True}
        if process.returncode == 0:
            return json.loads(answer)
        words = redact(" ".join(errors.split()))[-300:]
        return {"error": f"the pushing process ended early ({words or 'killed'})", "passing": True}

    def end(self) -> None:
        """Kills the running process and refuses to start another one."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Does one request, in the process.

    Args:
        request: `target`, the fields of a Target; `stalled_s`; `prepared`, True if rights and repository were checked
            before; for a push also `files`, pairs of path and source, and `message`.

    Returns:
        `revision`, `changed` and `url` of a push; or `error`, a sentence, and `passing`, True if a later try may work.
    """
    target = Target(**request["target"])
    limit_waiting(request["stalled_s"])
    try:
        if not request.get("prepared"):
            prepare(target, attempts=1)
        if "files" not in request:
            return {}
        files = [HubFile(path, Path(source)) for path, source in request["files"]]
        return vars(push(target, files, request["message"], attempts=1))
    except (ValueError, HubDownError) as error:
        return {"error": str(error), "passing": isinstance(error, HubDownError)}
    except Exception as error:  # an error of the libraries: the training run logs it and continues
        return {"error": describe(error), "passing": True}


def _end_with(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(LOOK_EVERY_S)
    os._exit(1)


def main() -> None:
    """Reads a request, does it and writes the result."""
    disable_progress_bars()
    request = json.load(sys.stdin)
    threading.Thread(target=_end_with, args=(request["starter"],), daemon=True).start()
    json.dump(work(request), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # without waiting for the libraries' threads


if __name__ == "__main__":
    main()
