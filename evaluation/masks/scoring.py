"""Scores of segmenters on objects: by clicks and by boxes, one row for each object; means by area."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semidepth.evaluation.masks.annotator import annotate
from semidepth.evaluation.masks.baselines import Segmenter, boxes_of
from semidepth.evaluation.masks.metrics import boundary_iou, clicks_needed, mask_iou, score_calibration

CLICKS = (1, 3, 5, 8)
WANTED = (0.80, 0.85, 0.90)
# Boundary IoU is taken of the masks of these numbers of clicks.
OUTLINED = (1, 3)
# Objects by their share of the image.
AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1.0),
    "above 1 %": (0.01, 1.0),
    "below 1 %": (0.0, 0.01),
    "1 to 10 %": (0.01, 0.1),
    "above 10 %": (0.1, 1.0),
}


@dataclass(frozen=True)
class ImageWithObjects:
    """An image with its objects: `image` (H, W, 3) uint8 RGB, `targets` (P, H, W) bool, none empty; and its name."""

    image: np.ndarray
    targets: np.ndarray
    origin: str


@dataclass
class ObjectScores:
    """Scores of one segmenter on one object.

    Args:
        origin: name of the image.
        number: of the object in it.
        area: its share of the image.
        predicted: IoU after 1, 2, ... clicks, of the mask that the segmenter takes for its best; empty without clicks.
        oracle: IoU of the best candidate.
        scores: predicted IoU.
        boundary: boundary IoU by number of clicks.
        box: IoU with the box; NaN where it takes none.
    """

    origin: str
    number: int
    area: float
    predicted: list[float]
    oracle: list[float]
    scores: list[float]
    boundary: dict[int, float]
    box: float

    def row(self) -> dict[str, Any]:
        """Returns the values as a row of a table."""
        clicks = {f"iou@{number}": _at(self.predicted, number) for number in CLICKS}
        oracle = {f"oracle@{number}": _at(self.oracle, number) for number in CLICKS[:1]}
        outlines = {f"boundary@{number}": self.boundary.get(number, math.nan) for number in OUTLINED}
        score = {"score@1": _at(self.scores, 1), "clicks": self.predicted}
        fixed = {"image": self.origin, "object": self.number, "area": self.area}
        return fixed | clicks | oracle | outlines | score | {"box": self.box}


def score_objects(
    segmenters: Sequence[Segmenter], images: Iterable[ImageWithObjects], *, limit: int
) -> dict[str, list[ObjectScores]]:
    """Scores segmenters on the same objects.

    Args:
        segmenters: to score; their names differ.
        images: with their objects.
        limit: most clicks on an object; all get the most of `CLICKS`, or `limit` where that is less.

    Returns:
        For each segmenter its objects, in the order of the images.
    """
    found: dict[str, list[ObjectScores]] = {segmenter.name: [] for segmenter in segmenters}
    for item in images:
        if not len(item.targets):
            continue
        for segmenter in segmenters:
            segmenter.look(item.image)
            found[segmenter.name] += _score_image(segmenter, item, limit)
    return found


def _score_image(segmenter: Segmenter, item: ImageWithObjects, limit: int) -> list[ObjectScores]:
    targets = item.targets
    boxes = segmenter.box(boxes_of(targets))
    in_box = np.full(len(targets), np.nan)
    if boxes is not None:
        rows = np.arange(len(targets))
        in_box = mask_iou(boxes.masks[rows, boxes.best()], targets)
    if segmenter.takes_clicks:
        always = min(limit, max(CLICKS))
        histories = annotate(
            segmenter.click, targets, limit=limit, always=always, done_at=max(WANTED), keep=OUTLINED
        )  # fmt: skip
    scores = []
    for number, target in enumerate(targets):
        history = histories[number] if segmenter.takes_clicks else None
        outlines = {clicks: boundary_iou(mask, target) for clicks, mask in history.masks.items()} if history else {}
        scores.append(
            ObjectScores(
                item.origin, number, float(target.mean()), history.predicted if history else [],
                history.oracle if history else [], history.scores if history else [], outlines, float(in_box[number]),
            )
        )  # fmt: skip
    return scores


def summary(objects: Sequence[ObjectScores], *, limit: int) -> dict[str, float]:
    """Returns the means over objects, by name.

    `miou@k` after k clicks, by the predicted score; `oracle@1` of the best candidate; `box`; `boundary@k`; `noc80` the
    mean clicks to 80 % and `failed80` the share of objects that never is so good; `score_error`, `score_bias` and
    `score_correlation` of the predicted IoU at the first click. NaN where there is nothing.

    Args:
        objects: of one segmenter.
        limit: most clicks, which objects that fail count as.
    """
    values: dict[str, float] = {}
    for number in CLICKS:
        values[f"miou@{number}"] = _mean(_at(scores.predicted, number) for scores in objects)
    values["oracle@1"] = _mean(_at(scores.oracle, 1) for scores in objects)
    values["box"] = _mean(scores.box for scores in objects)
    for number in OUTLINED:
        values[f"boundary@{number}"] = _mean(scores.boundary.get(number, math.nan) for scores in objects)
    histories = [scores.predicted for scores in objects if scores.predicted]
    for wanted in WANTED:
        name = f"{wanted * 100:.0f}"
        values[f"noc{name}"], values[f"failed{name}"] = clicks_needed(histories, wanted, limit)
    first = [(scores.scores[0], scores.predicted[0]) for scores in objects if scores.predicted]
    told = score_calibration(np.array([score for score, _ in first]), np.array([iou for _, iou in first]))
    return values | {f"score_{name}": value for name, value in told.items()}


def by_area(objects: Sequence[ObjectScores], area: str) -> list[ObjectScores]:
    """Returns the objects of one of `AREAS`; its upper end counts to the next, but for the whole image."""
    least, most = AREAS[area]
    return [scores for scores in objects if least <= scores.area and (scores.area < most or most == 1.0)]


def _at(values: Sequence[float], clicks: int) -> float:
    return values[clicks - 1] if len(values) >= clicks else math.nan


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
