"""The student's teacher: the one named, the one kept from before, or one trained first."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from accelerate import PartialState

from semidepth.data.reading.sources import count_samples
from semidepth.data.source_spec import parse_sources
from semidepth.prediction.checkpoints import Kind
from semidepth.prediction.models import load_depth_model
from semidepth.training.arguments.files import read_yaml
from semidepth.training.arguments.run import TeacherArguments, TrainingArguments
from semidepth.training.arguments.student import StudentArguments
from semidepth.training.engine.setup import resolve_steps

logger = logging.getLogger(__name__)

# A kept teacher that differs in one of these is another teacher.
TEACHER_SETTING = ("encoder", "labeled", "size", "steps", "seed")


def check_teacher(arguments: StudentArguments) -> None:
    """Refuses, before anything is trained, a teacher that cannot be had.

    Raises:
        ValueError: if the one named cannot be loaded, the one kept was trained otherwise, or the length of the training
            of a new one is not known.
    """
    if arguments.teacher is not None:
        load_depth_model(arguments.teacher, kind=kind_given(arguments.teacher_kind))
        return
    kept = Path(arguments.teacher_dir) / "teacher.yaml"
    wanted = teacher_arguments(arguments)
    if (kept.parent / "model.safetensors").is_file():
        differing = differing_options(kept, wanted, TEACHER_SETTING)
        if differing:
            raise ValueError(
                f"{kept.parent} holds a teacher trained with other {', '.join(differing)}; name it with --teacher to "
                "use it all the same, or give another --teacher_dir to train one."
            )
    elif wanted.steps is None and any(
        count_samples(source, labeled=True) is None for source in parse_sources(wanted.labeled)
    ):
        raise ValueError(
            "a teacher has to be trained first and its labeled sources have no known end; give --teacher_steps."
        )


def differing_options(saved: Path, wanted: Any, names: Sequence[str]) -> list[str]:
    """Those of the named options in which a kept run's saved ones are not the wanted ones."""
    before = read_yaml(saved, type(wanted)) if saved.is_file() else {}
    return [name for name in names if before.get(name) != getattr(wanted, name)]


def teacher_arguments(arguments: StudentArguments) -> TeacherArguments:
    """The options of the teacher that a student without one trains first."""
    shared = {item.name: getattr(arguments, item.name) for item in dataclasses.fields(TrainingArguments)}
    own = {
        "output_dir": arguments.teacher_dir,
        "steps": arguments.teacher_steps,
        "epochs": TrainingArguments.epochs,
        "resume": True,
        "push_to_hub": None,  # that is the student's
    }
    wanted = TeacherArguments(**(shared | own))
    if arguments.select_reliable:  # how stable its predictions are is measured over thirds of its training
        world = PartialState(cpu=arguments.cpu).num_processes
        labeled = parse_sources(wanted.labeled)
        steps = resolve_steps(wanted, labeled, labeled=True, batch_size=wanted.batch_size, world=world)
        wanted.checkpoint_every, wanted.keep_checkpoints = -(-steps // 3), 3
    return wanted


def kind_given(teacher_kind: str) -> Kind | None:
    """What the teacher predicts, where the option says so."""
    return None if teacher_kind == "auto" else cast(Kind, teacher_kind)


def resolve_teacher(arguments: StudentArguments, train_teacher: Callable[[TeacherArguments], Any]) -> str:
    """The teacher's id or folder; trains one on the labeled sources first where none is named.

    Args:
        arguments: of the student's command.
        train_teacher: the teacher's command.

    Raises:
        ValueError: as `train_teacher` does.
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
