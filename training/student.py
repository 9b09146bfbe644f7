"""Train a student: labeled images as they are, unlabeled ones through a teacher's eyes, made hard for the student.

    accelerate launch training/student.py                                     # built-in scenes, minutes on a CPU
    accelerate launch training/student.py --encoder facebook/dinov2-small \\
        --teacher depth-anything/Depth-Anything-V2-Large-hf \\
        --labeled 'rooms/*.parquet?depth_scale=0.001' --unlabeled my_photos/ \\
        --mixed_precision bf16                                                # your own

Depth Anything (arXiv 2401.10891), section 3. A batch is one part labeled to two parts unlabeled. In each step

1. the frozen teacher labels the clean unlabeled images;
2. the student gets these images with strong colour distortion and CutMix, and the labeled ones clean;
3. three losses: labeled (ground truth), unlabeled (pseudo labels, both sides of a CutMix border apart), and feature
   alignment (the student's tokens stay near those of the frozen encoder that it started from);
4. their plain mean is minimised.

The student starts from the pretrained encoder, never from the teacher's weights, or it would only repeat the teacher.
"""

import copy
import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from semidepth.modeling import DepthStudentForDepthEstimation, encoder_features
from semidepth.training.data.augmentation import (
    StrongAugmentation,
    apply_cutmix,
    cutmix_masks,
    distort_colors,
)
from semidepth.training.data.loading import make_loader
from semidepth.training.data.sources import count_samples, parse_source
from semidepth.training.encoder import resolve_encoder
from semidepth.training.engine.arguments import TrainingArguments, parse_arguments, read_yaml
from semidepth.training.engine.commands import (
    RESUMED_SEED,
    announce,
    check_sources,
    endless,
    make_accelerator,
    make_hooks,
    resolve_preprocessing,
    resolve_steps,
    run_command,
    save_results,
)
from semidepth.training.engine.depth_models import DepthModel, Kind, Preprocessing, load_depth_model
from semidepth.training.engine.loop import Batch, Losses, train
from semidepth.training.engine.optimization import choose_attention
from semidepth.training.engine.tracking import set_up_logging
from semidepth.training.objectives import (
    cutmix_affine_invariant_loss,
    feature_alignment_loss,
    gradient_matching_loss,
)
from semidepth.training.teacher import TeacherArguments, labeled_terms, train_teacher

logger = logging.getLogger(__name__)

TEACHER_KINDS = ("auto", "disparity", "depth")
# A kept teacher that differs in one of these is another teacher.
TEACHER_SETTING = ("encoder", "labeled", "size", "steps", "seed")


@dataclass
class StudentArguments(TrainingArguments):
    """Options of training/student.py; strengths of the perturbation are assumptions (the paper is silent)."""

    output_dir: str = field(default="outputs/student", metadata={"help": "Folder for weights, checkpoints and logs."})
    epochs: float = field(default=1.0, metadata={"help": "Passes over the unlabeled set, where --steps is not given."})
    unlabeled: list[str] = field(
        default_factory=lambda: ["scenes:indoor", "scenes:outdoor"],
        metadata={"help": "Sources of images without labels: SOURCE[?option=value&...]."},
    )
    unlabeled_per_labeled: int = field(
        default=2, metadata={"help": "Unlabeled images for each labeled one in a batch."}
    )
    teacher: str | None = field(
        default=None,
        metadata={
            "help": "Any depth-estimation model: Hub id or folder. Default: train one first, into --teacher_dir."
        },
    )
    teacher_kind: str = field(
        default="auto", metadata={"help": "What the teacher predicts: disparity, depth, or auto (looked up)."}
    )
    teacher_dir: str = field(default="outputs/teacher", metadata={"help": "Where a teacher of our own is kept."})
    teacher_steps: int | None = field(default=None, metadata={"help": "Updates of that teacher; default: 20 epochs."})
    color_distortion: bool = field(default=True, metadata={"help": "Distort the student's unlabeled images."})
    jitter_strength: float = field(
        default=0.5, metadata={"help": "Brightness, contrast and saturation jitter; hue gets half of it."}
    )
    blur_sigma_px: float = field(default=2.0, metadata={"help": "Largest sigma of the Gaussian blur, pixels."})
    cutmix_probability: float = field(
        default=0.5, metadata={"help": "Share of unlabeled images that are cut together."}
    )
    feature_alignment: bool = field(default=True, metadata={"help": "Hold the features near the frozen encoder's."})
    feature_tolerance: float = field(
        default=0.85, metadata={"help": "Tokens whose cosine already exceeds this are left alone (alpha)."}
    )
    drop_fraction: float = field(
        default=0.0,
        metadata={"help": "Share of the largest pseudo-label losses left out (0.1 in Depth Anything V2)."},
    )

    def validate(self) -> None:
        """Checks every value; see [`TrainingArguments.validate`]."""
        super().validate()
        if self.unlabeled_per_labeled < 1:
            raise ValueError(f"--unlabeled_per_labeled is {self.unlabeled_per_labeled}; give at least 1.")
        if self.teacher_kind not in TEACHER_KINDS:
            raise ValueError(f"--teacher_kind is {self.teacher_kind!r}; choose one of {', '.join(TEACHER_KINDS)}.")
        if not 0 < self.feature_tolerance <= 1:
            raise ValueError(f"--feature_tolerance is {self.feature_tolerance}; give a cosine above 0, at most 1.")
        if not 0 <= self.drop_fraction < 1:
            raise ValueError(f"--drop_fraction is {self.drop_fraction}; give a share of at least 0, below 1.")
        if self.teacher_steps is not None and self.teacher_steps < 1:
            raise ValueError(f"--teacher_steps is {self.teacher_steps}; give at least 1.")
        if not self.unlabeled:
            raise ValueError("--unlabeled is empty; name at least one source of images, such as a folder of photos.")
        for spec in self.unlabeled:
            parse_source(spec)
        self.augmentation()

    def augmentation(self) -> StrongAugmentation:
        """The perturbation of unlabeled images; raises ValueError for strengths out of range."""
        strength = self.jitter_strength if self.color_distortion else 0.0
        return StrongAugmentation(
            brightness=strength,
            contrast=strength,
            saturation=strength,
            hue=strength / 2,
            blur_sigma_px=(min(0.1, self.blur_sigma_px), self.blur_sigma_px),
            grayscale_probability=0.2 if self.color_distortion else 0.0,
            blur_probability=0.5 if self.color_distortion else 0.0,
            cutmix_probability=self.cutmix_probability,
        )


def unlabeled_terms(
    predicted: Tensor, pseudo: Tensor, masks: Tensor, partner: Tensor, arguments: StudentArguments
) -> dict[str, Tensor]:
    """Loss on mixed images against the teacher's labels of the clean ones, both sides of each border apart.

    Args:
        predicted: (B, H, W) the student's inverse depth of the mixed images.
        pseudo: (B, H, W) the teacher's inverse depth of the clean images.
        masks: (B, H, W) bool, True where image i shows itself, False where it shows image partner[i].
        partner: (B,) index of the image pasted into each.
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
    teacher: DepthModel,
    frozen_encoder: nn.Module,
    preprocessing: Preprocessing,
    generator: torch.Generator,
    arguments: StudentArguments,
) -> Losses:
    """The student's loss on one batch of labeled and unlabeled images.

    Args:
        model: the student, wrapped or not.
        batch: `labeled` (image uint8, disparity) and `unlabeled` (image uint8), unlabeled_per_labeled to 1.
        teacher: labels clean images.
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
    pseudo = teacher.predict_disparity(clean)  # (2B, H, W), from the clean images

    distorted = distort_colors(clean, generator, augmentation)
    masks = cutmix_masks(len(clean), height, width, generator, augmentation, clean.device)
    mixed, partner = apply_cutmix(distorted, masks)

    clean_labeled = preprocessing.normalize(labeled["image"])
    hard_unlabeled = preprocessing.normalize(mixed)
    output = model(pixel_values=torch.cat([clean_labeled, hard_unlabeled]), output_features=True)
    predicted = output.predicted_depth

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


def joined(labeled: Iterator, unlabeled: Iterator) -> Iterator[Batch]:
    """One labeled and one unlabeled batch at a time: with a loader each, the ratio in a step is exact."""
    for first, second in zip(labeled, unlabeled, strict=False):
        yield {"labeled": first, "unlabeled": second}


def check_teacher(arguments: StudentArguments) -> None:
    """Refuses, before anything is trained, a teacher that cannot be had.

    Raises:
        ValueError: if the one named cannot be loaded, the one kept was trained otherwise, or the length of the training
            of a new one is not known.
    """
    if arguments.teacher is not None:
        load_depth_model(arguments.teacher, kind=given_kind(arguments))
        return
    kept = Path(arguments.teacher_dir) / "teacher.yaml"
    wanted = teacher_arguments(arguments)
    if (kept.parent / "model.safetensors").is_file():
        before = read_yaml(kept, TeacherArguments) if kept.is_file() else {}
        differing = [name for name in TEACHER_SETTING if before.get(name) != getattr(wanted, name)]
        if differing:
            raise ValueError(
                f"{kept.parent} holds a teacher trained with other {', '.join(differing)}; name it with --teacher to "
                "use it all the same, or give another --teacher_dir to train one."
            )
    elif wanted.steps is None and any(count_samples(source, labeled=True) is None for source in wanted.labeled):
        raise ValueError(
            "a teacher has to be trained first and its labeled sources have no known end; give --teacher_steps."
        )


def teacher_arguments(arguments: StudentArguments) -> TeacherArguments:
    """The options of the teacher that a student without one trains first."""
    shared = {item.name: getattr(arguments, item.name) for item in dataclasses.fields(TrainingArguments)}
    own = {
        "output_dir": arguments.teacher_dir,
        "steps": arguments.teacher_steps,
        "epochs": TrainingArguments.epochs,
        "resume": True,
    }
    return TeacherArguments(**(shared | own))


def given_kind(arguments: StudentArguments) -> Kind | None:
    """What the teacher predicts, where the options say so."""
    return None if arguments.teacher_kind == "auto" else cast(Kind, arguments.teacher_kind)


def resolve_teacher(arguments: StudentArguments) -> str:
    """The teacher's id or folder; trains one on the labeled sources first where none is named.

    Raises:
        ValueError: as [`train_teacher`] does.
    """
    if arguments.teacher is not None:
        return arguments.teacher
    folder = Path(arguments.teacher_dir)
    if (folder / "model.safetensors").is_file():
        logger.info("no --teacher given: using the one in %s", folder)
        return str(folder)
    logger.info("no --teacher given: training one on the labeled sources first, into %s", folder)
    train_teacher(teacher_arguments(arguments))
    return str(folder)


def train_student(arguments: StudentArguments) -> dict[str, float]:
    """Trains and saves a student; returns the final losses and validation scores.

    Raises:
        ValueError: in one sentence, for options that do not fit the data, the encoder or the teacher.
    """
    accelerator = make_accelerator(arguments)
    announce(arguments, accelerator, "student")
    check_sources(arguments.labeled + arguments.validation)
    check_sources(arguments.unlabeled, labeled=False)
    check_teacher(arguments)
    encoder = resolve_encoder(arguments, accelerator)
    preprocessing = resolve_preprocessing(arguments, encoder)
    unlabeled_batch = arguments.batch_size * arguments.unlabeled_per_labeled
    steps = resolve_steps(
        arguments,
        arguments.unlabeled,
        labeled=False,
        batch_size=unlabeled_batch,
        world=accelerator.num_processes,
    )
    teacher_name = resolve_teacher(arguments)
    accelerator.wait_for_everyone()
    teacher = load_depth_model(teacher_name, device=accelerator.device, kind=given_kind(arguments))

    make = partial(
        make_loader,
        size=preprocessing.size,
        multiple=preprocessing.multiple,
        num_workers=arguments.num_workers,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        shuffle_buffer=arguments.shuffle_buffer,
    )
    generator = torch.Generator()

    def make_batches(start: int) -> Iterator[Batch]:
        seed = arguments.seed + RESUMED_SEED * start
        generator.manual_seed(seed * 100_003 + accelerator.process_index)
        labeled = make(arguments.labeled, labeled=True, batch_size=arguments.batch_size, seed=seed)
        unlabeled = make(arguments.unlabeled, labeled=False, batch_size=unlabeled_batch, seed=seed + 1)
        return joined(endless(labeled), endless(unlabeled))

    set_seed(arguments.seed)  # the same start whether or not a teacher was trained before
    model = DepthStudentForDepthEstimation.from_encoder(encoder)
    choose_attention(model.backbone, (preprocessing.size // preprocessing.multiple) ** 2, accelerator.device)
    frozen_encoder = copy.deepcopy(model.backbone).to(accelerator.device).eval().requires_grad_(False)
    results = train(
        arguments,
        name="student",
        steps=steps,
        accelerator=accelerator,
        model=model,
        make_batches=make_batches,
        compute_losses=partial(
            student_losses,
            teacher=teacher,
            frozen_encoder=frozen_encoder,
            preprocessing=preprocessing,
            generator=generator,
            arguments=arguments,
        ),
        hooks=make_hooks(arguments, accelerator, preprocessing),
    )
    if accelerator.is_main_process:
        save_results(Path(arguments.output_dir), {"steps": steps, "teacher": teacher_name} | results)
        logger.info("student in %s", arguments.output_dir)
    return results


def main(argv: list[str] | None = None) -> None:
    """Command line; see the top of the file."""
    arguments = parse_arguments(StudentArguments, argv, description=__doc__ or "", preset="student_scenes")
    set_up_logging()
    run_command(lambda: train_student(arguments))


if __name__ == "__main__":
    main()
