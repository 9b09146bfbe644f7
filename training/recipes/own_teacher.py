"""The teacher of a student without --teacher: the one in --teacher_dir, which is trained first if missing."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator, PartialState

from semidepth.common.options import default_values, read_options
from semidepth.data.reading.sources import count_samples
from semidepth.data.source_spec import parse_sources
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.training.engine.setup import resolve_steps
from semidepth.training.options.run import RelativeOptions
from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions, kind_given
from semidepth.training.recipes.teacher import train_teacher

logger = logging.getLogger(__name__)

# An existing teacher is used only if it was trained with the same values of these options.
TEACHER_SETTING = ("start", "encoder", "labeled", "size", "steps", "seed", "losses", "gradient_matching_weight")


def check_own_teacher(options: StudentOptions) -> None:
    """Checks, before any training, that the teacher in --teacher_dir can be used or trained.

    Raises:
        ValueError: if the existing teacher was trained with other options, or if the number of steps for a new one is
            unknown.
    """
    kept = Path(options.teacher_dir) / "teacher.yaml"
    wanted = teacher_options(options)
    if (kept.parent / "model.safetensors").is_file():
        differing = differing_options(kept, wanted, TEACHER_SETTING)
        if differing:
            raise ValueError(
                f"the teacher in {kept.parent} was trained with other values of {', '.join(differing)}; give another "
                "--teacher_dir to train a new one, or use this one with --teacher."
            )
    elif wanted.steps is None and any(
        count_samples(source, labeled=True) is None for source in parse_sources(wanted.labeled)
    ):
        raise ValueError(
            "a teacher has to be trained first and the number of its labeled samples is unknown; give --teacher_steps."
        )


def differing_options(saved: Path, wanted: Any, names: Sequence[str]) -> list[str]:
    """Returns the names of the options whose saved values differ from the wanted ones; all if nothing was saved.

    An option that did not exist yet when the file was written had its default.
    """
    if not saved.is_file():
        return list(names)
    before = default_values(type(wanted)) | read_options(saved, type(wanted), ignore_unknown=True)
    return [name for name in names if before.get(name) != getattr(wanted, name)]


def teacher_options(options: StudentOptions) -> TeacherOptions:
    """Returns the options of the teacher that a student without --teacher trains first."""
    shared = {item.name: getattr(options, item.name) for item in dataclasses.fields(RelativeOptions)}
    own = {
        "output_dir": options.teacher_dir,
        "steps": options.teacher_steps,
        "epochs": TeacherOptions.epochs,
        "resume": True,
        "push_to_hub": None,  # this repository is the student's
    }
    wanted = TeacherOptions(**(shared | own))
    if options.select_reliable:  # reliability compares the teacher with its checkpoints at thirds of its training
        world = PartialState(cpu=options.cpu).num_processes
        steps = resolve_steps(
            wanted, parse_sources(wanted.labeled), labeled=True, batch_size=wanted.batch_size, world=world
        )
        wanted = dataclasses.replace(wanted, checkpoint_every=-(-steps // 3), keep_checkpoints=3)
    return wanted


def own_teacher(options: StudentOptions) -> str:
    """Returns the folder of the student's own teacher, which is trained on the labeled sources first if missing.

    Raises:
        ValueError: for the reasons of `train_teacher`.
    """
    folder = Path(options.teacher_dir)
    if (folder / "model.safetensors").is_file():
        logger.info("no --teacher given: using the one in %s", folder)
        return str(folder)
    logger.info("no --teacher given: training one on the labeled sources first, into %s", folder)
    train_teacher(teacher_options(options))
    return str(folder)


def find_teacher(options: StudentOptions, accelerator: Accelerator) -> Callable[[], tuple[DepthModel | None, str]]:
    """Checks a student's teacher before anything expensive.

    Args:
        options: the student's options.
        accelerator: the run's accelerator.

    Returns:
        A function that returns the teacher and its name, and trains one first where --teacher names none. With
        pseudo labels there is no teacher, and the name is theirs.

    Raises:
        ValueError: if it cannot be loaded, or for the reasons of [`check_own_teacher`].
    """
    load = partial(load_depth_model, device=accelerator.device, kind=kind_given(options.teacher_kind))
    if options.pseudo_labels:
        return lambda: (None, ", ".join(options.pseudo_labels))
    if options.teacher is not None:
        teacher, name = load(options.teacher), options.teacher
        return lambda: (teacher, name)
    check_own_teacher(options)

    def train_first() -> tuple[DepthModel, str]:
        folder = own_teacher(options)
        accelerator.wait_for_everyone()  # the main process may just have trained it
        return load(folder), folder

    return train_first
