"""Pair the images of a folder with their depth files.

Depth is paired by name. For `a/name.jpg` the first of these that exists is taken: `a/name_depth.EXT`,
`a/name.depth.EXT`, and, where a folder in the path is called images, image or rgb, the same path with that folder
called depth (`images/x/name.jpg` -> `depth/x/name.EXT`); EXT is one of `DEPTH_SUFFIXES`. Images that differ in their
suffix alone share a depth. Maps in a folder of their own are paired by `map_folders`.
"""

from functools import lru_cache
from pathlib import Path

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.depth_decoding import decode_depth
from semidepth.data.reading.map_folders import paired_maps
from semidepth.data.source_spec import (
    DEPTH_FOLDER,
    DEPTH_SUFFIXES,
    IMAGE_FOLDERS,
    Source,
    local_files,
)


@lru_cache(maxsize=16)
def image_files(source: Source, labeled: bool) -> list[tuple[str, str | None]]:
    """Image and depth files of a source of images.

    Args:
        source: its location and how many are wanted.
        labeled: whether depth is; images without are then left out.

    Returns:
        Paths of image and depth, in order; None for depth that is not asked for.

    Raises:
        ValueError: depth is asked for and there is none.
    """
    images, root = local_files(source), Path(source.location)
    if not labeled:
        return [(str(path), None) for path in images[: source.count]]
    if source.maps is not None:
        pairs = paired_maps(source, images)
    else:
        pairs = [(str(path), str(depth)) for path in images if (depth := _depth_beside(path, root)) is not None]
    if not pairs:
        raise ValueError(
            f"source {source.spec!r} has no depth beside its {len(images)} images; name it NAME_depth.png "
            "(or npy, tiff), put it into a folder 'depth' that mirrors 'images', or, if these are the maps, say where "
            "their photos are with images=FOLDER"
        )
    _check_first(source, pairs[0][1])
    return pairs[: source.count]  # type: ignore[return-value]


def _check_first(source: Source, depth: str) -> None:
    """Raises ValueError for what only the user can settle, before a run begins: no scale, several arrays."""
    try:
        decode_depth(Path(depth), source.coding(), name=depth, key=source.key)
    except BrokenSampleError:
        pass  # skipped when its turn comes, and told then
    except ValueError as error:
        raise ValueError(f"source {source.spec!r}: {error}") from None


def _depth_beside(image: Path, root: Path) -> Path | None:
    stems = [image.with_name(f"{image.stem}{mark}") for mark in ("_depth", ".depth")]
    folders = image.relative_to(root).parts[:-1] if image.is_relative_to(root) else image.parent.parts[-2:]
    start = len(image.parts) - 1 - len(folders)
    for place, folder in enumerate(folders):
        if folder in IMAGE_FOLDERS:
            parts = list(image.parts)
            parts[start + place] = DEPTH_FOLDER
            stems.append(Path(*parts).with_suffix(""))
    candidates = (Path(f"{stem}{suffix}") for stem in stems for suffix in DEPTH_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)
