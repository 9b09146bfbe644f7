"""Pair the images of a folder with their depth files.

Depth is paired by name, in capitals or not. For `a/name.jpg` that is `a/name_depth.EXT` or `a/name.depth.EXT`; without
one, where a folder in the path is called images, image or rgb, the file of the same path with that folder called depth
(`images/x/name.jpg` -> `depth/x/name.EXT`), or by another name for it (depths, depth_png) if only one is there. EXT is
one of `DEPTH_SUFFIXES`. Images that differ in their suffix alone share a depth. Maps in a folder of their own are
paired by `map_folders`.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from semidepth.common.files import literal_part
from semidepth.data.decoding import BrokenSampleError
from semidepth.data.depth_decoding import decode_depth
from semidepth.data.depth_names import IMAGE_FOLDERS, says_depth
from semidepth.data.listing import LeftOut, Listing, NoLabelsError
from semidepth.data.masks.finding import NO_MASKS, mask_finder
from semidepth.data.reading.map_folders import paired_maps
from semidepth.data.reading.parts import cut_images, uncut
from semidepth.data.source_spec import DEPTH_FOLDER, DEPTH_SUFFIXES, Source, listing_of

NO_DEPTH = "without depth beside them"


@dataclass(frozen=True)
class ImageFiles:
    """Images of a source with their depth files (None where depth is not asked for), and the listing of all files."""

    pairs: list[tuple[str, str | None]]
    listing: Listing


def image_files(source: Source, labeled: bool) -> list[tuple[str, str | None]]:
    """Image and depth files of a source of images.

    Args:
        source: its location and how many are wanted.
        labeled: whether depth is; images without are then left out.

    Returns:
        Paths of image and depth, in order; None for depth that is not asked for.

    Raises:
        ValueError: depth is asked for and there is none, or an image has several.
    """
    return find_images(source, labeled).pairs


@lru_cache(maxsize=16)
def find_images(source: Source, labeled: bool) -> ImageFiles:
    """Image and depth files of a source of images, and what is left out; see [`image_files`]."""
    listing = listing_of(source)
    images = listing.used
    pairs: list[tuple[str, str | None]]
    if not labeled:
        if source.masks is not None:
            masks_of = mask_finder(source)
            listing = listing.without(lambda path: NO_MASKS if masks_of(path) is None else None)
            if not listing.used:
                raise NoLabelsError(f"source {source.spec!r} has no masks of its {len(images)} images; check masks=")
        pairs = [(str(path), None) for path in listing.used[: source.count]]
        return ImageFiles(_part(source, pairs), listing)
    if source.maps is not None:
        pairs = list(paired_maps(source, images))
    else:
        beside = _Beside(source)
        pairs = [(str(path), str(depth)) for path in images if (depth := beside.depth_of(path)) is not None]
    if not pairs:
        others = f" (found: {listing.told()})" if listing.left_out else ""
        raise NoLabelsError(
            f"source {source.spec!r} has no depth beside its {len(images)} images{others}; name it NAME_depth.png "
            "(or npy, tiff), put it into a folder 'depth' that mirrors 'images', or, if these are the maps, say where "
            "their photos are with images=FOLDER"
        )
    _check_first(source, str(pairs[0][1]))
    with_depth, used = {image for image, _ in pairs}, {depth for _, depth in pairs}
    left_out = tuple(each for each in listing.left_out if str(each.path) not in used)
    alone = tuple(LeftOut(path, NO_DEPTH) for path in images if str(path) not in with_depth)
    found = Listing(tuple(path for path in images if str(path) in with_depth), left_out + alone)
    return ImageFiles(_part(source, pairs[: source.count]), found)


def _part(source: Source, pairs: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """The images of a source's part."""
    if source.part is None:
        return pairs
    cut = cut_images((image for image, _ in pairs), Path(source.location))
    if cut is None:
        raise uncut(source)
    return [pair for pair in pairs if (pair[0] in cut.held) == (source.part == "held_out")]


def _check_first(source: Source, depth: str) -> None:
    """Raises ValueError for what only the user can settle, before a run begins: no scale, several arrays."""
    try:
        decode_depth(Path(depth), source.coding(), name=depth, key=source.key)
    except BrokenSampleError:
        pass  # skipped when its turn comes, and told then
    except ValueError as error:
        raise ValueError(f"source {source.spec!r}: {error}") from None


class _Beside:
    """Depth files beside the images of a source, and in folders that mirror theirs."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._root = literal_part(source.location)
        self._known: dict[Path, dict[str, list[Path]]] = {}

    def depth_of(self, image: Path) -> Path | None:
        """The depth file of an image; None if there is none, ValueError if there are several."""
        found = self._files(image.parent, f"{image.stem}_depth", f"{image.stem}.depth")
        if not found:
            found = [file for folder in self._mirrors(image.parent) for file in self._files(folder, image.stem)]
        if len(found) > 1:
            names, root = ", ".join(str(path) for path in found), self._root
            raise ValueError(
                f"source {self._source.spec!r}: the photo {image} has {len(found)} depth files ({names}); keep one "
                f"of them, or say how the right ones are called, as in {root}?images={root}&map={{}}_depth.npy"
            )
        return found[0] if found else None

    def _files(self, folder: Path, *stems: str) -> list[Path]:
        """Files of a folder with one of these names and an ending of a depth file."""
        names = self._names(folder)
        files = [
            path for stem in stems for suffix in DEPTH_SUFFIXES for path in names.get(f"{stem}{suffix}".lower(), ())
        ]
        return [path for path in files if path.is_file()]

    def _mirrors(self, folder: Path) -> list[Path]:
        """Folders that lie as this one does, below depth instead of images."""
        parts = folder.parts
        first = max(0, min(len(self._root.parts) - 1, len(parts) - 2))  # the source may itself be called images
        return [
            path.joinpath(*parts[place + 1 :])
            for place in range(first, len(parts))
            if parts[place].lower() in IMAGE_FOLDERS
            for path in self._depth_folders(Path(*parts[:place]))
        ]

    def _depth_folders(self, folder: Path) -> list[Path]:
        """The folder called depth in this one, else all that have another name for it."""
        names = self._names(folder)
        exact = names.get(DEPTH_FOLDER, [])
        return exact or [path for paths in names.values() for path in paths if says_depth(path.name) and path.is_dir()]

    def _names(self, folder: Path) -> dict[str, list[Path]]:
        """Entries of a folder, by their names in small letters."""
        if folder not in self._known:
            names: dict[str, list[Path]] = {}
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                names.setdefault(path.name.lower(), []).append(path)
            self._known[folder] = names
        return self._known[folder]
