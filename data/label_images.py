"""Inverse depth as pictures of 16 bits, as pseudo-label sets hold it."""

import io

import numpy as np
from PIL import Image

LEVELS = 65535  # of 16 bits


def quantize(disparity: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Stores a map in 16 bits over its own range.

    Args:
        disparity: (H, W) inverse depth, finite.

    Returns:
        (H, W) uint16, scale and shift: disparity = stored * scale + shift, to half a scale.
    """
    low, high = float(disparity.min()), float(disparity.max())
    scale = (high - low) / LEVELS
    if scale == 0:
        return np.zeros(disparity.shape, np.uint16), 0.0, low
    stored = np.rint((disparity.astype(np.float64) - low) / scale)
    return stored.astype(np.uint16), scale, low


def encode_label(disparity: np.ndarray) -> tuple[bytes, float, float]:
    """A map (H, W) as a 16-bit PNG, with the scale and shift of [`quantize`]."""
    stored, scale, shift = quantize(disparity)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "PNG", compress_level=1)  # higher levels take several times as long
    return buffer.getvalue(), scale, shift
