"""Validation, previews and saving in the training of relative models (teacher and student)."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn
from transformers import PreTrainedModel

from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.pictures import grid, relative_row
from semidepth.evaluation.relative import gather_mean, score_relative
from semidepth.prediction.models import DepthModel
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.engine.loop import Hooks
from semidepth.training.engine.saving import save_model
from semidepth.training.engine.tracking import Tracking
from semidepth.training.options.run import RelativeOptions


def make_hooks(
    options: RelativeOptions,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    *,
    validation: Sequence[Source],
    previewed: Sequence[Source],
    previewed_labels: bool = True,
) -> Hooks:
    """Returns the hooks of a relative model's training: validation, previews and saving.

    Args:
        options: the command's options.
        accelerator: the run's accelerator.
        preprocessing: the model's preprocessing, saved with it as an image processor.
        validation: labeled sources to score; the processes share the images.
        previewed: sources whose first images are drawn.
        previewed_labels: true if ground truth is drawn beside them.
    """
    wrap = partial(_as_depth_model, preprocessing=preprocessing)

    def validate(model: nn.Module) -> dict[str, float]:
        scores: dict[str, float] = {}
        predict = _autocast_predict(wrap(model), accelerator)
        for source in validation:
            samples = evaluation_samples([source], options.validation_images, size=preprocessing.size)
            share = islice(samples, accelerator.process_index, None, accelerator.num_processes)
            means = gather_mean(accelerator, score_relative(predict, share, device=accelerator.device))
            scores |= {f"{source.spec}/{name}": means[name] for name in ("abs_rel", "delta1")}
        return scores

    def preview(model: nn.Module, tracking: Tracking, step: int) -> None:
        if not accelerator.is_main_process:
            return
        samples: list[Any] = []
        for source in previewed[:PREVIEW_IMAGES]:
            each = max(1, PREVIEW_IMAGES // len(previewed))
            samples += evaluation_samples([source], each, labeled=previewed_labels, size=preprocessing.size)
        predict = _autocast_predict(wrap(model), accelerator)
        rows = []
        for sample in samples:
            predicted = predict(sample["image"][None].to(accelerator.device))[0]
            rows.append(relative_row(sample["image"], sample["depth"] if previewed_labels else None, [predicted]))
        titles = ["image", *(["ground truth"] if previewed_labels else []), "prediction"]
        tracking.picture(step, "predictions", grid(rows, titles))

    def save(model: nn.Module, folder: Path) -> None:
        assert isinstance(model, PreTrainedModel)
        save_model(model, preprocessing, folder)

    return Hooks(validate=validate, preview=preview, save=save, rank=mean_abs_rel if options.keep == "best" else None)


def mean_abs_rel(scores: Mapping[str, float]) -> float:
    """Returns the mean AbsRel over the sources that have one; NaN where none has."""
    values = [value for name, value in scores.items() if name.endswith("/abs_rel") and math.isfinite(value)]
    return sum(values) / len(values) if values else math.nan


def _as_depth_model(model: nn.Module, preprocessing: Preprocessing) -> DepthModel:
    return DepthModel(model, preprocessing, "disparity")


def _autocast_predict(model: DepthModel, accelerator: Accelerator) -> Callable[[Tensor], Tensor]:
    def predict(images: Tensor) -> Tensor:
        with accelerator.autocast():
            return model.predict_disparity(images)

    return predict


PREVIEW_IMAGES = 4
