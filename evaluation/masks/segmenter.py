"""A mask model as a segmenter: it sees an image once, and its answer to a click is shown to it at the next click."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.evaluation.masks.annotator import Answer, Clicks
from semidepth.prediction.preprocessing import Preprocessing

# Objects that are answered at once: more would not be quicker, and their masks at the image's size take memory.
AT_ONCE = 32


class MaskModel:
    """A promptable mask model, for [`score_objects`].

    Args:
        name: shown in tables.
        model: a `PromptedMaskForMaskGeneration` in evaluation mode.
        preprocessing: its own.
        device: where it is.
        autocast: makes the context of each forward pass.
    """

    takes_clicks = True

    def __init__(
        self,
        name: str,
        model: Any,
        preprocessing: Preprocessing,
        device: torch.device,
        autocast: Any = nullcontext,
    ) -> None:
        self.name, self._model, self._preprocessing, self._device = name, model, preprocessing, device
        self._autocast: Any = autocast

    @property
    def size(self) -> int:
        """Shorter side of the model's input in pixels."""
        return self._preprocessing.size

    def look(self, image: np.ndarray) -> None:
        """Runs the core on an image, (H, W, 3) uint8 RGB."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        self._size = image.shape[:2]
        resized = self._preprocessing.normalize(self._preprocessing.resize(pixels).to(self._device))
        self._seen_size = np.array([resized.shape[-1], resized.shape[-2]], np.float32)  # width, height
        self._scale = self._seen_size / np.array([image.shape[1], image.shape[0]], np.float32)
        with torch.inference_mode(), self._context():
            self._seen = self._model.get_image_embeddings(resized)
        self._logits: dict[int, Tensor] = {}

    def click(self, clicks: Clicks, objects: np.ndarray) -> Answer:
        """Returns three candidates at the first click, then one, which also goes by the answer before."""
        # The model counts pixels from their middles, as stock SAM does: the first one's is 0.
        points = torch.from_numpy((clicks.points * self._scale - 0.5).clip(0))[None]
        labels = torch.from_numpy(clicks.positive.astype(np.int64))[None]
        first = clicks.points.shape[1] == 1
        parts = []
        for start in range(0, len(objects), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            prompts = {"input_points": points[:, some], "input_labels": labels[:, some]}
            if not first:
                prompts["input_masks"] = torch.stack([self._logits[index] for index in objects[some].tolist()])[None]
            masks, scores, logits = self._answer(prompts, multimask_output=first)
            self._logits |= dict(zip(objects[some].tolist(), logits, strict=True))
            parts.append((masks, scores))
        return Answer(np.concatenate([masks for masks, _ in parts]), np.concatenate([scores for _, scores in parts]))

    def box(self, boxes: np.ndarray) -> Answer:
        """Returns one mask for each box."""
        inside = (boxes * np.tile(self._scale, 2)).clip(0, np.tile(self._seen_size, 2))  # rounding leads out of it
        scaled = torch.from_numpy(inside)[None]
        parts = [
            self._answer({"input_boxes": scaled[:, start : start + AT_ONCE]}, multimask_output=False)
            for start in range(0, len(boxes), AT_ONCE)
        ]
        return Answer(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))

    def _answer(
        self, prompts: dict[str, Tensor], *, multimask_output: bool
    ) -> tuple[np.ndarray, np.ndarray, Tensor]:  # fmt: skip
        """Returns (P, M, H, W) masks, (P, M) scores and (P, h, w) logits of the candidate with the best score."""
        embeddings, fine = self._seen
        with torch.inference_mode(), self._context():
            output = self._model(
                image_embeddings=embeddings, intermediate_embeddings=fine, multimask_output=multimask_output,
                **{name: value.to(self._device) for name, value in prompts.items()},
            )  # fmt: skip
        logits, scores = output.pred_masks[0].float(), output.iou_scores[0].float()  # (P, M, h, w), (P, M)
        masks = F.interpolate(logits, self._size, mode="bilinear", align_corners=False) > 0
        best = logits[torch.arange(len(logits)), scores.argmax(1)]
        return masks.cpu().numpy(), scores.cpu().numpy(), best

    def _context(self) -> AbstractContextManager[Any]:
        return self._autocast()
