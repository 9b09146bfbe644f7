"""Find the images and videos behind files, folders and globs. Light to import."""

import logging
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from glob import has_magic
from pathlib import Path

from semidepth.common.files import find_matching
from semidepth.data.source_spec import IMAGE_SUFFIXES
from semidepth.prediction.options import VIDEO_SUFFIXES, is_video
from semidepth.prediction.record import RECORD, read_record

logger = logging.getLogger(__name__)


def find_inputs(
    inputs: Sequence[str], *, videos: bool = True, missing: dict[Path, str] | None = None
) -> list[tuple[Path, Path]]:
    """Images and videos behind files, folders (searched recursively) and globs.

    Linked folders are followed, each once; hidden files and folders are left out. So are results of earlier
    predictions, which `predictions.jsonl` above them names; their number is logged.

    Args:
        inputs: as given on the command line.
        videos: search folders for videos, too.
        missing: is filled with inputs that match nothing, and why; None: the first of them is an error.

    Returns:
        (file, name of its results without suffix, relative to the output folder). The name is the file's own; of a file
        in a given folder it includes the path in there. Files that would share a name all keep their suffix (`x.jpg`,
        `x.png`), then their folder (`a/x.jpg`), then all their folders, whatever their order.

    Raises:
        ValueError: no input was found, or only results of earlier predictions.
    """
    suffixes = IMAGE_SUFFIXES | (VIDEO_SUFFIXES if videos else frozenset())
    found: dict[Path, tuple[Path, Path]] = {}  # where it lies -> file, name
    folders: dict[Path, Path] = {}  # resolved ones
    records: dict[Path, frozenset[str]] = {}
    results = 0
    absent: dict[Path, str] = {}
    for text in inputs:
        matching = list(_matching(text, suffixes, absent))
        if not matching:
            absent.setdefault(Path(text), why_nothing(text))
        for file, name in matching:
            if file.parent not in folders:
                folders[file.parent] = file.parent.resolve()
            place = folders[file.parent] / file.name  # two links to one file are two
            if _is_result(place, records):
                results += 1
            else:
                found.setdefault(place, (file, name))
    if absent and (missing is None or not (found or results)):
        first, why = next(iter(absent.items()))
        more = "" if len(absent) == 1 else f", and {len(absent) - 1} more"
        raise ValueError(f"{str(first)!r}: {why}{more}; give files, folders or a glob in quotes.")
    if not found:
        raise ValueError(f"{inputs[0]!r} matches only results of earlier predictions, says {RECORD}; give others.")
    if results:
        logger.warning("%d files are results of earlier predictions, says %s, and are no inputs.", results, RECORD)
    if missing is not None:
        missing.update(absent)
    return _unique(found)


def _matching(text: str, suffixes: frozenset[str], absent: dict[Path, str]) -> Iterator[tuple[Path, Path]]:
    """Files behind one input, each with the wanted name of its results."""
    path = Path(text)
    if text and _is(path, stat.S_ISDIR):
        for file in sorted(_below(path, absent)):
            if file.suffix.lower() in suffixes and _is(file, stat.S_ISREG):
                yield file, file.relative_to(path).with_suffix("")
    elif _is(path, stat.S_ISREG):
        yield path, Path(path.stem)
    else:
        for file in map(Path, find_matching(text)):
            if _is(file, stat.S_ISREG):
                yield file, Path(file.stem)


def _below(folder: Path, absent: dict[Path, str]) -> Iterator[Path]:
    """All files below a folder, also behind linked folders; none twice, none hidden."""

    def note(error: OSError) -> None:
        absent[Path(error.filename)] = error.strerror or str(error)

    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        # A folder within has the name that it has there, and not that of a link to it: links come last.
        for place, folders, names in os.walk(waiting.pop(0), onerror=note):
            real = Path(place).resolve()
            inside = [Path(place, name) for name in sorted(folders) if not name.startswith(".") and real not in seen]
            folders[:] = [each.name for each in inside if not each.is_symlink()]
            waiting += [each for each in inside if each.is_symlink()]
            if real not in seen:
                yield from (Path(place, name) for name in names if not name.startswith("."))
            seen.add(real)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):  # it is not there, or its name is none
        return False


def why_nothing(text: str) -> str:
    """Reason why no file was found behind an input."""
    path = Path(text)
    if not text:
        return "an empty name"
    if text == "-" or (path.exists() and not path.is_dir()):
        return "is not a regular file"
    if path.is_dir():
        return "this folder holds no image or video"
    if "://" in text:
        return "addresses are not fetched"
    if path.is_symlink():
        return "no such file (it is a link to nothing)"
    return "matches no file" if has_magic(text) else "no such file"


def _is_result(place: Path, records: dict[Path, frozenset[str]]) -> bool:
    """True for a record, and for a file that a record above it names; `records` is a cache of those read."""
    for folder in place.parents:
        if folder not in records:
            records[folder] = frozenset(read_record(folder))
        if records[folder] and place.relative_to(folder).as_posix() in records[folder]:
            return True
    return place.name == RECORD


def _unique(found: dict[Path, tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Files with unique names, from: resolved path -> (file, wanted name)."""

    def candidate(place: Path, name: Path, level: int) -> tuple[bool, Path]:
        named = (name, name.with_name(place.name), Path(place.parent.name, place.name), place.relative_to(place.anchor))
        return is_video(place), named[level]  # results of images and of videos never have one name

    levels = [0] * len(found)
    while True:
        named = [candidate(place, name, level) for (place, (_, name)), level in zip(found.items(), levels, strict=True)]
        count = Counter(named)
        if max(count.values()) == 1:
            return [(file, name) for (file, _), (_, name) in zip(found.values(), named, strict=True)]
        levels = [min(level + (count[key] > 1), 3) for level, key in zip(levels, named, strict=True)]
