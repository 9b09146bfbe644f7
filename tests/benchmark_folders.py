"""Small folders in the layouts of benchmark sets, and what the tests of their readers share.

Where most files are empty, a reader that looked into one before it is asked for would stumble over it.
"""

import json
import logging
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from sample_files import encoded

from semidepth.data.decoding import BrokenSampleError
from semidepth.evaluation.benchmarks import open_benchmark
from semidepth.evaluation.benchmarks.base import BenchmarkSet, PointPairSet


def write(path: Path, content: bytes | str | object) -> Path:
    """A file of bytes, text, or JSON, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


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


def gradient(height: int, width: int, shift: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 in which red is the row, green the column and blue `shift`."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, shift)], axis=-1).astype(np.uint8)


def picture(height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8: red tells the row, green the column, blue is 200."""
    rows, columns = np.indices((height, width))
    return np.stack([rows * 20, columns * 20, np.full_like(rows, 200)], -1).clip(0, 255).astype(np.uint8)


def write_image(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """An image in the format that its name tells; JPEG nearly without loss."""
    format = "JPEG" if path.suffix.lower() == ".jpg" else "PNG"
    if format == "JPEG":
        options = {"quality": 100, "subsampling": 0} | options
    return write(path, encoded(pixels, format, **options))


def write_depth(path: Path, stored: np.ndarray) -> Path:
    """A 16-bit PNG."""
    assert stored.dtype == np.uint16
    return write_image(path, stored)


def truncate(path: Path, share: float = 0.6) -> None:
    """Cut a file off."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def assert_metres(depth: object, expected: list[list[float]]) -> None:
    """Equal to float32's last bits, NaN and inf at the same places."""
    np.testing.assert_allclose(np.asarray(depth), np.array(expected, dtype=np.float32), rtol=1e-6, equal_nan=True)


def refused(name: str, root: Path) -> str:
    """The one sentence with which a folder is refused."""
    with pytest.raises(ValueError) as caught:
        open_benchmark(name, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def broken(opened: BenchmarkSet | PointPairSet, index: int) -> str:
    """The one sentence with which an image is refused."""
    with pytest.raises(BrokenSampleError) as caught:
        opened.read(index)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def opens_without_reading(name: str, root: Path) -> None:
    """Opening a folder needs no image, label or cloud: with all of them empty it finds as many as before."""
    frames = open_benchmark(name, root).frames
    emptied = [file for file in root.rglob("*.*") if file.suffix in (".png", ".jpg", ".npz")]
    assert len(emptied) >= len(frames)
    for file in emptied:
        file.write_bytes(b"")
    assert open_benchmark(name, root).frames == frames


def travels(opened: BenchmarkSet | PointPairSet) -> Callable:
    """`read` as another process gets it."""
    return pickle.loads(pickle.dumps(opened)).read


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
