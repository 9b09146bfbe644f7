"""Validation by clicks, previews and saving in the training of mask models."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from semidepth.data.source_spec import Source
from semidepth.evaluation.masks.annotator import first_clicks
from semidepth.evaluation.masks.data import images_with_objects
from semidepth.evaluation.masks.scoring import ImageWithObjects, score_objects, summary
from semidepth.evaluation.masks.segmenter import MaskModel
from semidepth.evaluation.pictures import grid
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.engine.loop import Hooks
from semidepth.training.engine.saving import save_model
from semidepth.training.engine.tracking import Tracking
from semidepth.training.options.masks import MaskOptions
from semidepth.training.recipes.hooks import PREVIEW_IMAGES

# Clicks in a validation; a score run has up to 20.
CLICKS = 3
SHOWN = ("miou@1", "oracle@1", "miou@3", "box", "score_error")
BLUE, GREEN = (60, 140, 230), (60, 190, 90)


def make_mask_hooks(
    options: MaskOptions,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    *,
    validation: Sequence[Source],
    previewed: Sequence[Source],
) -> Hooks:
    """Returns the hooks of a mask model's training; they take the module of [`Rounds`], whose `model` it is.

    Args:
        options: the command's options.
        accelerator: the run's accelerator.
        preprocessing: the model's preprocessing, saved with it as an image processor.
        validation: sources with masks to score; the processes share the images.
        previewed: sources whose first images are drawn.
    """

    def segmenter(rounds: nn.Module) -> MaskModel:
        return MaskModel("model", rounds.model, preprocessing, accelerator.device, accelerator.autocast)

    def validate(rounds: nn.Module) -> dict[str, float]:
        scores: dict[str, float] = {}
        for source in validation:
            images = images_with_objects(
                [source], scene_size=preprocessing.size, limit=options.validation_images, min_area=options.min_area
            )
            share = islice(images, accelerator.process_index, None, accelerator.num_processes)
            found = score_objects([segmenter(rounds)], share, limit=CLICKS)["model"]
            means = summary(gather_object(found), limit=CLICKS)
            scores |= {f"{source.spec}/{name}": means[name] for name in SHOWN}
        return scores

    def preview(rounds: nn.Module, tracking: Tracking, step: int) -> None:
        if not accelerator.is_main_process:
            return
        each, rows = max(1, PREVIEW_IMAGES // len(previewed)), []
        for source in previewed[:PREVIEW_IMAGES]:
            images = images_with_objects([source], scene_size=preprocessing.size, limit=each, min_area=options.min_area)
            rows += [_preview_row(segmenter(rounds), image) for image in images]
        tracking.picture(step, "masks", grid(rows, ["click", "truth", "best by score", "second", "third"]))

    def save(rounds: nn.Module, folder: Path) -> None:
        model: Any = rounds.model
        save_model(model, preprocessing, folder)

    return Hooks(validate=validate, preview=preview, save=save)


def _preview_row(segmenter: MaskModel, item: ImageWithObjects) -> list[np.ndarray]:
    """Returns an image's row: a click on its largest object, the truth, three candidates, the best score first."""
    target = item.targets[item.targets.sum((1, 2)).argmax()]
    clicks = first_clicks(target[None])
    segmenter.look(item.image)
    answer = segmenter.click(clicks, np.arange(1))
    x, y = clicks.points[0, 0].astype(int)
    clicked = item.image.copy()
    clicked[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = (255, 0, 0)
    ranked = answer.masks[0, answer.scores[0].argsort()[::-1]]
    return [clicked, _tinted(item.image, target, GREEN), *(_tinted(item.image, mask, BLUE) for mask in ranked)]


def _tinted(image: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.where(mask[..., None], (image * 0.4 + np.array(color) * 0.6).astype(np.uint8), image)
