"""The model that mask training starts from: a depth student with a new decoder, or a mask model."""

import logging
from dataclasses import replace
from typing import Any

from transformers import PreTrainedConfig

from semidepth.common.console import first_line
from semidepth.modeling import DepthStudentForDepthEstimation, PromptedMaskForMaskGeneration
from semidepth.prediction.checkpoints import ForeignCodeError, load_config, loading_errors, refuse_pickled
from semidepth.prediction.preprocessing import Preprocessing, check_size, preprocessing_of
from semidepth.prediction.shipped.folder import find_model
from semidepth.training.options.masks import MaskOptions
from semidepth.training.recipes.start import RELATIVE_TYPES, load_whole

logger = logging.getLogger(__name__)

MASK_TYPE = "prompted_mask"


def check_mask_start(name: str) -> PreTrainedConfig:
    """Reads the configuration of the model to start from.

    Raises:
        ValueError: if it cannot be loaded, or is of another kind.
    """
    refuse_pickled(name)
    try:
        config = load_config(find_model(name))
    except ForeignCodeError:
        raise
    except loading_errors() as error:
        raise ValueError(
            f"--student {name!r} could not be loaded ({first_line(error)}); give a Hub id or a folder of a depth model."
        ) from error
    if config.model_type not in (*RELATIVE_TYPES, MASK_TYPE):
        raise ValueError(
            f"--student {name!r} is a {config.model_type} model; give a semidepth student, Depth Anything, or a mask "
            "model of ours."
        )
    return config


def mask_preprocessing(name: str, config: PreTrainedConfig, options: MaskOptions) -> Preprocessing:
    """Returns the preprocessing of the model to start from, with --size if given.

    Raises:
        ValueError: if the size is not a multiple of the patch size.
    """
    found = preprocessing_of(name, config)
    size = options.size or found.size
    check_size(size, found.multiple, "the model's patch size")
    return replace(found, size=size)


def make_mask_model(name: str, config: PreTrainedConfig, options: MaskOptions) -> Any:
    """Returns the mask model to train; a new decoder's weights are drawn from torch's global generator.

    Raises:
        ValueError: if the weights cannot be loaded or are incomplete.
    """
    if config.model_type == MASK_TYPE:
        own = {field: getattr(config, field) for field in ("hidden_size", "click_map", "box_prior", "mask_loss")}
        if any(value != getattr(options, field) for field, value in own.items()):
            told = ", ".join(f"{field} {value}" for field, value in own.items())
            logger.info("--student %r is a mask model, so its own decoder is trained: %s", name, told)
        return load_whole(PromptedMaskForMaskGeneration, name, "--student")
    student = load_whole(DepthStudentForDepthEstimation, name, "--student")
    weight = 20.0 if options.mask_loss == "focal" else 1.0
    return PromptedMaskForMaskGeneration.from_student(
        student, hidden_size=options.hidden_size, mlp_dim=8 * options.hidden_size, click_map=options.click_map,
        box_prior=options.box_prior, mask_loss=options.mask_loss, focal_weight=weight,
    )  # fmt: skip
