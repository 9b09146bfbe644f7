"""Conversion of a file of original weights to a stock model of transformers."""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForDepthEstimation, ZoeDepthImageProcessor

from semidepth.common.console import first_line
from semidepth.common.files import whole_folder
from semidepth.prediction.originals import depth_anything, zoedepth
from semidepth.prediction.originals.options import Version
from semidepth.prediction.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

# Where training checkpoints keep the weights.
INNER = ("model", "state_dict", "model_state_dict")
# Before the names of modules that a wrapper held.
PREFIXES = ("module.", "_orig_mod.", "model.")


def convert(file: Path, output: Path, *, version: Version | None = None, max_depth_m: float | None = None) -> str:
    """Writes a stock model of transformers from a file in the layout of its original repository.

    Args:
        file: weights of Depth Anything V1 or V2 or of ZoeDepth: pickled by torch.save, or safetensors.
        output: new or empty folder, which gets config.json, model.safetensors and preprocessor_config.json, all or
            nothing.
        version: of Depth Anything; None: as the file's name tells.
        max_depth_m: range in metres; None: as the file's name tells, see [`ConvertOptions`].

    Returns:
        A line about the model.

    Raises:
        ValueError: the file cannot be read without running code, holds other weights, or lacks some.
    """
    weights, beside = read_weights(file)
    try:
        if depth_anything.is_depth_anything(weights):
            config, known, processor, words = _of_depth_anything(file, weights, beside, version, max_depth_m)
        elif zoedepth.is_zoedepth(weights):
            if version is not None:
                raise ValueError("is a ZoeDepth, which has no --version; leave it out")
            config, known = zoedepth.config_for(weights, max_depth_m), zoedepth.renamed(weights)
            processor, words = ZoeDepthImageProcessor(), zoedepth.describe(config)
        else:
            raise ValueError(_unknown(weights))
        _write(config, known, processor, output)
    except KeyError as error:
        raise ValueError(f"{file} lacks the weight {error}; give a whole checkpoint.") from None
    except ValueError as error:
        raise ValueError(f"{file} {error}.") from error
    return f"{output}: {words}, from {file.name}"


def _of_depth_anything(
    file: Path, weights: dict[str, Tensor], beside: set[str], version: Version | None, max_depth_m: float | None
) -> tuple[Any, dict[str, Tensor], Any, str]:
    """Returns configuration, renamed weights, image processor and a few words."""
    version = version or depth_anything.version_of(file)
    if version is None:
        raise ValueError("is a Depth Anything and its name does not say which; give --version v1 or v2")
    if max_depth_m is None:
        max_depth_m = depth_anything.max_depth_of(file)
    if max_depth_m is None and "previous_best" in beside:  # only V2's metric training writes it
        raise ValueError("is a checkpoint of metric training; say its range with --max_depth_m, as in that training")
    config = depth_anything.config_for(weights, version, max_depth_m)
    backbone: Any = config.backbone_config
    processor = Preprocessing(size=backbone.image_size, multiple=backbone.patch_size).to_image_processor()
    return config, depth_anything.renamed(weights), processor, depth_anything.describe(config, version)


def read_weights(file: Path) -> tuple[dict[str, Tensor], set[str]]:
    """Reads a file of weights without running code from it.

    Returns:
        The weights by name, without prefixes of wrappers; and what stood beside them in a training checkpoint.

    Raises:
        ValueError: it is damaged, or holds other things than tensors and plain values.
    """
    try:
        if file.suffix == ".safetensors":
            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{file} is no file of weights, or holds more than tensors, which could run code while it is read; save "
            "only the weights, torch.save(model.state_dict(), FILE), with the program that made it."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{file} is damaged or no file of weights ({type(error).__name__}: {first_line(error)}); fetch it again."
        ) from error
    beside: set[str] = set()
    for name in INNER:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content, beside = content[name], {str(key) for key in content}
    weights = {str(name): value for name, value in content.items()} if isinstance(content, Mapping) else {}
    weights = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f"{file} holds no weights by name; give a file with a state dict.")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights, beside


def _unknown(weights: dict[str, Tensor]) -> str:
    """Returns the rest of a sentence about weights that are of no known kind."""
    if zoedepth.is_on_depth_anything(weights):
        return (
            "is a ZoeDepth on a Depth Anything encoder, for which transformers has no class; take a metric model of "
            "Depth Anything V2"
        )
    return (
        f"has weights such as {min(weights)!r}; expected the names that Depth Anything V1 and V2 (pretrained., "
        "depth_head.) or ZoeDepth (core.core.) have in their own repositories"
    )


def _write(config: Any, weights: dict[str, Tensor], processor: Any, output: Path) -> None:
    """Saves the model, all or nothing.

    Weights go through a folder with the names of published checkpoints, so that whatever version of transformers
    renames them to its own.
    """
    with whole_folder(output) as partial:
        config.save_pretrained(partial)
        save_file({name: value.contiguous() for name, value in weights.items()}, partial / "model.safetensors")
        try:
            model, info = AutoModelForDepthEstimation.from_pretrained(
                str(partial), use_safetensors=True, dtype="auto", output_loading_info=True
            )
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(f"has weights of shapes that do not belong together ({first_line(error)})") from error
        odd = sorted({*info["missing_keys"], *info["unexpected_keys"], *map(str, info["mismatched_keys"])})
        if odd:
            raise ValueError(f"lacks, or has too many, of the model's weights: {odd[0]} and {len(odd) - 1} more")
        model.save_pretrained(partial)
        processor.save_pretrained(partial)
