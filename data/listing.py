"""List local files: those that are read, and those that are left out, with the reason."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from semidepth.common.files import find_matching

FileKind = Literal["images", "parquet", "webdataset"]

# What Pillow reads and photos come in; .avif from Pillow 11.3 on.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".jp2", ".bmp", ".tif", ".tiff", ".gif", ".ppm"}
)
HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})  # with the package pillow-heif
HEIC_ADVICE = "install pillow-heif to read HEIC files (pip install 'semidepth[heic]')"
UNREADABLE = "that cannot be read"  # begins the reason for a folder
THAT_ARE_MASKS = "that are masks"
LOOKS_LIKE_DEPTH = "that look like depth"
_NAMES_TOLD = 3


class LeftOut(NamedTuple):
    """A file or folder that is not read. `reason` completes a sentence: "3 files that look like depth"."""

    path: Path
    reason: str


class NoLabelsError(ValueError):
    """A source holds nothing that could be depth labels."""


@dataclass(frozen=True)
class Listing:
    """The files behind a location: `used` in a fixed order, and those that are left out."""

    used: tuple[Path, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def without(self, reason: Callable[[Path], str | None]) -> "Listing":
        """The same with further files left out.

        Args:
            reason: gives the reason for a file, or None to keep it.
        """
        judged = [(path, reason(path)) for path in self.used]
        return Listing(
            tuple(path for path, why in judged if why is None),
            (*self.left_out, *(LeftOut(path, why) for path, why in judged if why is not None)),
        )

    def told(self) -> str:
        """One line about what is left out, by reason with a few names; empty if nothing is."""
        parts = []
        for reason, group in groupby(sorted(self.left_out, key=lambda each: each.reason), lambda each: each.reason):
            names = [os.fsencode(each.path.name).decode("utf-8", "backslashreplace") for each in group]
            more = ", ..." if len(names) > _NAMES_TOLD else ""
            parts.append(f"{len(names)} {reason} ({', '.join(names[:_NAMES_TOLD])}{more})")
        return ", ".join(parts)


def list_files(location: str) -> Listing:
    """All regular files of a file, folder (with subfolders) or pattern; hidden ones in folders are left out."""
    left_out: list[LeftOut] = []
    used: dict[Path, None] = {}  # once, although a pattern may match a folder and what is in it
    for path in map(Path, find_matching(location)):
        if path.is_dir():
            used |= dict.fromkeys(files_below(path, lambda *found: left_out.append(LeftOut(*found))))
        elif path.is_file():
            used[path] = None
        else:
            left_out.append(LeftOut(path, _no_file(path)))
    return Listing(tuple(used), tuple(dict.fromkeys(left_out)))


def files_below(folder: Path, leave_out: Callable[[Path, str], object]) -> Iterator[Path]:
    """Regular files below a folder: sorted, a folder's own before those of its subfolders.

    Linked folders are followed after all others, and no folder is entered twice.

    Args:
        folder: where to search.
        leave_out: is told what is passed over, and why: hidden files and folders, folders that cannot be read, pipes
            and devices, which reading would not end of, and links to nothing.
    """
    seen: set[str] = set()
    waiting, linked = [folder], list[Path]()
    while waiting or linked:
        place = waiting.pop() if waiting else linked.pop(0)
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            leave_out(place, f"{UNREADABLE} ({error.strerror or error})")
            continue
        inside: list[Path] = []
        for entry in entries:
            path = place / entry.name
            if entry.name.startswith("."):
                leave_out(path, "hidden")
            elif entry.is_file():
                yield path
            elif entry.is_dir():
                (linked if entry.is_symlink() else inside).append(path)
            else:
                leave_out(path, _no_file(path))
        waiting += reversed(inside)


@cache
def image_suffixes() -> frozenset[str]:
    """Endings of image files that can be read here: HEIC if its package is installed."""
    return IMAGE_SUFFIXES | (HEIC_SUFFIXES if heic_is_read() else frozenset())


@cache
def heic_is_read() -> bool:
    """True if the package for HEIC files is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def kind_of_file(path: Path) -> FileKind | None:
    """Kind of source that a file belongs to by its ending; None if it is not read."""
    suffix = path.suffix.lower()
    if suffix in image_suffixes():
        return "images"
    return {".parquet": "parquet", ".tar": "webdataset"}.get(suffix)  # type: ignore[return-value]


def only_kind(kind: FileKind) -> Callable[[Path], str | None]:
    """The reason to leave a file out of a source of one kind, for [`Listing.without`]."""

    def reason(path: Path) -> str | None:
        found = kind_of_file(path)
        if found == kind:
            return None
        if found is not None:
            return f"in a folder that is read for its {_SUFFIX[kind]} files"
        if path.suffix.lower() in HEIC_SUFFIXES:
            return f"not read: {HEIC_ADVICE}"
        return f"with the ending {path.suffix}" if path.suffix else "without an ending"

    return reason


_SUFFIX: dict[FileKind, str] = {"images": "image", "parquet": ".parquet", "webdataset": ".tar"}


def _no_file(path: Path) -> str:
    return "linked to nothing" if path.is_symlink() and not path.exists() else "no regular files"
