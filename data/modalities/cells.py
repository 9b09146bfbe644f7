"""Decode what a row has beside image and depth."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semidepth.data.decoding import (
    DECODING_ERRORS,
    BrokenSampleError,
    cause_of,
    check_pixels,
    load_pixels,
    open_picture,
)
from semidepth.data.orientation import LabelFrame, turn_with_image
from semidepth.data.samples import Beside

LARGEST_CLASS = 65535


def read_beside(
    cells: dict[str, Any], origin: str, image: Tensor, orientation: int, frame: LabelFrame | None
) -> Beside:
    """Returns the modalities of one row, in the image's frame and size.

    Args:
        cells: `normal` (3, H, W) and `semantic` (H, W) of scenes; `semantic` of a table: a PNG of 8 or 16 bits or an
            array, with the number of a class at each pixel, its highest value (255, 65535) unknown; `caption`: text.
            None where a row has none.
        origin: name of the sample, for errors.
        image: (3, H, W), upright.
        orientation: EXIF orientation that the image was turned by, 1 to 8.
        frame: in which frame the source says its labels are; None: it does not say.

    Raises:
        BrokenSampleError: a cell cannot be decoded, or its map has another shape than the image.
    """
    found = Beside()
    if cells.get("normal") is not None:
        found["normal"] = cells["normal"]
    if cells.get("semantic") is not None:
        semantic = _classes(cells["semantic"], origin)
        if orientation != 1:
            semantic = turn_with_image(semantic, image, orientation, frame)  # as its depth
        if semantic.shape != image.shape[-2:]:
            raise BrokenSampleError(
                f"{origin} has classes of {tuple(semantic.shape)} and an image of {tuple(image.shape[-2:])} pixels"
            )
        found["semantic"] = semantic
    text = cells.get("caption")
    if text is not None:
        found["caption"] = text.decode("utf-8", "replace").strip() if isinstance(text, bytes) else str(text)
    return found


def _classes(cell: Any, origin: str) -> Tensor:
    """Returns (H, W) int64, unknown as -1."""
    if isinstance(cell, Tensor):
        return cell.long()
    try:
        values = np.asarray(_pixels(cell, f"{origin} (classes)") if isinstance(cell, bytes) else cell)
    except BrokenSampleError:
        raise
    except DECODING_ERRORS as error:
        raise BrokenSampleError(f"{origin} has classes that cannot be decoded: {cause_of(error)}") from error
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
        raise BrokenSampleError(
            f"{origin} has classes of shape {values.shape} and type {values.dtype}; give one whole number a pixel"
        )
    unknown = {1: 255, 2: LARGEST_CLASS}.get(values.dtype.itemsize, -1)
    numbers = values.astype(np.int64)
    return torch.from_numpy(np.where(numbers == unknown, -1, numbers))


def _pixels(content: bytes, name: str) -> Image.Image:
    picture = open_picture(content)
    check_pixels(picture.size, name)
    load_pixels(picture)
    return picture
