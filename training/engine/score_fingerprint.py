"""What tells the files of a set from others of the same name and number, without reading them."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from semidepth.training.data.image_folders import image_files
from semidepth.training.data.source_spec import Source, local_files

MOST_FILES = 4000  # so that a set of millions of files, or one on a slow disk, is no wait
SCORE_FILE = "options.json"  # marks a score run's folder, which may lie below a set and grows


def source_fingerprint(source: Source) -> str:
    """A digest of a local source's files and of their labels'; "" for scenes, and for what is read over a network."""
    if source.format == "scenes" or source.remote:
        return ""
    if source.location.startswith("file://"):
        return fingerprint([Path(source.location.removeprefix("file://"))])
    if source.format == "images":
        pairs = image_files(source, True)
        return fingerprint(Path(name) for pair in pairs for name in pair if name is not None)
    return fingerprint(local_files(source))


def folder_fingerprint(root: str | Path) -> str:
    """A digest of a benchmark's folder."""
    return fingerprint(_walk(Path(root)))


def fingerprint(files: Iterable[Path]) -> str:
    """A digest of the first files' resolved paths, sizes and times of change.

    Args:
        files: in a fixed order; no more than `MOST_FILES` are looked at.
    """
    digest = hashlib.sha256()
    for file in islice(files, MOST_FILES):
        found = file.stat() if file.exists() else None
        state = None if found is None else (found.st_size, found.st_mtime_ns)
        digest.update(f"{file.resolve()}\0{state}\n".encode(errors="surrogateescape"))
    return f"sha256:{digest.hexdigest()[:16]}"


def _walk(root: Path) -> Iterator[Path]:
    """A folder's files in a fixed order, without hidden ones and those of score runs."""
    if not root.is_dir():
        yield root
    for folder, subfolders, names in os.walk(root):  # Path.walk needs Python 3.12
        if SCORE_FILE in names:
            subfolders.clear()
            continue
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
