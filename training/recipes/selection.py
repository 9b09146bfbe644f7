"""ST++'s selective re-training (arXiv 2106.05095): the reliable part of the unlabeled images first, then all of them.

1. the teacher, with the checkpoints that it kept, labels all unlabeled images and scores how stable each label is;
2. a first student is trained on the share of each source with the most stable labels;
3. that student labels the rest;
4. the final student is trained on all: the stable images with the teacher's labels, the rest with the first student's.

ST++ ranks all images together. Its images are of one kind; where sources differ in kind, that ranks the kinds: one is
hardly seen by the first student, which then has no better labels for it than the teacher. So images are ranked within
their source here.

Each step is kept in the run's folder, so that the same command goes on with what is there.
"""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from semidepth.data.pseudo_labels import name_of_source, read_reliability
from semidepth.data.source_spec import parse_sources
from semidepth.publishing.pusher import open_pusher
from semidepth.training.engine.setup import check_sources
from semidepth.training.options.pseudo_label import PseudoLabelOptions
from semidepth.training.options.student import StudentOptions
from semidepth.training.recipes.own_teacher import (
    TEACHER_SETTING,
    check_own_teacher,
    differing_options,
    own_teacher,
)
from semidepth.training.recipes.pseudo_label import earlier_checkpoints, pseudo_label
from semidepth.training.recipes.student import train_on_all

logger = logging.getLogger(__name__)

# A kept first student that differs in one of these is another one.
FIRST_SETTING = (*TEACHER_SETTING, "pseudo_labels", "learning_rate", "batch_size")


def train_with_selection(options: StudentOptions) -> dict[str, Any]:
    """Trains a student in the four steps above.

    Args:
        options: the student's, with `select_reliable`; both students are trained with them.

    Returns:
        The final student's losses and scores.

    Raises:
        ValueError: the teacher has no earlier checkpoints, or as the recipes do.
    """
    # Its own comes hours later.
    open_pusher(options, options.output_dir, main_process=PartialState(cpu=options.cpu).is_main_process)
    check_sources(parse_sources([*options.labeled, *options.validation]))
    check_sources(parse_sources(options.unlabeled), labeled=False)
    if options.teacher is None:
        check_own_teacher(options)
    teacher = options.teacher or own_teacher(options)
    if not earlier_checkpoints(teacher):
        raise ValueError(
            f"--select_reliable compares a teacher with its earlier checkpoints and {teacher} has none; train one with "
            "--checkpoint_every a third of its steps and --keep_checkpoints 3, or leave --teacher out and give a new "
            "--teacher_dir."
        )
    folder = Path(options.output_dir)
    by_teacher = _label(options, teacher, options.unlabeled, folder / "labels_of_teacher")
    stable, rest = divide(by_teacher, options.select_reliable, options.unlabeled)

    first = dataclasses.replace(
        options, output_dir=str(folder / "first_student"), pseudo_labels=stable, select_reliable=0.0, teacher=None,
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
        train_on_all(first)
    PartialState().wait_for_everyone()
    by_student = _label(options, first.output_dir, rest, folder / "labels_of_first_student")
    final = dataclasses.replace(options, pseudo_labels=(*stable, by_student), select_reliable=0.0, teacher=None)
    return train_on_all(final, selected_share=options.select_reliable)


def divide(labels: str, share: float, sources: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stable part of a set of pseudo labels and the rest, as sources; images are ranked within their own source.

    Args:
        labels: the set.
        share: of each source's images that are stable, in (0, 1), to the nearest whole image but at least one.
        sources: that the set was made of, in order; for the log.

    Returns:
        One source for the stable images of each source, and one for its others where there are any.

    Raises:
        ValueError: so many images have the same reliability that none would be left in the rest.
    """
    stable, rest, sizes = [], [], []
    for number, reliability in read_reliability(labels).items():
        ranked = np.sort(reliability.astype(np.float64))
        threshold = float(ranked[min(round(len(ranked) * (1 - share)), len(ranked) - 1)])
        chosen = int((ranked >= threshold).sum())
        sizes.append((chosen, len(ranked)))
        logger.info(
            "%s: %d of %d pseudo labels have a reliability of at least %.4f",
            sources[number], chosen, len(ranked), threshold,
        )  # fmt: skip
        own = f"{labels}?split={name_of_source(number)}"
        stable.append(f"{own}&min_reliability={threshold!r}")
        if chosen < len(ranked):
            rest.append(f"{own}&max_reliability={threshold!r}")
    if not rest:
        chosen, total = (sum(each) for each in zip(*sizes, strict=True)) if sizes else (0, 0)
        raise ValueError(
            f"--select_reliable {share} leaves {chosen} of {total} images on the stable side; give another share, or a "
            "teacher whose checkpoints differ."
        )
    return tuple(stable), tuple(rest)


def _label(options: StudentOptions, teacher: str, sources: tuple[str, ...], output: Path) -> str:
    """Pseudo labels of a teacher for some sources; what is there already is kept."""
    return pseudo_label(
        PseudoLabelOptions(
            teacher=teacher,
            unlabeled=sources,
            output=str(output),
            teacher_kind=options.teacher_kind if teacher == options.teacher else "auto",
            mixed_precision=options.mixed_precision,
            cpu=options.cpu,
        )
    )
