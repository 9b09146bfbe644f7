"""The best, the median and the worst image of each model and set: image, label, prediction and where it is wrong."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from semidepth.data.public_names import public_source
from semidepth.data.samples import Sample, to_array, to_disparity
from semidepth.evaluation.benchmarks import PointPairs
from semidepth.evaluation.depth_metrics.formulas import aligned_disparity
from semidepth.evaluation.depth_metrics.ordinal_metrics import ordinal_hits
from semidepth.evaluation.folder import ImageScores
from semidepth.evaluation.metric import predict_metres
from semidepth.evaluation.options import Task
from semidepth.evaluation.pictures import colorize, colorize_metres, display_range, grid, metre_range
from semidepth.media.color_maps import UNKNOWN_COLOR
from semidepth.prediction.models import DepthModel

CELL_PX = 192
TITLES = ("", "image", "ground truth", "prediction", "relative error")
# A relative error from which on a pixel has the last colour; 0.25 is where delta1 ends.
WORST_ERROR = 0.5
ERROR_COLORS = ((255, 255, 255), (250, 180, 60), (200, 30, 30), (70, 0, 40))
RIGHT, WRONG = (40, 220, 90), (255, 60, 60)
LEGEND_PX = 40

Cells = list[np.ndarray]


@dataclass(frozen=True)
class Example:
    """One row of the picture: cells as in `TITLES`, (H, W, 3) uint8 each."""

    cells: Cells


def choose(images: Sequence[ImageScores]) -> list[tuple[str, float, ImageScores]]:
    """The best, median and worst image by AbsRel, or by the share of pairs, with that value; fewer of one or two."""
    values = []
    for image in images:
        table = next(iter(image.rows.values()))
        value = table.get("abs_rel", math.nan)
        value = -table["ordinal_accuracy"] if "ordinal_accuracy" in table else value
        if not math.isnan(value):
            values.append((value, image.place, image))
    values.sort(key=lambda entry: entry[:2])
    last = len(values) - 1
    names = {"best": 0, "median": last // 2, "worst": last} if last > 1 else {"best": 0, "worst": last}
    chosen = {place: name for name, place in reversed(names.items()) if values}
    return [(chosen[place], abs(values[place][0]), values[place][2]) for place in sorted(chosen)]


def draw_examples(model: DepthModel, scored: Sequence[tuple[Task, list[ImageScores]]]) -> list[Example]:
    """Reads and predicts the chosen images of each task once more.

    Args:
        model: the tasks' own.
        scored: tasks and all their images.
    """
    examples = []
    for task, images in scored:
        for which, value, image in choose(images):
            item = task.data.read(image.place, model.preprocessing.size)
            if isinstance(item, dict):
                cells, note = depth_cells(task, model, item)
            else:
                cells, note = pair_cells(model, item)
            measure = "accuracy" if task.mode == "ordinal" else "AbsRel"
            shown = f"{measure} {value:.3f}"
            names = [
                public_source(task.model),
                public_source(task.data.name),
                task.mode,
                PurePath(image.origin).name[-60:],
            ]
            lines = [f"{which}: {shown}", *names, note]
            examples.append(Example([label(lines, cells[0].shape), *cells]))
    return examples


def depth_cells(task: Task, model: DepthModel, sample: Sample) -> tuple[Cells, str]:
    """Image, label, prediction as it was scored, and its relative error; and the range of their colours."""
    device = next(model.model.parameters()).device
    image, depth = sample["image"], sample["depth"]
    assert depth is not None
    if task.protocol is not None:
        image, depth = task.protocol.cut(image), task.protocol.cut(depth)
        metres, _ = predict_metres(model, image[None].to(device), None, flip=task.flip)
        low, high = task.protocol.min_depth_m, task.protocol.max_depth_m
        scored = task.protocol.mask(*depth.shape) & depth.isfinite() & (depth >= low) & (depth <= (high or math.inf))
        predicted = metres[0].cpu().double().clamp(low, high)
        error = torch.where(scored, (predicted - depth).abs() / depth, torch.nan)
        limits = metre_range(torch.where(scored, depth.double(), torch.nan))
        maps = [colorize_metres(shrink(each), limits) for each in (depth, predicted)]
        note = f"{limits[0]:.2g} to {limits[1]:.2g} m"
    else:
        disparity = model.predict_disparity(image[None].to(device)).cpu()
        predicted = aligned_disparity(disparity, depth[None], align=task.align, max_depth_m=task.max_depth_m)[0]
        scored = depth.isfinite() & (depth >= 1e-3) & (depth <= (task.max_depth_m or math.inf))
        by_depth = (1 / predicted - depth).abs() / depth
        by_disparity = (predicted - 1 / depth).abs() * depth
        error = torch.where(scored, by_depth if task.spaces[0] == "depth" else by_disparity, torch.nan)
        truth = to_disparity(depth.double())
        limits = display_range(torch.where(scored, truth, torch.nan).numpy())
        maps = [colorize(shrink(each), limits) for each in (truth, predicted)]
        note = f"{1 / max(limits[1], 1e-9):.2g} to {1 / max(limits[0], 1e-9):.2g} m"
    return [to_array(image), *maps, color_errors(shrink(error))], note


def pair_cells(model: DepthModel, pairs: PointPairs) -> tuple[Cells, str]:
    """Image, its pairs, the prediction, and the pairs on it: right ones green, wrong ones red."""
    device = next(model.model.parameters()).device
    disparity = model.predict_disparity(pairs.image[None].to(device))[0].cpu()
    hits = ordinal_hits(disparity, torch.as_tensor(pairs.nearer), torch.as_tensor(pairs.farther)).tolist()
    image, depth = to_array(pairs.image), colorize(disparity)
    truth = draw_pairs(image, pairs, [(255, 255, 0)] * len(hits))
    verdict = draw_pairs(depth, pairs, [RIGHT if hit else WRONG for hit in hits])
    return [image, truth, depth, verdict], "dot: the nearer point; green: right"


def draw_pairs(picture: np.ndarray, pairs: PointPairs, colors: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """(H, W, 3) uint8 with a line for each pair, ending in a dot at the nearer point and a ring at the other."""
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    radius = max(2, canvas.width // 60)
    for near, far, color in zip(pairs.nearer.tolist(), pairs.farther.tolist(), colors, strict=True):
        (top, left), (low, right) = near, far
        draw.line([(left, top), (right, low)], fill=color, width=max(1, radius // 2))
        draw.circle((left, top), radius, fill=color, outline="black")
        draw.circle((right, low), radius, outline=color, width=max(1, radius // 2))
    return np.asarray(canvas)


def shrink(values: Tensor) -> np.ndarray:
    """A map of about the size at which it is shown: means of what is known in each block, so that sparse labels stay.

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


def color_errors(errors: np.ndarray) -> np.ndarray:
    """Relative errors (H, W) as colours (H, W, 3): white is none, darkest is `WORST_ERROR` or more, grey unscored."""
    shares = np.clip(np.nan_to_num(errors) / WORST_ERROR, 0, 1)
    anchors = np.linspace(0, 1, len(ERROR_COLORS))
    channels = [np.interp(shares, anchors, [color[channel] for color in ERROR_COLORS]) for channel in range(3)]
    colors = np.round(np.stack(channels, -1)).astype(np.uint8)
    colors[np.isnan(errors)] = UNKNOWN_COLOR
    return colors


def label(lines: Sequence[str], shape: Sequence[int]) -> np.ndarray:
    """(h, 192, 3) uint8 of text, as high as a cell of that shape is shown."""
    height = max(round(shape[0] * CELL_PX / shape[1]), 116)
    canvas = Image.new("RGB", (CELL_PX, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=11)
    wrapped = [part for line in lines if line for part in textwrap.wrap(line, 33)]
    for number, line in enumerate(wrapped):
        draw.text((2, 2 + 13 * number), line, fill="black", font=font)
    return np.asarray(canvas)


def make_picture(examples: Sequence[Example]) -> Image.Image:
    """All rows under each other, with the scale of the errors below."""
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
