"""Pictures of depth: grids of images, ground truth and predictions; colours for metres and for errors."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from semidepth.common.files import write_whole
from semidepth.data.samples import to_array, to_disparity
from semidepth.evaluation.depth_metrics.formulas import align_scale_shift
from semidepth.media.color_maps import UNKNOWN_COLOR, colorize, display_range

CELL_PX, MARGIN_PX, TITLE_PX = 192, 6, 22
BAR_WIDTH_PX = 22
TICKS_M = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
# Relative errors from here on have the last colour; 0.25 is where delta1 ends.
WORST_ERROR = 0.5
ERROR_COLORS = ((255, 255, 255), (250, 180, 60), (200, 30, 30), (70, 0, 40))


def grid(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], *, cell_px: int = CELL_PX) -> Image.Image:
    """Arranges pictures in rows and columns, with a title above each column.

    Args:
        rows: (H, W, 3) uint8 pictures; every row as long as `titles`.
        titles: one per column.
        cell_px: width of a column; pictures keep their aspect ratio.

    Returns:
        RGB picture on a white background.
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


def relative_row(image: Tensor, depth: Tensor | None, predictions: Sequence[Tensor]) -> list[np.ndarray]:
    """Pictures of image, ground truth and predicted inverse depth, with a shared colour range.

    Predictions are aligned to the ground truth by least-squares scale and shift in disparity space. Without ground
    truth each prediction has its own range.

    Args:
        image: (3, H, W) uint8.
        depth: (H, W) metres, NaN unknown, inf sky; None where there is none.
        predictions: (H, W) inverse depths, any affine scale.

    Returns:
        (H, W, 3) uint8 pictures: image, ground truth (if any), predictions.
    """
    cells = [to_array(image)]
    if depth is None:
        return cells + [colorize(prediction.cpu().numpy()) for prediction in predictions]
    truth = to_disparity(depth.double()).cpu()
    limits = display_range(truth.numpy())
    cells.append(colorize(truth.numpy(), limits))
    known = truth.isfinite()
    for prediction in predictions:
        value = prediction.double().cpu()
        scale, shift = align_scale_shift(value[None], truth[None], known[None])
        cells.append(colorize((scale * value + shift).numpy(), limits))
    return cells


def metres_row(
    image: Tensor, depth: Tensor | None, predictions: Sequence[Tensor], notes: Sequence[str] = ()
) -> list[np.ndarray]:
    """Pictures of image, ground truth (if any), predicted metres and a scale bar, with a shared range of metres.

    Args:
        image: (3, H, W) uint8.
        depth: (H, W) metres; None where there is none.
        predictions: (H, W) metres each.
        notes: lines of text beside the scale bar, such as the domain.

    Returns:
        (H, W, 3) uint8 pictures.
    """
    limits = metre_range((predictions[0] if depth is None else depth).cpu())
    maps = ([] if depth is None else [depth]) + list(predictions)
    height = max(2 * CELL_PX // 3, round(image.shape[1] * CELL_PX / image.shape[2]))
    return [to_array(image), *(colorize_metres(x.cpu(), limits) for x in maps), scale_bar(limits, notes, height)]


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Writes a picture, in the format of its suffix; the file appears only once it is complete."""
    buffer = io.BytesIO()
    picture.save(buffer, format=path.suffix[1:] or "png")
    write_whole(path, buffer.getvalue())
    return path


def _fit(picture: np.ndarray, width: int) -> Image.Image:
    image = Image.fromarray(picture)
    height = max(1, round(image.height * width / image.width))
    small = image.width < width
    return image.resize((width, height), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)


def metre_range(depth: Tensor | np.ndarray) -> tuple[float, float]:
    """Colour range in metres, nearest and farthest: the 1st and 99th percentile, so that outliers do not stretch it."""
    values = np.asarray(depth, dtype=np.float64)
    known = values[np.isfinite(values) & (values > 0)]
    if known.size == 0:
        return 1.0, 10.0
    near, far = np.percentile(known, [1, 99])
    return float(near), float(max(far, near * 1.1))


def colorize_metres(depth: Tensor | np.ndarray, limits_m: tuple[float, float]) -> np.ndarray:
    """Colours of metres on a logarithmic scale: near is bright, far is dark, unknown is grey.

    Args:
        depth: (H, W) metres; unknown where NaN, infinite or not positive.
        limits_m: metres shown brightest and darkest.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        nearness = -np.log(np.asarray(depth, dtype=np.float64))  # not finite where unknown
    near, far = limits_m
    return colorize(nearness, (-math.log(far), -math.log(near)))


def scale_bar(limits_m: tuple[float, float], notes: Sequence[str], height: int = CELL_PX) -> np.ndarray:
    """Colour bar with metres beside it, far at the top, and lines of text to its right.

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
    canvas = Image.new("RGB", (CELL_PX, height), "white")
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


def color_errors(errors: np.ndarray) -> np.ndarray:
    """Colours of relative errors, (H, W) -> (H, W, 3) uint8: white is 0, darkest `WORST_ERROR` or more, NaN is grey."""
    shares = np.clip(np.nan_to_num(errors) / WORST_ERROR, 0, 1)
    anchors = np.linspace(0, 1, len(ERROR_COLORS))
    channels = [np.interp(shares, anchors, [color[channel] for color in ERROR_COLORS]) for channel in range(3)]
    colors = np.round(np.stack(channels, -1)).astype(np.uint8)
    colors[np.isnan(errors)] = UNKNOWN_COLOR
    return colors


def shrink(values: Tensor) -> np.ndarray:
    """Shrinks a map to about the size at which it is shown: block means of the known values, so sparse labels stay.

    Args:
        values: (H, W), NaN where unknown.

    Returns:
        (h, w) float64.
    """
    factor = max(1, math.ceil(values.shape[1] / (1.5 * CELL_PX)))
    if factor == 1:
        return values.double().numpy()
    height, width = (max(1, side // factor) for side in values.shape)
    blocks = values[: height * factor, : width * factor].double().reshape(height, factor, width, factor)
    return blocks.nanmean((1, 3)).numpy()
