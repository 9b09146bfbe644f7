"""The model that training starts from: a pretrained encoder with a new decoder, or a whole relative model (--start)."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from semidepth.common.console import first_line
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.checkpoints import check_nothing_missing, kind_of, read_config, refuse_pickled
from semidepth.prediction.preprocessing import Preprocessing, check_size, preprocessing_of
from semidepth.prediction.shipped.folder import find_model, is_heads
from semidepth.prediction.shipped.heads import load_joined
from semidepth.training.engine.optimization import choose_attention
from semidepth.training.engine.setup import resolve_preprocessing
from semidepth.training.options.run import RelativeOptions
from semidepth.training.recipes.encoder import resolve_encoder

# Model types that the student's class loads as they are.
RELATIVE_TYPES = ("depth_student", "depth_anything")


@dataclass(frozen=True)
class Start:
    """The model that training starts from.

    Args:
        name: Hub id or folder.
        model_type: model type of a whole model; None for an encoder, which gets a new decoder.
        preprocessing: the model's preprocessing, with the size of the training crop.
    """

    name: str
    model_type: str | None
    preprocessing: Preprocessing

    def make_model(self, device: torch.device) -> DepthStudentForDepthEstimation:
        """Returns the model to train, on the CPU; a new decoder's weights are drawn from torch's global generator.

        Args:
            device: the device that the model will run on, for the choice of the attention kernel.

        Raises:
            ValueError: if the weights cannot be loaded or are incomplete.
        """
        if self.model_type is None:
            model = DepthStudentForDepthEstimation.from_encoder(self.name)
        elif self.model_type in RELATIVE_TYPES:
            model = load_whole(DepthStudentForDepthEstimation, self.name, "--start")
        else:
            model = load_whole(RoutedDepthForDepthEstimation, self.name, "--start").core
        choose_attention(model.backbone, (self.preprocessing.size // self.preprocessing.multiple) ** 2, device)
        return model


def resolve_start(options: RelativeOptions, accelerator: Accelerator) -> Start:
    """Returns the model to start from: --start, else --encoder; everything is checked but the weights.

    Args:
        options: the command's options.
        accelerator: the run's accelerator; if the built-in encoder is missing, the main process pre-trains it while the
            others wait.

    Raises:
        ValueError: if the model cannot be found, is not a relative depth model, or does not allow --size.
    """
    if options.start is None:
        encoder = resolve_encoder(options, accelerator)
        return Start(encoder, None, resolve_preprocessing(options, encoder))
    config = check_start(options.start)
    found = preprocessing_of(options.start, config)
    size = options.size or found.size
    check_size(size, found.multiple, "the start model's patch size")
    return Start(options.start, config.model_type, dataclasses.replace(found, size=size))


def check_start(name: str) -> Any:
    """Reads and checks the configuration of the model of --start.

    Raises:
        ValueError: if it cannot be found, or is not a relative depth model that the student's class can load.
    """
    refuse_pickled(name)
    config = read_config(name)
    if config.model_type == "routed_depth":
        if config.core_config.model_type not in RELATIVE_TYPES:
            raise ValueError(
                f"--start {name!r} has ZoeDepth's core, which teacher and student cannot start from; give a metric "
                "model that was trained on a student, or Depth Anything."
            )
    elif config.model_type not in RELATIVE_TYPES:
        raise ValueError(
            f"--start {name!r} is a {config.model_type} model; give a teacher, a student or a metric model of "
            "semidepth, or Depth Anything V1 or V2 (give an encoder with --encoder)."
        )
    elif kind_of(config) == "depth":
        raise ValueError(
            f"--start {name!r} predicts metres, and teacher and student learn inverse depth without a unit; give a "
            "relative model, or continue this one's training with semidepth train metric --student."
        )
    return config


def load_whole(cls: Any, name: str, flag: str) -> Any:
    """Returns a model loaded in float32; the same weights are trainable as in a new model of its class.

    Args:
        cls: the model's class.
        name: Hub id or folder.
        flag: option that the name was given with, for messages.

    Raises:
        ValueError: if it cannot be loaded or its weights are incomplete.
    """
    place = find_model(name)
    model = (
        load_joined(Path(place), torch.float32) if is_heads(place) else _load_complete(cls, place, f"{flag} {name!r}")
    )
    # from_pretrained makes every weight trainable (transformers 5.23), also those that the class freezes since no loss
    # reaches them.
    with torch.device("meta"):
        fresh = cls(model.config)
    for parameter, like in zip(model.parameters(), fresh.parameters(), strict=True):
        parameter.requires_grad_(like.requires_grad)
    return model


def _load_complete(cls: Any, place: str, told: str) -> Any:
    try:
        model, info = cls.from_pretrained(place, dtype=torch.float32, use_safetensors=True, output_loading_info=True)
    except (OSError, SafetensorError, RuntimeError, StrictDataclassError) as error:
        raise ValueError(
            f"{told} could not be loaded ({first_line(error)}); give a model with complete safetensors weights."
        ) from error
    check_nothing_missing(place, info)
    return model
