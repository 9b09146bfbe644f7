"""Train a student: labeled images as they are, unlabeled ones through a teacher's eyes, made hard for the student.

    accelerate launch training/student.py                                     # built-in scenes, minutes on a CPU
    accelerate launch training/student.py --encoder facebook/dinov2-small \\
        --teacher depth-anything/Depth-Anything-V2-Large-hf \\
        --labeled 'rooms/*.parquet?depth_scale=0.001' --unlabeled my_photos/ \\
        --mixed_precision bf16                                                # your own
    … --pseudo_labels outputs/pseudo_labels       # with labels that training/pseudo_label.py made once, before
    … --unlabeled my_photos/ --select_reliable 0.5      # reliable labels first, as ST++ does, in one command

Depth Anything (arXiv 2401.10891), section 3. A batch is one part labeled to two parts unlabeled. In each step

1. the frozen teacher labels the clean unlabeled images;
2. the student gets these images with strong colour distortion and CutMix, and the labeled ones clean;
3. three losses: labeled (ground truth), unlabeled (pseudo labels, both sides of a CutMix border apart), and feature
   alignment (the student's tokens stay near those of the frozen encoder that it started from);
4. their plain mean is minimised.

The student starts from the pretrained encoder, never from the teacher's weights, or it would only repeat the teacher.
"""

import copy
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from semidepth.common.console import run_command, set_up_logging
from semidepth.data.source_spec import parse_sources
from semidepth.modeling import DepthStudentForDepthEstimation, encoder_features
from semidepth.modeling.affine_invariant import cutmix_affine_invariant_loss
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.publishing.pusher import open_pusher
from semidepth.training.arguments.run import parse_arguments
from semidepth.training.arguments.student import StudentArguments
from semidepth.training.augmentation.strong import apply_cutmix, cutmix_masks, distort_colors
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
from semidepth.training.losses.feature_alignment import feature_alignment_loss
from semidepth.training.losses.gradient_matching import gradient_matching_loss
from semidepth.training.pseudo_label import pseudo_label
from semidepth.training.recipes.own_teacher import check_teacher, kind_given, resolve_teacher
from semidepth.training.recipes.relative_hooks import make_hooks
from semidepth.training.recipes.selection import train_with_selection
from semidepth.training.teacher import labeled_terms, train_teacher

logger = logging.getLogger(__name__)


def unlabeled_terms(
    predicted: Tensor, pseudo: Tensor, masks: Tensor, partner: Tensor, arguments: StudentArguments
) -> dict[str, Tensor]:
    """Loss on mixed images against the teacher's labels of the clean ones, both sides of each border apart.

    Args:
        predicted: (U, H, W) the student's inverse depth of the mixed images.
        pseudo: (U, H, W) the teacher's inverse depth of the clean images.
        masks: (U, H, W) bool, True where image i shows itself, False where it shows image partner[i].
        partner: (U,) index of the image pasted into each.
        arguments: for the share of losses dropped and the gradient matching weight.

    Returns:
        `unlabeled`, the weighted sum, first; then its gradient part where it has a weight.
    """
    loss = cutmix_affine_invariant_loss(
        predicted, pseudo, pseudo[partner], masks, drop_fraction=arguments.drop_fraction
    )
    weight = arguments.gradient_matching_weight
    if weight == 0:
        return {"unlabeled": loss}
    own = masks.float().mean()  # both parts are means over the batch, so they are weighted by their areas in the batch
    gradient = own * gradient_matching_loss(predicted, pseudo, masks)
    gradient = gradient + (1 - own) * gradient_matching_loss(predicted, pseudo[partner], ~masks)
    return {"unlabeled": loss + weight * gradient, "unlabeled_gradient": gradient}


def student_losses(
    model: nn.Module,
    batch: Batch,
    *,
    teacher: DepthModel | None,
    frozen_encoder: nn.Module,
    preprocessing: Preprocessing,
    generator: torch.Generator,
    arguments: StudentArguments,
) -> Losses:
    """The student's loss on one batch of labeled and unlabeled images.

    Args:
        model: the student, wrapped or not.
        batch: `labeled` (B images, uint8, and their disparity) and `unlabeled` (U images, uint8); in the paper U = 2 B.
        teacher: labels clean images; None where the unlabeled batch has pseudo labels, as `disparity`.
        frozen_encoder: the encoder that the student started from.
        preprocessing: the student's.
        generator: on the CPU, for the perturbation.
        arguments: of the command.

    Returns:
        The mean of the terms, and each of them.
    """
    labeled, unlabeled = batch["labeled"], batch["unlabeled"]
    count, (height, width) = len(labeled["image"]), unlabeled["image"].shape[-2:]
    augmentation = arguments.augmentation()

    clean = unlabeled["image"].float() / 255
    # (U, H, W), from the clean images: now, or by training/pseudo_label.py before
    pseudo = unlabeled["disparity"] if teacher is None else teacher.predict_disparity(clean)

    distorted = distort_colors(clean, generator, augmentation)
    masks = cutmix_masks(len(clean), height, width, generator, augmentation, clean.device)
    mixed, partner = apply_cutmix(distorted, masks)

    clean_labeled = preprocessing.normalize(labeled["image"])
    hard_unlabeled = preprocessing.normalize(mixed)
    output = model(pixel_values=torch.cat([clean_labeled, hard_unlabeled]), output_features=True)
    predicted = output.predicted_depth  # (B + U, H, W), inverse depth

    terms = labeled_terms(predicted[:count], labeled["disparity"], arguments.gradient_matching_weight)
    terms |= unlabeled_terms(predicted[count:], pseudo, masks, partner, arguments)
    if arguments.feature_alignment:
        with torch.no_grad():
            frozen = encoder_features(frozen_encoder, hard_unlabeled)
        terms["feature"] = feature_alignment_loss(
            output.features[count:], frozen, tolerance=arguments.feature_tolerance
        )
    summed = [terms[name] for name in ("labeled", "unlabeled", "feature") if name in terms]
    return Losses(
        total=torch.stack(summed).mean(),
        terms=terms,
        finite=predicted.detach().isfinite().flatten(1).all(1),
        origins=labeled["origin"] + unlabeled["origin"],
        images=len(predicted),
    )


def train_student(arguments: StudentArguments) -> dict[str, Any]:
    """Trains and saves a student; returns the final losses and validation scores.

    Raises:
        ValueError: in one sentence, for options that do not fit the data, the encoder or the teacher.
    """
    if arguments.select_reliable:
        return train_with_selection(arguments, train_student, train_teacher, pseudo_label)
    accelerator = make_accelerator(arguments)
    pusher = open_pusher(arguments, arguments.output_dir, main_process=accelerator.is_main_process)
    announce(arguments, accelerator, "student")
    labeled_sources, validation = parse_sources(arguments.labeled), parse_sources(arguments.validation)
    unlabeled_sources, pseudo_labeled = arguments.unlabeled_sources(), bool(arguments.pseudo_labels)
    check_sources(labeled_sources + validation)
    check_sources(unlabeled_sources, labeled=pseudo_labeled)
    if not pseudo_labeled:
        check_teacher(arguments)
    encoder = resolve_encoder(arguments, accelerator)
    preprocessing = resolve_preprocessing(arguments, encoder)
    unlabeled_batch, world = arguments.batch_size * arguments.unlabeled_per_labeled, accelerator.num_processes
    steps = resolve_steps(arguments, unlabeled_sources, labeled=pseudo_labeled, batch_size=unlabeled_batch, world=world)
    check_resume(arguments, steps)
    teacher, teacher_name = None, ", ".join(arguments.pseudo_labels)
    if not pseudo_labeled:
        teacher_name = resolve_teacher(arguments, train_teacher)
        accelerator.wait_for_everyone()  # the main process may just have trained it
        kind = kind_given(arguments.teacher_kind)
        teacher = load_depth_model(teacher_name, device=accelerator.device, kind=kind)

    make = partial(make_run_loader, arguments, accelerator, preprocessing)
    # A loader each, so that the ratio in a step is exact.
    labeled = make(labeled_sources)
    unlabeled = make(unlabeled_sources, labeled=pseudo_labeled, batch_size=unlabeled_batch, seed=arguments.seed + 1)
    generator = torch.Generator().manual_seed(arguments.seed * 100_003 + accelerator.process_index)

    set_seed(arguments.seed)  # the same start whether or not a teacher was trained before
    model = DepthStudentForDepthEstimation.from_encoder(encoder)
    choose_attention(model.backbone, (preprocessing.size // preprocessing.multiple) ** 2, accelerator.device)
    frozen_encoder = copy.deepcopy(model.backbone).to(accelerator.device).eval().requires_grad_(False)
    losses = partial(
        student_losses, teacher=teacher, frozen_encoder=frozen_encoder, preprocessing=preprocessing,
        generator=generator, arguments=arguments,
    )  # fmt: skip
    results = train(
        arguments,
        name="student",
        steps=steps,
        accelerator=accelerator,
        model=model,
        make_optimizer=partial(relative_optimizer, arguments=arguments),
        data=StepData({"labeled": labeled, "unlabeled": unlabeled}, generator),
        compute_losses=losses,
        hooks=make_hooks(
            arguments, accelerator, preprocessing, validation=validation, previewed=validation or labeled_sources
        ),
        pusher=pusher,
    )
    if accelerator.is_main_process:
        save_results(Path(arguments.output_dir), {"steps": steps, "teacher": teacher_name} | results)
        logger.info("student in %s", arguments.output_dir)
        pusher.finish()
    return results


def main(argv: list[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    arguments = parse_arguments(StudentArguments, argv, description=__doc__ or "", preset="student_scenes")
    set_up_logging()
    return run_command(lambda: train_student(arguments))


if __name__ == "__main__":
    sys.exit(main())
