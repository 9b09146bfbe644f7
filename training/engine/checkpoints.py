"""Checkpoints of a run: weights, optimizer, schedule, step and every random generator, in safetensors and JSON.

A checkpoint is written beside its final name and renamed when it is whole, so a folder called `checkpoint-…` can be
trusted. Nothing is pickled.
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
from safetensors.torch import load_file, save_file
from torch import nn

logger = logging.getLogger(__name__)

PREFIX = "checkpoint-"
UNFINISHED = ".unfinished"


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints in a run's folder, oldest first."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.is_dir() and path.suffix != UNFINISHED]
    return sorted((path for path in found if (path / "trainer.json").is_file()), key=lambda path: path.name)


def save_checkpoint(
    folder: Path,
    *,
    accelerator: Accelerator,
    step: int,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    keep: int,
    setting: dict[str, Any],
) -> Path:
    """Writes a checkpoint; every process calls it, the main one writes the shared part.

    Args:
        folder: the run's folder.
        accelerator: of the run.
        step: updates done.
        modules: name to module; unwrapped here.
        optimizer: its state goes into safetensors.
        keep: newest checkpoints that stay.
        setting: options in which a run that goes on from here must not differ.

    Returns:
        The checkpoint's folder.
    """
    final = folder / f"{PREFIX}{step:08d}"
    partial = final.with_name(final.name + UNFINISHED)
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, module in modules.items():
            save_file(_cloned(accelerator.unwrap_model(module).state_dict()), partial / f"{name}.safetensors")
        tensors, groups = _split_optimizer(optimizer.state_dict())
        save_file(tensors, partial / "optimizer.safetensors")
        trainer = {
            "step": step,
            "param_groups": groups,
            "setting": setting,
        }
        (partial / "trainer.json").write_text(json.dumps(trainer, indent=1))
    accelerator.wait_for_everyone()
    tensors, values = _random_state()
    save_file(tensors, partial / f"random-{accelerator.process_index:05d}.safetensors")
    (partial / f"random-{accelerator.process_index:05d}.json").write_text(json.dumps(values))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in list_checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


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
            accelerator.unwrap_model(module).load_state_dict(load_file(checkpoint / f"{name}.safetensors"))
        state = _join_optimizer(load_file(checkpoint / "optimizer.safetensors"), trainer["param_groups"])
        optimizer.load_state_dict(state)
    except (RuntimeError, ValueError, FileNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{checkpoint} does not fit this run ({reason}); give another --output_dir.") from error
    _restore_schedule(optimizer, scheduler, own, trainer["step"])
    random_file = checkpoint / f"random-{accelerator.process_index:05d}.safetensors"
    if random_file.is_file():
        _restore_random_state(load_file(random_file), json.loads(random_file.with_suffix(".json").read_text()))
    else:
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


def _cloned(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous copies: safetensors refuses shared and non-contiguous tensors."""
    return {name: tensor.detach().contiguous().clone() for name, tensor in state.items()}


def _split_optimizer(state: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """An optimizer's state as named tensors and JSON groups."""
    tensors = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            tensors[f"{index}.{name}"] = torch.as_tensor(value).detach().contiguous().clone()
    return tensors, state["param_groups"]


def _join_optimizer(tensors: dict[str, torch.Tensor], groups: list[dict]) -> dict[str, Any]:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
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
