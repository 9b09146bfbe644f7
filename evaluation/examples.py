"""examples.png: image, label, prediction and error of each task's best, median and worst image."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from semidepth.data.public_names import public_source
from semidepth.evaluation.pictures import CELL_PX, WORST_ERROR, color_errors, grid
from semidepth.evaluation.tasks import Cells, ImageScores, Task
from semidepth.prediction.models import DepthModel

TITLES = ("", "image", "ground truth", "prediction", "relative error")
LEGEND_PX = 40


@dataclass(frozen=True)
class Example:
    """One row of the picture, with a cell for each of `TITLES`."""

    cells: Cells


def choose(task: Task, images: Sequence[ImageScores]) -> list[tuple[str, float, ImageScores]]:
    """The best, median and worst image by the score that the task ranks by, with its value; fewer of one or two."""
    sign = -1 if task.larger_is_better else 1
    values = []
    for image in images:
        value = next(iter(image.rows.values()))[task.ranked_by]
        if not math.isnan(value):
            values.append((sign * value, image.place, image))
    values.sort(key=lambda entry: entry[:2])
    last = len(values) - 1
    names = {"best": 0, "median": last // 2, "worst": last} if last > 1 else {"best": 0, "worst": last}
    chosen = {place: name for name, place in reversed(names.items()) if values}
    return [(chosen[place], abs(values[place][0]), values[place][2]) for place in sorted(chosen)]


def draw_examples(model: DepthModel, scored: Sequence[tuple[Task, list[ImageScores]]]) -> list[Example]:
    """Reads and predicts the best, median and worst image of each task again, and draws them.

    Args:
        model: of these tasks.
        scored: tasks and all their images.
    """
    examples = []
    for task, images in scored:
        for which, value, image in choose(task, images):
            cells, note = task.draw(model, task.data.read(image.place, model.preprocessing.size))
            lines = [
                f"{which}: {task.ranked_title} {value:.3f}",
                public_source(task.model),
                public_source(task.data.name),
                task.mode,
                PurePath(image.origin).name[-60:],
                note,
            ]
            examples.append(Example([label(lines, cells[0].shape), *cells]))
    return examples


def label(lines: Sequence[str], shape: Sequence[int]) -> np.ndarray:
    """Picture of text, (h, CELL_PX, 3) uint8, as high as a cell of that shape is shown."""
    height = max(round(shape[0] * CELL_PX / shape[1]), 116)
    canvas = Image.new("RGB", (CELL_PX, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=11)
    wrapped = [part for line in lines if line for part in textwrap.wrap(line, 33)]
    for number, line in enumerate(wrapped):
        draw.text((2, 2 + 13 * number), line, fill="black", font=font)
    return np.asarray(canvas)


def make_picture(examples: Sequence[Example]) -> Image.Image:
    """Arranges all rows below each other, with a legend of the error colours at the end."""
    rows = grid([example.cells for example in examples], TITLES, cell_px=CELL_PX)
    canvas = Image.new("RGB", (rows.width, rows.height + LEGEND_PX), "white")
    canvas.paste(rows, (0, 0))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=12)
    left, width = rows.width - CELL_PX - 6, CELL_PX
    scale = np.repeat(np.linspace(0, WORST_ERROR, width)[None], 14, 0)
    canvas.paste(Image.fromarray(color_errors(scale)), (left, rows.height))
    draw.rectangle([left, rows.height, left + width - 1, rows.height + 13], outline="black")
    for share, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        value = f"{share * WORST_ERROR:g}" + (" or more" if share == 1 else "")
        draw.text((left + share * width, rows.height + 17), value, fill="black", font=font, anchor=anchor)
    draw.text((left - 8, rows.height), "relative error; grey: not scored", fill="black", font=font, anchor="ra")
    return canvas
