"""Metric heads in a folder of their own, a few megabytes, on a frozen core whose weights lie in the folder above.

semidepth-small/model.safetensors            the core, a relative model
semidepth-small/metres/heads.safetensors     heads and router
semidepth-small/metres/config.json           of the routed model that both make
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from semidepth.common.console import first_line
from semidepth.prediction.checkpoints import check_nothing_missing
from semidepth.prediction.shipped.folder import HEADS, WEIGHTS, weight_files

CORE = "core."
BESIDE = ("config.json", "preprocessor_config.json")


def split_heads(folder: Path, core: Path, target: Path, dtype: torch.dtype | None = None) -> None:
    """Saves the heads of a metric model without its core.

    Args:
        folder: of the metric model, whose weights are in one file.
        core: folder of the relative model that it stands on.
        target: folder for heads, configuration and image processor; is made.
        dtype: in which both cores have to be equal; None: that of the relative model.

    Raises:
        ValueError: the model is no routed one, or its core is not this one: then heads alone would predict something
            else.
    """
    weights, own = _read(folder / WEIGHTS), _read(core / WEIGHTS)
    inside = {name.removeprefix(CORE): tensor for name, tensor in weights.items() if name.startswith(CORE)}
    if not inside:
        raise ValueError(f"{folder} has no metric heads on a core; give a model that `semidepth train metric` trained.")
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
    """Weights of the routed model that heads and the core in the folder above make."""
    core, heads = (_read(path) for path in weight_files(folder))
    return {CORE + name: tensor for name, tensor in core.items()} | heads


def load_joined(folder: Path, dtype: torch.dtype) -> Any:
    """The routed model that heads and the core in the folder above make.

    Args:
        folder: of the heads.
        dtype: of all weights.

    Raises:
        ValueError: a file is damaged, or weights are missing.
    """
    from semidepth.modeling import RoutedDepthConfig, RoutedDepthForDepthEstimation

    weights = joined_weights(folder)
    config = RoutedDepthConfig.from_pretrained(str(folder))
    loaded: Any = RoutedDepthForDepthEstimation.from_pretrained(
        None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True
    )
    model, info = loaded  # transformers declares the model alone
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
