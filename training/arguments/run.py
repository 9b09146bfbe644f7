"""Options of the training commands: one dataclass each, from YAML and the command line, checked once.

The order is: the dataclass's defaults, then the preset for the built-in scenes (only when no encoder or
student is named), then `--config`, then the command line. What came out is printed and saved with the run.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from transformers import HfArgumentParser

from semidepth.common.files import check_folder
from semidepth.common.redaction import refuse_secrets
from semidepth.data.source_spec import parse_source
from semidepth.publishing.hub import Target
from semidepth.training.arguments.files import PRESETS, read_yaml

logger = logging.getLogger(__name__)

# The name of the built-in encoder that stands in for DINOv2 where nothing can be downloaded.
BUILT_IN_ENCODER = "scenes"
MIXED_PRECISION = ("no", "bf16", "fp16")
TRACKERS = ("none", "tensorboard", "trackio")


@dataclass
class HubArguments:
    """Where a run pushes its model to, at every checkpoint and at its end."""

    push_to_hub: str | None = field(
        default=None,
        metadata={"help": "org/name of a model on the Hub: pushed to at checkpoints, in the background. Default: no."},
    )
    hub_private: bool = field(default=True, metadata={"help": "Whether a new repository is private."})
    hub_branch: str | None = field(default=None, metadata={"help": "Branch to push to. Default: main."})
    hub_wait_s: float = field(
        default=600.0, metadata={"help": "Seconds that a finished training waits at most for its last push."}
    )

    def hub_target(self) -> Target | None:
        """Where to push, None for nowhere.

        Raises:
            ValueError: for a name that cannot be.
        """
        if self.push_to_hub is None:
            return None
        target = Target(self.push_to_hub, private=self.hub_private, branch=self.hub_branch)
        target.validate("push_to_hub")
        return target


@dataclass
class RunArguments(HubArguments):
    """What every training command shares. Sizes are per process; a step is one update of the weights."""

    output_dir: str = field(default="outputs/run", metadata={"help": "Folder for weights, checkpoints and logs."})
    size: int | None = field(
        default=None,
        metadata={"help": "Side of the square training crop in pixels. Default: the model's own image_size."},
    )
    batch_size: int = field(default=16, metadata={"help": "Labeled images per process and micro-batch."})
    steps: int | None = field(
        default=None,
        metadata={"help": "Updates. Default: --epochs over the training set (a student's: the unlabeled one)."},
    )
    epochs: float = field(default=20.0, metadata={"help": "Passes over the set, where --steps is not given."})
    learning_rate: float = field(default=5e-6, metadata={"help": "Peak rate of the encoder."})
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW's, on matrices and kernels only (assumption)."})
    max_grad_norm: float = field(default=1.0, metadata={"help": "Gradients are clipped to this norm (assumption)."})
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "Micro-batches per update."})
    mixed_precision: str = field(default="no", metadata={"help": "no, bf16 or fp16 (CUDA only)."})
    activation_checkpointing: bool = field(default=False, metadata={"help": "Less memory, a third more compute."})
    compile: bool = field(default=False, metadata={"help": "torch.compile the model."})
    ema_decay: float = field(
        default=0.0, metadata={"help": "Keep and save an exponential average of the weights; 0: no."}
    )
    num_workers: int = field(default=2, metadata={"help": "Loader processes per stream."})
    shuffle_buffer: int = field(
        default=1000, metadata={"help": "Samples (undecoded) among which a stream is shuffled."}
    )
    seed: int = field(default=0, metadata={"help": "Of weights, order and augmentation."})
    log_every: int = field(default=10, metadata={"help": "Steps between log lines."})
    validate_every: int = field(default=1000, metadata={"help": "Steps between validations; 0: only at the end."})
    validation_images: int = field(default=200, metadata={"help": "Images scored per validation source."})
    preview_every: int = field(default=1000, metadata={"help": "Steps between pictures of predictions; 0: none."})
    checkpoint_every: int = field(default=1000, metadata={"help": "Steps between checkpoints; 0: none."})
    keep_checkpoints: int = field(default=2, metadata={"help": "Newest checkpoints kept."})
    resume: bool = field(default=True, metadata={"help": "Go on from the newest checkpoint in output_dir, if any."})
    tracker: str = field(default="none", metadata={"help": "none, tensorboard or trackio."})
    cpu: bool = field(default=False, metadata={"help": "Train on the CPU even where there is a GPU."})

    def validate(self) -> None:
        """Checks every value that can be checked before anything is loaded.

        Raises:
            ValueError: one sentence naming the option, what came and what was expected.
        """
        at_least = {
            "batch_size": 1, "gradient_accumulation_steps": 1, "log_every": 1, "validation_images": 1,
            "num_workers": 0, "shuffle_buffer": 0, "validate_every": 0, "preview_every": 0, "checkpoint_every": 0,
            "keep_checkpoints": 1, "weight_decay": 0, "seed": 0,
        }  # fmt: skip
        for name, least in at_least.items():
            check_at_least(self, name, least)
        for name in ("learning_rate", "max_grad_norm", "epochs"):
            check_positive(self, name)
        if self.learning_rate > 1:
            raise ValueError(f"--learning_rate is {self.learning_rate}; training would diverge, give one below 1.")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"--steps is {self.steps}; give at least 1.")
        if self.size is not None and self.size < 14:
            raise ValueError(f"--size is {self.size} pixels; give at least one patch, such as 518.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"--ema_decay is {self.ema_decay}; give 0 (none) or a value below 1, such as 0.999.")
        for name, allowed in (("mixed_precision", MIXED_PRECISION), ("tracker", TRACKERS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"--{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}.")
        if self.tracker != "none" and find_spec(self.tracker) is None:
            raise ValueError(f"--tracker {self.tracker} is not installed; pip install {self.tracker}, or take none.")
        check_folder("output_dir", self.output_dir)
        check_at_least(self, "hub_wait_s", 0)
        self.hub_target()


@dataclass
class TrainingArguments(RunArguments):
    """What the commands that train a relative model share: teacher and student."""

    encoder: str = field(
        default=BUILT_IN_ENCODER,
        metadata={
            "help": "Pretrained encoder: a Hub id or folder, such as facebook/dinov2-small. 'scenes' is the built-in "
            "stand-in for DINOv2, pre-trained on rendered scenes (by training/encoder.py, when it is not there yet)."
        },
    )
    encoder_dir: str = field(
        default="outputs/encoder",
        metadata={"help": "Where the built-in encoder is kept; only with --encoder scenes."},
    )
    labeled: list[str] = field(
        default_factory=lambda: ["scenes:indoor", "scenes:outdoor"],
        metadata={"help": "Sources with depth labels: SOURCE[?option=value&...]."},
    )
    validation: list[str] = field(
        default_factory=list,
        metadata={"help": "Labeled sources scored during training; none: no validation."},
    )
    decoder_lr_factor: float = field(default=10.0, metadata={"help": "The decoder's rate is this times the encoder's."})
    warmup_steps: int = field(default=500, metadata={"help": "Steps of linear warm-up; then linear decay to 0."})
    gradient_matching_weight: float = field(
        default=0.0,
        metadata={"help": "Weight of the multi-scale gradient matching loss (2 in Depth Anything V2)."},
    )

    def validate(self) -> None:
        """Checks every value; see [`RunArguments.validate`]."""
        super().validate()
        for name in ("warmup_steps", "gradient_matching_weight"):
            check_at_least(self, name, 0)
        check_positive(self, "decoder_lr_factor")
        if self.learning_rate * self.decoder_lr_factor > 1:
            raise ValueError(
                f"--learning_rate {self.learning_rate} times --decoder_lr_factor {self.decoder_lr_factor} is above 1; "
                "training would diverge, give a smaller rate (the paper's is 5e-6)."
            )
        if not self.encoder:
            raise ValueError("--encoder is empty; give a Hub id, a folder, or 'scenes' for the built-in one.")
        if not self.labeled:
            raise ValueError("--labeled is empty; name at least one source with depth labels, such as scenes:indoor.")
        for spec in [*self.labeled, *self.validation]:
            parse_source(spec)


def check_at_least(arguments: Any, name: str, least: float) -> None:
    """Raises ValueError unless an option is a finite number of at least `least`."""
    value = getattr(arguments, name)
    if not value >= least:
        raise ValueError(f"--{name} is {value}; give at least {least}.")
    if value == float("inf"):
        raise ValueError(f"--{name} is {value}; it must be finite.")


def check_positive(arguments: Any, name: str) -> None:
    """Raises ValueError unless an option is a finite number above 0."""
    value = getattr(arguments, name)
    if not 0 < value < float("inf"):
        raise ValueError(f"--{name} is {value}; give a positive number.")


class Arguments(Protocol):
    """A dataclass of options that can check itself."""

    def validate(self) -> None: ...


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the example commands of a description on their lines, and says each default."""


def parse_arguments(
    cls: type[ArgumentsT],
    argv: Sequence[str] | None = None,
    *,
    description: str = "",
    preset: str = "",
    preset_unless: Sequence[str] = ("encoder",),
) -> ArgumentsT:
    """Reads the options of a command: defaults, preset, YAML, command line, the later ones winning.

    Args:
        cls: the command's dataclass.
        argv: the command line without the program's name; None: the process's own.
        description: what `--help` says first.
        preset: name of the YAML in training/configs that holds the settings for the built-in scenes.
        preset_unless: options which, when given (another encoder than the built-in one), leave the preset out.

    Returns:
        The checked options.

    Raises:
        SystemExit: with one sentence on standard error, for anything that is wrong.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = HfArgumentParser(
        cast(Any, cls), description=description, formatter_class=_HelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", type=str, default=None, help="YAML file with any of these options.")
    try:
        refuse_secrets(argv)
        config_path = _config_path(argv)
        values = {} if config_path is None else read_yaml(config_path, cls)
        refuse_secrets(values.values())
        given = [_given(argv, name) or values.get(name) for name in preset_unless]
        if preset and all(value in (None, BUILT_IN_ENCODER) for value in given):
            defaults = read_yaml(PRESETS / f"{preset}.yaml", cls)
            if _given(argv, "epochs") or "epochs" in values:
                defaults.pop("steps", None)
            values = defaults | values
        parser.set_defaults(**values)
        namespace = vars(parser.parse_args(argv))
        namespace.pop("config")
        arguments = cls(**namespace)
        arguments.validate()
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    return arguments


def _config_path(argv: Sequence[str]) -> Path | None:
    given = _given(argv, "config")
    return None if given is None else Path(given)


def _given(argv: Sequence[str], name: str) -> str | None:
    """The value of one option on the command line, read before the parser is complete; None where it is not given."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    reader.add_argument(f"--{name}", default=None)
    try:
        return getattr(reader.parse_known_args(list(argv))[0], name)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error


@dataclass
class TeacherArguments(TrainingArguments):
    """Options of training/teacher.py."""

    output_dir: str = field(default="outputs/teacher", metadata={"help": "Folder for weights, checkpoints and logs."})
