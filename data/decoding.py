"""Decode images to upright uint8 RGB tensors: the rotation that a photo's EXIF data give is applied.

Pillow reads every header. simplejpeg, which is faster, then decodes the pixels of the most common kind of file, 8-bit
JPEG, to the same values.
"""

import io
import math
import os
import threading
import warnings
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image, ImageFile, UnidentifiedImageError
from torch import Tensor

from semidepth.data.listing import HEIC_ADVICE, heic_is_read
from semidepth.data.orientation import orientation_of, turn_upright
from semidepth.media.tiff_layouts import check_layout, full_range

# Below Pillow's own warning at 89 million: a small file that unpacks to gigabytes must not end a worker.
MAX_PIXELS = 80_000_000

# Beyond this, images are decoded one at a time in a process: the largest then take 0.6 GB beside their file, 0.3 GB
# for Pillow's pixels and 0.3 GB for the result; and in training they are reduced.
LARGE_PIXELS = 16_000_000
BAND_PIXELS = 4_000_000
_one_at_a_time = threading.Lock()


def _renew_lock() -> None:
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)  # a thread that held it is not there in the child

# Pillow's modes of one channel of more than 8 bits.
DEEP_GRAY = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_JPEG_END = b"\xff\xd9"
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


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
            this many pixels; others of more than `LARGE_PIXELS` smaller by a whole factor. Use it for unlabeled images
            that are resized next. None decodes at full size.

    Returns:
        (3, H, W) uint8, RGB; not always contiguous.

    Raises:
        BrokenSampleError: not an image, truncated, larger than `MAX_PIXELS`, or with float pixels.
    """
    return decode_turned(image, name, at_least, at_least)[0]


def decode_turned(
    image: bytes | str | Path | Image.Image | Tensor,
    name: str | None = None,
    at_least: int | None = None,
    large_at_least: int | None = None,
) -> tuple[Tensor, int]:
    """Decode one image as [`decode_image`] does; also gives the EXIF orientation that it was turned by, 1 to 8.

    Args:
        image: see [`decode_image`].
        name: see [`decode_image`].
        at_least: see [`decode_image`].
        large_at_least: an image of more than `LARGE_PIXELS` is decoded smaller by a whole factor, so that it has no
            more, but both sides keep this many pixels.
    """
    name = name or (str(image) if isinstance(image, str | Path) else "image")
    if isinstance(image, Tensor):
        return image, 1
    try:
        data = Path(image).read_bytes() if isinstance(image, str | Path) else image
        picture = data if isinstance(data, Image.Image) else open_picture(data)
        check_pixels(picture.size, name)
        factor = _factor(picture.size, large_at_least)
        with _one_at_a_time if math.prod(picture.size) > LARGE_PIXELS else nullcontext():
            if isinstance(data, bytes) and _is_plain_jpeg(picture, data):
                if factor > 1:
                    at_least = max(at_least or 0, -(-min(picture.size) // factor))
                orientation = orientation_of(picture)
                return turn_upright(_jpeg_pixels(data, at_least), orientation), orientation
            return _to_rgb(picture, factor, name)
    except BrokenSampleError:
        raise
    except DECODING_ERRORS as error:
        raise BrokenSampleError(f"{name} cannot be decoded as an image: {cause_of(error)}") from error


def _factor(size: tuple[int, int], at_least: int | None) -> int:
    """The whole factor by which a picture is decoded smaller; 1 unless it is large and may be."""
    if at_least is None:
        return 1
    return max(1, min(math.ceil(math.sqrt(math.prod(size) / LARGE_PIXELS)), min(size) // at_least))


def _is_plain_jpeg(picture: Image.Image, data: bytes) -> bool:
    """True if simplejpeg decodes as Pillow does. Pillow gets files without an end mark, which it refuses."""
    return picture.format == "JPEG" and picture.mode in ("RGB", "L") and data.endswith(_JPEG_END)


def _jpeg_pixels(data: bytes, at_least: int | None) -> Tensor:
    """(3, H, W) uint8 as stored."""
    # Not strict: a file with a flaw that libjpeg and so Pillow overlooks is decoded alike. From a factor of 2 on:
    # decoding at fractions between takes longer than at full size.
    side = at_least or 0
    pixels = simplejpeg.decode_jpeg(
        data, "RGB", min_height=side, min_width=side, min_factor=2 if side else 1, strict=False
    )
    return torch.from_numpy(pixels).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)


def _to_rgb(picture: Image.Image, factor: int, name: str) -> tuple[Tensor, int]:
    """Convert any PIL image to (3, H, W) uint8, upright; also gives the orientation that it was turned by."""
    check_layout(picture)
    levels = full_range(picture)
    turns_itself = picture.format in ("TIFF", "HEIF")  # when it is loaded; after that it does not say so
    orientation = orientation_of(picture) if turns_itself else 1
    load_pixels(picture)
    if not turns_itself:
        orientation = orientation_of(picture)  # of a PNG known only now
    if picture.mode in DEEP_GRAY:
        gray = _gray(np.asarray(picture), levels, name)
        gray = gray if factor == 1 else np.array(Image.fromarray(gray).reduce(factor))
        pixels = torch.from_numpy(gray)[None].repeat(3, 1, 1)  # (H, W) -> (3, H, W)
    else:
        # The memory is left channels last, which resizes faster.
        pixels = torch.from_numpy(_colors(picture, factor, name)).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return (pixels if turns_itself else turn_upright(pixels, orientation)), orientation


def _gray(values: np.ndarray, levels: tuple[int, bool], name: str) -> np.ndarray:
    """Deep gray levels as (H, W) uint8, rounded to the nearest."""
    if values.min() < 0 or values.max() > 65535:
        raise BrokenSampleError(f"{name} has 32-bit pixels; an image must have 8 or 16 bits per channel")
    return _gray_levels(*levels)[values]


@lru_cache
def _gray_levels(highest: int, inverted: bool) -> np.ndarray:
    """(65536,) uint8: the level of each stored number."""
    numbers = np.arange(65536).clip(max=highest)
    numbers = highest - numbers if inverted else numbers
    return ((numbers * 510 + highest) // (2 * highest)).astype(np.uint8)


def _colors(picture: Image.Image, factor: int, name: str) -> np.ndarray:
    """(H, W, 3) uint8, band by band: what transparency and conversions take is bounded."""
    if picture.mode == "F":
        raise BrokenSampleError(f"{name} has float pixels; an image must have 8 or 16 bits per channel")
    width, height = picture.size
    pixels = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    rows = max(1, BAND_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        band = picture if rows >= height else picture.crop((0, top, width, min(height, top + rows)))
        if band.has_transparency_data:
            band = band.convert("RGBA")
            band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band)
        band = band.convert("RGB")
        pixels[top // factor : (top + rows) // factor] = np.asarray(band if factor == 1 else band.reduce(factor))
    return pixels


def open_picture(data: bytes) -> Image.Image:
    """A picture whose header is read, and no pixel; raises one of `DECODING_ERRORS`."""
    with warnings.catch_warnings():
        # Pillow warns of large images and odd tags without naming the file; what matters is refused by name
        # below.
        warnings.simplefilter("ignore")
        try:
            return Image.open(io.BytesIO(data))
        except UnidentifiedImageError:
            if not is_heic(data):
                raise
            if not heic_is_read():
                raise OSError(f"it is a HEIC file; {HEIC_ADVICE}") from None
    import pillow_heif

    pillow_heif.register_heif_opener()
    return Image.open(io.BytesIO(data))


def is_heic(data: bytes) -> bool:
    """True for the content of a HEIC file, or its first 12 bytes."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS


def load_pixels(picture: Image.Image) -> None:
    """Read all pixels; raise OSError if the file ends too early, even where other code set LOAD_TRUNCATED_IMAGES."""
    let_by = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        picture.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = let_by


def check_pixels(size: tuple[int, int], name: str) -> None:
    """Raises BrokenSampleError for a size (width, height) of more than `MAX_PIXELS`."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise BrokenSampleError(f"{name} has {width}x{height} pixels; the most that is decoded is {MAX_PIXELS:,}")


def cause_of(error: BaseException) -> str:
    """Text of one of `DECODING_ERRORS` in one line."""
    if isinstance(error, UnidentifiedImageError):
        return "its content is of no known image format, or it ends within the header"
    return " ".join(str(error).split()) or type(error).__name__


# What Pillow (SyntaxError: broken PNG), numpy and the file system raise on bad input.
DECODING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    SyntaxError,
    TypeError,
    EOFError,
    Image.DecompressionBombError,
)
