"""A student: labeled images as they are, unlabeled ones with the teacher's labels, made hard for the student.

Depth Anything (arXiv 2401.10891), section 3. A batch is one part labeled to two parts unlabeled. In each step

1. the frozen teacher labels the clean unlabeled images;
2. the student gets these images with strong colour distortion and CutMix, and the labeled ones clean;
3. three losses: labeled (ground truth), unlabeled (pseudo labels, both sides of a CutMix border apart), and feature
   alignment (the student's tokens stay near those of the frozen encoder that it started from);
4. their plain mean is minimised.

Without labeled images the labeled loss is left out, as in the last stage of Depth Anything V2 (arXiv 2406.09414).
The student starts from the pretrained encoder, never from the teacher's weights, or it would only repeat the teacher.
--start goes on from a whole model instead; the frozen encoder is then that model's.
"""

import copy
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from semidepth.data.source_spec import Source, parse_sources
from semidepth.evaluation.labels.label_types import with_label_types
from semidepth.modeling import encoder_features
from semidepth.modeling.affine_invariant import cutmix_affine_invariant_loss
from semidepth.prediction.models import DepthModel
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.publishing.pusher import open_pusher
from semidepth.training.augmentation.camera import camera_effects
from semidepth.training.augmentation.strong import apply_cutmix, cutmix_masks, distort_colors
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
from semidepth.training.losses.feature_alignment import feature_alignment_loss
from semidepth.training.losses.table import TERMS, describe, losses_of, weighted_sum
from semidepth.training.options.student import StudentOptions
from semidepth.training.recipes.fused_labels import fuse_same_photos, fused_before
from semidepth.training.recipes.hooks import make_hooks
from semidepth.training.recipes.label_direction import check_pseudo_labels
from semidepth.training.recipes.own_teacher import find_teacher
from semidepth.training.recipes.start import resolve_start
from semidepth.training.recipes.teacher import labeled_terms, perturb_labeled

logger = logging.getLogger(__name__)


def unlabeled_terms(
    predicted: Tensor, pseudo: Tensor, masks: Tensor, partner: Tensor, options: StudentOptions
) -> dict[str, Tensor]:
    """Loss on mixed images against the teacher's labels of the clean ones, both sides of each border apart.

    Args:
        predicted: (U, H, W) the student's inverse depth of the mixed images.
        pseudo: (U, H, W) the teacher's inverse depth of the clean images; in maps of other tools NaN where unknown.
        masks: (U, H, W) bool, True where image i shows itself, False where it shows image partner[i].
        partner: (U,) index of the image pasted into each.
        options: for the terms that are on and the share of affine-invariant losses dropped.

    Returns:
        `unlabeled`, the weighted sum, first; then its parts where there are several.
    """
    affine = cutmix_affine_invariant_loss(
        predicted, pseudo, pseudo[partner], masks,
        drop_fraction=options.drop_fraction, unknown=bool(options.pseudo_labels),
    )  # fmt: skip
    weights = options.loss_weights
    others = {name: weights[name] for name in weights if name != "affine" and "pseudo" in TERMS[name].labels}
    inside = losses_of(predicted, pseudo, ["pseudo"] * len(pseudo), others, masks)
    outside = losses_of(predicted, pseudo[partner], ["pseudo"] * len(pseudo), others, ~masks)
    own = masks.float().mean()  # both are means over the batch, so they are weighted by their areas in the batch
    losses = {"affine": affine} | {name: own * inside[name] + (1 - own) * outside[name] for name in others}
    return weighted_sum("unlabeled", losses, weights)


def student_losses(
    model: nn.Module,
    batch: Batch,
    *,
    teacher: DepthModel | None,
    frozen_encoder: nn.Module,
    preprocessing: Preprocessing,
    generator: torch.Generator,
    options: StudentOptions,
) -> Losses:
    """The student's loss on one batch of labeled and unlabeled images.

    Args:
        model: the student, wrapped or not.
        batch: `unlabeled` (U images, uint8) and, where there are labels, `labeled` (B images, uint8, their disparity
            and its type); in the paper U = 2 B.
        teacher: labels clean images; None where the unlabeled batch has pseudo labels, as `disparity`.
        frozen_encoder: the encoder that the student started from.
        preprocessing: the student's.
        generator: on the CPU, for the perturbation.
        options: of the command.

    Returns:
        The mean of the terms, and each of them.
    """
    labeled, unlabeled = batch.get("labeled"), batch["unlabeled"]
    (height, width), augmentation = unlabeled["image"].shape[-2:], options.augmentation

    clean = unlabeled["image"].float() / 255
    # (U, H, W), from the clean images: now, or by semidepth pseudo-label before
    pseudo = unlabeled["disparity"] if teacher is None else teacher.predict_disparity(clean)

    distorted = distort_colors(clean, generator, augmentation)
    if options.camera_effects:
        distorted = camera_effects(distorted, pseudo, options.camera_effects, generator)
    masks = cutmix_masks(len(clean), height, width, generator, augmentation, clean.device)
    mixed, partner = apply_cutmix(distorted, masks)

    hard_unlabeled = preprocessing.normalize(mixed)
    if labeled:
        labeled = perturb_labeled(labeled, options, generator)
    images = preprocessing.normalize(labeled["image"]) if labeled else hard_unlabeled[:0]
    count = len(images)
    output = model(pixel_values=torch.cat([images, hard_unlabeled]), output_features=True)
    predicted = output.predicted_depth  # (B + U, H, W), inverse depth

    terms: dict[str, Tensor] = {}
    if labeled:
        terms |= labeled_terms(predicted[:count], labeled, options.loss_weights)
    terms |= unlabeled_terms(predicted[count:], pseudo, masks, partner, options)
    if options.feature_alignment:
        with torch.no_grad():
            frozen = encoder_features(frozen_encoder, hard_unlabeled)
        terms["feature"] = feature_alignment_loss(output.features[count:], frozen, tolerance=options.feature_tolerance)
    summed = [terms[name] for name in ("labeled", "unlabeled", "feature") if name in terms]
    return Losses(
        total=torch.stack(summed).mean(),
        terms=terms,
        finite=predicted.detach().isfinite().flatten(1).all(1),
        origins=(labeled["origin"] if labeled else []) + unlabeled["origin"],
        images=len(predicted),
    )


def train_on_all(options: StudentOptions, *, selected_share: float = 0.0) -> dict[str, Any]:
    """Trains and saves a student; returns the final losses and validation scores.

    Args:
        options: of the student.
        selected_share: share of reliable pseudo labels in a selective re-training, recorded with the results; 0: none.

    Raises:
        ValueError: in one sentence, for options that do not fit the data, the model to start from or the teacher.
    """
    accelerator = make_accelerator(options)
    pusher = open_pusher(options, options.output_dir, main_process=accelerator.is_main_process)
    known = {"losses": options.loss_weights} | ({"selected_share": selected_share} if selected_share else {})
    pusher.known |= known
    unlabeled, pseudo_labeled = options.unlabeled_sources(), bool(options.pseudo_labels)
    check_sources(parse_sources(options.labeled))
    labeled, validation = split_labeled(options)
    check_sources(validation)
    check_sources(unlabeled, labeled=pseudo_labeled)
    preflight.warn(options, validation, world=accelerator.num_processes)
    steps_over = partial(
        resolve_steps, options, labeled=pseudo_labeled, batch_size=options.unlabeled_batch_size,
        world=accelerator.num_processes,
    )  # fmt: skip
    fused = fused_before(unlabeled, options)
    steps = options.steps if fused is None else steps_over(fused)  # how many photos are left is known when it is done
    check_resume(options, steps)
    get_teacher = find_teacher(options, accelerator)
    start = resolve_start(options, accelerator)  # a missing built-in encoder is pre-trained
    check_pseudo_labels(options, accelerator.device)
    unlabeled = fuse_same_photos(unlabeled, options, accelerator, size=start.preprocessing.size)
    steps = steps or steps_over(unlabeled)
    check_resume(options, steps)
    labeled = tuple(with_label_types(labeled))
    announce(options, accelerator, "student")  # what was refused is not recorded
    teacher, teacher_name = get_teacher()
    logger.info("%s", losses_text(options, teacher_name))

    generator = run_generator(options, accelerator)
    set_seed(options.seed)  # the same start whether or not a teacher was trained before
    model = start.make_model(accelerator.device)
    frozen_encoder = copy.deepcopy(model.backbone).to(accelerator.device).eval().requires_grad_(False)
    results = train(
        options, name="student", steps=steps, accelerator=accelerator, model=model,
        make_optimizer=partial(relative_optimizer, options=options),
        data=student_data(options, accelerator, start.preprocessing, labeled, unlabeled, generator),
        compute_losses=partial(
            student_losses, teacher=teacher, frozen_encoder=frozen_encoder, preprocessing=start.preprocessing,
            generator=generator, options=options,
        ),
        hooks=make_hooks(
            options, accelerator, start.preprocessing, validation=validation,
            previewed=validation or labeled or unlabeled, previewed_labels=bool(validation or labeled),
        ),
        pusher=pusher,
    )  # fmt: skip
    if accelerator.is_main_process:
        save_results(Path(options.output_dir), {"steps": steps, "teacher": teacher_name} | known | results)
        logger.info("student in %s", options.output_dir)
        pusher.finish()
    return results


def student_data(
    options: StudentOptions,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    labeled: Sequence[Source],
    unlabeled: Sequence[Source],
    generator: torch.Generator,
) -> StepData:
    """Returns the student's batches: a loader for each kind of images, so that their ratio in a step is exact."""
    make = partial(make_run_loader, options, accelerator, preprocessing, flip_probability=options.flip_probability)
    loaders = {"labeled": make(labeled, smallest_crop=options.labeled_smallest_crop)} if labeled else {}
    loaders["unlabeled"] = make(
        unlabeled, labeled=bool(options.pseudo_labels), batch_size=options.unlabeled_batch_size, seed=options.seed + 1,
        smallest_crop=options.smallest_crop,
    )  # fmt: skip
    return StepData(loaders, generator, by_name=True)


def losses_text(options: StudentOptions, teacher: str) -> str:
    """Returns a line for the log: which losses are on, and how many images each sees in a batch of one process."""
    count = options.unlabeled_batch_size
    parts = [f"labeled ({options.batch_size} images)"] if options.labeled else []
    parts.append(
        f"unlabeled ({count} images, {'pseudo labels in' if options.pseudo_labels else 'labels by'} {teacher})"
    )
    if options.feature_alignment:
        parts.append(f"feature alignment (the same {count})")
    parts = [*parts, f"of {describe(options.loss_weights)}"]
    return f"losses: {', '.join(parts)}{'' if options.labeled else '; no labeled loss, as --labeled is not given'}"
