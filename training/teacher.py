"""Train a teacher: a relative depth model on labeled images alone.

    accelerate launch training/teacher.py                                    # built-in scenes, minutes on a CPU
    accelerate launch training/teacher.py --encoder facebook/dinov2-large \\
        --labeled 'rooms/*.parquet?depth_scale=0.001' --mixed_precision bf16 # your own

Depth Anything (arXiv 2401.10891), section 3.1: a pretrained encoder and a fresh DPT decoder learn inverse depth from
labeled images with the affine-invariant loss; images stay clean but for a horizontal flip; the decoder learns ten times
as fast as the encoder. The teacher then labels the images that training/student.py learns from.
"""

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semidepth.common.console import run_command, set_up_logging
from semidepth.data.source_spec import parse_sources
from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.modeling.affine_invariant import affine_invariant_loss
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.publishing.pusher import open_pusher
from semidepth.training.arguments.run import TeacherArguments, parse_arguments
from semidepth.training.encoder import resolve_encoder
from semidepth.training.engine.loop import train
from semidepth.training.engine.loss_window import Losses
from semidepth.training.engine.optimization import choose_attention, relative_optimizer
from semidepth.training.engine.resuming import check_resume
from semidepth.training.engine.saving import save_results
from semidepth.training.engine.setup import (
    announce,
    check_sources,
    make_accelerator,
    make_run_loader,
    resolve_preprocessing,
    resolve_steps,
)
from semidepth.training.engine.step_data import Batch, StepData
from semidepth.training.losses.gradient_matching import gradient_matching_loss
from semidepth.training.recipes.relative_hooks import make_hooks

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


def train_teacher(arguments: TeacherArguments) -> dict[str, Any]:
    """Trains and saves a teacher; returns the final losses and validation scores.

    Raises:
        ValueError: in one sentence, for options that do not fit the data or the encoder.
    """
    accelerator = make_accelerator(arguments)
    pusher = open_pusher(arguments, arguments.output_dir, main_process=accelerator.is_main_process)
    announce(arguments, accelerator, "teacher")
    labeled, validation = parse_sources(arguments.labeled), parse_sources(arguments.validation)
    check_sources(labeled + validation)
    encoder = resolve_encoder(arguments, accelerator)
    preprocessing = resolve_preprocessing(arguments, encoder)
    steps = resolve_steps(
        arguments,
        labeled,
        labeled=True,
        batch_size=arguments.batch_size,
        world=accelerator.num_processes,
    )
    check_resume(arguments, steps)

    loader = make_run_loader(arguments, accelerator, preprocessing, labeled)
    model = DepthStudentForDepthEstimation.from_encoder(encoder)
    choose_attention(model.backbone, (preprocessing.size // preprocessing.multiple) ** 2, accelerator.device)
    results = train(
        arguments,
        name="teacher",
        steps=steps,
        accelerator=accelerator,
        model=model,
        make_optimizer=partial(relative_optimizer, arguments=arguments),
        data=StepData({"labeled": loader}, torch.Generator()),
        compute_losses=lambda model, batch: teacher_losses(
            model,
            batch,
            preprocessing=preprocessing,
            gradient_matching_weight=arguments.gradient_matching_weight,
        ),
        hooks=make_hooks(arguments, accelerator, preprocessing, validation=validation, previewed=validation or labeled),
        pusher=pusher,
    )
    if accelerator.is_main_process:
        save_results(Path(arguments.output_dir), {"steps": steps} | results)
        logger.info("teacher in %s", arguments.output_dir)
        pusher.finish()
    return results


def main(argv: list[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    arguments = parse_arguments(TeacherArguments, argv, description=__doc__ or "", preset="teacher_scenes")
    set_up_logging()
    return run_command(lambda: train_teacher(arguments))


if __name__ == "__main__":
    sys.exit(main())
