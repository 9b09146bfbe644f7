"""Load a mask model: a folder, a Hub id, or the one that comes with the package."""

from pathlib import Path
from typing import Any

import torch

from semidepth.common.console import first_line
from semidepth.modeling import PromptedMaskForMaskGeneration
from semidepth.prediction.checkpoints import (
    ForeignCodeError,
    check_nothing_missing,
    load_config,
    loading_errors,
    refuse_pickled,
)
from semidepth.prediction.masks.answers import MaskPredictor
from semidepth.prediction.preprocessing import Preprocessing, preprocessing_of
from semidepth.prediction.shipped.folder import find_model, is_heads
from semidepth.prediction.shipped.heads import load_joined

MASK_TYPE = "prompted_mask"


def load_mask_model(name: str | Path, device: torch.device) -> tuple[Any, Preprocessing]:
    """Returns a mask model in evaluation mode, and its preprocessing.

    Args:
        name: Hub id or folder, or the name of the shipped one.
        device: where to put it.

    Raises:
        ValueError: it cannot be loaded, or is a model of another kind.
    """
    refuse_pickled(str(name))
    place = find_model(name)
    try:
        config = load_config(place)
    except ForeignCodeError:
        raise
    except loading_errors() as error:
        raise _unloadable(name, error) from error
    if config.model_type != MASK_TYPE:
        raise ValueError(f"{str(name)!r} is a {config.model_type} model, which makes no masks; name a mask model.")
    model: Any
    info: Any
    if is_heads(place):
        model = load_joined(Path(place), torch.float32)
    else:
        try:
            model, info = PromptedMaskForMaskGeneration.from_pretrained(  # type: ignore[misc]
                place, use_safetensors=True, output_loading_info=True
            )
        except loading_errors() as error:
            raise _unloadable(name, error) from error
        check_nothing_missing(place, info)
    return model.to(device).eval(), preprocessing_of(place, config)


def _unloadable(name: str | Path, error: Exception) -> ValueError:
    return ValueError(
        f"the mask model {str(name)!r} could not be loaded ({first_line(error)}); give a Hub id or a folder with "
        "config.json and model.safetensors."
    )


def load_mask_predictor(name: str | Path, device: str | torch.device | None = None) -> MaskPredictor:
    """Loads a mask model, to cut out many things.

    Args:
        name: as in [`load_mask_model`].
        device: where to put it; None: a GPU if there is one.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model, preprocessing = load_mask_model(name, place)
    return MaskPredictor(model, preprocessing, place)
