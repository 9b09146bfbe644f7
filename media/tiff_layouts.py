"""TIFF files that Pillow reads otherwise than they are written: put right, or refused."""

import numpy as np
from PIL import Image

_BITS, _PHOTOMETRIC, _SAMPLES, _PLANES, _FORMAT = 258, 262, 277, 284, 339
_MIN_IS_WHITE, _SEPARATE, _UNSIGNED, _SIGNED = 0, 2, 1, 2


def check_layout(picture: Image.Image) -> None:
    """Raises ValueError for a TIFF image (not depth) whose pixels Pillow would give wrongly."""
    if picture.format != "TIFF":
        return
    bits = max(_tag(picture, _BITS, 1))
    if bits > 8 and _tag(picture, _SAMPLES, 1)[0] > 1 and _tag(picture, _PLANES, 1)[0] == _SEPARATE:
        raise ValueError(f"it stores {bits}-bit colours plane by plane; store them pixel by pixel, or with 8 bits")
    if _SIGNED in _tag(picture, _FORMAT, _UNSIGNED):
        raise ValueError(f"it has signed {bits}-bit pixels; an image must have 8 or 16 bits per channel, unsigned")


def full_range(picture: Image.Image) -> tuple[int, bool]:
    """The largest level of an image with one deep channel, and whether it is black.

    Returns:
        65535 and False, unless the image is a TIFF that says otherwise: it may have 12 bits, or 0 for white.
    """
    if picture.format != "TIFF":
        return 65535, False
    bits = _tag(picture, _BITS, 16)[0]
    return 2**bits - 1 if bits < 16 else 65535, _tag(picture, _PHOTOMETRIC, 1)[0] == _MIN_IS_WHITE


def as_stored(picture: Image.Image) -> np.ndarray:
    """The numbers of a loaded picture of one channel, as they are in the file."""
    numbers = np.asarray(picture)
    if picture.format != "TIFF":
        return numbers
    bits, kind = _tag(picture, _BITS, 1)[0], _tag(picture, _FORMAT, _UNSIGNED)[0]
    if picture.mode == "I" and bits == 32 and kind == _UNSIGNED:
        return numbers.view(np.uint32)
    if picture.mode == "L" and _tag(picture, _PHOTOMETRIC, 1)[0] == _MIN_IS_WHITE:
        numbers = 255 - numbers  # Pillow made white of 0, which is for viewers
    return numbers.view(np.int8) if picture.mode == "L" and kind == _SIGNED else numbers


def _tag(picture: Image.Image, tag: int, default: int) -> tuple[int, ...]:
    found = picture.tag_v2.get(tag, default)  # type: ignore[attr-defined]
    return found if isinstance(found, tuple) else (found,)
