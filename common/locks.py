"""Locks on output folders, so that two runs never write into one."""

import os
from pathlib import Path
from typing import IO

NAME = ".lock"
_HELD: dict[Path, IO[str]] = {}


def hold_folder(option: str, folder: Path) -> None:
    """Holds a folder for this process until it ends or [`release_folder`] is called; holding it twice changes nothing.

    The lock is the system's on the file `.lock`, which belongs to this process alone: it goes when the process is
    killed, whatever children it leaves. Of a distributed run the main process holds it for all. On systems without such
    locks (Windows) nothing is held.

    Args:
        option: name of the option that gave the folder, for the message.
        folder: is made if it is missing.

    Raises:
        ValueError: another process holds the folder.
    """
    place = folder.resolve()
    if os.name != "posix" or place in _HELD or os.environ.get("RANK", "0") != "0":
        return
    import fcntl

    place.mkdir(parents=True, exist_ok=True)
    file = (place / NAME).open("a+", encoding="utf-8")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:  # POSIX allows either
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise ValueError(
            f"--{option} {folder} is in use by another run ({holder}); wait until it ends, or give another folder."
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {os.uname().nodename}")
    file.flush()
    _HELD[place] = file


def release_folder(folder: Path) -> None:
    """Lets go of a folder that [`hold_folder`] holds; the file stays, since another run may be opening it."""
    file = _HELD.pop(folder.resolve(), None)
    if file is not None:
        file.close()
