"""Write files atomically, find files by pattern, and check folders before a run needs them."""

import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape, glob
from pathlib import Path

import psutil

LONGEST_STEM = 200  # bytes of a name to which a process's number is added; file systems allow 255 in all


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under another name and renames it, so that an interrupted write leaves no partial file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives an empty folder that gets its name at the end of the block; after an error nothing is left of it.

    Args:
        path: a new or empty folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp's is for its owner alone
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def partial_path(path: Path) -> Path:
    """The name under which this process writes a file until it is whole; no longer than names may be."""
    return path.with_name(f".{_partial_stem(path.name)}.{os.getpid()}.part")


def _partial_stem(name: str) -> str:
    if len(os.fsencode(name)) <= LONGEST_STEM:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk and survives a power cut."""
    if path.is_dir() and os.name != "posix":  # folders cannot be opened elsewhere
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def checksum(path: Path) -> int:
    """The CRC-32 of a file: it recognises damage, not intent, and takes a second for several gigabytes."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            value = zlib.crc32(block, value)
    return value


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Removes the partial files that killed processes left of these paths: see [`write_whole`]."""
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(_partial_stem(path.name))
    for folder, wanted in names.items():
        for partial in folder.glob(".*.part"):
            name, _, process = partial.name[1 : -len(".part")].rpartition(".")
            if name in wanted and process.isdecimal() and not psutil.pid_exists(int(process)):
                partial.unlink(missing_ok=True)


def find_matching(pattern: str) -> list[str]:
    """Paths that a pattern matches, sorted; `**` matches folders at any depth.

    What exists under a name with the signs of patterns (`run [a]`) is meant by that name: the longest beginning of the
    pattern that exists is taken literally.
    """
    literal = literal_part(pattern)
    rest = Path(pattern).parts[len(literal.parts) :]
    if not rest:
        return [pattern] if pattern else []
    start = escape(str(literal)) if literal.parts else ""
    # `Path.glob` takes no pattern from the root of the disk.
    return sorted(glob(os.path.join(start, *rest), recursive=True))  # noqa: PTH118, PTH207


def literal_part(pattern: str) -> Path:
    """The longest beginning of a path or pattern that exists; of a name where nothing does, the empty path."""
    parts = Path(pattern).parts
    ends = range(len(parts), 0, -1)
    return next((place for place in (Path(*parts[:end]) for end in ends) if place.exists()), Path())


def check_folder(option: str, folder: str | Path) -> None:
    """Raises ValueError if a folder cannot be made because a file is in its way."""
    for path in (Path(folder), *Path(folder).parents):
        if path.exists():
            if not path.is_dir():
                raise ValueError(f"--{option} {folder}: {path} is a file; give a folder.")
            return


def check_new(option: str, folder: Path) -> None:
    """Raises ValueError unless a folder is missing or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--{option} {folder} is there and not empty; remove it or give a new folder.")


def check_writable(folder: Path) -> None:
    """Raises ValueError if nothing can be written into a folder, which is not made yet if it is missing."""
    for place in (folder, *folder.absolute().parents):
        if place.exists():
            break
    if not place.is_dir():
        raise ValueError(f"--output {folder}: {place} is a file; give a folder.")
    try:
        with tempfile.TemporaryFile(dir=place) as opened:
            opened.write(b"\0")
    except OSError as error:
        raise ValueError(
            f"--output {folder}: {place} cannot be written to ({error.strerror or error}); give another folder."
        ) from error
