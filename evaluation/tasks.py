"""One thing to do in a score run: a model, a set of images, and a way to score. One subclass for each way.

RelativeTask   relative.py   inverse depth, aligned to the label
MetresTask     metres.py     metres as they are, by a protocol
OrdinalTask    ordinal.py    pairs of points: which one is nearer
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from semidepth.data.samples import Sample
from semidepth.evaluation.data import Place, ScoredData
from semidepth.prediction.checkpoints import Kind
from semidepth.prediction.models import DepthModel

Mode = Literal["relative", "metric", "ordinal"]
Cells = list[np.ndarray]  # pictures, (H, W, 3) uint8 each


@dataclass(frozen=True)
class ImageScores:
    """Scores of one image in one task.

    Args:
        place: of the image in its set.
        origin: names it.
        domain: its own, "" where that is not known.
        chosen: name of the head that the router chose, "" without a choice.
        rows: (head, space) -> name of a score -> value; NaN for an image without a scored pixel.
    """

    place: Place
    origin: str
    domain: str
    chosen: str
    rows: dict[tuple[str, str], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One model scored on one set in one way.

    Args:
        model: Hub id or folder.
        revision: the Hub's commit, or a digest of the folder's weights.
        data: images and labels.
        kind: kind of the model's predictions, where it had to be given.
    """

    model: str
    revision: str
    data: ScoredData
    kind: Kind | None = None

    mode: ClassVar[Mode]
    # The score by which examples are chosen, its name in pictures, and whether a larger value is better.
    ranked_by: ClassVar[str] = "abs_rel"
    ranked_title: ClassVar[str] = "AbsRel"
    larger_is_better: ClassVar[bool] = False

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Settings of this way to score, in plain values; a run with other ones cannot be resumed."""

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """Values of `align`, `protocol` and `max_depth_m` in results.json."""

    @abstractmethod
    def score(self, model: DepthModel, batch: Sequence[tuple[Place, Any]]) -> list[ImageScores]:
        """Scores images of one size.

        Raises:
            ValueError: a prediction is not finite.
        """

    @abstractmethod
    def draw(self, model: DepthModel, item: Any) -> tuple[Cells, str]:
        """Pictures of one image for examples.png: image, ground truth, prediction, error; and a line of text."""


def require_finite(predicted: Tensor, batch: Sequence[Sample]) -> None:
    """Raises ValueError for a prediction that is not finite: its NaN scores would look like a missing label."""
    fine = predicted.isfinite().flatten(1).all(1).tolist()
    broken = [sample["origin"] for sample, finite in zip(batch, fine, strict=True) if not finite]
    if broken:
        raise ValueError(f"the model's prediction is not finite for {', '.join(broken)}; this checkpoint is broken.")
