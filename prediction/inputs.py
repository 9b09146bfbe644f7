"""Find the images and videos behind files, folders and globs. Light to import."""

import logging
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from glob import has_magic
from pathlib import Path

from semidepth.common.files import find_matching
from semidepth.data.depth_names import looks_like_depth
from semidepth.data.listing import LOOKS_LIKE_DEPTH, UNREADABLE, Listing, list_files, only_kind
from semidepth.prediction.options import is_video
from semidepth.prediction.record import RECORD, read_record

logger = logging.getLogger(__name__)


def find_inputs(
    inputs: Sequence[str], *, videos: bool = True, missing: dict[Path, str] | None = None
) -> list[tuple[Path, Path]]:
    """Images and videos behind files, folders (searched recursively) and globs.

    Linked folders are followed, each once. Of folders, hidden files, files of other kinds and depth maps beside photos
    are left out, and everywhere the results of earlier predictions, which `predictions.jsonl` above them names; what is
    left out is counted in the log.

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
    found: dict[Path, tuple[Path, Path]] = {}  # where it lies -> file, name
    results = 0
    absent: dict[Path, str] = {}
    earlier = _Results()
    for text in inputs:
        folder = bool(text) and _is(Path(text), stat.S_ISDIR)
        listing = _in_folder(Path(text), videos, earlier) if folder else _named(text)
        absent |= {each.path: each.reason for each in listing.left_out if each.reason.startswith(UNREADABLE)}
        if not listing.used:
            other = listing.told()
            absent.setdefault(Path(text), why_nothing(text) + (f" (found: {other})" if other else ""))
        elif listing.left_out:
            logger.warning("%s: left out are %s.", text, listing.told())
        for file in listing.used:
            if file in earlier:
                results += 1
            else:
                name = file.relative_to(text).with_suffix("") if folder else Path(file.stem)
                found.setdefault(earlier.place(file), (file, name))
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


def _named(text: str) -> Listing:
    """The file of that name, or those that a pattern matches, whatever their endings."""
    return Listing(tuple(file for file in map(Path, find_matching(text)) if _is(file, stat.S_ISREG)))


def _in_folder(folder: Path, videos: bool, earlier: "_Results") -> Listing:
    """Photos and videos below a folder, sorted, and results among them; depth maps beside photos are left out."""
    other = only_kind("images")

    def reason(file: Path) -> str | None:
        if videos and is_video(file):
            return None
        if looks_like_depth(file, folder) and file not in earlier:
            return LOOKS_LIKE_DEPTH
        return other(file)

    listing = list_files(str(folder)).without(reason)
    left_out = tuple(each for each in listing.left_out if each.path not in earlier)
    return Listing(tuple(sorted(listing.used)), left_out)


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


class _Results:
    """The results of earlier predictions: records, and the files that a record above them names."""

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}  # resolved ones
        self._records: dict[Path, frozenset[str]] = {}

    def place(self, file: Path) -> Path:
        """The file's path with its folder resolved, so that two links to one file are two."""
        if file.parent not in self._folders:
            self._folders[file.parent] = file.parent.resolve()
        return self._folders[file.parent] / file.name

    def __contains__(self, file: Path) -> bool:
        place = self.place(file)
        for folder in place.parents:
            if folder not in self._records:
                self._records[folder] = frozenset(read_record(folder))
            if self._records[folder] and place.relative_to(folder).as_posix() in self._records[folder]:
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
