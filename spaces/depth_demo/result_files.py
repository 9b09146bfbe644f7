"""Depth as files to take home."""

from pathlib import Path

import numpy as np
from PIL import Image
from scratch import new_folder, safe_stem
from work import Seen

MAX_16_BIT = 65535


def result_files(seen: Seen, colors: Image.Image, source: str | Path) -> list[str]:
    """Writes 16-bit PNG, .npy and coloured PNG.

    Args:
        seen: picture and prediction. Of metres the PNG holds whole millimetres, at most 65.535 m; of inverse depth its
            own range spread over 16 bits, near is bright.
        colors: depth in colours.
        source: file whose name the results get.

    Returns:
        Three paths; the .npy is float32, metres or inverse depth, of the upright picture's size.
    """
    folder, stem, values = new_folder(), safe_stem(source), seen.prediction.values
    if seen.prediction.metric:
        stored = np.clip(np.rint(values * 1000.0), 0, MAX_16_BIT)
    else:
        low, high = float(values.min()), float(values.max())
        stored = np.rint((values - low) / max(high - low, 1e-12) * MAX_16_BIT)
    paths = [folder / f"{stem}_depth.png", folder / f"{stem}_depth.npy", folder / f"{stem}_color.png"]
    Image.fromarray(stored.astype(np.uint16)).save(paths[0], compress_level=2)
    np.save(paths[1], values.astype(np.float32), allow_pickle=False)
    colors.save(paths[2], compress_level=2)
    return [str(path) for path in paths]
