"""How a run goes on from its newest checkpoint, and from which it cannot."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from semidepth.training.engine.checkpoints import check_setting, list_checkpoints, load_checkpoint
from semidepth.training.engine.run_record import RunRecord
from semidepth.training.engine.step_data import StepData
from semidepth.training.engine.trained_model import TrainedModel
from semidepth.training.options.run import RunOptions

logger = logging.getLogger(__name__)

# Options in which a resumed run must not differ from its checkpoint. Rates and steps may.
SETTING = (
    "encoder",
    "size",
    "seed",
    "labeled",
    "unlabeled",
    "pseudo_labels",
    "teacher",
    "student",
    "train",
    "domains",
    "freeze_core",
)


def setting_of(options: RunOptions) -> dict[str, Any]:
    """What a run must share with its checkpoint to be the same run."""
    values = asdict(options)
    values = {name: values[name] for name in SETTING if name in values}
    # As JSON gives them back from a checkpoint.
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def check_resume(options: RunOptions, steps: int) -> Path | None:
    """The checkpoint that a run will go on from, None where there is none.

    Raises:
        ValueError: if there is one that it cannot go on from. Called before anything expensive, then by [`resume`].
    """
    checkpoints = list_checkpoints(Path(options.output_dir))
    if not checkpoints:
        return None
    newest = checkpoints[-1]
    if not options.resume:
        raise ValueError(f"{newest} is of an earlier run; remove it, or give another --output_dir, to start afresh.")
    done = check_setting(newest, setting_of(options))
    if done > steps or (done == steps and (Path(options.output_dir) / "results.json").is_file()):
        raise ValueError(f"{newest} has all of {steps} steps done; give more --steps, or another --output_dir.")
    return newest


def resume(
    options: RunOptions,
    steps: int,
    accelerator: Accelerator,
    trained: TrainedModel,
    data: StepData,
    record: RunRecord,
) -> int:
    """Loads the newest checkpoint where there is one; returns the number of steps done."""
    newest = check_resume(options, steps)
    if newest is None:
        return 0
    step = load_checkpoint(
        newest, accelerator=accelerator, modules=trained.modules(), optimizer=trained.optimizer,
        scheduler=trained.scheduler, data=data,
    )  # fmt: skip
    record.go_on_from(newest)
    logger.info("going on from %s", newest)
    return step
