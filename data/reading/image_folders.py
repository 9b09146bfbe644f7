"""Pair the images of a folder with their depth files.

Depth is paired by name. For `a/name.jpg` the first of these that exists is taken: `a/name_depth.EXT`,
`a/name.depth.EXT`, and, where a folder in the path is called images, image or rgb, the same path with that folder
called depth (`images/x/name.jpg` -> `depth/x/name.EXT`); EXT is png, npy, tiff or tif. Images that differ in their
suffix alone share a depth.
"""

from functools import lru_cache
from pathlib import Path

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
    pairs = [(str(path), str(depth)) for path in images if (depth := _depth_beside(path, root)) is not None]
    if not pairs:
        raise ValueError(
            f"source {source.spec!r} has no depth beside its {len(images)} images; name it NAME_depth.png "
            "(or npy, tiff), or put it into a folder 'depth' that mirrors 'images'"
        )
    return pairs[: source.count]  # type: ignore[return-value]


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
