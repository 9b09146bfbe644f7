"""Find the columns of a table, or the members of a tar's samples, that hold image and depth.

The exact name wins: `image`, and `depth` or `disparity`, with or without an ending as in `depth.png`. Without it a
single column that can be meant is taken. Where several can, nothing is: the order of columns means nothing.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from datasets import Features, Image, Value

from semidepth.data.depth_names import says_depth
from semidepth.data.listing import HEIC_SUFFIXES, IMAGE_SUFFIXES, NoLabelsError
from semidepth.data.source_spec import Source

# Columns that carry these names are used when a source has them.
SCALE_COLUMN = "depth_scale"
SHIFT_COLUMN = "depth_shift"
RELIABILITY_COLUMN = "reliability"
DOMAIN_COLUMN = "domain"
MODALITY_COLUMNS = ("semantic", "caption")
KEY_COLUMN = "__key__"  # a webdataset sample's name in its tar

_ENDINGS = IMAGE_SUFFIXES | HEIC_SUFFIXES


def image_column(source: Source, features: Features, names: Sequence[str]) -> str:
    """Name of the column that holds images.

    Args:
        source: its option `image` names the column.
        features: types of the columns, as far as they are known.
        names: of all columns. In a tar, what follows the first dot of its members' names.

    Raises:
        ValueError: no column can be meant, or several.
    """
    if source.image is not None:
        return named_column(source, "image", source.image, names)
    exact = [name for name in names if _base(name) == "image"]
    pictures = [name for name in names if _is_picture(name, features.get(name)) and not says_depth(name)]
    rivals = [name for name in pictures if is_rival(name)]
    for candidates in (exact, rivals if any(map(_is_bare, rivals)) else [], pictures):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise ValueError(_several(source, "image", candidates, names))
    raise ValueError(f"source {source.spec!r} has no image column among {', '.join(names)}; name it with image=NAME")


def depth_column(source: Source, features: Features, names: Sequence[str]) -> str:
    """Name of the column that holds depth or disparity.

    Args:
        source: its option `depth` names the column; of its `kind` are preferred.
        features: types of the columns, as far as they are known.
        names: of all columns.

    Raises:
        ValueError: no column can be meant, or several, or the one that can is of inverse depth and `kind` is not given.
    """
    if source.depth is not None:
        return named_column(source, "depth", source.depth, names)
    kind = "depth" if source.kind is None else source.kind.removeprefix("log_")
    maps = [name for name in names if not _is_number(features.get(name))]
    for candidates in (
        [name for name in maps if _base(name) == kind],
        [name for name in maps if says_depth(name, kind)],
        [name for name in maps if says_depth(name)],
    ):
        if len(candidates) == 1:
            if source.kind is None and says_depth(candidates[0], "disparity"):
                raise ValueError(
                    f"source {source.spec!r} has the column {candidates[0]} and does not say what it holds; add "
                    "kind=disparity for inverse depth (larger is nearer), or kind=depth"
                )
            return candidates[0]
        if candidates:
            raise ValueError(_several(source, "depth", candidates, names))
    raise NoLabelsError(f"source {source.spec!r} has no depth column among {', '.join(names)}; name it with depth=NAME")


def is_rival(name: str) -> bool:
    """True for a member of a tar that is a picture in its own right: `jpg`, `0001.jpg`, and not `normals.jpg`."""
    picture = _ends_as_image(name) and not says_depth(name)
    return picture and (_is_bare(name) or re.search(r"(^|\.)\d+\.", name) is not None)


def named_column(source: Source, option: str, name: str, names: Sequence[str]) -> str:
    """The name of a column that an option asks for; raises ValueError if there is none."""
    if name not in names and name.lower() in names:
        return name.lower()  # of a tar, whose members are in small letters
    if name not in names:
        raise ValueError(f"source {source.spec!r} has no column {name!r} for {option}; it has {', '.join(names)}")
    return name


def _several(source: Source, option: str, candidates: Sequence[str], names: Sequence[str]) -> str:
    what, rename = "columns", ""
    if KEY_COLUMN in names:
        what = "members in one sample"
        rename = "; members are one sample where their names are equal up to the first dot: rename them if they are not"
    return (
        f"source {source.spec!r} has several {what} that may be {option}: {', '.join(candidates)}; "
        f"name one with {option}=NAME{rename}"
    )


def _base(name: str) -> str:
    """`Depth.png` -> `depth`."""
    return name.partition(".")[0].lower()


def number_in(cell: Any) -> float:
    """The number in a cell, which may be written as text, as in a tar; NaN where it holds none."""
    try:
        return float(cell.decode() if isinstance(cell, bytes) else cell)
    except (TypeError, ValueError):
        return math.nan


def _is_picture(name: str, feature: object) -> bool:
    return isinstance(feature, Image) or _ends_as_image(name)


def _ends_as_image(name: str) -> bool:
    return f".{name.rpartition('.')[2].lower()}" in _ENDINGS


def _is_bare(name: str) -> bool:
    """True for a name that is only an ending, as jpg."""
    return f".{name.lower()}" in _ENDINGS


def _is_number(feature: object) -> bool:
    others = ("string", "large_string", "binary", "large_binary", "null")
    return isinstance(feature, Value) and feature.dtype not in others
