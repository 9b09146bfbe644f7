"""ST++'s selective re-training (arXiv 2106.05095): the reliable part of the unlabeled images first, then all of them.

1. the teacher, with the checkpoints that it kept, labels all unlabeled images and scores how stable each label is;
2. a first student is trained on the share with the most stable labels;
3. that student labels the rest;
4. the final student is trained on all: the stable images with the teacher's labels, the rest with the first student's.

Each step is kept in the run's folder, so that the same command goes on with what is there.
"""

import dataclasses
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from safetensors.torch import load_file

from semidepth.data.pseudo_labels import read_reliability
from semidepth.data.source_spec import parse_sources
from semidepth.prediction.checkpoints import Kind
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.publishing.pusher import open_pusher
from semidepth.training.arguments.pseudo_label import PseudoLabelArguments
from semidepth.training.arguments.run import TeacherArguments
from semidepth.training.arguments.student import StudentArguments
from semidepth.training.engine.checkpoints import list_checkpoints
from semidepth.training.engine.setup import check_sources
from semidepth.training.recipes.own_teacher import (
    TEACHER_SETTING,
    check_teacher,
    differing_options,
    resolve_teacher,
)

logger = logging.getLogger(__name__)

# A kept first student that differs in one of these is another one.
FIRST_SETTING = (*TEACHER_SETTING, "pseudo_labels", "learning_rate", "batch_size")


def train_with_selection(
    arguments: StudentArguments,
    train_student: Callable[[StudentArguments], dict[str, Any]],
    train_teacher: Callable[[TeacherArguments], Any],
    pseudo_label: Callable[[PseudoLabelArguments], str],
) -> dict[str, Any]:
    """Trains a student in the four steps above.

    Args:
        arguments: the student's, with `select_reliable`; both students are trained with them.
        train_student: the student's command.
        train_teacher: the teacher's, for where none is named.
        pseudo_label: the labeling command; gives the folder.

    Returns:
        The final student's losses and scores.

    Raises:
        ValueError: the teacher has no earlier checkpoints, or as the commands do.
    """
    # Its own comes hours later.
    open_pusher(arguments, arguments.output_dir, main_process=PartialState(cpu=arguments.cpu).is_main_process)
    check_sources(parse_sources([*arguments.labeled, *arguments.validation]))
    check_sources(parse_sources(arguments.unlabeled), labeled=False)
    check_teacher(arguments)
    teacher = resolve_teacher(arguments, train_teacher)
    if not earlier_checkpoints(teacher):
        raise ValueError(
            f"--select_reliable compares a teacher with its earlier checkpoints and {teacher} has none; train one with "
            "--checkpoint_every a third of its steps and --keep_checkpoints 3, or leave --teacher out and give a new "
            "--teacher_dir."
        )
    folder = Path(arguments.output_dir)
    label = partial(_label, arguments, pseudo_label)
    by_teacher = label(teacher, arguments.unlabeled, folder / "labels_of_teacher")
    threshold = reliable_from(by_teacher, arguments.select_reliable)
    stable, rest = f"{by_teacher}?min_reliability={threshold!r}", f"{by_teacher}?max_reliability={threshold!r}"

    first = dataclasses.replace(
        arguments, output_dir=str(folder / "first_student"), pseudo_labels=[stable], select_reliable=0.0, teacher=None,
        push_to_hub=None,
    )  # fmt: skip
    if (Path(first.output_dir) / "results.json").is_file():
        differing = differing_options(Path(first.output_dir) / "student.yaml", first, FIRST_SETTING)
        if differing:
            raise ValueError(
                f"{first.output_dir} holds a first student trained with other {', '.join(differing)}; give another "
                "--output_dir."
            )
        logger.info("the first student is in %s", first.output_dir)
    else:
        train_student(first)
    PartialState().wait_for_everyone()
    by_student = label(first.output_dir, [rest], folder / "labels_of_first_student")
    final = dataclasses.replace(arguments, pseudo_labels=[stable, by_student], select_reliable=0.0, teacher=None)
    return train_student(final)


def reliable_from(labels: str, share: float) -> float:
    """The reliability from which on the given share of a set lies.

    Raises:
        ValueError: so many images have the same reliability that none would be left on one side.
    """
    reliability = np.sort(read_reliability(labels).astype(np.float64))
    threshold = float(reliability[min(round(len(reliability) * (1 - share)), len(reliability) - 1)])
    stable = int((reliability >= threshold).sum())
    logger.info("%d of %d pseudo labels have a reliability of at least %.4f", stable, len(reliability), threshold)
    if not 0 < stable < len(reliability):
        raise ValueError(
            f"--select_reliable {share} leaves {stable} of {len(reliability)} images on the stable side; give another "
            "share, or a teacher whose checkpoints differ."
        )
    return threshold


def _label(
    arguments: StudentArguments,
    pseudo_label: Callable[[PseudoLabelArguments], str],
    teacher: str,
    sources: list[str],
    output: Path,
) -> str:
    """Pseudo labels of a teacher for some sources; what is there already is kept."""
    return pseudo_label(
        PseudoLabelArguments(
            teacher=teacher,
            unlabeled=sources,
            output=str(output),
            teacher_kind=arguments.teacher_kind if teacher == arguments.teacher else "auto",
            mixed_precision=arguments.mixed_precision,
            cpu=arguments.cpu,
        )
    )


def earlier_checkpoints(name: str) -> list[Path]:
    """A teacher's saved checkpoints but the newest, which is the teacher itself, oldest first; none for a Hub id."""
    return list_checkpoints(Path(name))[:-1] if Path(name).is_dir() else []


def load_earlier(name: str, checkpoints: list[Path], *, device: torch.device, kind: Kind | None) -> list[DepthModel]:
    """The teacher with the weights that it had at each of these checkpoints."""
    models = []
    for checkpoint in checkpoints:
        model = load_depth_model(name, device=device, kind=kind)
        model.model.load_state_dict(load_file(checkpoint / "model.safetensors"))
        models.append(model)
    return models
