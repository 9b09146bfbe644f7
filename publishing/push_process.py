"""Starts the process that does a push, hands it its work and ends it where it takes too long."""

import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from typing import Any

from semidepth.common.redaction import redact
from semidepth.publishing.hub import STALLED_S, Target

COMMAND = [sys.executable, "-P", "-m", "semidepth.publishing.push_once"]


class PushProcess:
    """At most one process at a time, which any thread may end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._ended = False
        self._lock = threading.Lock()

    def run(self, target: Target, request: dict[str, Any], *, longest_s: float) -> dict[str, Any]:
        """Runs one request to its end.

        Args:
            target: where to.
            request: see [`push_once.work`], which says what is given back, too.
            longest_s: the process is ended after that.
        """
        request = {"target": asdict(target), "stalled_s": min(STALLED_S, longest_s / 2)} | request
        with tempfile.TemporaryFile("w+") as errors:
            with self._lock:
                if self._ended:
                    return {"error": "the run has ended", "passing": False}
                # In a session of its own: a Ctrl-C in the terminal is the training's to answer.
                process = self._process = subprocess.Popen(
                    COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                    start_new_session=True,
                )  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            late = threading.Timer(longest_s, process.kill)
            late.start()
            try:
                # It stays open: the process ends when we do.
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                answer = process.stdout.read()
            except OSError:  # it is dead already; its errors say why
                answer = ""
            finally:
                hung = not late.is_alive()
                late.cancel()
                process.kill()
                process.wait()
                process.stdout.close()
                _close(process.stdin)
            if answer.endswith("\n"):
                return json.loads(answer)
            errors.seek(0)
            words = redact(" ".join(errors.read().split()))[-300:]
        told = f"no answer after {longest_s:.0f} s" if hung else f"the pushing process broke off ({words or 'killed'})"
        return {"error": told, "passing": True}

    def end(self) -> None:
        """Ends what runs now, and lets nothing start any more."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()


def _close(stream: Any) -> None:
    try:
        stream.close()
    except OSError:  # what is left in its buffer has no reader
        return
