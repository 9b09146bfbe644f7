"""Options that the training commands share; each command adds its own in a frozen dataclass beside this file."""

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Literal, get_args

from semidepth.common.files import check_folder
from semidepth.common.option_checks import check_at_least, check_positive, check_share
from semidepth.common.options import check_choices, option
from semidepth.data.source_spec import Source, parse_source, parse_sources
from semidepth.publishing.hub import Target

# Name of the built-in encoder, which stands in for DINOv2 where nothing can be downloaded.
BUILT_IN_ENCODER = "scenes"
# Value of --validation that turns it off.
NO_VALIDATION = ("none",)
# Endless rendered rooms and streets: the data of a run that names none.
BUILT_IN_SCENES = ("scenes:indoor", "scenes:outdoor")
MixedPrecision = Literal["auto", "no", "bf16", "fp16"]
Tracker = Literal["none", "tensorboard", "trackio"]
Keep = Literal["best", "last"]
# In the order in which they are applied.
CameraEffect = Literal["depth_of_field", "shot_noise", "blur", "jpeg"]


@dataclass(frozen=True, kw_only=True)
class HubOptions:
    """Options of the repository to which a run pushes its model, at every checkpoint and at its end."""

    push_to_hub: str | None = option(
        None, help="org/name of a model on the Hub: pushed to at checkpoints, in the background. Default: no."
    )
    hub_private: bool = option(True, help="Make a new repository private.")
    hub_branch: str | None = option(None, help="Branch to push to. Default: main.")
    hub_wait_s: float = option(600.0, help="Seconds that a finished training waits at most for its last push.")

    def hub_target(self) -> Target | None:
        """Returns the repository to push to; None for no push.

        Raises:
            ValueError: for a name that cannot be.
        """
        if self.push_to_hub is None:
            return None
        target = Target(self.push_to_hub, private=self.hub_private, branch=self.hub_branch)
        target.validate("push_to_hub")
        return target


@dataclass(frozen=True, kw_only=True)
class RunOptions(HubOptions):
    """Options that every training command shares. Sizes are per process; a step is one update of the weights."""

    output_dir: str = option("outputs/run", help="Folder for weights, checkpoints and logs.")
    size: int | None = option(
        None, help="Side of the square training crop in pixels. Default: the size of the model it starts from."
    )
    batch_size: int = option(16, help="Labeled images per process and micro-batch.")
    steps: int | None = option(
        None, help="Number of updates. Default: --epochs over the training set (a student's: the unlabeled one)."
    )
    epochs: float = option(20.0, help="Passes over the training set, unless --steps is given.")
    learning_rate: float = option(5e-6, help="Peak rate of the encoder.")
    weight_decay: float = option(0.01, help="Weight decay of AdamW, on matrices and kernels only (assumption).")
    max_grad_norm: float = option(1.0, help="Largest norm of gradients; larger ones are clipped (assumption).")
    gradient_accumulation_steps: int = option(1, help="Micro-batches per update.")
    mixed_precision: MixedPrecision = option(
        "no", help="Number format of the forward pass. auto: bf16 where it is faster than float32. fp16: CUDA only."
    )
    activation_checkpointing: bool = option(
        False, help="Recompute activations in the backward pass: less memory, a third more compute."
    )
    compile: bool = option(False, help="torch.compile the model.")
    ema_decay: float = option(0.0, help="Keep and save an exponential average of the weights; 0: no.")
    num_workers: int = option(2, help="Loader processes per stream.")
    shuffle_buffer: int = option(1000, help="Samples (undecoded) among which a stream is shuffled.")
    seed: int = option(0, help="Random seed for weights, data order and augmentation.")
    log_every: int = option(10, help="Steps between log lines.")
    validate_every: int = option(1000, help="Steps between validations; 0: only at the end.")
    validation_images: int = option(200, help="Images scored per validation source.")
    preview_every: int = option(1000, help="Steps between pictures of predictions; 0: none.")
    checkpoint_every: int = option(1000, help="Steps between checkpoints; 0: none.")
    keep_checkpoints: int = option(2, help="Newest checkpoints kept.")
    resume: bool = option(True, help="Resume from the newest checkpoint in --output_dir, if there is one.")
    tracker: Tracker = option("none", help="Tool that logs losses and pictures, beside the console.")
    cpu: bool = option(False, help="Train on the CPU even where there is a GPU.")

    def __post_init__(self) -> None:
        """Checks every value that can be checked before anything is loaded.

        Raises:
            ValueError: one sentence naming the option, what came and what was expected.
        """
        check_choices(self)
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
        check_at_least(self, "steps", 1)
        if self.size is not None and self.size < 14:
            raise ValueError(f"--size is {self.size} pixels; give at least one patch, such as 518.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"--ema_decay is {self.ema_decay}; give 0 (none) or a value below 1, such as 0.999.")
        if self.tracker != "none" and find_spec(self.tracker) is None:
            raise ValueError(f"--tracker {self.tracker} is not installed; pip install {self.tracker}, or take none.")
        check_folder("output_dir", self.output_dir)
        check_at_least(self, "hub_wait_s", 0)
        self.hub_target()

    def divided_sources(self) -> tuple[str, ...]:
        """Returns the labeled sources of which a part may be held out of training, as they are written."""
        return ()


@dataclass(frozen=True, kw_only=True)
class SquareOptions(RunOptions):
    """Options that the commands share which train on squares cut from the pictures of --train."""

    train: tuple[str, ...] = option(BUILT_IN_SCENES, help="Sources to train on: SOURCE[?option=value&...].")
    validation: tuple[str, ...] = option(
        (), help="Such sources, which are scored during training. Default: no validation, which is logged."
    )
    warmup_steps: int = option(250, help="Steps of linear warm-up.")
    flip_probability: float = option(0.5, help="Share of pictures that are mirrored.")
    smallest_crop: float = option(
        1.0, help="Pictures are random squares with sides from this share of the shorter side up to all of it."
    )

    def __post_init__(self) -> None:
        """Checks every value; see [`RunOptions`]."""
        super().__post_init__()
        check_share(self, "flip_probability", least=0)
        check_share(self, "smallest_crop", least=0.1)
        check_at_least(self, "warmup_steps", 0)
        if not self.train:
            raise ValueError("--train is empty; name at least one source, such as scenes:indoor.")
        self.train_sources()
        self.validation_sources()

    def train_sources(self) -> tuple[Source, ...]:
        """Returns the sources to train on."""
        return parse_sources(self.train)

    def validation_sources(self) -> tuple[Source, ...]:
        """Returns the sources to validate on."""
        return parse_sources(self.validation)


@dataclass(frozen=True, kw_only=True)
class RelativeOptions(RunOptions):
    """Options that the commands share which train a relative model: teacher and student."""

    start: str | None = option(
        None,
        help="Whole model to go on from, encoder and decoder: a folder of ours, or Depth Anything V1 or V2 by Hub id "
        "or folder. Rates of training/configs/warm_start.yaml are the default then. Default: a fresh decoder.",
    )
    encoder: str | None = option(
        None,
        help="Pretrained encoder under a fresh decoder: a Hub id or folder, such as facebook/dinov2-small. 'scenes', "
        "the default without --start, is the built-in stand-in for DINOv2, pre-trained on rendered scenes (by "
        "training/encoder.py, when it is not there yet).",
    )
    encoder_dir: str = option("outputs/encoder", help="Folder of the built-in encoder; only with --encoder scenes.")
    labeled: tuple[str, ...] = option(BUILT_IN_SCENES, help="Sources with depth labels: SOURCE[?option=value&...].")
    validation: tuple[str, ...] = option(
        (),
        help="Labeled sources scored during training; none: no validation. Default: a fixed twentieth of each labeled "
        "source, at most 200 images, which is held out of training.",
    )
    keep: Keep = option(
        "best", help="Weights to end with: of the best validation (mean AbsRel over its sources), or of the last step."
    )
    decoder_lr_factor: float = option(10.0, help="The decoder's rate is this times the encoder's.")
    warmup_steps: int = option(500, help="Steps of linear warm-up; then linear decay to 0.")
    losses: str = option(
        "v2",
        help="Losses, which also depend on the type of each label: v1 (affine-invariant), v2 (and gradient matching), "
        "local (and local alignment), full (all); further terms after +, as in v2+sky. All are in docs/training.md.",
    )
    gradient_matching_weight: float | None = option(
        None, help="Weight of the gradient matching loss, in place of that of --losses, which is 2; 0: without it."
    )
    flip_probability: float = option(0.5, help="Share of images flipped left to right, labeled and unlabeled.")
    labeled_smallest_crop: float = option(
        1.0,
        help="Labeled images are random squares with sides from this share of the shorter side up to all of it, such "
        "as 0.5: other fields of view.",
    )
    labeled_camera_effects: tuple[CameraEffect, ...] = option(
        (),
        help="Effects on labeled images, each on half of them: depth_of_field, shot_noise, blur, jpeg. Default: none.",
    )
    labeled_rotation_deg: float = option(
        0.0, help="Labeled images are turned with their labels by up to this angle, each at random: tilted cameras."
    )
    labeled_jitter_strength: float = option(
        0.0,
        help="Brightness, contrast and saturation jitter of labeled images, hue half of it, and a fifth turned grey: "
        "other cameras and lamps. Depth Anything keeps labeled images clean, so the default is 0.",
    )

    def __post_init__(self) -> None:
        """Checks every value; see [`RunOptions`]."""
        super().__post_init__()
        check_at_least(self, "warmup_steps", 0)
        check_at_least(self, "gradient_matching_weight", 0)
        _ = self.loss_weights  # which checks --losses
        check_share(self, "flip_probability", least=0)
        check_share(self, "labeled_smallest_crop", least=0.1)
        check_effects(self, "labeled_camera_effects")
        check_share(self, "labeled_jitter_strength", least=0)
        if not 0 <= self.labeled_rotation_deg <= 45:
            raise ValueError(
                f"--labeled_rotation_deg is {self.labeled_rotation_deg}; give an angle from 0 to 45 degrees."
            )
        check_positive(self, "decoder_lr_factor")
        if self.learning_rate * self.decoder_lr_factor > 1:
            raise ValueError(
                f"--learning_rate {self.learning_rate} times --decoder_lr_factor {self.decoder_lr_factor} is above 1; "
                "training would diverge, give a smaller rate (the paper's is 5e-6)."
            )
        self._check_beginning()
        if "none" in self.validation and self.validation != NO_VALIDATION:
            raise ValueError("--validation names sources and none; give sources, or none alone for no validation.")
        for spec in [*self.labeled, *(() if self.validation == NO_VALIDATION else self.validation)]:
            parse_source(spec)

    def divided_sources(self) -> tuple[str, ...]:
        return self.labeled

    @cached_property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the terms of `training.losses.table` that are on; raises ValueError for an unknown one."""
        from semidepth.training.losses.table import parse_losses  # takes seconds

        try:
            return parse_losses(self.losses, self.gradient_matching_weight)
        except ValueError as error:
            raise ValueError(f"--losses {self.losses}: {error}.") from None

    def _check_beginning(self) -> None:
        """Raises ValueError unless training begins with one thing; the built-in encoder where none is named."""
        if self.start is not None and self.encoder is not None:
            raise ValueError(
                f"--start {self.start!r} brings its own encoder, so --encoder {self.encoder!r} would not be used; "
                "leave out --encoder to go on from the whole model, or --start for a fresh decoder on the encoder."
            )
        if self.start is None and self.encoder is None:
            object.__setattr__(self, "encoder", BUILT_IN_ENCODER)  # frozen, but not yet handed out
        if "" in (self.start, self.encoder):
            raise ValueError("--start or --encoder is empty; give a Hub id or a folder.")


def check_effects(options: Any, name: str) -> None:
    """Raises ValueError unless an option names camera effects, each once."""
    given, known = getattr(options, name), get_args(CameraEffect)
    if not set(given) <= set(known) or len(set(given)) < len(given):
        raise ValueError(f"--{name} is {' '.join(given)}; give some of {', '.join(known)}, each once.")
