"""Depth as files to take home, each written when it is asked for."""

from pathlib import Path

import numpy as np
from coloring import depth_picture
from PIL import Image
from scratch import new_folder, safe_stem
from work import Seen

MAX_16_BIT = 65535
KINDS = ("png16", "npy", "color")


def result_file(kind: str, seen: Seen, limits: tuple[float, float], color_map: str, source: str | Path) -> str:
    """Writes a file.

    Args:
        kind: "png16": of metres whole millimetres, at most 65.535 m; of inverse depth its own range spread over 16
            bits, near is bright. "npy": float32, metres or inverse depth. "color": a coloured PNG.
        seen: picture and prediction; the file has the upright picture's size.
        limits: low and high value of the colours.
        color_map: of the colours.
        source: file whose name the result gets.

    Returns:
        Its path.
    """
    folder, stem, values = new_folder(), safe_stem(source), seen.prediction.values
    if kind == "npy":
        path = folder / f"{stem}_depth.npy"
        np.save(path, values.astype(np.float32), allow_pickle=False)
        return str(path)
    if kind == "color":
        path = folder / f"{stem}_color.png"
        depth_picture(seen.prediction, limits, color_map).save(path, compress_level=2)
        return str(path)
    if seen.prediction.metric:
        stored = np.clip(np.rint(values * 1000.0), 0, MAX_16_BIT)
    else:
        low, high = float(values.min()), float(values.max())
        stored = np.rint((values - low) / max(high - low, 1e-12) * MAX_16_BIT)
    path = folder / f"{stem}_depth.png"
    Image.fromarray(stored.astype(np.uint16)).save(path, compress_level=2)
    return str(path)
