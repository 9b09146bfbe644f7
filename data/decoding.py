"""Decode images to uint8 RGB tensors and depth files to float32 metres.

Pillow reads every header. Faster libraries then decode the pixels of the two most common kinds of file to the same
values: simplejpeg for 8-bit JPEG, kornia_rs for 16-bit gray PNG.
"""

import io
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejpeg
import torch
from kornia_rs.io import decode_image_png_u16
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

# Below Pillow's own warning at 89 million: a small file that unpacks to gigabytes must not end a worker.
MAX_PIXELS = 80_000_000

_NPY = b"\x93NUMPY"
_EXR = b"\x76\x2f\x31\x01"
_DEEP_GRAY = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_JPEG_END = b"\xff\xd9"
_EXIF_ORIENTATION = 0x0112
# What a viewer does with (3, H, W) pixels, by EXIF orientation: whether to swap rows and columns, then what to flip.
_UPRIGHT: dict[int, tuple[bool, tuple[int, ...]]] = {
    2: (False, (2,)),
    3: (False, (1, 2)),
    4: (False, (1,)),
    5: (True, ()),
    6: (True, (2,)),
    7: (True, (1, 2)),
    8: (True, (1,)),
}


class BrokenSampleError(ValueError):
    """A sample that cannot be used; the message names it and the cause. Streams skip and count such samples."""


def decode_image(
    image: bytes | str | Path | Image.Image | Tensor, name: str | None = None, at_least: int | None = None
) -> Tensor:
    """Decode one image to RGB as a viewer would show it.

    EXIF rotation is applied. Grayscale, palette and CMYK are converted. Transparency is composited on white, as most
    viewers do: the colours stored under transparent pixels are arbitrary. 16-bit
    grayscale is scaled by its full range (65535 -> 255). Of an animation or a multi-page file the first frame
    is taken.

    A file that ends too early is refused. Damaged bytes inside an otherwise complete JPEG are not detected, neither by
    libjpeg nor by Pillow.

    Args:
        image: file content, a path, a PIL image, or a (3, H, W) uint8 tensor, which is returned as it is.
        name: what to call the image in errors; by default its path.
        at_least: a JPEG may be decoded at 1/8, 2/8, 3/8 or 4/8 of its size, rounded up, as long as both sides keep
            this many pixels. Use it for unlabeled images that are resized next. None decodes at full size.

    Returns:
        (3, H, W) uint8, RGB; not always contiguous.

    Raises:
        BrokenSampleError: not an image, truncated, larger than `MAX_PIXELS`, or with float pixels.
    """
    name = name or (str(image) if isinstance(image, str | Path) else "image")
    if isinstance(image, Tensor):
        return image
    try:
        data = Path(image).read_bytes() if isinstance(image, str | Path) else image
        picture = data if isinstance(data, Image.Image) else _open(data)
        _check_pixels(picture.size, name)
        if isinstance(data, bytes) and _is_plain_jpeg(picture, data):
            return _jpeg_to_rgb(picture, data, at_least)
        return _to_rgb(picture, name)
    except BrokenSampleError:
        raise
    except _DECODING_ERRORS as error:
        raise BrokenSampleError(f"{name} cannot be decoded as an image: {_cause(error)}") from error


def decode_depth(
    depth: bytes | str | Path | Tensor | np.ndarray | list[Any],
    scale: float | None = None,
    kind: Literal["depth", "disparity"] = "depth",
    min_depth_m: float | None = None,
    max_depth_m: float | None = None,
    name: str | None = None,
    shift: float = 0.0,
) -> Tensor:
    """Decode one depth map to metres.

    Files may be 16-bit or 32-bit integer images (PNG, TIFF), float TIFF or `.npy`. With `kind="depth"` a
    stored 0, a negative number or NaN is unknown and +inf is sky; with `kind="disparity"` the stored value
    times `scale` is inverse depth, where 0 is sky and a negative number or NaN is unknown. 8-bit images are
    taken for disparity only: 256 steps of depth are too coarse to learn from, and are mostly a picture made
    for viewing.

    Args:
        depth: file content, a path, or an array (H, W), also with a channel of length 1.
        scale: metres (disparity: inverse metres) per stored unit. Integers need it; floats default to 1.
        kind: what the stored numbers are.
        min_depth_m: nearer than this becomes unknown, in metres.
        max_depth_m: farther than this becomes unknown, in metres; sky stays.
        name: what to call the map in errors; by default its path.
        shift: added after the scale, in metres (disparity: inverse metres).

    Returns:
        (H, W) float32, metres, larger is farther; NaN unknown, inf sky.

    Raises:
        BrokenSampleError: not a depth map, truncated, too large, of several channels, or 8-bit depth.
        ValueError: integer values without a scale.
    """
    name = name or (str(depth) if isinstance(depth, str | Path) else "depth")
    stored = _stored_values(depth, name)
    if stored.ndim == 3 and 1 in (stored.shape[0], stored.shape[-1]):
        stored = stored[0] if stored.shape[0] == 1 else stored[..., 0]  # (1, H, W) or (H, W, 1) -> (H, W)
    if stored.ndim != 2 or stored.size == 0:
        raise BrokenSampleError(f"{name} has the shape {tuple(stored.shape)}; a depth map must be (height, width)")
    if not np.issubdtype(stored.dtype, np.number) or np.issubdtype(stored.dtype, np.complexfloating):
        raise BrokenSampleError(f"{name} holds {stored.dtype} values; a depth map must hold integers or floats")
    if stored.dtype.itemsize == 1 and kind == "depth":
        raise BrokenSampleError(f"{name} holds 8-bit depth, too coarse to use; store 16-bit integers or floats")
    if scale is None and not np.issubdtype(stored.dtype, np.floating):
        raise ValueError(f"{name} holds {stored.dtype} depth without a scale; give depth_scale in metres per unit")
    if stored.dtype == np.uint16 and stored.size > 65536:
        # There are fewer numbers than pixels: each is converted once, here or for an earlier map.
        return torch.from_numpy(_metres_of_uint16(scale, kind, min_depth_m, max_depth_m, shift).take(stored))
    return _metres(stored, scale, kind, min_depth_m, max_depth_m, shift)


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
            f"{name} has an image of {width}x{height} and depth of {columns}x{rows}, of another aspect ratio"
        )
    return F.interpolate(depth[None, None], size=(height, width), mode="nearest-exact")[0, 0]


def _metres(
    stored: np.ndarray,
    scale: float | None,
    kind: str,
    min_depth_m: float | None,
    max_depth_m: float | None,
    shift: float,
) -> Tensor:
    """Convert stored numbers of any shape to metres; NaN unknown, inf sky."""
    values = torch.from_numpy(stored.astype(np.float32)) * (1.0 if scale is None else scale) + shift
    if kind == "disparity":
        usable = values >= 0  # False for NaN
        metres = 1.0 / values  # 0 -> inf: sky
    else:
        usable = values > 0
        metres = values
    if min_depth_m is not None:
        usable &= metres >= min_depth_m
    if max_depth_m is not None:
        usable &= (metres <= max_depth_m) | torch.isinf(metres)
    return torch.where(usable, metres, torch.nan)


@lru_cache(maxsize=32)
def _metres_of_uint16(
    scale: float | None, kind: str, min_depth_m: float | None, max_depth_m: float | None, shift: float
) -> np.ndarray:
    """(65536,) float32: metres of each stored number."""
    return _metres(np.arange(65536), scale, kind, min_depth_m, max_depth_m, shift).numpy()


def _is_plain_jpeg(picture: Image.Image, data: bytes) -> bool:
    """True if simplejpeg decodes as Pillow does. Pillow gets files without an end mark, which it refuses."""
    return picture.format == "JPEG" and picture.mode in ("RGB", "L") and data.endswith(_JPEG_END)


def _jpeg_to_rgb(picture: Image.Image, data: bytes, at_least: int | None) -> Tensor:
    # Not strict: a file with a flaw that libjpeg and so Pillow overlooks is decoded alike. From a factor of 2 on:
    # decoding at fractions between takes longer than at full size.
    side = at_least or 0
    pixels = simplejpeg.decode_jpeg(
        data, "RGB", min_height=side, min_width=side, min_factor=2 if side else 1, strict=False
    )
    image = torch.from_numpy(pixels).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    swap, flipped = _UPRIGHT.get(picture.getexif().get(_EXIF_ORIENTATION, 1), (False, ()))
    image = image.mT if swap else image
    return image.flip(flipped) if flipped else image


def _to_rgb(picture: Image.Image, name: str) -> Tensor:
    """Convert any PIL image to (3, H, W) uint8."""
    _load(picture)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _DEEP_GRAY:
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise BrokenSampleError(f"{name} has 32-bit pixels; an image must have 8 or 16 bits per channel")
        gray = torch.from_numpy(((values + 128) // 257).astype(np.uint8))  # 257 = 65535 / 255, to the nearest
        return gray[None].repeat(3, 1, 1)  # (H, W) -> (3, H, W)
    if picture.mode == "F":
        raise BrokenSampleError(f"{name} has float pixels; an image must have 8 or 16 bits per channel")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    # The memory is left channels last, which resizes faster.
    pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)


def _stored_values(depth: bytes | str | Path | Tensor | np.ndarray | list[Any], name: str) -> np.ndarray:
    """The numbers of a depth file or array as they are stored."""
    try:
        if isinstance(depth, Tensor):
            return depth.numpy()
        if isinstance(depth, np.ndarray | list):
            return np.asarray(depth)
        data = depth if isinstance(depth, bytes) else Path(depth).read_bytes()
        if data.startswith(_NPY):
            return np.load(io.BytesIO(data), allow_pickle=False)
        if data.startswith(_EXR):
            raise BrokenSampleError(f"{name} is an EXR file, which is not read here; store .npy, TIFF or 16-bit PNG")
        picture = _open(data)
        _check_pixels(picture.size, name)
        if picture.format == "PNG" and picture.mode in ("I;16", "I") and not getattr(picture, "is_animated", False):
            return _deep_png(data, picture.size, name)
        _load(picture)
        if picture.mode not in (*_DEEP_GRAY, "F", "L"):
            raise BrokenSampleError(f"{name} has {picture.mode} pixels; depth needs one channel of integers or floats")
        return np.asarray(picture)
    except BrokenSampleError:
        raise
    except _DECODING_ERRORS as error:
        raise BrokenSampleError(f"{name} cannot be decoded as depth: {_cause(error)}") from error


def _deep_png(data: bytes, size: tuple[int, int], name: str) -> np.ndarray:
    """Decode a 16-bit gray PNG to (H, W) uint16."""
    width, height = size
    try:
        return decode_image_png_u16(data, (height, width), "mono")[..., 0]  # (H, W, 1) -> (H, W)
    except Exception as error:  # kornia_rs has no class of its own for what it refuses
        raise BrokenSampleError(f"{name} cannot be decoded as depth: {_cause(error)}") from error


def _open(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow warns of large images and odd tags without naming the file; what matters is refused by name
        # below.
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data))


def _load(picture: Image.Image) -> None:
    """Read all pixels; raise OSError if the file ends too early, even where other code set LOAD_TRUNCATED_IMAGES."""
    let_by = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        picture.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = let_by


def _check_pixels(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise BrokenSampleError(f"{name} has {width}x{height} pixels; the most that is decoded is {MAX_PIXELS:,}")


def _cause(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its content is of no known image format, or it ends within the header"
    return " ".join(str(error).split()) or type(error).__name__


# What Pillow (SyntaxError: broken PNG), numpy and the file system raise on bad input.
_DECODING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    SyntaxError,
    TypeError,
    EOFError,
    Image.DecompressionBombError,
)
