"""Selective re-training of ST++ (arXiv 2106.05095): first on the images with reliable pseudo labels, then on all.

1. The teacher labels all unlabeled images. A label's reliability is its stability over the teacher's checkpoints.
2. A first student is trained on the given share of each source, the images with the most reliable labels.
3. That student labels the rest.
4. The final student is trained on all: reliable images have the teacher's labels, the rest the first student's.

ST++ ranks all images together, since its images are all of one kind. Where sources differ in kind, such a ranking
selects whole kinds: the first student would hardly see the others, and would label them no better than the teacher. So
images are ranked within their own source here.

The results of each step stay in the run's folder; run the same command again to resume.
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
from semidepth.training.engine.held_out import split_labeled
from semidepth.training.engine.resuming import check_resume
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

# An existing first student is used only if it was trained with the same values of these options.
FIRST_SETTING = (*TEACHER_SETTING, "pseudo_labels", "learning_rate", "batch_size")


def train_with_selection(options: StudentOptions) -> dict[str, Any]:
    """Trains a student in the four steps above.

    Args:
        options: the student's options, with `select_reliable`; both students are trained with them.

    Returns:
        The final student's losses and scores.

    Raises:
        ValueError: if the teacher has no earlier checkpoints, or for the reasons of the recipes that are called.
    """
    # The final student opens its own pusher hours later; a wrong name or token must fail now.
    open_pusher(options, options.output_dir, main_process=PartialState(cpu=options.cpu).is_main_process)
    check_sources(parse_sources(options.labeled))
    check_sources(split_labeled(options)[1])
    check_sources(parse_sources(options.unlabeled), labeled=False)
    check_resume(options, None, unknown=("teacher", "pseudo_labels"))  # of the final student
    if options.teacher is None:
        check_own_teacher(options)
    teacher = options.teacher or own_teacher(options)
    if not earlier_checkpoints(teacher):
        raise ValueError(
            f"--select_reliable compares a teacher with its earlier checkpoints and {teacher} has none; train a "
            "teacher with --keep_checkpoints 3 and --checkpoint_every set to a third of its steps, or leave out "
            "--teacher and give a new --teacher_dir."
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
                f"the first student in {first.output_dir} was trained with other values of {', '.join(differing)}; "
                "give another --output_dir."
            )
        logger.info("using the first student in %s", first.output_dir)
    else:
        train_on_all(first)
    PartialState().wait_for_everyone()
    by_student = _label(options, first.output_dir, rest, folder / "labels_of_first_student")
    final = dataclasses.replace(options, pseudo_labels=(*stable, by_student), select_reliable=0.0, teacher=None)
    return train_on_all(final, selected_share=options.select_reliable)


def divide(labels: str, share: float, sources: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divides a set of pseudo labels into its reliable part and the rest; each source's images are ranked separately.

    Args:
        labels: folder of the set.
        share: share of each source's images to select, in (0, 1); rounded to whole images, at least one.
        sources: the sources that the set was made from, in order, for the log.

    Returns:
        A source for the reliable images of each source, and one for its other images where there are any.

    Raises:
        ValueError: if so many images have the same reliability that none is left in the rest.
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
            f"--select_reliable {share} selects {chosen} of {total} images and leaves none for the rest; give a "
            "smaller share, or a teacher whose checkpoints differ more."
        )
    return tuple(stable), tuple(rest)


def _label(options: StudentOptions, teacher: str, sources: tuple[str, ...], output: Path) -> str:
    """Labels sources with a teacher and returns the folder; labels that exist already are kept."""
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
