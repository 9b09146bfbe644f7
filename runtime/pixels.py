"""A photo to a model's pixels and a map back to the photo's size, with numpy and Pillow, as in torch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

# A small file that unpacks to gigabytes is refused; Pillow's own limit is twice as high.
MAX_PIXELS = 80_000_000
# PyTorch's cubic kernel without antialiasing.
CUBIC = -0.75


def to_rgb(image: str | Path | Image.Image | np.ndarray) -> Image.Image:
    """Returns an upright RGB picture: EXIF turned, transparency on white.

    Raises:
        ValueError: it is no image with 8 bits per channel.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
            raise ValueError(
                f"the image is an array of {image.dtype} and shape {image.shape}; give (H, W, 3) of uint8, 0 to 255."
            )
        picture = Image.fromarray(image)
    elif isinstance(image, Image.Image):
        picture = image
    else:
        picture = _read(Path(image))
    if picture.mode == "F" or picture.mode.startswith("I"):
        raise ValueError(f"the image has pixels of Pillow's mode {picture.mode}; give 8 bits per channel.")
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _read(path: Path) -> Image.Image:
    if not path.is_file():  # a pipe would never end
        raise ValueError(f"there is no file {path}; give an image.")
    try:
        picture = Image.open(path)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"it has {width}x{height} pixels, more than {MAX_PIXELS:,}")
        if picture.format == "TIFF":
            _check_tiff(picture)
        picture.load()
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image ({error}); give another.") from error
    return picture


def _check_tiff(picture: Image.Image) -> None:
    """Raises ValueError for more than 8 bits per channel, which Pillow gives wrongly for some layouts."""
    bits = picture.tag_v2.get(258, 1)  # type: ignore[attr-defined]
    most = max(bits) if isinstance(bits, tuple) else bits
    if most > 8:
        raise ValueError(f"it has {most} bits per channel; give 8")


def target_size(height: int, width: int, size: int, multiple: int) -> tuple[int, int]:
    """Returns height and width at which a model sees an image.

    The side that needs the smaller change becomes `size`, and both are rounded to multiples of `multiple`.
    """
    scale = min((size / height, size / width), key=lambda scale: abs(1 - scale))
    high, wide = (max(1, round(side * scale / multiple)) * multiple for side in (height, width))
    return high, wide


def to_pixels(picture: Image.Image, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """Returns an RGB picture as (1, 3, h, w) float32, resized (bicubic, antialiased, 8 bits) and normalised.

    Args:
        picture: of any size.
        preprocessing: `size`, `multiple`, `mean` and `std`, as the file's metadata have them.
    """
    high, wide = target_size(picture.height, picture.width, preprocessing["size"], preprocessing["multiple"])
    resized = picture if picture.size == (wide, high) else picture.resize((wide, high), Image.Resampling.BICUBIC)
    pixels = np.asarray(resized, dtype=np.float32) / np.float32(255)
    pixels = (pixels - np.float32(preprocessing["mean"])) / np.float32(preprocessing["std"])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def enlarge(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w) float32 -> (height, width), bicubic as PyTorch's without antialiasing, within the map's own range."""
    if values.shape == (height, width):
        return values
    down, across = (_weights(count, source) for count, source in zip((height, width), values.shape, strict=True))
    finite = values[np.isfinite(values)]
    large = down @ values.astype(np.float32) @ across.T
    return large.clip(finite.min(), finite.max()) if finite.size else large


def _weights(count: int, source: int) -> np.ndarray:
    """Returns (count, source) float32, one axis of the resizing as a matrix; rows sum to 1."""
    place = (np.arange(count) + 0.5) * (source / count) - 0.5
    first = np.floor(place).astype(int)
    matrix = np.zeros((count, source), np.float32)
    rows = np.arange(count)
    for offset in range(-1, 3):
        x = np.abs(place - first - offset)
        inner = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
        outer = ((x - 5) * x + 8) * x * CUBIC - 4 * CUBIC
        # Beyond the edge the last value counts, so several weights may fall on it.
        np.add.at(matrix, (rows, (first + offset).clip(0, source - 1)), np.where(x <= 1, inner, outer))
    return matrix


def is_finite(values: np.ndarray) -> bool:
    """Returns true where no value is NaN or infinite."""
    return math.isfinite(float(values.sum(dtype=np.float64)))
