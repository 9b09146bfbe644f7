"""A teacher (Depth Anything, arXiv 2401.10891, section 3.1): labeled images alone.

Images stay clean but for a horizontal flip and what options ask for; a fresh DPT decoder learns ten times as fast as
the pretrained encoder. With --start a whole model goes on learning.
"""

import logging
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semidepth.data.source_spec import parse_sources
from semidepth.evaluation.labels.label_types import with_label_types
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.publishing.pusher import open_pusher
from semidepth.training.augmentation.batches import between, uniform
from semidepth.training.augmentation.camera import camera_effects
from semidepth.training.augmentation.metric import rotate
from semidepth.training.augmentation.strong import StrongAugmentation, distort_colors
from semidepth.training.engine import preflight
from semidepth.training.engine.held_out import split_labeled
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
    run_generator,
)
from semidepth.training.engine.step_data import Batch, StepData
from semidepth.training.losses.table import describe, losses_of, weighted_sum
from semidepth.training.options.run import RelativeOptions
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.hooks import make_hooks
from semidepth.training.recipes.start import resolve_start

logger = logging.getLogger(__name__)


def labeled_terms(predicted: Tensor, labeled: Batch, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Returns the losses against labels: each image's depend on the type of its label.

    Args:
        predicted: (B, H, W) inverse depth.
        labeled: `disparity` (B, H, W), NaN where unknown, 0 for sky; and the `labels`' types.
        weights: of the terms that are on, see `losses.table`.

    Returns:
        `labeled`, the weighted sum, first; then its parts where there are several.
    """
    losses = losses_of(predicted, labeled["disparity"], labeled["labels"], weights)
    return weighted_sum("labeled", losses, weights)


def perturb_labeled(labeled: Batch, options: RelativeOptions, generator: torch.Generator) -> Batch:
    """Returns the labeled batch as the model sees it: clean, or with the perturbations that the options name.

    A turned image takes its labels along: NaN where nothing was turned in.
    """
    images, disparity = labeled["image"], labeled["disparity"]
    strength = options.labeled_jitter_strength
    if options.labeled_rotation_deg or strength or options.labeled_camera_effects:
        images = images.float() / 255
    if options.labeled_rotation_deg:
        angle = between(uniform(generator, 1, len(images))[0], -1.0, 1.0) * math.radians(options.labeled_rotation_deg)
        images, disparity = turn(images, disparity, angle.to(images.device, non_blocking=True))
    if strength:
        images = distort_colors(images, generator, jitter(strength))
    if options.labeled_camera_effects:
        images = camera_effects(images, disparity, options.labeled_camera_effects, generator)
    return {**labeled, "image": images, "disparity": disparity}


def turn(images: Tensor, disparity: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Returns images and their inverse depth, each turned about its middle by an angle in radians; NaN is unknown."""
    known = disparity.isfinite()
    images, turned = rotate(images, torch.stack([torch.where(known, disparity, 0.0), known.float()], 1), angle)
    return images, torch.where(turned[:, 1] > 0, turned[:, 0], torch.nan)


def jitter(strength: float) -> StrongAugmentation:
    """Returns the student's colour jitter at another strength, without its blur."""
    return StrongAugmentation(
        brightness=strength, contrast=strength, saturation=strength, hue=min(strength / 2, 0.5), blur_probability=0.0
    )


def teacher_losses(
    model: nn.Module,
    batch: Batch,
    *,
    preprocessing: Preprocessing,
    generator: torch.Generator,
    options: RelativeOptions,
) -> Losses:
    """Returns the teacher's loss on one batch of labeled images."""
    batch = perturb_labeled(batch, options, generator)
    images = preprocessing.normalize(batch["image"])
    predicted = model(pixel_values=images).predicted_depth
    terms = labeled_terms(predicted, batch, options.loss_weights)
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
    check_sources(parse_sources(options.labeled))
    labeled, validation = split_labeled(options)
    check_sources(validation)
    preflight.warn(options, validation, world=accelerator.num_processes)
    steps = resolve_steps(
        options,
        labeled,
        labeled=True,
        batch_size=options.batch_size,
        world=accelerator.num_processes,
    )
    check_resume(options, steps)
    start = resolve_start(options, accelerator)  # a missing built-in encoder is pre-trained
    preprocessing = start.preprocessing
    labeled = tuple(with_label_types(labeled))
    logger.info("losses: %s", describe(options.loss_weights))
    announce(options, accelerator, "teacher")  # what was refused is not recorded

    loader = make_run_loader(
        options, accelerator, preprocessing, labeled, smallest_crop=options.labeled_smallest_crop,
        flip_probability=options.flip_probability,
    )  # fmt: skip
    generator = run_generator(options, accelerator)
    model = start.make_model(accelerator.device)
    results = train(
        options,
        name="teacher",
        steps=steps,
        accelerator=accelerator,
        model=model,
        make_optimizer=partial(relative_optimizer, options=options),
        data=StepData({"labeled": loader}, generator),
        compute_losses=partial(teacher_losses, preprocessing=preprocessing, generator=generator, options=options),
        hooks=make_hooks(options, accelerator, preprocessing, validation=validation, previewed=validation or labeled),
        pusher=pusher,
    )
    if accelerator.is_main_process:
        save_results(Path(options.output_dir), {"steps": steps, "losses": options.loss_weights} | results)
        logger.info("teacher in %s", options.output_dir)
        pusher.finish()
    return results
