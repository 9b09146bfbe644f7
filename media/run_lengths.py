"""Masks as run lengths (RLE) and polygons, as COCO and Segment Anything store them.

Run lengths are decoded here: pycocotools 2.0.11 takes runs that end too early and fills the rest of the mask with
whatever lay in memory. It fills polygons, which are checked first: it crashes on coordinates far outside the picture.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_LONGEST_NUMBER = 7  # characters of five bits each
_POLYGON_ADVICE = "polygons are filled by the package pycocotools; pip install 'semidepth[masks]'"


def decode_run_lengths(record: Mapping[str, Any]) -> Mask:
    """Decodes a mask from run lengths.

    Args:
        record: `size` (height, width) and `counts`: how many pixels, column by column, are outside, inside, outside
            and so on; a list, or COCO's compressed text.

    Returns:
        (height, width), True inside.

    Raises:
        ValueError: the record is none of run lengths, or they do not fill the size.
    """
    try:
        height, width = (int(side) for side in record["size"])
        stored = record["counts"]
        text = stored.encode() if isinstance(stored, str) else stored
        counts = None if isinstance(text, bytes) else np.asarray(text, dtype=np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"its run lengths need size and counts, two numbers and a list or text ({error})") from None
    counts = _counts(text) if counts is None else counts
    if min(height, width) < 1 or counts.ndim != 1 or (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(f"its run lengths do not make up a mask of {width}x{height} pixels")
    inside = np.arange(len(counts)) % 2 == 1
    mask: Mask = np.repeat(inside, counts).reshape(width, height).T
    return mask


def _counts(text: bytes) -> NDArray[np.int64]:
    """The numbers in COCO's text: five bits in a character, lowest first, from the fourth on as differences."""
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 32) == 0)
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or len(ends) == 0 or ends[-1] != len(codes) - 1:
        raise ValueError("its run lengths are no text as COCO writes it")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends + 1 - starts
    if lengths.max() > _LONGEST_NUMBER:
        raise ValueError("its run lengths hold a number beyond all pictures")
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
    numbers -= np.where(codes[ends] & 16, 1 << (5 * lengths), 0)
    for first in (1, 2):
        numbers[first::2] = numbers[first::2].cumsum()
    return numbers


def encode_run_lengths(mask: Mask) -> dict[str, Any]:
    """Encodes a mask (height, width) as COCO's compressed run lengths, `size` and `counts`; needs pycocotools."""
    encoded: dict[str, Any] = _library().encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode()}


def fill_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> Mask:
    """Returns the pixels inside the polygons of one object.

    Args:
        polygons: x and y in turn, in pixels from the picture's upper left corner.
        height, width: of the mask.

    Returns:
        (height, width), True inside any of them.

    Raises:
        ValueError: there is no polygon of three corners, or one lies beyond the picture.
        ImportError: pycocotools is not installed.
    """
    try:
        corners = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
    except (TypeError, ValueError):
        raise ValueError("its polygons are no lists of numbers") from None
    if not corners or any(each.ndim != 1 or len(each) < 6 or len(each) % 2 for each in corners):
        raise ValueError("a polygon needs x and y of three corners or more")
    for each in corners:
        points = each.reshape(-1, 2)
        if not (np.isfinite(points).all() and (points > -1e4).all() and (points < (width + 1e4, height + 1e4)).all()):
            raise ValueError(f"a polygon lies beyond its picture of {width}x{height} pixels")
    library = _library()
    return decode_run_lengths(library.merge(library.frPyObjects(corners, height, width)))


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns the box round a mask, x, y, width and height in pixels; zeros for an empty one."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def require_polygons() -> None:
    """Raises ImportError, with advice, where polygons cannot be filled."""
    _library()


def _library() -> Any:
    try:
        from pycocotools import mask
    except ImportError:
        raise ImportError(_POLYGON_ADVICE) from None
    return mask
