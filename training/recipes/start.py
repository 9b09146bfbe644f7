"""What training begins with: a fresh decoder on a pretrained encoder, or a whole relative depth model (warm start)."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from semidepth.common.console import first_line
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.checkpoints import check_nothing_missing, kind_of, read_config, refuse_pickled
from semidepth.prediction.preprocessing import Preprocessing, check_size, preprocessing_of
from semidepth.training.engine.optimization import choose_attention
from semidepth.training.engine.setup import resolve_preprocessing
from semidepth.training.options.run import RelativeOptions
from semidepth.training.recipes.encoder import resolve_encoder

# Model types that the student's class loads as they are.
RELATIVE_TYPES = ("depth_student", "depth_anything")


@dataclass(frozen=True)
class Start:
    """What training begins with.

    Args:
        name: Hub id or folder.
        model_type: of a whole model; None for a bare encoder, which gets a fresh decoder.
        preprocessing: how its pixels are prepared, at the size of the training crop.
    """

    name: str
    model_type: str | None
    preprocessing: Preprocessing

    def make_model(self, device: torch.device) -> DepthStudentForDepthEstimation:
        """Loads the model that is trained, on the CPU; a fresh decoder is drawn from torch's global generator.

        Args:
            device: where it is going to run, which decides on its attention.

        Raises:
            ValueError: if the weights cannot be loaded, or lack some.
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
    """Finds what training begins with, and checks all that can be checked before weights are loaded.

    Args:
        options: of a training command.
        accelerator: its; where the built-in encoder is missing, the main process pre-trains it while the others wait.

    Raises:
        ValueError: if it cannot be found, is no relative depth model, or does not take --size.
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
    """The configuration of a whole model to go on from.

    Raises:
        ValueError: there is none, or it is no relative depth model that the student's class can hold.
    """
    refuse_pickled(name)
    config = read_config(name)
    if config.model_type == "routed_depth":
        if config.core_config.model_type not in RELATIVE_TYPES:
            raise ValueError(
                f"--start {name!r} stands on the core of ZoeDepth, which is no student; give a metric model that was "
                "trained on one, or Depth Anything."
            )
    elif config.model_type not in RELATIVE_TYPES:
        raise ValueError(
            f"--start {name!r} is a {config.model_type} model; give a teacher, a student or a metric model of "
            "semidepth, or Depth Anything V1 or V2 (a bare encoder is named with --encoder)."
        )
    elif kind_of(config) == "depth":
        raise ValueError(
            f"--start {name!r} predicts metres, and teacher and student learn inverse depth without a unit; give a "
            "relative model, or go on with this one by semidepth train metric --student."
        )
    return config


def load_whole(cls: Any, name: str, flag: str) -> Any:
    """Loads a checkpoint in float32, trainable where a fresh model of its class is.

    Args:
        cls: class of the model.
        name: Hub id or folder.
        flag: option that named it, for messages.

    Raises:
        ValueError: in one sentence, if it cannot be loaded or lacks weights.
    """
    try:
        model, info = cls.from_pretrained(name, dtype=torch.float32, use_safetensors=True, output_loading_info=True)
    except (OSError, SafetensorError, RuntimeError, StrictDataclassError) as error:
        raise ValueError(
            f"{flag} {name!r} could not be loaded ({first_line(error)}); give one with complete safetensors weights."
        ) from error
    check_nothing_missing(name, info)
    # Loading makes every weight trainable (transformers 5.23), also those that no loss reaches and the class freezes.
    with torch.device("meta"):
        fresh = cls(model.config)
    for parameter, like in zip(model.parameters(), fresh.parameters(), strict=True):
        parameter.requires_grad_(like.requires_grad)
    return model
