"""Turn the stored numbers of a depth map into metres."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.data.decoding import DECODING_ERRORS, BrokenSampleError, cause_of
from semidepth.data.depth_coding import METRES, DepthCoding
from semidepth.data.depth_files import stored_numbers


def decode_depth(
    depth: bytes | str | Path | Tensor | np.ndarray | list[Any],
    coding: DepthCoding = METRES,
    name: str | None = None,
    *,
    key: str | None = None,
) -> Tensor:
    """Decode one depth map to metres.

    8-bit maps are taken for inverse depth only, or where `kind` says depth: 256 steps of depth are coarse, and are
    mostly a picture made for viewing.

    Args:
        depth: content of a file (PNG, TIFF, PFM, `.npy`, `.npz`, EXR), a path, or an array (H, W), also with further
            axes of length 1.
        coding: what the stored numbers mean.
        name: what to call the map in errors; by default its path.
        key: of the array in an `.npz`, or the channel of an `.exr`.

    Returns:
        (H, W) float32, metres (of an unknown factor where `coding.invariant`), larger is farther; NaN unknown, inf sky.

    Raises:
        BrokenSampleError: not a depth map, truncated, too large, of several channels, or 8-bit depth.
        ValueError: integer values without a scale, or several arrays to choose from.
    """
    name = name or (str(depth) if isinstance(depth, str | Path) else "depth")
    stored = _as_map(_stored(depth, name, key, coding), name)
    integer = not np.issubdtype(stored.dtype, np.floating)
    if stored.dtype.itemsize == 1 and coding.kind is None:
        raise BrokenSampleError(
            f"{name} holds 8-bit depth, too coarse to use; store 16-bit integers or floats, or say kind= if it is depth"
        )
    if coding.scale is None and coding.invariant is None and integer:
        raise ValueError(
            f"{name} holds {stored.dtype} depth without a scale; give depth_scale in metres per unit "
            "(0.001 for millimetres)"
        )
    if stored.dtype == np.uint16 and stored.size > 65536 and not coding.per_map:
        # There are fewer numbers than pixels: each is converted once, here or for an earlier map.
        return torch.from_numpy(_metres_of_uint16(coding).take(stored))
    return _metres(stored, coding, name)


def match_depth_to_image(depth: Tensor, image: Tensor, name: str, *, stretch: bool = False) -> Tensor:
    """Resize a depth map to its image's size by nearest neighbour, which keeps NaN and inf.

    Args:
        depth: (h, w) float32, metres.
        image: (3, H, W), the image it belongs to.
        name: what to call the sample in the error.
        stretch: whatever its aspect ratio, the map covers the whole image.

    Returns:
        (H, W) float32, metres.

    Raises:
        BrokenSampleError: the two have different aspect ratios (beyond rounding), so they cannot cover the
            same view.
    """
    (rows, columns), (height, width) = depth.shape, image.shape[-2:]
    if (rows, columns) == (height, width):
        return depth
    if not stretch and abs(rows * width - columns * height) > max(rows, columns, height, width):
        raise BrokenSampleError(
            f"{name} has an image of {width}x{height} and depth of {columns}x{rows}, of another aspect ratio; "
            "say stretch=yes if it covers the whole image"
        )
    return F.interpolate(depth[None, None], size=(height, width), mode="nearest-exact")[0, 0]


def _stored(
    depth: bytes | str | Path | Tensor | np.ndarray | list[Any], name: str, key: str | None, coding: DepthCoding
) -> np.ndarray:
    try:
        if isinstance(depth, Tensor):
            return depth.numpy()
        if isinstance(depth, np.ndarray | list):
            return np.asarray(depth)
        data = depth if isinstance(depth, bytes) else Path(depth).read_bytes()
    except DECODING_ERRORS as error:
        raise BrokenSampleError(f"{name} cannot be decoded as depth: {cause_of(error)}") from error
    return stored_numbers(data, name, key=key, kind=coding.meaning)


def _as_map(stored: np.ndarray, name: str) -> np.ndarray:
    """Drops axes of length 1 around height and width, and checks that numbers are left."""
    shape = tuple(stored.shape)
    while stored.ndim > 2 and 1 in (stored.shape[0], stored.shape[-1]):
        stored = stored[0] if stored.shape[0] == 1 else stored[..., 0]  # (1, H, W) or (H, W, 1) -> (H, W)
    if stored.ndim != 2 or stored.size == 0:
        raise BrokenSampleError(f"{name} has the shape {shape}; a depth map must be (height, width)")
    if not np.issubdtype(stored.dtype, np.number) or np.issubdtype(stored.dtype, np.complexfloating):
        raise BrokenSampleError(f"{name} holds {stored.dtype} values; a depth map must hold integers or floats")
    return stored


def _metres(stored: np.ndarray, coding: DepthCoding, name: str) -> Tensor:
    """Convert stored numbers of any shape to metres; NaN unknown, inf sky."""
    zero, kind = coding.zero, coding.meaning
    if zero is None:
        integer = not np.issubdtype(stored.dtype, np.floating)
        zero = "unknown" if integer or (kind == "depth" and coding.invariant != "affine") else "value"
    unknown = _is_one_of(stored, coding.unknown + ((0,) if zero == "unknown" else ()))
    sky = _is_one_of(stored, coding.sky + ((0,) if zero == "sky" else ()))
    values = torch.from_numpy(stored.astype(np.float32)) * (1.0 if coding.scale is None else coding.scale)
    values = torch.where(unknown | sky, torch.nan, values + coding.shift)
    if coding.invariant == "affine":
        values = _with_origin(values, coding, name)
    if kind == "disparity":
        metres = torch.where(values >= 0, 1.0 / values.abs(), torch.nan)  # 0, and -0 -> inf: sky
    else:
        metres = values.exp() if kind == "log_depth" else values
        metres = torch.where(values.isfinite() & metres.isinf(), torch.nan, metres)  # too large a logarithm
    metres = torch.where(sky, torch.inf, torch.where(metres > 0, metres, torch.nan))
    near = -torch.inf if coding.min_depth_m is None else coding.min_depth_m
    far = torch.inf if coding.max_depth_m is None else coding.max_depth_m
    return torch.where((metres >= near) & ((metres <= far) | torch.isinf(metres)), metres, torch.nan)


def _is_one_of(stored: np.ndarray, numbers: tuple[float, ...]) -> Tensor:
    """True where a stored number is one of these, compared in the type that it is stored in."""
    found = np.zeros(stored.shape, dtype=bool)
    for number in numbers:
        whole = isinstance(number, int) or number.is_integer()
        if np.issubdtype(stored.dtype, np.floating) or whole:
            found |= stored == (int(number) if np.issubdtype(stored.dtype, np.integer) else number)
    return torch.from_numpy(found)


def _with_origin(values: Tensor, coding: DepthCoding, name: str) -> Tensor:
    """Numbers that were known up to a factor and a summand, moved to where they are depth or inverse depth."""
    known = values[values.isfinite()]
    if len(known) == 0:
        return values
    low, high = known.min(), known.max()
    if coding.near is None:  # inverse depth, whose least value may stand for any distance: for the farthest, sky
        return values - low.clamp(max=0)
    if low == high:
        raise BrokenSampleError(f"{name} is {low:g} everywhere; a map of one value has no shape")
    return coding.near + (1 - coding.near) * (values - low) / (high - low)


@lru_cache(maxsize=32)
def _metres_of_uint16(coding: DepthCoding) -> np.ndarray:
    """(65536,) float32: metres of each stored number."""
    return _metres(np.arange(65536, dtype=np.uint16), coding, "").numpy()
