"""Locks on output folders, so that two runs never write into one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

NAME = ".lock"
_HELD: dict[Path, IO[str]] = {}


def hold_folder(option: str, folder: Path, *, told: Path | None = None) -> None:
    """Holds a folder for this process until it ends or [`release_folder`] is called; holding it twice changes nothing.

    The lock is the system's on the file `.lock`, which belongs to this process alone: it goes when the process is
    killed, whatever children it leaves. Of a distributed run the main process holds it for all. On systems without such
    locks (Windows) nothing is held.

    Args:
        option: name of the option that gave the folder, for the message.
        folder: is made if it is missing.
        told: what the message calls it; None: the folder itself.

    Raises:
        ValueError: another process holds the folder, or it cannot be written to.
    """
    place = folder.resolve()
    if os.name != "posix" or place in _HELD or os.environ.get("RANK", "0") != "0":
        return
    import fcntl

    while True:
        try:
            place.mkdir(parents=True, exist_ok=True)
            file = (place / NAME).open("a+", encoding="utf-8")
        except OSError as error:
            raise ValueError(
                f"--{option} {told or folder} cannot be written to ({error.strerror or error}); give another folder."
            ) from error
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # POSIX allows either
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise ValueError(
                f"--{option} {told or folder} is in use by another run ({holder}); wait until it ends, or give another "
                "folder."
            ) from error
        if _is_there(file, place / NAME):
            break
        file.close()  # its run has ended and removed it in between
    with contextlib.suppress(OSError):  # no room for a name that only the message needs
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"process {os.getpid()} on {os.uname().nodename}".encode())
    _HELD[place] = file


def release_folder(folder: Path) -> None:
    """Lets go of a folder that [`hold_folder`] holds, and removes the lock's file."""
    place = folder.resolve()
    file = _HELD.pop(place, None)
    if file is not None:
        (place / NAME).unlink(missing_ok=True)  # while it is held: who opened it sees that it is gone
        file.close()


@contextlib.contextmanager
def folder_held(option: str, folder: Path, *, told: Path | None = None) -> Iterator[None]:
    """Holds a folder within the block; one that it made and that is empty in the end is removed.

    Args:
        option: see [`hold_folder`].
        folder: likewise.
        told: likewise.

    Raises:
        ValueError: another process holds the folder.
    """
    if folder.resolve() in _HELD:  # by the caller, who lets go of it
        yield
        return
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    hold_folder(option, folder, told=told)
    try:
        yield
    finally:
        release_folder(folder)
        with contextlib.suppress(OSError):  # it holds results
            for place in made:
                place.rmdir()


@contextlib.contextmanager
def new_folder_held(option: str, folder: Path) -> Iterator[None]:
    """Holds the name of a folder that is made whole at the end of the block, and is not there before.

    Args:
        option: see [`hold_folder`].
        folder: likewise.

    Raises:
        ValueError: another process makes the folder.
    """
    place = folder.with_name(f".{folder.name}.made")
    with folder_held(option, place, told=folder):
        yield
    with contextlib.suppress(OSError):  # left by a run that was killed
        place.rmdir()


def _is_there(file: IO[str], path: Path) -> bool:
    """True while a path names this very file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
