"""Pair photos with depth maps that lie in a folder of their own, as other tools write them.

Names are compared without endings, relative to the two folders. For the photo `a/name.jpg` the first of these is taken:
`a/name.EXT`, `a/name_depth.EXT` or `a/name.depth.EXT`, `a/name/depth.EXT`, the only map below a folder `a/name`. Where
the maps lie side by side and the photos in folders, `name.EXT` also serves, if no other photo has that name.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path, PurePosixPath

from semidepth.data.listing import list_files
from semidepth.data.source_spec import DEPTH_SUFFIXES, Source

logger = logging.getLogger(__name__)

SHOWN = 3


@dataclass(frozen=True)
class Pairing:
    """Photos with their maps, and what is left over; paths relative to the two folders, in the photos' order."""

    pairs: list[tuple[PurePosixPath, PurePosixPath]]
    photos_left: list[PurePosixPath]
    maps_left: list[PurePosixPath]


def paired_maps(source: Source, photos: Sequence[Path]) -> list[tuple[str, str]]:
    """Photos of a source with their maps; how many there are, and what is left over, is logged.

    Args:
        source: with `maps`.
        photos: of the source, in order.

    Returns:
        Paths of photo and map, in the photos' order.

    Raises:
        ValueError: no photo has a map, or one has several.
    """
    root, folder = root_of(source.location), Path(source.maps or "").expanduser()
    known = set(photos)
    maps = [path for path in _files(folder) if path.suffix.lower() in DEPTH_SUFFIXES and path not in known]
    names = [PurePosixPath(path.relative_to(root).as_posix()) for path in photos]
    try:
        found = pair_by_name(names, [PurePosixPath(path.relative_to(folder).as_posix()) for path in maps], source.map)
    except ValueError as error:
        raise ValueError(f"source {source.spec!r}: {error}") from None
    if not found.pairs:
        raise ValueError(
            f"source {source.spec!r}: no photo ({_some(names)}) has a map of its name ({_some(found.maps_left)}); "
            "rename them, or say how a map is called, as in map={}_depth.npy"
        )
    if found.photos_left or found.maps_left:
        logger.warning(
            "source %s: %d photos have a map; left out are %d photos without one (%s) and %d maps of no photo (%s)",
            source.spec, len(found.pairs), len(found.photos_left), _some(found.photos_left),
            len(found.maps_left), _some(found.maps_left),
        )  # fmt: skip
    else:
        logger.info("source %s: all %d photos have a map", source.spec, len(found.pairs))
    return [(str(root / photo), str(folder / map_)) for photo, map_ in found.pairs]


def pair_by_name(
    photos: Sequence[PurePosixPath], maps: Sequence[PurePosixPath], template: str | None = None
) -> Pairing:
    """Pairs photos with maps as described above, or by a template alone.

    Args:
        photos: relative to their folder.
        maps: relative to theirs.
        template: a map's file, `{}` standing for the photo's name without its ending, in the folder that is called as
            the photo's.

    Returns:
        The pairs, and what has no partner. Photos that differ in their ending alone share a map.

    Raises:
        ValueError: several maps of one photo are equally good; they are named.
    """
    by_name: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
    for path in maps:
        by_name[str(path.with_suffix(""))].append(path)
    partner: dict[PurePosixPath, PurePosixPath] = {}
    for photo in photos:
        candidates: Iterable[list[PurePosixPath]]
        if template is not None:
            wanted = photo.parent / template.replace("{}", photo.stem)
            candidates = [[path for path in by_name[str(wanted.with_suffix(""))] if path == wanted]]
        else:
            name = str(photo.with_suffix(""))
            candidates = (by_name[name], by_name[f"{name}_depth"] + by_name[f"{name}.depth"], by_name[f"{name}/depth"])
        for found in candidates:
            if found:
                partner[photo] = _only(photo, found)
                break
    if template is None:
        left = [photo for photo in photos if photo not in partner]
        partner |= _in_folders(left, photos, maps, set(partner.values())) or _side_by_side(left, photos, maps, by_name)
    used = set(partner.values())
    return Pairing(
        [(photo, partner[photo]) for photo in photos if photo in partner],
        [photo for photo in photos if photo not in partner],
        [path for path in maps if path not in used],
    )


def _in_folders(
    left: Sequence[PurePosixPath],
    photos: Sequence[PurePosixPath],
    maps: Sequence[PurePosixPath],
    used: set[PurePosixPath],
) -> dict[PurePosixPath, PurePosixPath]:
    """Photos whose only map lies below a folder of their name, where no photo lies below such a folder."""
    below: defaultdict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for path in maps:
        for folder in path.parents:
            below[folder].append(path)
    folders = {folder for photo in photos for folder in photo.parents}
    found = {}
    for photo in left:
        name = photo.with_suffix("")
        free = [path for path in below[name] if path not in used]
        if free and name not in folders:
            found[photo] = _only(photo, free)
    return found


def _side_by_side(
    left: Sequence[PurePosixPath],
    photos: Sequence[PurePosixPath],
    maps: Sequence[PurePosixPath],
    by_name: dict[str, list[PurePosixPath]],
) -> dict[PurePosixPath, PurePosixPath]:
    """Photos in folders, by their bare name, where all maps lie in one folder."""
    if any(len(path.parts) > 1 for path in maps):
        return {}
    names = Counter(photo.stem for photo in photos)
    found = {}
    for photo in left:
        candidates = by_name.get(photo.stem) or by_name.get(f"{photo.stem}_depth") or by_name.get(f"{photo.stem}.depth")
        if candidates and names[photo.stem] == 1:
            found[photo] = _only(photo, candidates)
    return found


def _only(photo: PurePosixPath, found: Sequence[PurePosixPath]) -> PurePosixPath:
    if len(found) > 1:
        ending = str(found[0]).removeprefix(f"{photo.parent}/").replace(photo.stem, "{}", 1)
        raise ValueError(f"the photo {photo} has {len(found)} maps ({_some(found)}); say which, as in map={ending}")
    return found[0]


def _some(paths: Sequence[PurePosixPath]) -> str:
    """Names of the first three, for a sentence."""
    shown = ", ".join(map(str, paths[:SHOWN]))
    return shown + (", …" if len(paths) > SHOWN else "") if paths else "none"


def root_of(location: str) -> Path:
    """The folder that names are relative to: of a pattern, the last one above its first sign."""
    path = Path(location)
    if path.is_dir():
        return path
    while has_magic(str(path)) or path.is_file():
        path = path.parent
    return path


def _files(folder: Path) -> list[Path]:
    """All files below a folder in order, hidden ones left out."""
    return sorted(list_files(str(folder)).used)
