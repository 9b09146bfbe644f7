"""A mask model as a segmenter: it sees an image once, and its answer to a click is shown to it at the next click."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semidepth.evaluation.masks.annotator import Answer, Clicks
from semidepth.prediction.masks.answers import ImagePrompts, MaskPredictor
from semidepth.prediction.preprocessing import Preprocessing


class MaskModel:
    """A promptable mask model, for [`score_objects`].

    Args:
        name: shown in tables.
        model: a `PromptedMaskForMaskGeneration` in evaluation mode.
        preprocessing: its own.
        device: where it is.
        autocast: makes the context of each forward pass.
        zoom: whether small answers are asked again of a crop round them.
    """

    takes_clicks = True

    def __init__(
        self,
        name: str,
        model: Any,
        preprocessing: Preprocessing,
        device: torch.device,
        autocast: Any = nullcontext,
        *,
        zoom: bool = False,
    ) -> None:
        self.name = name
        self._predictor = MaskPredictor(model, preprocessing, device, autocast, zoom=zoom)

    @property
    def size(self) -> int:
        """Shorter side of the model's input in pixels."""
        return self._predictor.preprocessing.size

    def look(self, image: np.ndarray) -> None:
        """Runs the core on an image, (H, W, 3) uint8 RGB."""
        self._predictor.look(image)
        self._logits: dict[int, Tensor] = {}

    def click(self, clicks: Clicks, objects: np.ndarray) -> Answer:
        """Returns three candidates at the first click, then one, which also goes by the answer before."""
        first = clicks.points.shape[1] == 1
        earlier = None if first else [self._logits[index] for index in objects.tolist()]
        found = self._predictor.answer(ImagePrompts(clicks.points, clicks.positive, logits=earlier), candidates=first)
        self._logits |= dict(zip(objects.tolist(), found.logits, strict=True))
        return Answer(found.masks, found.scores)

    def box(self, boxes: np.ndarray) -> Answer:
        """Returns one mask for each box."""
        found = self._predictor.answer(ImagePrompts(boxes=boxes), candidates=False)
        return Answer(found.masks, found.scores)
