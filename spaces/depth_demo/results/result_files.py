"""Depth as files to download, each written when it is asked for, and the folders that results are written to.

Gradio removes results when they are old and when the process ends (`delete_cache`), but has no limit for their size:
one visitor could fill the disk within a day. So `new_folder` removes the oldest where all together are too large
(tests/spaces/test_result_files.py shows both).
"""

import secrets
import shutil
import time
from pathlib import Path

import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image
from refusal import Refusal
from work import Seen

from results.coloring import depth_picture
from semidepth.prediction.formats import to_16_bit
from semidepth.prediction.predictor import Unit

KINDS = ("png16", "npy", "color")
MOST_BYTES = 4_000_000_000  # of all results together
BUSY_S = 60  # a folder that was written to so lately is being filled or fetched


def new_folder() -> Path:
    """Makes an empty folder among gradio's own files, with a name that cannot be guessed.

    Where all results together are larger than `MOST_BYTES` the oldest are removed first, but none that is in use.

    Raises:
        Refusal: those in use are too large.
    """
    results = Path(get_upload_folder()) / "results"
    results.mkdir(parents=True, exist_ok=True)
    folders = sorted((*_age_and_size(folder), folder) for folder in results.iterdir())  # the oldest first
    size = sum(bytes_ for _, bytes_, _ in folders)
    for written, bytes_, folder in folders:
        if size <= MOST_BYTES or time.time() - written <= BUSY_S:
            break
        shutil.rmtree(folder, ignore_errors=True)
        size -= bytes_
    if size > MOST_BYTES:
        raise Refusal("Too many results are being written at the moment; try again in a minute.", title="Busy")
    made = results / secrets.token_hex(16)
    made.mkdir()
    return made


def _age_and_size(folder: Path) -> tuple[float, int]:
    """Returns when a folder or a file in it was written last (a long clip's grows for hours), and its bytes."""
    try:
        found = [path.stat() for path in (folder, *folder.iterdir())]
    except OSError:  # removed in the meantime, by another request or by gradio
        return time.time(), 0
    return max(each.st_mtime for each in found), sum(each.st_size for each in found[1:])


def safe_stem(path: str | Path) -> str:
    """Makes a plain, short name for results out of a file's name, without its ending."""
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(path).stem)
    return stem[:60].strip("_") or "picture"


def result_file(kind: str, seen: Seen, limits: tuple[float, float], color_map: str, source: str | Path) -> str:
    """Writes the depth of a picture as a file.

    Args:
        kind: "png16": of metres whole millimetres, at most 65.535 m; of inverse depth its own range spread over 16
            bits, near is bright. "npy": float32, metres or inverse depth. "color": a coloured PNG.
        seen: picture and prediction; the file has the upright picture's size.
        limits: low and high value of the colours.
        color_map: of the colours.
        source: file whose name the result gets.
    """
    return str(write_result(kind, seen, limits, color_map, new_folder(), safe_stem(source)))


def write_result(kind: str, seen: Seen, limits: tuple[float, float], color_map: str, folder: Path, stem: str) -> Path:
    """Writes the depth of a picture as a file into a folder; returns its path.

    Args:
        kind: see [`result_file`], as the next three.
        seen: picture and prediction.
        limits: of the colours.
        color_map: of the colours.
        folder: that it is written to.
        stem: beginning of its name.
    """
    values = seen.prediction.values
    if kind == "npy":
        path = folder / f"{stem}_depth.npy"
        np.save(path, values.astype(np.float32), allow_pickle=False)
    elif kind == "color":
        path = folder / f"{stem}_color.png"
        depth_picture(seen.prediction, limits, color_map).save(path, compress_level=2)
    else:
        path = folder / f"{stem}_depth.png"
        unit: Unit = "m" if seen.prediction.metric else "inverse depth"
        Image.fromarray(to_16_bit(values, unit)).save(path, compress_level=2)
    return path
