"""Pictures of metres for people: logarithmic colours, near bright, beside a scale bar in metres."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from semidepth.training.engine.color_maps import UNKNOWN_COLOR, color_table
from semidepth.training.engine.pictures import to_array

TICKS_M = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
BAR_WIDTH_PX, BAR_PICTURE_PX = 22, 192


def metre_range(depth: Tensor | np.ndarray) -> tuple[float, float]:
    """Nearest and farthest metres for colours, without single outliers: the 1st and 99th percentile."""
    values = np.asarray(depth, dtype=np.float64)
    known = values[np.isfinite(values) & (values > 0)]
    if known.size == 0:
        return 1.0, 10.0
    near, far = np.percentile(known, [1, 99])
    return float(near), float(max(far, near * 1.1))


def colorize_metres(depth: Tensor | np.ndarray, limits_m: tuple[float, float]) -> np.ndarray:
    """Metres as colours on a logarithmic scale: near is bright, far is dark, unknown is grey.

    Args:
        depth: (H, W) metres; unknown where NaN, infinite or not positive.
        limits_m: metres shown brightest and darkest.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    values = np.asarray(depth, dtype=np.float64)
    known = np.isfinite(values) & (values > 0)
    near, far = (math.log(limit) for limit in limits_m)
    shares = (far - np.log(np.where(known, values, limits_m[1]))) / (far - near)
    colors = color_table()[np.round(np.clip(shares, 0, 1) * 255).astype(np.uint8)]
    colors[~known] = UNKNOWN_COLOR
    return colors


def scale_bar(limits_m: tuple[float, float], notes: Sequence[str], height: int = BAR_PICTURE_PX) -> np.ndarray:
    """A colour bar with metres beside it, far at the top, and lines of text to its right.

    Args:
        limits_m: as in [`colorize_metres`].
        notes: lines of text.
        height: of the picture, pixels.

    Returns:
        (height, 192, 3) uint8 RGB.
    """
    near, far = limits_m
    margin = 10
    rows = np.linspace(math.log(far), math.log(near), height - 2 * margin)
    canvas = Image.new("RGB", (BAR_PICTURE_PX, height), "white")
    strip = colorize_metres(np.repeat(np.exp(rows)[:, None], BAR_WIDTH_PX, 1), limits_m)
    canvas.paste(Image.fromarray(strip), (0, margin))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    marks = {near: f"{near:.2g} m", far: f"{far:.2g} m"}  # the ends always have a number
    marks |= {tick: f"{tick:g} m" for tick in TICKS_M if 1.2 * near < tick < far / 1.2}
    for metres, text in marks.items():
        y = margin + (math.log(far) - math.log(metres)) / (math.log(far) - math.log(near)) * (len(rows) - 1)
        draw.line([(BAR_WIDTH_PX, y), (BAR_WIDTH_PX + 5, y)], fill="black")
        draw.text((BAR_WIDTH_PX + 8, y), text, fill="black", font=font, anchor="lm")
    for line, text in enumerate(notes):
        draw.text((80, margin + 16 * line), text, fill="black", font=font)
    return np.asarray(canvas)


def metric_row(
    image: Tensor, depth: Tensor | None, predictions: Sequence[Tensor], notes: Sequence[str] = ()
) -> list[np.ndarray]:
    """Image, ground truth (if any), predictions and scale bar, in one range of metres.

    Args:
        image: (3, H, W) uint8.
        depth: (H, W) metres; None where there is none.
        predictions: (H, W) metres each.
        notes: lines beside the scale bar, such as the domain.

    Returns:
        (H, W, 3) uint8 pictures.
    """
    limits = metre_range((predictions[0] if depth is None else depth).cpu())
    maps = ([] if depth is None else [depth]) + list(predictions)
    height = max(2 * BAR_PICTURE_PX // 3, round(image.shape[1] * BAR_PICTURE_PX / image.shape[2]))
    return [to_array(image), *(colorize_metres(x.cpu(), limits) for x in maps), scale_bar(limits, notes, height)]
