"""Small folders in the layouts of Sintel, ETH3D, DIODE, iBims-1, HyperSim and Virtual KITTI 2.

Most files are empty: a reader that looked into one before it is asked for would stumble over it.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow


def touch(root: Path, files: Iterable[str]) -> Path:
    """Empty files below a folder."""
    folders = set()
    for file in files:
        path = root / file
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.add(path.parent)
        path.touch()
    return root


def put(path: Path, content: bytes) -> Path:
    """A file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def picture(height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8: red tells the row, green the column, blue is 200."""
    rows, columns = np.indices((height, width))
    return np.stack([rows * 20, columns * 20, np.full_like(rows, 200)], -1).clip(0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """An image file of the type that its name tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path, **options)
    return path


def assert_metres(depth: object, expected: list[list[float]]) -> None:
    """Equal to float32's last bits, NaN and inf at the same places."""
    np.testing.assert_allclose(np.asarray(depth), np.array(expected, dtype=np.float32), rtol=1e-6, equal_nan=True)
