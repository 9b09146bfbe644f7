"""Answers of a mask model to prompts on one image, at the image's own size.

A model's masks have four cells to a patch, too few for small things. So a small answer may be asked again of a crop
round it, which the core sees anew, larger.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.media.run_lengths import box_of
from semidepth.prediction.preprocessing import Preprocessing

# Objects that are answered at once: more would not be quicker, and their masks at the image's size take memory.
AT_ONCE = 32
# A crop is so many times as large as the longer side of what it is for, and used if it is at most this share of the
# image's shorter side; it has so many pixels at least.
CROP_FACTOR, LARGEST_CROP, SMALLEST_CROP = 2.0, 0.6, 16
CROPS_AT_ONCE = 8
PADDING = -10
ON, OFF = 1, 0


@dataclass
class ImagePrompts:
    """Prompts of P objects in pixels of the image, whose upper left corner is (0, 0).

    Args:
        points: (P, N, 2) x, y; None: no points.
        positive: (P, N) bool, on the object.
        boxes: (P, 4) x1, y1, x2, y2; None: no boxes.
        logits: P tensors of [`Masks.logits`], an earlier answer; None: none.
    """

    points: np.ndarray | None = None
    positive: np.ndarray | None = None
    boxes: np.ndarray | None = None
    logits: list[Tensor] | None = None

    def __len__(self) -> int:
        given = self.boxes if self.points is None else self.points
        return 0 if given is None else len(given)

    def part(self, start: int, stop: int) -> "ImagePrompts":
        """Returns the prompts of some of the objects."""
        cut = slice(start, stop)
        given = (self.points, self.positive, self.boxes, self.logits)
        parts: list[Any] = [None if each is None else each[cut] for each in given]
        return ImagePrompts(*parts)


@dataclass
class Masks:
    """Answers for P objects.

    Args:
        masks: (P, M, H, W) bool, M candidates for each.
        scores: (P, M) float32, predicted IoU of each.
        logits: P tensors (h, w) on the model's device, best candidate, for [`ImagePrompts.logits`].
    """

    masks: np.ndarray
    scores: np.ndarray
    logits: list[Tensor]


class MaskPredictor:
    """A mask model that has seen an image.

    Args:
        model: a `PromptedMaskForMaskGeneration` in evaluation mode.
        preprocessing: its own.
        device: where it is.
        autocast: makes the context of each forward pass.
        zoom: whether small answers are asked again of a crop.
    """

    def __init__(
        self,
        model: Any,
        preprocessing: Preprocessing,
        device: torch.device,
        autocast: Any = nullcontext,
        *,
        zoom: bool = False,
    ) -> None:
        self._model, self.preprocessing, self._device = model, preprocessing, device
        self._autocast: Any = autocast
        self.zoom = zoom

    def look(self, image: np.ndarray) -> None:
        """Runs the core on an image, (H, W, 3) uint8 RGB."""
        self._image, self._size = image, image.shape[:2]
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        self._seen_size, self._seen = self._see(self.preprocessing.resize(pixels))

    def answer(self, prompts: ImagePrompts, *, candidates: bool) -> Masks:
        """Returns masks of the prompted objects.

        Args:
            prompts: of the image; a point or box outside of it is moved to its border.
            candidates: three masks, for one point each; False gives one.
        """
        parts = [
            self._answer(prompts.part(start, start + AT_ONCE), candidates)
            for start in range(0, len(prompts), AT_ONCE)
        ]  # fmt: skip
        found = Masks(
            np.concatenate([part.masks for part in parts]),
            np.concatenate([part.scores for part in parts]),
            [logits for part in parts for logits in part.logits],
        )
        if self.zoom:
            self._ask_again(prompts, found)
        return found

    def _see(self, pixels: Tensor) -> tuple[np.ndarray, Any]:
        """Returns the size (width, height) that the model sees, and its embeddings of uint8 images."""
        normalized = self.preprocessing.normalize(pixels.to(self._device))
        with torch.inference_mode(), self._context():
            seen = self._model.get_image_embeddings(normalized)
        return np.array([normalized.shape[-1], normalized.shape[-2]], np.float32), seen

    def _answer(self, prompts: ImagePrompts, candidates: bool) -> Masks:
        scale = self._seen_size / np.array(self._size[::-1], np.float32)
        logits, scores = self._decode(self._seen, self._seen_size, _scaled(prompts, scale, 0.0), candidates)
        masks = F.interpolate(logits[0], self._size, mode="bilinear", align_corners=False) > 0
        best = logits[0][torch.arange(len(masks)), scores[0].argmax(1)]
        return Masks(masks.cpu().numpy(), scores[0].cpu().numpy(), list(best))

    def _decode(
        self, seen: Any, size: np.ndarray, prompts: ImagePrompts, candidates: bool, *, each_its_image: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Returns (B, P, M, h, w) float32 logits and (B, P, M) scores; prompts are in the model's pixels.

        Args:
            seen: embeddings, of one image, or with `each_its_image` of one for each object.
            size: width and height that the model sees.
            prompts: of all objects.
            candidates: see [`answer`].
            each_its_image: see `seen`.
        """
        embeddings, fine = seen if isinstance(seen, tuple) else (seen, None)
        given: dict[str, Tensor] = {}
        if prompts.points is not None and prompts.positive is not None:
            # The model counts pixels from their middles, as stock SAM does: the first one's is 0.
            given["input_points"] = torch.from_numpy((prompts.points - 0.5).clip(0, size).astype(np.float32))
            given["input_labels"] = torch.from_numpy(np.asarray(prompts.positive).astype(np.int64))
        if prompts.boxes is not None:
            inside = prompts.boxes.clip(0, np.tile(size, 2)).astype(np.float32)  # rounding leads out of it
            given["input_boxes"] = torch.from_numpy(inside)
        if prompts.logits is not None:
            given["input_masks"] = torch.stack(prompts.logits)
        axis = 1 if each_its_image else 0
        with torch.inference_mode(), self._context():
            output = self._model(
                image_embeddings=embeddings, intermediate_embeddings=fine, multimask_output=candidates,
                **{name: value.unsqueeze(axis).to(self._device) for name, value in given.items()},
            )  # fmt: skip
        logits, scores = output.pred_masks.float(), output.iou_scores.float()
        if not bool(logits.isfinite().all() and scores.isfinite().all()):  # NaN would look like an empty mask
            raise ValueError("the mask model's answer is not finite; this checkpoint is broken.")
        return logits, scores

    def _ask_again(self, prompts: ImagePrompts, found: Masks) -> None:
        """Replaces each small best answer by that to the same prompts on a crop round it."""
        best = found.scores.argmax(1)
        windows = {}
        for index in range(len(prompts)):
            around = found.masks[index, best[index]] if prompts.boxes is None else prompts.boxes[index]
            window = _window(around, prompts.part(index, index + 1), self._size)
            if window is not None:
                windows[index] = window
        chosen = sorted(windows)
        for start in range(0, len(chosen), CROPS_AT_ONCE):
            some = chosen[start : start + CROPS_AT_ONCE]
            for index, mask in zip(some, self._of_crops(prompts, found, some, windows), strict=True):
                x, y, side = windows[index]
                if mask.any():
                    found.masks[index, best[index]] = False
                    found.masks[index, best[index], y : y + side, x : x + side] = mask

    def _of_crops(
        self, prompts: ImagePrompts, found: Masks, some: list[int], windows: dict[int, tuple[int, int, int]]
    ) -> list[np.ndarray]:
        """Returns the masks of some objects in their windows."""
        size = self.preprocessing.size
        crops, asked = [], []
        for index in some:
            x, y, side = windows[index]
            crop = np.ascontiguousarray(self._image[y : y + side, x : x + side])
            crops.append(self.preprocessing.resize(torch.from_numpy(crop).permute(2, 0, 1)[None])[0])
            own = _scaled(prompts.part(index, index + 1), np.float32(size / side), np.array([x, y], np.float32))
            if own.points is not None and own.positive is not None:
                outside: Any = ((own.points < 0) | (own.points > size)).any(-1)
                own.positive = np.where(outside, PADDING, np.where(own.positive, ON, OFF))
                own.points = np.where(outside[..., None], 0.5, own.points)
            asked.append(own)
        seen_size, seen = self._see(torch.stack(crops))
        joined: list[Any] = [
            None if getattr(asked[0], name) is None else np.concatenate([getattr(each, name) for each in asked])
            for name in ("points", "positive", "boxes")
        ]
        together = ImagePrompts(*joined)
        if together.boxes is None:
            together.logits = [self._in_window(found.logits[index], windows[index], seen) for index in some]
        logits, _ = self._decode(seen, seen_size, together, candidates=False, each_its_image=True)
        masks = []
        for index, own in zip(some, logits[:, 0, 0], strict=True):
            side = windows[index][2]
            masks.append((F.interpolate(own[None, None], (side, side), mode="bilinear")[0, 0] > 0).cpu().numpy())
        return masks

    def _in_window(self, logits: Tensor, window: tuple[int, int, int], seen: Any) -> Tensor:
        """Returns the logits of an answer in a window, at the resolution of masks there."""
        x, y, side = window
        large = F.interpolate(logits[None, None], self._size, mode="bilinear", align_corners=False)
        rows, columns = (4 * cells for cells in (seen[0] if isinstance(seen, tuple) else seen).shape[-2:])
        return F.interpolate(large[..., y : y + side, x : x + side], (rows, columns), mode="area")[0, 0]

    def _context(self) -> AbstractContextManager[Any]:
        return self._autocast()


def _scaled(prompts: ImagePrompts, scale: Any, origin: Any) -> ImagePrompts:
    """Returns points and boxes in other pixels: those of the image less `origin`, times `scale`."""
    points = None if prompts.points is None else (prompts.points - origin) * scale
    boxes = None if prompts.boxes is None else (prompts.boxes.reshape(-1, 2, 2) - origin) * scale
    return ImagePrompts(points, prompts.positive, None if boxes is None else boxes.reshape(-1, 4), prompts.logits)


def _window(around: np.ndarray, prompts: ImagePrompts, size: tuple[int, int]) -> tuple[int, int, int] | None:
    """Returns the square crop for an object: x, y of its corner, and its side; None where the image itself will do.

    Args:
        around: (H, W) bool, its mask, or (4,) its box.
        prompts: its own; clicks on it are within the crop.
        size: height and width of the image.
    """
    if around.ndim == 2:
        x, y, width, height = box_of(around)
        if not width:
            return None
        low, high = np.array([x, y]), np.array([x + width, y + height])
    else:
        low, high = around[:2], around[2:]
    if prompts.points is not None and prompts.positive is not None:
        clicked = prompts.points[0][np.asarray(prompts.positive[0], bool)]
        low, high = np.minimum(low, clicked.min(0)), np.maximum(high, clicked.max(0))
    side = max(SMALLEST_CROP, round(CROP_FACTOR * float((high - low).max())))
    if side > LARGEST_CROP * min(size):
        return None
    corner = np.round((low + high) / 2 - side / 2).astype(int).clip(0, np.array(size[::-1]) - side)
    return int(corner[0]), int(corner[1]), side
