"""Checkpoints of a run: model weights, optimizer, step, all random generators and the position in the data.

A run that is killed loses the steps after its newest checkpoint and nothing else. Checkpoints are safetensors and JSON;
nothing is pickled. They hold whole tensors, also when the weights are sharded over processes. A checkpoint is written
under a temporary name, synced to the disk, and renamed when it is complete. `trainer.json` is written last and lists
the other files with their sizes and checksums, so a checkpoint that is damaged later is recognised and skipped.
"""

import json
import logging
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from semidepth.common.console import CommandError
from semidepth.common.files import checksum, sync
from semidepth.training.engine.sharding import join_optimizer, shard_like, split_optimizer, whole_tensors
from semidepth.training.engine.step_data import StepData, random_state, restore_random_state

logger = logging.getLogger(__name__)

PREFIX = "checkpoint-"
UNFINISHED = ".unfinished"


class CheckpointError(CommandError, RuntimeError):
    """A checkpoint could not be written; earlier checkpoints are unchanged."""


def list_checkpoints(folder: Path) -> list[Path]:
    """Returns the complete checkpoints in a run's folder, oldest first; damaged ones are skipped with a warning."""
    return [path for path in _checkpoint_folders(folder) if _is_whole(path)]


def _checkpoint_folders(folder: Path) -> list[Path]:
    found = [path for path in folder.glob(f"{PREFIX}*") if path.is_dir() and path.suffix != UNFINISHED]
    return sorted(found, key=lambda path: path.name)


def _is_whole(checkpoint: Path) -> bool:
    try:
        files = json.loads((checkpoint / "trainer.json").read_text())["files"]
        missing = [name for name, size in files.items() if (checkpoint / name).stat().st_size != size]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        missing = ["trainer.json"]
    if missing:
        logger.warning(
            "%s is damaged (missing or of another size: %s); the checkpoint before it is used",
            checkpoint, ", ".join(missing),
        )  # fmt: skip
    return not missing


def newest_checkpoint(folder: Path) -> Path | None:
    """Returns the newest checkpoint whose contents are as they were written; newer ones are reported in a warning.

    All of a checkpoint is read for its checksums, so this is for runs that resume. Checkpoints of versions that wrote
    no checksums are compared by size alone.

    Raises:
        ValueError: if there are checkpoints and all are damaged; starting anew would hide that.
    """
    for checkpoint in reversed(list_checkpoints(folder)):
        trainer = json.loads((checkpoint / "trainer.json").read_text())
        expected = trainer.pop("crc32", {"trainer.json": _checksum_of(trainer)})
        found = {name: checksum(checkpoint / name) for name in expected if name != "trainer.json"}
        found["trainer.json"] = _checksum_of(trainer)
        changed = [name for name, value in expected.items() if found[name] != value]
        if not changed:
            return checkpoint
        logger.warning(
            "%s is damaged (content has changed: %s); the checkpoint before it is used", checkpoint, ", ".join(changed)
        )
    damaged = _checkpoint_folders(folder)
    if damaged:
        raise ValueError(
            f"all checkpoints in {folder} are damaged ({', '.join(path.name for path in damaged)}); delete them to "
            "start from the beginning, or give another --output_dir."
        )
    return None


def _checksum_of(trainer: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(trainer, sort_keys=True).encode())


def save_checkpoint(
    folder: Path,
    *,
    accelerator: Accelerator,
    step: int,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    data: StepData,
    keep: int,
    setting: dict[str, Any],
    run: dict[str, Any] | None = None,
) -> Path:
    """Writes a checkpoint and deletes old ones; call it in every process.

    Each process writes its random generators and data position. The main process writes everything else.

    Args:
        folder: the run's output folder.
        accelerator: the run's accelerator.
        step: number of updates done.
        modules: modules to save by name; wrappers are removed here.
        optimizer: the optimizer; its tensors are saved as safetensors.
        data: this process's batches.
        keep: how many of the newest checkpoints stay.
        setting: options that must be the same in a run that resumes from here.
        run: the run record so far (hours, devices); it does not affect the resumed training.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: if it could not be written, for example because the disk is full. The partial one is removed.
    """
    final = folder / f"{PREFIX}{step:08d}"
    partial = final.with_name(final.name + UNFINISHED)
    trainer: dict[str, Any] = {"step": step, "setting": setting, "run": run or {}}
    try:
        if accelerator.is_main_process:
            for stray in folder.glob(f"{PREFIX}*{UNFINISHED}"):  # left by a run that was killed while writing
                shutil.rmtree(stray, ignore_errors=True)
            partial.mkdir(parents=True)
        accelerator.wait_for_everyone()
        trainer["param_groups"] = _save_tensors(partial, accelerator, modules, optimizer)
        _save_own(partial, accelerator, data)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            _write_trainer(partial, trainer)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(
            f"checkpoint {final} could not be written ({error}); free disk space and run the same command again to "
            "resume from the newest checkpoint (earlier ones are unchanged), or give another --output_dir."
        ) from error
    if accelerator.is_main_process:
        _delete_old(folder, final, keep)
    accelerator.wait_for_everyone()
    return final


def _delete_old(folder: Path, newest: Path, keep: int) -> None:
    """Deletes all but the newest `keep` checkpoints; later ones are damaged, the run resumed from before them."""
    whole = list_checkpoints(folder)
    later = [path for path in whole if path.name > newest.name]
    for old in [*later, *[path for path in whole if path not in later][:-keep]]:
        going = old.with_name(old.name + UNFINISHED)  # a kill amid the deleting leaves no checkpoint that looks damaged
        old.rename(going)
        shutil.rmtree(going)


def _write_trainer(partial: Path, trainer: dict[str, Any]) -> None:
    """Writes trainer.json with sizes and checksums of all files, and syncs them and the folder."""
    written = sorted(partial.iterdir())
    trainer["files"] = {path.name: path.stat().st_size for path in written}
    # As JSON gives it back, so that the checksum of the text that is read is the same.
    trainer = json.loads(json.dumps(trainer))
    checksums = {path.name: checksum(path) for path in written} | {"trainer.json": _checksum_of(trainer)}
    (partial / "trainer.json").write_text(json.dumps(trainer | {"crc32": checksums}, indent=1))
    for path in (*partial.iterdir(), partial):
        sync(path)


def _save_tensors(
    folder: Path, accelerator: Accelerator, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> list[dict[str, Any]]:
    """Gathers weights and optimizer tensors in all processes, saves them in the main one; returns the groups."""
    values, groups = split_optimizer(optimizer.state_dict())
    states = {name: accelerator.unwrap_model(module).state_dict() for name, module in modules.items()}
    for name, state in (states | {"optimizer": values}).items():
        tensors = whole_tensors(state, accelerator.is_main_process)
        if accelerator.is_main_process:
            save_file(tensors, folder / f"{name}.safetensors")
    return groups


def _save_own(folder: Path, accelerator: Accelerator, data: StepData) -> None:
    """Saves this process's random generators and its position in the data."""
    tensors, values = random_state()
    tensors["batches"] = data.generator.get_state()
    if accelerator.scaler is not None:
        values["scaler"] = accelerator.scaler.state_dict()
    number = f"{accelerator.process_index:05d}"
    save_file(tensors, folder / f"random-{number}.safetensors")
    (folder / f"random-{number}.json").write_text(json.dumps(values))
    (folder / f"data-{number}.json").write_text(json.dumps(data.state(), default=_as_list))


def _as_list(array: np.ndarray) -> list:
    return array.tolist()


def check_setting(checkpoint: Path, setting: dict[str, Any], defaults: dict[str, Any]) -> int:
    """Checks that a run has the options a checkpoint was written with, and returns the checkpoint's step.

    Args:
        checkpoint: folder of the checkpoint.
        setting: options of the run.
        defaults: their defaults; the checkpoint has these for options that did not exist when it was written.

    Raises:
        ValueError: naming the options that differ.
    """
    trainer = json.loads((checkpoint / "trainer.json").read_text())
    before = defaults | trainer["setting"]
    differing = [name for name, value in setting.items() if before.get(name) != value]
    if differing:
        was, now = (", ".join(f"{name}={values.get(name)}" for name in differing) for values in (before, setting))
        raise ValueError(f"{checkpoint} belongs to a run with {was}, not {now}; give another --output_dir.")
    return trainer["step"]


def load_checkpoint(
    checkpoint: Path,
    *,
    accelerator: Accelerator,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    data: StepData,
) -> int:
    """Restores what [`save_checkpoint`] wrote and returns the checkpoint's step.

    Learning rates, their schedule and weight decay are not restored: the resumed run's own options count.

    Raises:
        ValueError: if the checkpoint has another model or other optimizer groups.
    """
    trainer = json.loads((checkpoint / "trainer.json").read_text())
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    try:
        for name, module in modules.items():
            bare = accelerator.unwrap_model(module)
            tensors, current = load_file(checkpoint / f"{name}.safetensors"), bare.state_dict()
            bare.load_state_dict({key: shard_like(tensor, current.get(key)) for key, tensor in tensors.items()})
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        tensors = load_file(checkpoint / "optimizer.safetensors")
        optimizer.load_state_dict(join_optimizer(tensors, trainer["param_groups"], parameters))
    except (RuntimeError, ValueError, FileNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{checkpoint} does not fit this run ({reason}); give another --output_dir.") from error
    _restore_schedule(optimizer, scheduler, own, trainer["step"])
    states = [json.loads(path.read_text()) for path in sorted(checkpoint.glob("data-*.json"))]
    difference = data.restore(states)
    if difference:
        logger.warning("%s was written by another number of processes or workers: %s", checkpoint, difference)
    random_file = checkpoint / f"random-{accelerator.process_index:05d}.safetensors"
    if random_file.is_file():
        tensors, values = load_file(random_file), json.loads(random_file.with_suffix(".json").read_text())
        restore_random_state(tensors, values)
        data.generator.set_state(tensors["batches"])
        if accelerator.scaler is not None and "scaler" in values:
            accelerator.scaler.load_state_dict(values["scaler"])
    else:
        # Without its own state, the generator must not repeat the numbers of the first steps.
        data.generator.manual_seed(data.generator.initial_seed() + trainer["step"] * 1_000_003)
        logger.warning(
            "%s has no random state for process %d; its random generators start from a new seed",
            checkpoint, accelerator.process_index,
        )  # fmt: skip
    return trainer["step"]


def _restore_schedule(
    optimizer: torch.optim.Optimizer, scheduler: Any, groups: list[dict[str, Any]], step: int
) -> None:
    """Sets the schedule to the state after `step` updates, with this run's own learning rates and weight decay."""
    for group, own in zip(optimizer.param_groups, groups, strict=True):
        group |= own
    # All schedules in use depend on the step number only, so one step from `step - 1` gives the right state.
    scheduler.last_epoch, scheduler._step_count = step - 1, step + 1
    scheduler.step()
