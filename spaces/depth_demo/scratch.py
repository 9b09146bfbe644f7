"""Where result files lie until they are fetched: each in a folder of its own, and all gone when the process ends."""

import atexit
import os
import secrets
import shutil
import time
from pathlib import Path

from refusal import Refusal
from temporary import OWN, RESULTS

KEPT_S = 24 * 3600
BUSY_S = 60  # a folder that was written to so lately is being filled or fetched
MOST_BYTES = 4_000_000_000


def remove_at_the_end() -> None:
    """Has uploads and results removed when this process ends."""
    atexit.register(_remove_all, os.getpid())


def new_folder() -> Path:
    """An empty folder that nobody else writes to, and whose name cannot be guessed.

    On the way old ones are removed, and where all together are too large the oldest, but none that is in use.

    Raises:
        Refusal: those in use are too large.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    now = time.time()
    folders = sorted((*_facts(folder), folder) for folder in RESULTS.iterdir())  # the oldest first
    size = sum(bytes_ for _, bytes_, _ in folders)
    for touched, bytes_, folder in folders:
        if now - touched > KEPT_S or (size > MOST_BYTES and now - touched > BUSY_S):
            shutil.rmtree(folder, ignore_errors=True)
            size -= bytes_
    if size > MOST_BYTES:
        raise Refusal("Too many results are being written at the moment; try again in a minute.", title="Busy")
    made = RESULTS / secrets.token_hex(16)
    made.mkdir()
    return made


def _facts(folder: Path) -> tuple[float, int]:
    """When a folder or a file in it was written last (a long clip's grows for hours), and how many bytes it holds."""
    try:
        found = [path.stat() for path in (folder, *folder.iterdir())]
    except OSError:  # another visitor's request has just removed it
        return time.time(), 0
    return max(each.st_mtime for each in found), sum(each.st_size for each in found[1:])


def _remove_all(owner: int) -> None:
    """At the end; a copy of the process, such as ZeroGPU makes, leaves the files to the one that made them."""
    if os.getpid() == owner:
        shutil.rmtree(OWN, ignore_errors=True)


def safe_stem(path: str | Path) -> str:
    """A file's name without its ending, short and plain, to name results after."""
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(path).stem)
    return stem[:60].strip("_") or "picture"
