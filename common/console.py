"""Output of the commands at a terminal: logging, progress, and errors as one sentence."""

import contextlib
import errno
import logging
import os
import platform
import re
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib import metadata

from tqdm.auto import tqdm

from semidepth.common.redaction import redact

logger = logging.getLogger(__name__)

UNEXPECTED = 70  # exit status of an unexpected error: EX_SOFTWARE of sysexits.h


class CommandError(Exception):
    """An error that the user of a command can mend; it ends the command with one sentence."""


class NothingToDo(Exception):
    """Ends a command whose result is there already, with one sentence and exit status 0."""


def set_up_logging() -> None:
    """Sends this package's log lines to standard error; from processes other than the main one only warnings."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("semidepth").setLevel(logging.INFO if is_main_process() else logging.WARNING)
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # where it is not imported yet: it sets its own level then
    for noisy in ("httpx", "httpx2", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def is_main_process() -> bool:
    """True but in the further processes of a distributed run."""
    return os.environ.get("RANK", "0") == "0"


def bar_interval_s() -> float:
    """Seconds between two draws of a progress bar: seldom where it goes to a file, line after line."""
    return 0.2 if sys.stderr.isatty() else 20.0


class Progress:
    """A progress bar at a terminal; elsewhere, as in a log, a plain line now and then.

    Args:
        total: how many there are; None where it is not known yet.
        name: shown before the bar.
        unit: what is counted.
    """

    def __init__(self, total: int | None, name: str, unit: str) -> None:
        self.done, self.total, self.name, self.unit = 0, total, name, unit
        self.started = self.told = time.monotonic()
        self.bar = tqdm(
            total=total, desc=name, unit=unit, dynamic_ncols=True, leave=total is not None,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def update(self, count: int) -> None:
        """Counts `count` more as done."""
        self.at(self.done + count, self.total)

    def at(self, done: int, total: int | None) -> None:
        """Sets how many are done, and of how many."""
        self.bar.total = self.total = total
        self.bar.update(done - self.done)
        self.done = done
        now = time.monotonic()
        if self.bar.disable and now - self.told >= bar_interval_s():
            self.told = now
            logger.info(
                "%s",
                tqdm.format_meter(done, total, now - self.started, ncols=0, prefix=self.name, unit=self.unit),  # type: ignore[arg-type]
            )


def run_command(command: Callable[[], object]) -> int:
    """Runs a command and returns its exit status; errors that the user can mend become one sentence on stderr.

    Args:
        command: does the work; where it returns an int, that is the status, as 1 where some inputs failed.

    Returns:
        0, or the command's own status; 0 after a NothingToDo; 1 after a CommandError, or on a full disk; 2 after a
        ValueError: wrong usage; 130 after Ctrl-C; 141 where the reader of the output has gone; 70 after any other
        error, whose traceback goes into a file that the sentence names.
    """
    try:
        status = command()
        sys.stdout.flush()  # a closed pipe is noticed here
        return status if isinstance(status, int) else 0
    except NothingToDo as told:
        if is_main_process():
            print(told, file=sys.stderr)
        return 0
    except CommandError as error:
        print(f"error: {last_line(error)}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"error: {last_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"stopped; {stopped}" if str(stopped) else "stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough; Python would flush once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # a fault of ours, or of a file that no check knows
        status, sentence = _of_the_disk(error)
        if status:
            print(f"error: {sentence}", file=sys.stderr)
            return status
        print(f"error: unexpected {type(error).__name__}: {_told_in(error)}", file=sys.stderr)
        return UNEXPECTED


def _of_the_disk(error: Exception) -> tuple[int, str]:
    """Exit status and sentence for what no command foresees where it writes; 0 and "" for all other errors."""
    told = redact(last_line(error))
    if _has_number(error, errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return 1, f"there is no room to write ({told}); free disk space, or give another folder, and run it again."
    if _has_number(error, errno.ENAMETOOLONG):
        return 2, f"the name of a file would be too long ({told}); rename the input, or give another folder."
    return 0, ""


def _has_number(error: Exception, *numbers: int) -> bool:
    """True for one of these errors of the system; safetensors has the number in its text alone."""
    return getattr(error, "errno", None) in numbers or any(f"(os error {number})" in str(error) for number in numbers)


def _told_in(error: Exception) -> str:
    """The rest of the sentence about an unexpected error; its traceback is written into a file."""
    versions = []
    for name in ("semidepth", "torch", "transformers"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    details = "\n".join([shlex.join(sys.argv), ", ".join([f"Python {platform.python_version()}", *versions]), ""])
    details = redact(details + "".join(traceback.format_exception(error)))
    cause = redact(last_line(error)).rstrip(".;")
    try:
        descriptor, name = tempfile.mkstemp(prefix="semidepth-error-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(details)
    except OSError:  # no room for it: then here
        return f"{cause}; please report it with these details:\n{details}"
    return f"{cause}; the details are in {name}, please report it with that file."


def last_line(error: BaseException) -> str:
    """The last line of an error's text: the sentence itself where a loader's worker wrapped it in its whole trace."""
    lines = str(error).strip().splitlines()
    if len(lines) < 2:
        return lines[0] if lines else type(error).__name__
    return re.sub(r"^[\w.]+(Error|Exception): ", "", lines[-1])


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for one-sentence messages."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
