"""Pixels of an uploaded picture, large ones at half their width and height, so that memory is bounded.

Beside the file's bytes a picture of 65 million pixels takes 0.8 GB while it is read, whatever its kind, and a JPEG a
tenth of that: its decoder leaves every second pixel out itself.
"""

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from semidepth.data.decoding import DEEP_GRAY, decode_image, load_pixels, open_picture
from semidepth.data.samples import to_array

HALVED_PIXELS = 24_000_000


def read_picture(data: bytes) -> np.ndarray:
    """Pixels of an upright picture.

    Args:
        data: content of its file.

    Returns:
        (H, W, 3) uint8, RGB. Of more than `HALVED_PIXELS` pixels: half the height and width, rounded up.

    Raises:
        Exception: of many kinds, the file is no picture or damaged.
    """
    with open_picture(data) as opened:
        width, height = opened.size
        if width * height <= HALVED_PIXELS:
            return to_array(decode_image(data))
        if opened.format == "JPEG":
            return to_array(decode_image(data, at_least=min(width, height) // 2))
        load_pixels(opened)
        half = halved(opened)
        half.getexif()[Base.Orientation] = opened.getexif().get(Base.Orientation, 1)
    return to_array(decode_image(half))


def halved(picture: Image.Image) -> Image.Image:
    """A picture of half the width and height, rounded up, each pixel the mean of four.

    Args:
        picture: whose pixels are read; of any mode.
    """
    if picture.mode in DEEP_GRAY:
        values = np.asarray(picture)
        even = np.pad(values, [(0, side % 2) for side in values.shape], mode="edge")
        quarters = [even[row::2, column::2].astype(np.int64) for row in (0, 1) for column in (0, 1)]
        return Image.fromarray(((sum(quarters) + 2) // 4).astype(values.dtype))
    if picture.mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "F"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    return picture.reduce(2)
