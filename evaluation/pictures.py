"""Pictures of depth for people: colours, grids of image, ground truth and predictions."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from semidepth.common.files import write_whole
from semidepth.data.samples import to_array, to_disparity
from semidepth.media import color_maps
from semidepth.media.color_maps import DEFAULT_COLOR_MAP, UNKNOWN_COLOR, color_table, display_range

MARGIN_PX = 6
TITLE_PX = 22


def colorize(
    disparity: Tensor | np.ndarray, limits: tuple[float, float] | None = None, name: str = DEFAULT_COLOR_MAP
) -> np.ndarray:
    """Inverse depth as colours: near is bright, far is dark, unknown is grey.

    Args:
        disparity: (H, W), larger is nearer, NaN where unknown.
        limits: values shown darkest and brightest; None: [`display_range`].
        name: of the colour map.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return color_maps.colorize(np.asarray(disparity), limits, name)


def grid(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], *, cell_px: int = 192) -> Image.Image:
    """Pictures in rows and columns, with a title over each column.

    Args:
        rows: (H, W, 3) uint8 pictures; every row as long as `titles`.
        titles: one per column.
        cell_px: width of a column; pictures keep their shape.

    Returns:
        One RGB picture on white.
    """
    scaled = [[_fit(picture, cell_px) for picture in row] for row in rows]
    heights = [max(picture.height for picture in row) for row in scaled]
    width = MARGIN_PX + len(titles) * (cell_px + MARGIN_PX)
    canvas = Image.new("RGB", (width, TITLE_PX + MARGIN_PX + sum(heights) + MARGIN_PX * len(heights)), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=14)
    for column, title in enumerate(titles):
        left = MARGIN_PX + column * (cell_px + MARGIN_PX)
        draw.text((left, MARGIN_PX), title, fill="black", font=font)
    top = TITLE_PX + MARGIN_PX
    for row, height in zip(scaled, heights, strict=True):
        for column, picture in enumerate(row):
            canvas.paste(picture, (MARGIN_PX + column * (cell_px + MARGIN_PX), top))
        top += height + MARGIN_PX
    return canvas


def prediction_row(image: Tensor, depth: Tensor | None, predictions: Sequence[Tensor]) -> list[np.ndarray]:
    """Image, ground truth and predictions side by side, in one colour range.

    Predictions are aligned to the ground truth by least-squares scale and shift in disparity space; without one each
    has its own range.

    Args:
        image: (3, H, W) uint8.
        depth: (H, W) metres, NaN unknown, inf sky; None where there is none.
        predictions: (H, W) inverse depths, any affine scale.

    Returns:
        (H, W, 3) uint8 pictures: image, ground truth (if any), predictions.
    """
    from semidepth.evaluation.depth_metrics.formulas import align_scale_shift

    cells = [to_array(image)]
    if depth is None:
        return cells + [colorize(prediction.cpu()) for prediction in predictions]
    truth = to_disparity(depth.double()).cpu()
    limits = display_range(truth.numpy())
    cells.append(colorize(truth, limits))
    known = truth.isfinite()
    for prediction in predictions:
        value = prediction.double().cpu()
        scale, shift = align_scale_shift(value[None], truth[None], known[None])
        cells.append(colorize(scale * value + shift, limits))
    return cells


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Writes a picture under its final name only when it is whole."""
    buffer = io.BytesIO()
    picture.save(buffer, format=path.suffix[1:] or "png")
    write_whole(path, buffer.getvalue())
    return path


def _fit(picture: np.ndarray, width: int) -> Image.Image:
    image = Image.fromarray(picture)
    height = max(1, round(image.height * width / image.width))
    small = image.width < width
    return image.resize((width, height), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)


BAR_WIDTH_PX, BAR_PICTURE_PX = 22, 192
TICKS_M = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


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
