"""A teacher (Depth Anything, arXiv 2401.10891, section 3.1): labeled images alone, the affine-invariant loss.

Images stay clean but for a horizontal flip; a fresh DPT decoder learns ten times as fast as the pretrained encoder.
With --start a whole model goes on learning.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semidepth.data.source_spec import parse_sources
from semidepth.modeling.affine_invariant import affine_invariant_loss
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.publishing.pusher import open_pusher
from semidepth.training.engine.loop import train
from semidepth.training.engine.loss_window import Losses
from semidepth.training.engine.optimization import relative_optimizer
from semidepth.training.engine.resuming import check_resume
from semidepth.training.engine.saving import save_results
from semidepth.training.engine.setup import (
    announce,
    check_sources,
    make_accelerator,
    make_run_loader,
    resolve_steps,
)
from semidepth.training.engine.step_data import Batch, StepData
from semidepth.training.losses.gradient_matching import gradient_matching_loss
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.hooks import make_hooks
from semidepth.training.recipes.start import resolve_start

logger = logging.getLogger(__name__)


def labeled_terms(
    predicted: torch.Tensor, disparity: torch.Tensor, gradient_matching_weight: float
) -> dict[str, torch.Tensor]:
    """Affine-invariant loss against labels, and the gradient matching loss where it has a weight.

    Args:
        predicted: (B, H, W) inverse depth.
        disparity: (B, H, W) inverse depth, NaN where unknown, 0 for sky.
        gradient_matching_weight: 0 leaves that term out.

    Returns:
        `labeled`, the weighted sum, first; then its parts where there are two.
    """
    loss = affine_invariant_loss(predicted, disparity)
    if gradient_matching_weight == 0:
        return {"labeled": loss}
    gradient = gradient_matching_loss(predicted, disparity)
    return {"labeled": loss + gradient_matching_weight * gradient, "labeled_gradient": gradient}


def teacher_losses(
    model: nn.Module, batch: Batch, *, preprocessing: Preprocessing, gradient_matching_weight: float = 0.0
) -> Losses:
    """The teacher's loss on one batch of clean labeled images."""
    predicted = model(pixel_values=preprocessing.normalize(batch["image"])).predicted_depth
    terms = labeled_terms(predicted, batch["disparity"], gradient_matching_weight)
    return Losses(
        total=terms["labeled"],
        terms=terms,
        finite=predicted.detach().isfinite().flatten(1).all(1),
        origins=batch["origin"],
        images=len(predicted),
    )


def train_teacher(options: TeacherOptions) -> dict[str, Any]:
    """Trains and saves a teacher; returns the final losses and validation scores.

    Raises:
        ValueError: in one sentence, for options that do not fit the data or the model to start from.
    """
    accelerator = make_accelerator(options)
    pusher = open_pusher(options, options.output_dir, main_process=accelerator.is_main_process)
    announce(options, accelerator, "teacher")
    labeled, validation = parse_sources(options.labeled), parse_sources(options.validation)
    check_sources(labeled + validation)
    start = resolve_start(options, accelerator)
    preprocessing = start.preprocessing
    steps = resolve_steps(
        options,
        labeled,
        labeled=True,
        batch_size=options.batch_size,
        world=accelerator.num_processes,
    )
    check_resume(options, steps)

    loader = make_run_loader(options, accelerator, preprocessing, labeled)
    model = start.make_model(accelerator.device)
    results = train(
        options,
        name="teacher",
        steps=steps,
        accelerator=accelerator,
        model=model,
        make_optimizer=partial(relative_optimizer, options=options),
        data=StepData({"labeled": loader}, torch.Generator()),
        compute_losses=lambda model, batch: teacher_losses(
            model,
            batch,
            preprocessing=preprocessing,
            gradient_matching_weight=options.gradient_matching_weight,
        ),
        hooks=make_hooks(options, accelerator, preprocessing, validation=validation, previewed=validation or labeled),
        pusher=pusher,
    )
    if accelerator.is_main_process:
        save_results(Path(options.output_dir), {"steps": steps} | results)
        logger.info("teacher in %s", options.output_dir)
        pusher.finish()
    return results
