"""Metric heads or a mask decoder in a folder of their own, a few megabytes, on a core whose weights lie above it.

semidepth-small/model.safetensors            the core, a relative model, which was frozen
semidepth-small/metres/heads.safetensors     heads and router
semidepth-small/metres/config.json           of the routed model that both make
semidepth-small/masks/heads.safetensors      prompt encoder and mask decoder; beside them the mask model's config.json
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from semidepth.common.console import first_line
from semidepth.prediction.checkpoints import check_nothing_missing, loading_errors
from semidepth.prediction.shipped.folder import HEADS, WEIGHTS, weight_files

CORE = "core."
BESIDE = ("config.json", "preprocessor_config.json")


def split_heads(folder: Path, core: Path, target: Path, dtype: torch.dtype | None = None) -> None:
    """Saves the heads of a metric model, or the decoder of a mask model, without the core.

    Args:
        folder: of the model, whose weights are in one file.
        core: folder of the relative model that it stands on.
        target: folder for heads, configuration and image processor; is made.
        dtype: in which both cores have to be equal; None: that of the relative model.

    Raises:
        ValueError: the model has no core, or its core is not this one: then heads alone would predict something
            else.
    """
    weights, own = _read(folder / WEIGHTS), _read(core / WEIGHTS)
    inside = {name.removeprefix(CORE): tensor for name, tensor in weights.items() if name.startswith(CORE)}
    if not inside:
        raise ValueError(
            f"{folder} has no heads on a core; give a model that `semidepth train metric` or `masks` trained."
        )
    differing = sorted(inside.keys() ^ own.keys()) or sorted(
        name for name in own if not torch.equal(*(each[name].to(dtype or own[name].dtype) for each in (inside, own)))
    )
    if differing:
        raise ValueError(
            f"the core of {folder} is not {core} (they differ in {len(differing)} weights, such as {differing[0]}); "
            "train the heads on it with --freeze_core true."
        )
    target.mkdir(parents=True)
    for name in BESIDE:
        shutil.copyfile(folder / name, target / name)
    heads = {name: tensor for name, tensor in weights.items() if not name.startswith(CORE)}
    save_file(heads, target / HEADS, metadata={"format": "pt"})


def joined_weights(folder: Path) -> dict[str, Tensor]:
    """Returns weights of the model that heads and the core in the folder above make."""
    core, heads = (_read(path) for path in weight_files(folder))
    return {CORE + name: tensor for name, tensor in core.items()} | heads


def load_joined(folder: Path, dtype: torch.dtype) -> Any:
    """Returns the routed model, or the mask model, that heads and the core in the folder above make.

    Args:
        folder: of the heads.
        dtype: of all weights.

    Raises:
        ValueError: a file is damaged, or weights are missing.
    """
    from transformers import AutoConfig

    from semidepth.modeling import PromptedMaskForMaskGeneration, RoutedDepthForDepthEstimation

    weights = joined_weights(folder)
    config = AutoConfig.from_pretrained(str(folder))
    made: Any = PromptedMaskForMaskGeneration if config.model_type == "prompted_mask" else RoutedDepthForDepthEstimation
    try:
        model, info = made.from_pretrained(
            None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True
        )
    except loading_errors() as error:
        raise ValueError(
            f"{folder} could not be loaded on its core ({first_line(error)}); keep heads, config.json and core of one "
            "model together."
        ) from error
    check_nothing_missing(str(folder), info)
    return model


def join_heads(folder: Path, target: Path) -> None:
    """Writes heads and the core in the folder above as one model with its code, which plain transformers loads.

    Args:
        folder: of the heads; its image processor and records are copied, too.
        target: a new folder.
    """
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(HEADS, "__pycache__"))
    weights = joined_weights(folder)
    core = {name: tensor for name, tensor in weights.items() if name.startswith(CORE)}
    load_joined(folder, next(iter(core.values())).dtype).save_pretrained(target)
    # As they are: not all are of one dtype.
    save_file(weights, target / WEIGHTS, metadata={"format": "pt"})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read ({first_line(error)}); fetch it or save it again.") from error
