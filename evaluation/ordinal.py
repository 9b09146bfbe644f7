"""Scores of pairs of points: how often the point labeled nearer is predicted nearer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from semidepth.data.samples import to_array
from semidepth.evaluation.benchmarks.base import PointPairs
from semidepth.evaluation.data import Place
from semidepth.evaluation.depth_metrics.ordinal_metrics import ordinal_hits
from semidepth.evaluation.tasks import Cells, ImageScores, Task
from semidepth.media.color_maps import colorize
from semidepth.prediction.models import DepthModel

UNJUDGED, RIGHT, WRONG = (255, 255, 0), (40, 220, 90), (255, 60, 60)


@dataclass(frozen=True, kw_only=True)
class OrdinalTask(Task):
    """Inverse depth scored on pairs of points; no alignment, cap or crop."""

    mode = "ordinal"
    ranked_by = "ordinal_accuracy"
    ranked_title = "accuracy"
    larger_is_better = True

    def settings(self) -> dict[str, Any]:
        return {}

    def columns(self) -> dict[str, Any]:
        return {"align": "none", "protocol": "", "max_depth_m": None}

    def score(self, model: DepthModel, batch: Sequence[tuple[Place, PointPairs]]) -> list[ImageScores]:
        # One by one: the number of pairs differs.
        return [
            ImageScores(place, pairs["origin"], pairs["domain"], "", {("", "disparity"): score_pairs(model, pairs)})
            for place, pairs in batch
        ]

    def draw(self, model: DepthModel, item: PointPairs) -> tuple[Cells, str]:
        """Image, its pairs, the prediction, and the pairs on it: right ones green, wrong ones red."""
        disparity, hits = _predict(model, item)
        image, depth = to_array(item["image"]), colorize(disparity.numpy())
        truth = draw_pairs(image, item, [UNJUDGED] * len(hits))
        verdict = draw_pairs(depth, item, [RIGHT if hit else WRONG for hit in hits.tolist()])
        return [image, truth, depth, verdict], "dot: the nearer point; green: right"


def score_pairs(model: DepthModel, pairs: PointPairs) -> dict[str, float]:
    """`ordinal_accuracy` of one image, in [0, 1], and `pairs`, their number, which weights images in a set's mean."""
    _, hits = _predict(model, pairs)
    return {"ordinal_accuracy": hits.double().mean().item(), "pairs": float(len(hits))}


def _predict(model: DepthModel, pairs: PointPairs) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted inverse depth (H, W) on the CPU, and a mask (N,) of the pairs that it orders as labeled."""
    device = model.device
    disparity = model.predict_disparity(pairs["image"][None].to(device))[0].cpu()
    return disparity, ordinal_hits(disparity, torch.as_tensor(pairs["nearer"]), torch.as_tensor(pairs["farther"]))


def draw_pairs(picture: np.ndarray, pairs: PointPairs, colors: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Draws a line for each pair, from a dot at the nearer point to a ring at the other; (H, W, 3) uint8."""
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    radius = max(2, canvas.width // 60)
    for near, far, color in zip(pairs["nearer"].tolist(), pairs["farther"].tolist(), colors, strict=True):
        (top, left), (low, right) = near, far
        draw.line([(left, top), (right, low)], fill=color, width=max(1, radius // 2))
        draw.circle((left, top), radius, fill=color, outline="black")
        draw.circle((right, low), radius, outline=color, width=max(1, radius // 2))
    return np.asarray(canvas)
