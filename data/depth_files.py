"""Read the numbers of a depth file as they are stored, whatever the file.

Pillow reads PNG, TIFF and PFM, kornia_rs 16-bit PNG quicker and to the same values, NumPy `.npy` and `.npz`, and
OpenEXR, an optional package, `.exr`. What the numbers mean is for `depth_decoding`; only what a file itself says of
them is applied here. MoGe's 16-bit PNG holds the logarithm of depth and says so: it is read as depth.

The scale in the header of a PFM is not: its sign is the order of bytes, and what its size means differs between sets.
"""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kornia_rs.io import decode_image_png_u16
from PIL import Image

from semidepth.data.decoding import (
    DECODING_ERRORS,
    DEEP_GRAY,
    MAX_PIXELS,
    BrokenSampleError,
    cause_of,
    check_pixels,
    load_pixels,
    open_picture,
)
from semidepth.data.orientation import orientation_of, turn_upright
from semidepth.media.tiff_layouts import as_stored

_NPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_EXR = b"\x76\x2f\x31\x01"
_COLOR_PFM = re.compile(rb"PF\s")
_PNG_BIT_DEPTH = 24  # place of that byte in a PNG
_LARGEST_NUMBER = 8  # bytes

# Names of arrays and channels that hold depth, beside those that say what kind it is.
_DEPTH_NAMES = ("depth", "disparity")


def stored_numbers(data: bytes, name: str, *, key: str | None = None, kind: str = "depth") -> np.ndarray:
    """The numbers of a depth file.

    Args:
        data: content of the file.
        name: what to call it in errors.
        key: of the array in an `.npz`, or the channel of an `.exr`. Without it the array called as `kind` is taken,
            then `depth`, `disparity`, then the only one.
        kind: of the numbers, as `depth_decoding` has it.

    Returns:
        (H, W), or as the array is stored: integers or floats as they are in the file. A MoGe PNG gives float32 depth,
        NaN unknown, inf for what is infinitely far.

    Raises:
        BrokenSampleError: not a depth file, truncated, too large, or of several channels.
        ValueError: several arrays or channels to choose from and none is named, or OpenEXR is not installed.
    """
    names = tuple(dict.fromkeys((kind, *_DEPTH_NAMES)))
    try:
        if data.startswith(_NPY):
            return _npy(data, name)
        if data.startswith(_ZIP):
            return _npz(data, name, key, names)
        if data.startswith(_EXR):
            return _exr(data, name, key, names)
        return _picture(data, name)
    except (BrokenSampleError, _ChoiceError):
        raise
    except (*DECODING_ERRORS, zipfile.BadZipFile, zlib.error) as error:
        raise BrokenSampleError(f"{name} cannot be decoded as depth: {cause_of(error)}") from error


def turns_itself(depth: object) -> bool:
    """True for a depth file with an EXIF orientation of its own: its numbers are given upright."""
    if not isinstance(depth, bytes | Path):
        return False
    try:
        picture = open_picture(depth if isinstance(depth, bytes) else depth.read_bytes())
        return picture.format in ("PNG", "TIFF") and orientation_of(picture) != 1
    except DECODING_ERRORS:
        return False  # no picture


class _ChoiceError(ValueError):
    """An error that only the user can settle: it ends a run, while a broken file is skipped."""


def _npy(data: bytes, name: str) -> np.ndarray:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:  # 3.0 is for fields with names
        raise BrokenSampleError(f"{name} is an .npy file of version {version}; store a plain array of numbers")
    shape = headers[version](stream)[0]
    if math.prod(shape) > MAX_PIXELS:  # before it is allocated
        raise BrokenSampleError(
            f"{name} says that it has the shape {shape}; the most that is decoded is {MAX_PIXELS:,} pixels"
        )
    return np.load(io.BytesIO(data), allow_pickle=False)


def _npz(data: bytes, name: str, key: str | None, names: Sequence[str]) -> np.ndarray:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        member = members[_choose(list(members), name, key, names, "arrays")]
        if member.file_size > MAX_PIXELS * _LARGEST_NUMBER:  # a small file may unpack to gigabytes
            raise BrokenSampleError(
                f"{name} holds {member.file_size:,} bytes of {member.filename!r}; the most that is decoded is a map of "
                f"{MAX_PIXELS:,} pixels"
            )
        return _npy(archive.read(member), name)


def _exr(data: bytes, name: str, key: str | None, names: Sequence[str]) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError:
        raise _ChoiceError(
            f"{name} is an EXR file, which the package OpenEXR reads; pip install 'semidepth[exr]'"
        ) from None

    def opened(*, header_only: bool) -> Any:
        return OpenEXR.File(io.BytesIO(data), separate_channels=True, header_only=header_only, num_threads=0)

    with opened(header_only=True) as file:  # which empties its header when it is closed
        header, parts = file.header(), len(file.parts)
        window, display = (np.stack(header[each]) for each in ("dataWindow", "displayWindow"))
        channels = [channel.name for channel in header["channels"]]
    width, height = (int(length) for length in window[1] - window[0] + 1)
    check_pixels((width, height), name)
    if parts > 1 or not np.array_equal(window, display):
        raise BrokenSampleError(f"{name} has {parts} parts or covers a part of its picture; store one whole map")
    with opened(header_only=False) as file:
        pixels = {channel: file.channels()[channel].pixels for channel in channels}
    if key is None and set(channels) >= {"R", "G", "B"} and set(channels) <= set("RGBA"):
        equal = all(np.array_equal(pixels["R"], pixels[channel], equal_nan=True) for channel in "GB")
        key = "R" if equal else None  # gray, written as a colour
    if key is None:
        # Renderers call it Z, below the name of a layer: ViewLayer.Depth.Z.
        layered = [each for each in channels if {part.lower() for part in each.split(".")} & {*names, "z"}]
        key = layered[0] if len(layered) == 1 else None
    return pixels[_choose(channels, name, key, names, "channels")]


def _choose(found: list[str], name: str, key: str | None, names: Sequence[str], what: str) -> str:
    """The array or channel that holds depth."""
    if key is not None and key not in found:
        raise _ChoiceError(f"{name} has no {key!r} among its {what} {', '.join(found)}; name one of them with key=NAME")
    exact = [each for each in names if each in found]
    if key is None and not exact and len(found) != 1:
        raise _ChoiceError(f"{name} has the {what} {', '.join(found)}; say which one is the depth with key=NAME")
    return key or (exact[0] if exact else found[0])


def _picture(data: bytes, name: str) -> np.ndarray:
    if _COLOR_PFM.match(data):
        raise BrokenSampleError(f"{name} is a PFM file of three channels; depth needs one channel")
    picture = open_picture(data)
    check_pixels(picture.size, name)
    numbers = _pixels(picture, data, name)
    if picture.format == "PNG" and b"eXIf" in data:  # TIFF is turned by Pillow
        return turn_upright(torch.from_numpy(np.array(numbers)), orientation_of(picture)).numpy()
    return numbers


def _pixels(picture: Image.Image, data: bytes, name: str) -> np.ndarray:
    """The numbers of a picture of one channel, or of three equal ones."""
    if picture.format == "PNG" and picture.mode in ("I;16", "I") and not getattr(picture, "is_animated", False):
        return _undo_moge(_deep_png(data, picture.size, name), picture, name)
    load_pixels(picture)
    deep = picture.format == "PNG" and data[_PNG_BIT_DEPTH] == 16  # of which Pillow drops the lower half
    if picture.mode == "RGB" and not deep:
        pixels = np.asarray(picture)
        if (pixels[..., :1] == pixels).all():  # gray, written as a colour
            return pixels[..., 0]
    if picture.mode not in (*DEEP_GRAY, "F", "L"):
        depth_of = "16-bit " if deep else ""
        raise BrokenSampleError(
            f"{name} has {depth_of}{picture.mode} pixels; depth needs one channel of integers or floats"
        )
    return as_stored(picture)


def _deep_png(data: bytes, size: tuple[int, int], name: str) -> np.ndarray:
    """Decode a 16-bit gray PNG to (H, W) uint16."""
    width, height = size
    try:
        return decode_image_png_u16(data, (height, width), "mono")[..., 0]  # (H, W, 1) -> (H, W)
    except Exception as error:  # kornia_rs has no class of its own for what it refuses
        raise BrokenSampleError(f"{name} cannot be decoded as depth: {cause_of(error)}") from error


def _undo_moge(stored: np.ndarray, picture: Image.Image, name: str) -> np.ndarray:
    """Depth of a PNG that says which depth its first and last step are, as MoGe's `write_depth` does; others as stored.

    0 is unknown, 65535 infinitely far, and from 1 to 65534 the logarithm of depth runs evenly from that of the text
    `near` to that of `far` (github.com/microsoft/MoGe, moge/utils/io.py). Older files also have a `unit` in metres.
    """
    if not {"near", "far"} <= set(picture.info):
        return stored
    try:
        near, far, unit = (float(picture.info.get(text, 1.0)) for text in ("near", "far", "unit"))
    except (TypeError, ValueError):
        raise BrokenSampleError(f"{name} has texts near and far that are no numbers") from None
    if not (0 < near <= far < np.inf and 0 < unit < np.inf):
        raise BrokenSampleError(f"{name} says near={near}, far={far}, unit={unit}; expected 0 < near <= far")
    place = (np.arange(65536) - 1) / 65533
    depth = unit * near * (far / near) ** place
    depth[0], depth[65535] = np.nan, np.inf
    return depth.astype(np.float32)[stored]
