"""Resuming a run from its newest checkpoint, and the checks that the checkpoint belongs to the same run."""

import logging
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from semidepth.common.console import NothingToDo
from semidepth.common.locks import hold_folder, release_folder
from semidepth.common.options import default_values
from semidepth.training.engine.checkpoints import (
    PREFIX,
    UNFINISHED,
    check_setting,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
)
from semidepth.training.engine.run_record import RunRecord
from semidepth.training.engine.step_data import StepData
from semidepth.training.engine.trained_model import TrainedModel
from semidepth.training.losses.table import describe
from semidepth.training.options.run import RelativeOptions, RunOptions

logger = logging.getLogger(__name__)

# Options that must be the same in a resumed run as in its checkpoint. Learning rates and steps may differ.
SETTING = (
    "start",
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
    "cached_images",
    "hidden_size",
    "click_map",
    "box_prior",
    "mask_loss",
    "modalities",
    "tokenizers",
    "rgb",
    "images",
    "pictures_seed",
    "levels",
    "classes",
    "only_from_rgb",
)
HELD_OUT = "a part of the labeled sources (with --validation none: None)"


def setting_of(options: RunOptions) -> dict[str, Any]:
    """Returns the options that must be the same in a run and in the checkpoint it resumes from."""
    values = asdict(options)
    files = any(not spec.startswith("scenes:") for spec in options.divided_sources())
    # What is held out of the labeled sources is no training data; a checkpoint from before that has None.
    held_out = HELD_OUT if files and not values["validation"] else None
    losses = {"losses": describe(options.loss_weights)} if isinstance(options, RelativeOptions) else {}
    return _setting(values) | {"held_out": held_out} | losses


def _setting(values: dict[str, Any]) -> dict[str, Any]:
    """Returns those of `SETTING`, with lists instead of tuples, as they are read back from a checkpoint's JSON."""
    values = {name: values[name] for name in SETTING if name in values}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def check_resume(options: RunOptions, steps: int | None, *, unknown: Collection[str] = ()) -> Path | None:
    """Returns the checkpoint that a run will resume from, or None where there is none.

    Commands call it before anything expensive; [`resume`] calls it again.

    From here on this process holds the folder: a second run on it is refused.

    Args:
        options: the command's options.
        steps: number of updates; None while it is not known.
        unknown: options whose values are not known yet, and not compared.

    Raises:
        NothingToDo: if the run is finished already.
        ValueError: if there is a checkpoint that the run cannot resume from, or another run is on the folder.
    """
    folder = Path(options.output_dir)
    hold_folder("output_dir", folder)
    try:
        newest = newest_checkpoint(folder)
        if newest is not None:
            _check_checkpoint(newest, options, steps, unknown)
    except (NothingToDo, ValueError):
        release_folder(folder)
        raise
    return newest


def _check_checkpoint(newest: Path, options: RunOptions, steps: int | None, unknown: Collection[str]) -> None:
    """Raises ValueError if a run cannot resume from a checkpoint, NothingToDo if it has nothing left to do."""
    if not options.resume:
        raise ValueError(
            f"{newest} is left from an earlier run and --resume is off; delete it or give another --output_dir."
        )
    setting = {name: value for name, value in setting_of(options).items() if name not in unknown}
    # A checkpoint from before losses had presets does not say which it had; the log says which go on.
    defaults = _setting(default_values(type(options))) | {"losses": setting.get("losses")}
    done = check_setting(newest, setting, defaults)
    if steps is None:
        return
    if done > steps:
        raise ValueError(
            f"{newest} has already done {done} steps and this run has {steps}; give more --steps or another "
            "--output_dir."
        )
    results = Path(options.output_dir) / "results.json"
    # A model that was deleted is saved again, from its checkpoint. Tokenizers have a folder each.
    apart = [path.parent.name for path in results.parent.glob("*/model.safetensors")]
    apart = [name for name in apart if not name.startswith((PREFIX, "best")) and not name.endswith(UNFINISHED)]
    saved = bool(apart) or any(results.parent.glob("*.safetensors"))
    if done == steps and results.is_file() and saved:
        raise NothingToDo(
            f"this run is finished already, after {steps} steps: the model is in {options.output_dir}, its scores are "
            f"in {results}; give more --steps to train it further, or another --output_dir to train anew."
        )


def how_to_resume(folder: Path) -> str:
    """Returns the end of the sentence about a run that was stopped: where the same command will go on."""
    checkpoints = list_checkpoints(folder)
    if not checkpoints:
        return f"there is no checkpoint in {folder} yet, so the same command starts from the beginning."
    return f"run the same command again to resume from {checkpoints[-1]}."


def resume(
    options: RunOptions,
    steps: int,
    accelerator: Accelerator,
    trained: TrainedModel,
    data: StepData,
    record: RunRecord,
) -> int:
    """Loads the newest checkpoint, if there is one, and returns the number of steps done (0 without one)."""
    newest = check_resume(options, steps)
    if newest is None:
        return 0
    step = load_checkpoint(
        newest, accelerator=accelerator, modules=trained.modules(), optimizer=trained.optimizer,
        scheduler=trained.scheduler, data=data,
    )  # fmt: skip
    record.add_earlier_parts(newest)
    logger.info("resuming from %s", newest)
    return step
