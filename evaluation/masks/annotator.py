"""A simulated annotator: clicks at an object's centre, then at the centre of the largest error, until it is right.

So RITM and Segment Anything are scored. The centre of a region is its pixel that is farthest from its border. Points
are (x, y) in pixels of the label, at pixel centres (+ 0.5).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from semidepth.evaluation.masks.metrics import mask_iou
from semidepth.media.run_lengths import box_of


@dataclass
class Answer:
    """Answer of a segmenter for P objects.

    Args:
        masks: (P, M, H, W) bool, M candidates for each object.
        scores: (P, M) predicted IoU of each; NaN where there is none, as of baselines.
    """

    masks: np.ndarray
    scores: np.ndarray

    def best(self) -> np.ndarray:
        """Returns (P,), the candidate with the highest score; the first where there are no scores."""
        return np.where(np.isnan(self.scores), -np.inf, self.scores).argmax(1)


@dataclass
class Clicks:
    """Clicks on P objects of one image: `points` (P, N, 2) x, y in pixels; `positive` (P, N) bool, on the object."""

    points: np.ndarray
    positive: np.ndarray

    def add(self, points: np.ndarray, positive: np.ndarray) -> "Clicks":
        """Returns the clicks with one more for each object: (P, 2) and (P,)."""
        return Clicks(
            np.concatenate([self.points, points[:, None]], 1), np.concatenate([self.positive, positive[:, None]], 1)
        )

    def of(self, objects: np.ndarray) -> "Clicks":
        """Returns the clicks of some objects."""
        return Clicks(self.points[objects], self.positive[objects])


@dataclass
class History:
    """Results of the clicks on one object; lists by number of clicks, which end where the object was done.

    Args:
        predicted: IoU of the mask that the segmenter takes for its best.
        oracle: IoU of the best of its candidates.
        scores: predicted IoU of the mask in `predicted`; NaN without one.
        masks: the masks in `predicted`, (H, W) bool, of the numbers of clicks that were asked for.
    """

    predicted: list[float]
    oracle: list[float]
    scores: list[float]
    masks: dict[int, np.ndarray]


# Clicks of some objects, and their numbers among all of this image -> what the segmenter says about these.
AnswerClicks = Callable[[Clicks, np.ndarray], Answer]


def centre(region: np.ndarray) -> tuple[tuple[float, float], float]:
    """Returns the point of a region that is farthest from its border, and that distance.

    Args:
        region: (H, W) bool; what lies beyond the image is outside.

    Returns:
        (x, y) in pixels, the centre of a pixel; and the distance in pixels, 0 for an empty region.
    """
    left, top, width, height = box_of(region)
    if not width:
        return (0.0, 0.0), 0.0
    inside = np.pad(region[top : top + height, left : left + width], 1)
    distance = distance_transform_edt(inside)[1:-1, 1:-1]
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    return (float(left + column) + 0.5, float(top + row) + 0.5), float(distance[row, column])


def first_clicks(targets: np.ndarray) -> Clicks:
    """Returns a click at the centre of each object, (P, H, W) bool."""
    points = np.array([centre(target)[0] for target in targets], np.float32).reshape(-1, 1, 2)
    return Clicks(points, np.ones((len(targets), 1), bool))


def next_click(mask: np.ndarray, target: np.ndarray) -> tuple[tuple[float, float], bool]:
    """Returns the next click and whether it is on the object: at the centre of the largest error of a mask.

    The largest is the one with the largest distance to its border, missing part or part too much. Where nothing is
    wrong it is at the object's centre.

    Args:
        mask: (H, W) bool.
        target: (H, W) bool.
    """
    missing, missing_size = centre(target & ~mask)
    wrong, wrong_size = centre(mask & ~target)
    if max(missing_size, wrong_size) == 0:
        return centre(target)[0], True
    return (missing, True) if missing_size >= wrong_size else (wrong, False)


def annotate(
    answer: AnswerClicks, targets: np.ndarray, *, limit: int, always: int, done_at: float, keep: tuple[int, ...] = ()
) -> list[History]:
    """Clicks on all objects of an image, in rounds, and returns what came of it.

    Args:
        answer: the segmenter, which has seen the image.
        targets: (P, H, W) bool, the objects; none is empty.
        limit: most clicks on an object.
        always: clicks that every object gets; more get those that are not done.
        done_at: IoU at which an object is done.
        keep: numbers of clicks whose masks are kept.
    """
    histories = [History([], [], [], {}) for _ in targets]
    clicks, left = first_clicks(targets), np.arange(len(targets))
    for number in range(1, limit + 1):
        answered = answer(clicks, left)
        ious, best = mask_iou(answered.masks, targets[left][:, None]), answered.best()
        for row, index in enumerate(left):
            history = histories[index]
            history.predicted.append(float(ious[row, best[row]]))
            history.oracle.append(float(np.nanmax(ious[row])))
            history.scores.append(float(answered.scores[row, best[row]]))
            if number in keep:
                history.masks[number] = answered.masks[row, best[row]]
        goes_on = np.array([number < always or histories[index].predicted[-1] < done_at for index in left], bool)
        left, clicks = left[goes_on], clicks.of(goes_on)
        if number == limit or not len(left):
            break
        chosen = answered.masks[goes_on, best[goes_on]]
        found = [next_click(mask, targets[index]) for mask, index in zip(chosen, left, strict=True)]
        points = np.array([point for point, _ in found], np.float32)
        clicks = clicks.add(points, np.array([positive for _, positive in found], bool))
    return histories
