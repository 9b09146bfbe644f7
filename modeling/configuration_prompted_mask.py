"""Configuration of the promptable mask model: a core that sees the image, and SAM's prompt encoder and mask decoder.

And stock SAM's configuration and the names of its weights as ours, and back.
"""

from typing import Any

from huggingface_hub.dataclasses import strict
from torch import Tensor
from transformers import (
    PreTrainedConfig,
    SamConfig,
    SamMaskDecoderConfig,
    SamModel,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

from .configuration_depth_student import DepthStudentConfig, as_pair
from .configuration_routed_depth import RoutedDepthConfig

# Remote code: save_pretrained writes the entry of AutoModelForMaskGeneration by itself; AutoModel's must be named.
AUTO_MAP = {"AutoModel": "modeling_prompted_mask.PromptedMaskForMaskGeneration"}
SAM = SamVisionConfig.model_type
CORES: dict[str, Any] = {"depth_student": DepthStudentConfig, "routed_depth": RoutedDepthConfig, SAM: SamVisionConfig}
MASK_LOSSES = ("focal", "bce")
# Fields of ours that have the same name and meaning in stock SAM's decoder.
DECODER_FIELDS = (
    "hidden_size", "mlp_dim", "num_hidden_layers", "num_attention_heads", "attention_downsample_rate",
    "num_multimask_outputs", "iou_head_depth", "iou_head_hidden_dim",
)  # fmt: skip
# Stock's name of the encoder is within the core here; all other names are equal.
STOCK_ENCODER = "vision_encoder."


@strict
class PromptedMaskConfig(PreTrainedConfig):
    """Configuration of [`PromptedMaskForMaskGeneration`]; the defaults are Segment Anything's.

    Args:
        core_config: a [`DepthStudentConfig`], a [`RoutedDepthConfig`], a stock `SamVisionConfig`, or the dict of one.
            Default: a student of ViT-S size.
        hidden_size: width of prompt encoder and decoder; 256 takes the weights of stock SAM.
        mlp_dim: width of the decoder's MLPs.
        num_hidden_layers: two-way layers of the decoder.
        num_attention_heads: heads of its attentions.
        attention_downsample_rate: how many times narrower the attentions to the image are.
        num_multimask_outputs: candidates for an ambiguous prompt; one more mask is for a prompt that is not.
        iou_head_depth: layers that predict the scores.
        iou_head_hidden_dim: their width.
        mask_input_channels: channels within the embedding of mask prompts.
        positional_scale: standard deviation of the random positional frequencies of a fresh model.
        fine_features: add two finer maps of the core's depth decoder before the masks; a SAM core has none.
        text_hidden_size: width of text embeddings that can be prompts; None: no text prompts.
        click_map: points and boxes are also drawn into the dense prompt. Without it decoders from scratch learned
            nothing at small budgets; stock weights do without.
        click_sigma: standard deviation of a drawn click, as a share of the image's side (root of its area).
        box_prior: masks of boxed objects start from the filled box, and what the decoder says is added to it.
        mask_loss: "focal" or "bce", the loss of each pixel.
        focal_weight: weight of that loss, whichever it is.
        dice_weight: weight of the dice loss.
        iou_weight: weight of the scores' squared error.
        focal_alpha: weight of pixels on the object in the focal loss.
        focal_gamma: its exponent.
        supervise_all_ious: whether the scores of all candidates learn (SAM 2), or the best one's alone (SAM).

    Raises:
        ValueError: for a core of another kind, widths that do not divide, or an unknown loss.
    """

    model_type = "prompted_mask"
    sub_configs = {"core_config": DepthStudentConfig}  # noqa: RUF012 - transformers' own convention

    core_config: dict | PreTrainedConfig | None = None
    hidden_size: int = 256
    mlp_dim: int = 2048
    num_hidden_layers: int = 2
    num_attention_heads: int = 8
    attention_downsample_rate: int = 2
    num_multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    mask_input_channels: int = 16
    positional_scale: float | int = 1.0
    fine_features: bool = True
    text_hidden_size: int | None = None
    click_map: bool = False
    click_sigma: float | int = 0.06
    box_prior: bool = False
    mask_loss: str = "focal"
    focal_weight: float | int = 20.0
    dice_weight: float | int = 1.0
    iou_weight: float | int = 1.0
    focal_alpha: float | int = 0.25
    focal_gamma: float | int = 2.0
    supervise_all_ious: bool = True
    # The frequencies of prompts and of the image are one tensor, as in stock SAM.
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        self.auto_map = AUTO_MAP | (kwargs.pop("auto_map", None) or {})
        if self.core_config is None:
            self.core_config = DepthStudentConfig()
        fields = dict(self.core_config) if isinstance(self.core_config, dict) else {}
        kind = fields.pop("model_type", None) if fields else getattr(self.core_config, "model_type", None)
        if kind not in CORES:
            raise ValueError(
                f"core_config has model_type {kind!r}; choose one of {', '.join(CORES)} (a depth student, a metric "
                "model, or the vision encoder of a stock SAM)."
            )
        if isinstance(self.core_config, dict):
            self.core_config = CORES[kind](**fields)
        super().__post_init__(**kwargs)

    def validate_widths(self) -> None:
        """Part of `@strict` validation: what divides what, and what a SAM core cannot have."""
        if self.hidden_size % 8 or self.hidden_size < 8:
            raise ValueError(f"hidden_size is {self.hidden_size}; give a multiple of 8 (stock SAM has 256).")
        width, heads = self.hidden_size // self.attention_downsample_rate, self.num_attention_heads
        if width % heads:
            raise ValueError(
                f"num_attention_heads is {heads}; give a divisor of hidden_size / attention_downsample_rate, {width}."
            )
        if self.mask_input_channels % 4:
            raise ValueError(f"mask_input_channels is {self.mask_input_channels}; give a multiple of 4.")
        if self.has_sam_core and self.fine_features:
            raise ValueError("fine_features come from a depth decoder, which a SAM core lacks; set it to False.")
        if self.has_sam_core and self.core_config.output_channels != self.hidden_size:  # type: ignore[union-attr]
            raise ValueError(
                f"hidden_size is {self.hidden_size} and the SAM core's output_channels "
                f"{self.core_config.output_channels}; they must be equal."  # type: ignore[union-attr]
            )

    def validate_losses(self) -> None:
        """Part of `@strict` validation: a known loss, weights that are not negative."""
        if self.mask_loss not in MASK_LOSSES:
            raise ValueError(f"mask_loss is {self.mask_loss!r}; choose one of {', '.join(MASK_LOSSES)}.")
        for name in ("focal_weight", "dice_weight", "iou_weight", "focal_gamma"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number of at least 0.")
        for name in ("positional_scale", "click_sigma"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0.")

    @property
    def has_sam_core(self) -> bool:
        """True if the core is the vision encoder of a stock SAM, which knows no depth."""
        return getattr(self.core_config, "model_type", None) == SAM

    @property
    def relative_core(self) -> Any:
        """The configuration of the part of the core that has the encoder: the student, MiDaS, or SAM's encoder."""
        core: Any = self.core_config
        return core.core_config if core.model_type == "routed_depth" else core

    @property
    def encoder_width(self) -> int:
        """Channels of the encoder's patches."""
        return _encoder(self.relative_core).hidden_size

    @property
    def core_patch_size(self) -> tuple[int, int]:
        """Height and width of the core's patches in pixels; images have multiples of it."""
        return as_pair(_encoder(self.relative_core).patch_size)

    def check_size(self, height: int, width: int) -> None:
        """Raises ValueError for the size of an image in pixels that the core cannot see whole."""
        patch_height, patch_width = self.core_patch_size
        if height % patch_height or width % patch_width or not height * width:
            raise ValueError(
                f"pixel_values are {height} x {width} pixels; give multiples of the core's patch, {patch_height} x "
                f"{patch_width}, as the model's image processor does."
            )
        if self.has_sam_core and (height, width) != as_pair(self.relative_core.image_size):
            wanted = " x ".join(map(str, as_pair(self.relative_core.image_size)))
            raise ValueError(f"pixel_values are {height} x {width} pixels; the encoder of a SAM takes {wanted} alone.")

    def loss_options(self) -> dict[str, Any]:
        """The options of `best_of_masks_loss` that this configuration sets."""
        return {
            "mask_loss": self.mask_loss,
            "mask_weight": self.focal_weight,
            "dice_weight": self.dice_weight,
            "score_weight": self.iou_weight,
            "alpha": self.focal_alpha,
            "gamma": self.focal_gamma,
            "supervise_all_scores": self.supervise_all_ious,
        }


def _encoder(core: Any) -> Any:
    return getattr(core, "backbone_config", None) or core


def config_of_sam(config: SamConfig) -> PromptedMaskConfig:
    """Returns the configuration that computes what stock SAM does.

    Raises:
        ValueError: for settings that no published SAM has, which are named.
    """
    vision, prompt, decoder = (
        getattr(config, f"{part}_config") for part in ("vision", "prompt_encoder", "mask_decoder")
    )
    fields = {name: getattr(decoder, name) for name in DECODER_FIELDS}
    ours = PromptedMaskConfig(
        core_config=type(vision)(**vision.to_dict()),
        mask_input_channels=prompt.mask_input_channels,
        fine_features=False,
        **fields,
    )
    stock = stock_config_of(ours)
    differing = [
        f"{part}.{name}"
        for part in ("prompt_encoder_config", "mask_decoder_config")
        for name in getattr(stock, part).__class__.__annotations__
        if name != "model_type" and getattr(getattr(stock, part), name) != getattr(getattr(config, part), name)
    ]
    if vision.num_pos_feats != ours.hidden_size // 2:
        differing.append("vision_config.num_pos_feats")
    if differing:
        raise ValueError(f"this SAM has another {', '.join(differing)} than published ones, which cannot be kept.")
    return ours


def stock_config_of(config: PromptedMaskConfig) -> SamConfig:
    """Returns stock SAM's configuration of a model with a SAM core.

    Raises:
        ValueError: for a model that stock SAM cannot hold.
    """
    if not config.has_sam_core:
        raise ValueError("stock SAM has no depth model as its core; save this model as it is.")
    if config.click_map or config.box_prior or config.text_hidden_size is not None:
        raise ValueError("stock SAM has no click_map, no box_prior and no text prompts; save this model as it is.")
    core: Any = config.core_config
    return SamConfig(
        vision_config=type(core)(**core.to_dict()),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=config.hidden_size,
            image_size=core.image_size,
            patch_size=core.patch_size,
            mask_input_channels=config.mask_input_channels,
        ),
        mask_decoder_config=SamMaskDecoderConfig(**{name: getattr(config, name) for name in DECODER_FIELDS}),
    )


def weights_of_sam(stock: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict of stock SAM under our names."""
    return {f"core.{name}" if name.startswith(STOCK_ENCODER) else name: value for name, value in stock.items()}


def decoder_weights_of_sam(stock: SamModel, ours: PromptedMaskConfig) -> dict[str, Tensor]:
    """A stock SAM's weights without its encoder, for a model of this configuration.

    Raises:
        ValueError: the sizes differ; they are named.
    """
    theirs = config_of_sam(stock.config)
    differing = [
        f"{name}={getattr(theirs, name)}"
        for name in (*DECODER_FIELDS, "mask_input_channels")
        if getattr(theirs, name) != getattr(ours, name)
    ]
    if differing:
        raise ValueError(f"this SAM's decoder is of another size; make the model with {', '.join(differing)}.")
    return {name: value for name, value in stock.state_dict().items() if not name.startswith(STOCK_ENCODER)}


def stock_weights_of(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns our state dict under stock SAM's names."""
    return {name.removeprefix("core."): value for name, value in ours.items()}


__all__ = [
    "PromptedMaskConfig",
    "config_of_sam",
    "decoder_weights_of_sam",
    "stock_config_of",
    "stock_weights_of",
    "weights_of_sam",
]
