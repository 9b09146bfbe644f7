"""Configuration of the promptable mask model: a core that sees the image, and SAM's prompt encoder and mask decoder."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig, SamVisionConfig

from .configuration_depth_student import DepthStudentConfig, as_pair
from .configuration_routed_depth import RoutedDepthConfig

# Remote code: save_pretrained writes the entry of AutoModelForMaskGeneration by itself; AutoModel's must be named.
AUTO_MAP = {"AutoModel": "modeling_prompted_mask.PromptedMaskForMaskGeneration"}
SAM = SamVisionConfig.model_type
CORES: dict[str, Any] = {"depth_student": DepthStudentConfig, "routed_depth": RoutedDepthConfig, SAM: SamVisionConfig}
MASK_LOSSES = ("focal", "bce")


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
        """Whether the core is the vision encoder of a stock SAM, which knows no depth."""
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


__all__ = ["PromptedMaskConfig"]
