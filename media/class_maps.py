"""Pictures of classes, and back."""

import colorsys

import numpy as np
from PIL import Image

UNKNOWN_CLASS = 255  # in a picture of classes


def class_palette(count: int) -> np.ndarray:
    """Returns (count, 3) uint8 colours that are easily told apart, the same for a class whatever their number."""
    hues = (np.arange(count) * 0.618034) % 1.0
    rows = [colorsys.hsv_to_rgb(hue, 0.55 + 0.4 * (n % 2), 0.95 - 0.3 * (n % 3 == 2)) for n, hue in enumerate(hues)]
    return np.round(255 * np.array(rows).reshape(count, 3)).astype(np.uint8)


def class_picture(classes: np.ndarray, count: int) -> Image.Image:
    """Returns a palette picture whose pixels are the numbers of classes, 255 where negative; colours are for people.

    Args:
        classes: (H, W) whole numbers.
        count: of classes, at most 255.
    """
    if count > UNKNOWN_CLASS:
        raise ValueError(f"there are {count} classes and a picture has room for {UNKNOWN_CLASS}.")
    picture = Image.fromarray(np.where(classes < 0, UNKNOWN_CLASS, classes).astype(np.uint8))
    picture.putpalette(np.concatenate([class_palette(count), np.zeros((256 - count, 3), np.uint8)]).tobytes())
    return picture


def classes_of(picture: Image.Image, count: int, name: str) -> np.ndarray:
    """Returns (H, W) int64 classes of a picture with a number for each pixel, -1 where it is 255.

    Raises:
        ValueError: a picture of colours, or numbers that are no classes.
    """
    if picture.mode not in ("P", "L"):
        raise ValueError(f"{name} is a picture of mode {picture.mode}; give one with the number of a class per pixel.")
    found = np.asarray(picture).astype(np.int64)
    found[found == UNKNOWN_CLASS] = -1
    if found.max(initial=-1) >= count:
        raise ValueError(f"{name} has the class {found.max()} and the model {count} classes, from 0 on.")
    return found
