"""Facts about a model before its weights are loaded: what it predicts, its heads, and why it is refused.

Light to import: transformers is imported by the functions that read a configuration.
"""

import hashlib
import json
import logging
import re
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

from semidepth.common.config_numbers import check_numbers
from semidepth.common.console import first_line
from semidepth.prediction.shipped.folder import find_model, is_heads, weight_files

logger = logging.getLogger(__name__)

Kind = Literal["disparity", "depth"]
# What `predicted_depth` is, by model type. Depth Anything says in its configuration when it is metric. DPT does not:
# its published checkpoints are relative, a metric one has to be told. Other types have to be told, too.
DISPARITY_MODEL_TYPES = {"depth_student", "depth_anything", "dpt"}
DEPTH_MODEL_TYPES = {"routed_depth", "zoedepth", "glpn", "four_m"}
# These take a sensor's coarse depth with each image.
NEEDS_MORE_THAN_PIXELS = {"prompt_depth_anything"}
HUB_TIMEOUT_S = 5.0
# Names of weights in Depth Anything's and ZoeDepth's repositories, perhaps below those of a wrapper.
ORIGINAL = re.compile(r"(?:(?:module|_orig_mod|model)\.)*(?:core\.core\.pretrained\.|pretrained\.cls_token$)")
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})


class ForeignCodeError(ValueError):
    """A model needs code that it brings along, and nobody said that it may run."""


def kind_of(config: Any) -> Kind | None:
    """Returns what a model of this configuration predicts: "disparity", "depth", or None where it is not known."""
    if config.model_type == "depth_pro":  # without its field of view there is no scale
        return "depth" if getattr(config, "use_fov_model", False) else "disparity"
    if getattr(config, "depth_estimation_type", "relative") == "metric":
        return "depth"
    if config.model_type in DISPARITY_MODEL_TYPES:
        return "disparity"
    return "depth" if config.model_type in DEPTH_MODEL_TYPES else None


def domains_of(config: Any) -> list[str]:
    """Names of the heads of a routed model, in order; a head can be asked for. Empty for other models."""
    return [domain["name"] for domain in getattr(config, "domains", None) or []]


def router_names(config: Any) -> list[str]:
    """Names of the heads that a model chooses from, in order: a routed model's, or stock ZoeDepth's.

    A stock ZoeDepth with one head need not name it, and then there is no name.
    """
    heads = getattr(config, "bin_configurations", None) or []
    return domains_of(config) or [head["name"] for head in heads if "name" in head]


def load_config(place: str, *, trust_remote_code: bool = False) -> Any:
    """The configuration of a model, whose numbers are checked before it is built from them.

    Args:
        place: Hub id or folder.
        trust_remote_code: run code that the model brings along, where transformers and semidepth have none for it.

    Raises:
        ForeignCodeError: it needs code of its own, and that is not to be run.
        ValueError: a number is out of range; it is named.
        Exception: as transformers' `AutoConfig`.
    """
    from transformers import AutoConfig, PretrainedConfig

    offline = not Path(place).is_dir() and not hub_answers()
    fields, _ = PretrainedConfig.get_config_dict(place)
    if offline:
        logger.warning(
            "the Hub cannot be reached, and this process does not ask it again: %s is read from the cache here",
            place,
        )
    check_numbers(fields)
    if not trust_remote_code and _brings_code(fields):
        raise ForeignCodeError(
            f"{place!r} brings code of its own, which is not run unasked; read that code, and give "
            "--trust_remote_code if you trust it (semidepth predict, score and demo have it)."
        )
    config = AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
    check_numbers(config.to_dict())
    return config


@cache
def hub_answers() -> bool:
    """Asks the Hub for any answer, at most twice; without one this process is offline from then on.

    huggingface_hub would ask for each file of each model six times, for half a minute, with a warning each time.

    Returns:
        False where no answer came; true also where HF_HUB_OFFLINE is set, since nothing was asked then.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    for last in (False, True):
        try:
            if not constants.HF_HUB_OFFLINE:
                get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_S)
            return True
        except Exception:  # of httpx or httpx2, as huggingface_hub's version has it
            if not last:
                time.sleep(1)
    constants.HF_HUB_OFFLINE = True
    return False


def read_config(name: str, *, trust_remote_code: bool = False) -> Any:
    """The configuration of a model, from the Hub or a folder.

    Args:
        name: Hub id or folder, or the name of a shipped model.
        trust_remote_code: run code that the model brings along, where transformers and semidepth have none for it.

    Raises:
        ValueError: there is no such model, it needs code that is not to be run, or a number in it is out of range.
    """
    from semidepth import modeling  # noqa: F401 - tells transformers of our model types

    place = find_model(name)
    try:
        return load_config(place, trust_remote_code=trust_remote_code)
    except ForeignCodeError:
        raise
    except loading_errors(trust_remote_code) as error:
        raise unloadable(name, first_line(error)) from error


def _brings_code(fields: dict[str, Any]) -> bool:
    """True for a model of a kind that neither transformers nor semidepth knows, with code for it beside it."""
    from transformers import CONFIG_MAPPING

    return bool(fields.get("auto_map")) and fields.get("model_type") not in CONFIG_MAPPING


def loading_errors(trust_remote_code: bool = False) -> tuple[type[Exception], ...]:
    """Returns the errors of loading a folder without a whole model of a known kind, or without a package it needs."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    if trust_remote_code:  # code that a model brings along raises what it likes
        return (Exception,)
    return (
        AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError, SafetensorError,
        StrictDataclassError,
    )  # fmt: skip


def refuse_pickled(name: str) -> None:
    """Refuses a pickled file, and a folder that has no other weights: unpickling can run code.

    Loaders pass `use_safetensors=True` as well; this says beforehand, in a sentence, what is wrong and what to do.

    Args:
        name: a folder, a file, or an id on the Hub, which is left to the loader.

    Raises:
        ValueError: the weights are pickled or have the names of their original repository, or an index names files
            outside of its folder.
    """
    path = Path(find_model(name))
    if path.suffix in PICKLED and path.is_file():
        found = path.name
    elif path.is_dir() and not any(path.glob("*.safetensors")) and pickled_names(path):
        found = pickled_names(path)[0]
    else:
        _refuse_original(path)
        return _check_index(path)
    raise ValueError(
        f"{name!r} has pickled weights ({found}), which could run code while they are read; if they are Depth "
        f"Anything's or ZoeDepth's own, run `semidepth convert-checkpoint {found} FOLDER` once and name that folder, "
        "else save the model as model.safetensors with save_pretrained."
    )


def _refuse_original(path: Path) -> None:
    """Raises ValueError for safetensors with the names that Depth Anything's and ZoeDepth's own repositories give."""
    from safetensors import SafetensorError, safe_open

    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path] * (path.suffix == ".safetensors")
    for file in filter(Path.is_file, files):
        names: list[str] = []
        with suppress(OSError, SafetensorError), safe_open(file, framework="np") as opened:
            names = list(opened.keys())
        if any(ORIGINAL.match(name) for name in names):
            raise ValueError(
                f"{str(file)!r} has the names of Depth Anything's or ZoeDepth's own repository; run `semidepth "
                f"convert-checkpoint {file} FOLDER` once and name that folder."
            )


def _check_index(folder: Path) -> None:
    """Raises ValueError where the index of a folder's weights names a file outside of it."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        names = {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # the loader says what is wrong with it
    outside = sorted(name for name in names if Path(name).name != name)
    if outside:
        raise ValueError(
            f"{index} names {outside[0]!r}, which lies outside of its folder; give a model whose weights lie beside "
            "their index."
        )


def pickled_names(folder: Path) -> list[str]:
    """Names of a folder's pickled files, sorted."""
    return sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)


def revision_of(name: str, *, trust_remote_code: bool = False) -> str:
    """The Hub's commit of a model, or a digest of a folder's weights: it tells models of one name apart."""
    folder = Path(find_model(name))
    if not folder.is_dir():
        return getattr(read_config(name, trust_remote_code=trust_remote_code), "_commit_hash", None) or "unknown"
    digest = hashlib.sha256()
    for path in weight_files(folder) if is_heads(folder) else sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()[:16]}"


def check_nothing_missing(name: str, info: dict[str, Any]) -> None:
    """Raises ValueError if a checkpoint lacked weights, which would then be random ones."""
    missing = sorted(info.get("missing_keys") or [])
    if missing:
        raise ValueError(
            f"{name!r} lacks {len(missing)} of the model's weights, such as {missing[0]}; give a complete checkpoint "
            "of this kind of model, or train it again if an earlier version of semidepth has trained it."
        )


def unloadable(name: str, reason: str) -> ValueError:
    """The error for a model that cannot be loaded."""
    return ValueError(
        f"{name!r} could not be loaded as a depth-estimation model ({reason}); give a Hub id or a folder with "
        "config.json and model.safetensors."
    )


def unknown_kind(name: str, config: Any) -> ValueError:
    """The error for a model of which it is not known what it predicts."""
    return ValueError(
        f"{name!r} is a {config.model_type} model and it is not known whether that predicts disparity or depth; "
        "say which: --kind, or --teacher_kind of a student, disparity or depth."
    )


def needs_more_than_pixels(name: str, config: Any) -> ValueError:
    """The error for a model that takes more than an image."""
    return ValueError(f"{name!r} is a {config.model_type} model, which needs more than an image; take another one.")
