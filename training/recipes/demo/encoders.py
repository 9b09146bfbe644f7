"""The encoder of the demo: DINOv2-small where it can be had, else that of semidepth-small, else the built-in one."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, try_to_load_from_cache

from semidepth.common.console import first_line
from semidepth.prediction.checkpoints import hub_answers
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.shipped.folder import NAME, shipped_names
from semidepth.training.options.demo import AUTO, DemoOptions
from semidepth.training.options.encoder import EncoderOptions
from semidepth.training.options.run import BUILT_IN_ENCODER
from semidepth.training.recipes.encoder import pretrain_encoder

logger = logging.getLogger(__name__)

REAL_ENCODER = "facebook/dinov2-small"
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")

# Fields of a schedule that are options of the demo.
SIZES = ("size", "batch_size", "teacher_steps", "student_steps", "metric_steps")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Sizes, steps and rates that suit an encoder; the demo's options of the same names go before them.

    Args:
        size: side of the scenes in pixels.
        batch_size: labeled images per step.
        teacher_steps, student_steps, metric_steps: updates of each model.
        relative: further options of teacher, labeled-only model and student.
        student: further options of the student.
        metric: further options of the metric models.
    """

    size: int
    batch_size: int
    teacher_steps: int
    student_steps: int
    metric_steps: int
    relative: dict[str, Any] = field(default_factory=dict)
    student: dict[str, Any] = field(default_factory=dict)
    metric: dict[str, Any] = field(default_factory=dict)


BUILT_IN = Schedule(size=96, batch_size=8, teacher_steps=250, student_steps=350, metric_steps=200)
# Local alignment in place of gradient matching, which flattens what so short a training has not placed yet
# (docs/semidepth_small.md).
PRETRAINED = Schedule(
    size=168,
    batch_size=4,
    teacher_steps=150,
    student_steps=160,
    metric_steps=100,
    relative={
        "losses": "v1+local_4", "gradient_matching_weight": None, "learning_rate": 3e-5, "decoder_lr_factor": 15,
    },
    # A second unlabeled image for each labeled one costs half a step more, and steps are what is short here.
    student={"unlabeled_per_labeled": 1},
    metric={"freeze_core": True, "learning_rate": 3e-3, "router_lr_factor": 0.07, "batch_size": 8},
)  # fmt: skip


@dataclass(frozen=True)
class Encoder:
    """An encoder that is there.

    Args:
        name: Hub id or folder.
        told: what it is, in words.
        schedule: of the training with it.
    """

    name: str
    told: str
    schedule: Schedule


def find_encoder(options: DemoOptions, folder: Path) -> Encoder:
    """Returns the encoder that --encoder asks for; the built-in one is pre-trained first.

    Args:
        options: of the demo.
        folder: for an encoder that is not a model of its own yet.
    """
    asked = options.encoder
    built_in, pretrained = (chosen(schedule, options) for schedule in (BUILT_IN, PRETRAINED))
    if asked not in (AUTO, BUILT_IN_ENCODER):
        return Encoder(asked, asked, pretrained)
    if asked == AUTO and on_hand(REAL_ENCODER):
        return Encoder(REAL_ENCODER, f"{REAL_ENCODER}, which has seen no depth", pretrained)
    if asked == AUTO and shipped_names():
        save_shipped_encoder(folder)
        told = (
            f"that of {NAME}, as {REAL_ENCODER} is neither in the cache nor can it be fetched. It has learned depth of "
            "real rooms and rendered scenes before: the scores show that the training works, not what is learned from "
            "nothing"
        )
        return Encoder(str(folder), told, pretrained)
    pretrain_encoder(EncoderOptions(output_dir=str(folder), steps=options.encoder_steps, cpu=options.cpu))
    return Encoder(
        str(folder), "the built-in one of 1.3 M parameters, a stand-in for DINOv2 on rendered scenes", built_in
    )


def chosen(schedule: Schedule, options: DemoOptions) -> Schedule:
    """Returns a schedule with the sizes and steps that the options give."""
    given = {name: getattr(options, name) for name in SIZES}
    return replace(schedule, **{name: value for name, value in given.items() if value is not None})


def on_hand(name: str) -> bool:
    """Returns true once a model's files are in the cache; what is missing is fetched if the Hub answers at once."""
    if all(isinstance(try_to_load_from_cache(name, file), str) for file in FILES):
        return True
    try:
        if not hub_answers():
            return False
        for file in FILES:
            hf_hub_download(name, file)
    except Exception as error:  # of httpx or httpx2, as huggingface_hub's version has it
        logger.info("%s cannot be fetched: %s", name, first_line(error))
        return False
    return True


def save_shipped_encoder(folder: Path) -> None:
    """Saves the encoder inside the model that comes with semidepth, in float32, with its image processor."""
    shipped = load_depth_model(NAME, device="cpu")
    encoder: Any = shipped.model.backbone
    encoder.float().save_pretrained(folder)
    shipped.preprocessing.to_image_processor().save_pretrained(folder)
