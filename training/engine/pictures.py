"""Pictures of depth for people: colours, grids of image, ground truth and predictions."""

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from semidepth.training.data.preparing import to_disparity
from semidepth.training.engine import color_maps
from semidepth.training.engine.color_maps import DEFAULT_COLOR_MAP, display_range

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


def to_array(image: Tensor) -> np.ndarray:
    """(3, H, W) uint8 tensor -> (H, W, 3) uint8 array."""
    return image.cpu().permute(1, 2, 0).numpy()


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
    from semidepth.training.objectives.depth_metrics import align_scale_shift

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


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its name and renames it, so that a file of that name is never half there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Removes what processes that were killed left of these files when they wrote them: see [`write_whole`]."""
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(path.name)
    for folder, wanted in names.items():
        for partial in folder.glob(".*.part"):
            name, _, process = partial.name[1 : -len(".part")].rpartition(".")
            if name in wanted and process.isdecimal() and not psutil.pid_exists(int(process)):
                partial.unlink(missing_ok=True)


def _fit(picture: np.ndarray, width: int) -> Image.Image:
    image = Image.fromarray(picture)
    height = max(1, round(image.height * width / image.width))
    small = image.width < width
    return image.resize((width, height), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)
