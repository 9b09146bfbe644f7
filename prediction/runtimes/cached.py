"""A model's ONNX file in the user's cache: made once for its weights, then found by their digest."""

import copy
import hashlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from semidepth.runtime.checks import damaged

if TYPE_CHECKING:
    from semidepth.prediction.models import DepthModel

logger = logging.getLogger(__name__)

# What two copies of a model may differ in.
UNLIKE = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "auto_map"}
FORM = 2  # of the cached files; another number makes them anew


def own_config(module: Any) -> dict[str, Any]:
    """Returns the configuration of a model without what two copies of it may differ in."""
    return {name: value for name, value in module.config.to_dict().items() if name not in UNLIKE}


def seen_of(model: "DepthModel") -> list[Any]:
    """Returns what a depth model's predictions depend on beside its weights, as JSON has it."""
    processor = None if model.processor is None else model.processor.to_dict()
    # "whole": earlier versions showed a stock processor images that were resized already.
    way = "bicubic" if processor is None else "whole"
    return [way, model.kind, repr(model.preprocessing), processor, own_config(model.model)]


def digest_with(module: Any, seen: list[Any]) -> str:
    """Returns the hexadecimal digest of a model's weights and of what else its predictions depend on.

    It takes half a second per gigabyte.
    """
    if hasattr(module, "digest"):  # runs outside torch, and keeps that of the weights it was made from
        return str(module.digest)
    digest = hashlib.sha256(json.dumps(seen, sort_keys=True, default=str).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def digest_of(model: "DepthModel") -> str:
    """Returns the hexadecimal digest of a depth model, see [`digest_with`]."""
    return digest_with(model.model, seen_of(model))


def cache_folder() -> Path:
    """Returns the folder of exported files and measured speeds.

    SEMIDEPTH_CACHE names it; else it is `semidepth` in the user's cache folder (XDG_CACHE_HOME, ~/.cache,
    ~/Library/Caches or LOCALAPPDATA).
    """
    named = os.environ.get("SEMIDEPTH_CACHE")
    if named:
        return Path(named).expanduser()
    usual = {"darwin": "~/Library/Caches", "win32": os.environ.get("LOCALAPPDATA", "~/AppData/Local")}
    base = os.environ.get("XDG_CACHE_HOME") or usual.get(sys.platform, "~/.cache")
    return Path(base).expanduser() / "semidepth"


def exported_file(loaded: "DepthModel", name: str) -> Path:
    """Returns the ONNX file of a model, made where it is not there yet (half a minute), and checked against torch then.

    Args:
        loaded: the model in torch, on the CPU.
        name: what to call it.

    Raises:
        ValueError: it cannot be exported, or packages are missing.
    """
    from semidepth.prediction.runtimes.onnx import check_export, export_loaded

    whole = _in_float32(loaded)
    file = cache_folder() / "exports" / f"{digest_of(whole)[:32]}-{FORM}" / "model.onnx"
    changed = damaged(file) if file.is_file() else []
    if changed:
        logger.warning("%s is damaged (content has changed: %s); it is made anew", file, ", ".join(changed))
    if changed or not file.is_file():
        check_export()
        logger.info("exporting %s for other runtimes, once for these weights", name)
        export_loaded(whole, file, name)
    return file


def _in_float32(loaded: "DepthModel") -> "DepthModel":
    """Returns the model as it is, or a copy in float32: a file computes in no other dtype, and its library may."""
    if next(loaded.model.parameters()).dtype == torch.float32:
        return loaded
    whole = copy.copy(loaded)
    module: Any = copy.deepcopy(loaded.model).float()
    for config in (module.config, getattr(module.config, "backbone_config", None)):
        if config is not None:  # as of a model that was loaded in float32, whose file then serves both
            config.dtype = torch.float32
    whole.model = module
    return whole
