"""Checkpoints of a run: weights, optimizer, step, every random generator and the place in the data.

All is safetensors and JSON, nothing is pickled; tensors are whole, however many processes hold a piece of them. A
checkpoint is written beside its final name and renamed when it is whole; the file that is written last lists the others
with their sizes, so that one damaged later is recognised, too.
"""

import json
import logging
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from semidepth.common.console import CommandError
from semidepth.training.engine.sharding import deal_like, gather
from semidepth.training.engine.step_data import StepData

logger = logging.getLogger(__name__)

PREFIX = "checkpoint-"
UNFINISHED = ".unfinished"


class CheckpointError(CommandError, RuntimeError):
    """A checkpoint could not be written; earlier ones are as they were."""


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints in a run's folder, oldest first; damaged ones are left out and told."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.is_dir() and path.suffix != UNFINISHED]
    return sorted((path for path in found if _is_whole(path)), key=lambda path: path.name)


def _is_whole(checkpoint: Path) -> bool:
    try:
        files = json.loads((checkpoint / "trainer.json").read_text())["files"]
        missing = [name for name, size in files.items() if (checkpoint / name).stat().st_size != size]
    except (OSError, ValueError, KeyError):
        missing = ["trainer.json"]
    if missing:
        logger.warning("%s is not whole (%s); the one before it is used", checkpoint, ", ".join(missing))
    return not missing


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
    """Writes a checkpoint; every process calls it, the main one writes the shared part.

    Args:
        folder: the run's folder.
        accelerator: of the run.
        step: updates done.
        modules: name to module; unwrapped here.
        optimizer: its state goes into safetensors.
        data: of this process.
        keep: newest checkpoints that stay.
        setting: options in which a run that goes on from here must not differ.
        run: what the run took until now, on what; of no effect on how it goes on.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: it could not be written, for example since the disk is full. What was written of it is removed.
    """
    final = folder / f"{PREFIX}{step:08d}"
    partial = final.with_name(final.name + UNFINISHED)
    trainer: dict[str, Any] = {"step": step, "setting": setting, "run": run or {}}
    try:
        if accelerator.is_main_process:
            for stray in folder.glob(f"{PREFIX}*{UNFINISHED}"):  # of a run that was killed amid writing
                shutil.rmtree(stray, ignore_errors=True)
            partial.mkdir(parents=True)
        accelerator.wait_for_everyone()
        trainer["param_groups"] = _save_tensors(partial, accelerator, modules, optimizer)
        _save_own(partial, accelerator, data)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            trainer["files"] = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
            (partial / "trainer.json").write_text(json.dumps(trainer, indent=1))
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(
            f"checkpoint {final} could not be written ({error}); make room there, or give another --output_dir: "
            "earlier checkpoints are as they were, and the same command goes on from the newest."
        ) from error
    if accelerator.is_main_process:
        for old in list_checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def _save_tensors(
    folder: Path, accelerator: Accelerator, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> list[dict[str, Any]]:
    """Weights and the optimizer's tensors: all processes make them whole, one writes; returns what is no tensor."""
    values, groups = _split_optimizer(optimizer.state_dict())
    states = {name: accelerator.unwrap_model(module).state_dict() for name, module in modules.items()}
    for name, state in (states | {"optimizer": values}).items():
        tensors = _whole_tensors(state, accelerator.is_main_process)
        if accelerator.is_main_process:
            save_file(tensors, folder / f"{name}.safetensors")
    return groups


def _save_own(folder: Path, accelerator: Accelerator, data: StepData) -> None:
    """What is this process's own: random generators and the place in the data."""
    tensors, values = _random_state()
    tensors["batches"] = data.generator.get_state()
    if accelerator.scaler is not None:
        values["scaler"] = accelerator.scaler.state_dict()
    number = f"{accelerator.process_index:05d}"
    save_file(tensors, folder / f"random-{number}.safetensors")
    (folder / f"random-{number}.json").write_text(json.dumps(values))
    (folder / f"data-{number}.json").write_text(json.dumps(data.state(), default=_as_list))


def _as_list(array: np.ndarray) -> list:
    return array.tolist()


def check_setting(checkpoint: Path, setting: dict[str, Any]) -> int:
    """Compares a run's setting with a checkpoint's.

    Returns:
        The checkpoint's step.

    Raises:
        ValueError: naming the options that differ.
    """
    trainer = json.loads((checkpoint / "trainer.json").read_text())
    differing = [name for name, value in setting.items() if trainer["setting"].get(name) != value]
    if differing:
        was, now = (
            ", ".join(f"{name}={values.get(name)}" for name in differing) for values in (trainer["setting"], setting)
        )
        raise ValueError(f"{checkpoint} is of a run with {was}, not {now}; give another --output_dir.")
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
    """Restores what [`save_checkpoint`] wrote; learning rates, their schedule and weight decay stay the run's own.

    Returns:
        The step.

    Raises:
        ValueError: if the checkpoint is of another model, or has other optimizer groups.
    """
    trainer = json.loads((checkpoint / "trainer.json").read_text())
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    try:
        for name, module in modules.items():
            bare = accelerator.unwrap_model(module)
            tensors, current = load_file(checkpoint / f"{name}.safetensors"), bare.state_dict()
            bare.load_state_dict({key: deal_like(tensor, current.get(key)) for key, tensor in tensors.items()})
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        tensors = load_file(checkpoint / "optimizer.safetensors")
        optimizer.load_state_dict(_join_optimizer(tensors, trainer["param_groups"], parameters))
    except (RuntimeError, ValueError, FileNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{checkpoint} does not fit this run ({reason}); give another --output_dir.") from error
    _restore_schedule(optimizer, scheduler, own, trainer["step"])
    states = [json.loads(path.read_text()) for path in sorted(checkpoint.glob("data-*.json"))]
    told = data.restore(states)
    if told:
        logger.warning("%s was written by another number of processes or workers: %s", checkpoint, told)
    random_file = checkpoint / f"random-{accelerator.process_index:05d}.safetensors"
    if random_file.is_file():
        tensors, values = load_file(random_file), json.loads(random_file.with_suffix(".json").read_text())
        _restore_random_state(tensors, values)
        data.generator.set_state(tensors["batches"])
        if accelerator.scaler is not None and "scaler" in values:
            accelerator.scaler.load_state_dict(values["scaler"])
    else:
        # A generator of its own, and not the one of the first steps once more.
        data.generator.manual_seed(data.generator.initial_seed() + trainer["step"] * 1_000_003)
        logger.warning("%s has no random state of process %d; it draws anew.", checkpoint, accelerator.process_index)
    return trainer["step"]


def _restore_schedule(
    optimizer: torch.optim.Optimizer, scheduler: Any, groups: list[dict[str, Any]], step: int
) -> None:
    """Puts the schedule after so many updates, with the rates and the decay that this run was given."""
    for group, own in zip(optimizer.param_groups, groups, strict=True):
        group |= own
    # Every schedule in use is a function of the step alone, so one step from the one before lands on it.
    scheduler.last_epoch, scheduler._step_count = step - 1, step + 1
    scheduler.step()


def _whole_tensors(state: dict[str, torch.Tensor], keep: bool) -> dict[str, torch.Tensor]:
    """Tensors made whole one by one, by all processes; the one that keeps them gets copies in its memory.

    safetensors refuses shared and non-contiguous tensors.
    """
    kept = {}
    for name, tensor in state.items():
        whole = gather(tensor.detach())
        if keep:
            kept[name] = whole.to("cpu", copy=True, memory_format=torch.contiguous_format)
    return kept


def _split_optimizer(state: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """An optimizer's state as named tensors and JSON groups."""
    tensors = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            tensors[f"{index}.{name}"] = torch.as_tensor(value)
    return tensors, state["param_groups"]


def _join_optimizer(
    tensors: dict[str, torch.Tensor], groups: list[dict], parameters: list[torch.Tensor]
) -> dict[str, Any]:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        like = parameters[int(index)] if int(index) < len(parameters) else None
        state.setdefault(int(index), {})[name] = deal_like(tensor, like)
    return {"state": state, "param_groups": groups}


def _random_state() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    version, state, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 (other libraries draw from it)
    values = {
        "python": [version, list(state), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
    }
    return tensors, values


def _restore_random_state(tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
    version, state, gauss = values["python"]
    random.setstate((version, tuple(state), gauss))
    kind, keys, position, has_gauss, cached = values["numpy"]
    np.random.set_state((kind, np.asarray(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
