"""The depth student: a ViT encoder and a DPT decoder that predict relative inverse depth, trainable.

Stock `DepthAnythingForDepthEstimation` computes the same function from the same weights and refuses labels; this class
takes them. Its checkpoints and the stock ones load in each other's class.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoBackbone,
    AutoConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.utils import ModelOutput

from .affine_invariant import affine_invariant_loss
from .configuration_depth_student import DECODER_SIZES, STOCK_MODEL_TYPE, DepthStudentConfig, as_pair
from .dpt_decoder import DepthHead, Neck, patch_tokens


@dataclass
class DepthStudentOutput(ModelOutput):
    """Output of the student.

    Args:
        loss: scalar float32, affine-invariant loss; only with `labels`.
        predicted_depth: (B, H, W) float32. Inverse depth >= 0, larger is nearer, no unit: right up to a scale and a
            shift per image (in a stock "metric" checkpoint: metres, larger is farther).
        features: (B, N, C), the encoder's last patch tokens, row by row from the top left; only with
            `output_features=True`.
        hidden_states: the encoder's (B, 1 + N, C) states; only with `output_hidden_states=True`.
        attentions: the encoder's attention maps; only with `output_attentions=True`.
    """

    loss: torch.Tensor | None = None
    predicted_depth: torch.Tensor | None = None
    features: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


def encoder_features(backbone: nn.Module, pixel_values: torch.Tensor) -> torch.Tensor:
    """Last patch tokens of a bare backbone: what `features` is in the student's output, for a frozen encoder.

    Args:
        backbone: an `AutoBackbone`.
        pixel_values: (B, 3, H, W), normalised.

    Returns:
        (B, N, C), row by row from the top left.
    """
    config: Any = backbone.config
    patch_height, patch_width = as_pair(config.patch_size)
    patches = (pixel_values.shape[2] // patch_height) * (pixel_values.shape[3] // patch_width)
    return patch_tokens(backbone(pixel_values).feature_maps[-1], patches)


def freeze_mask_token(backbone: nn.Module) -> None:
    """Only masked pre-training uses it, and distributed training waits for every trainable weight (see FusionStage)."""
    mask_token = getattr(getattr(backbone, "embeddings", None), "mask_token", None)
    if isinstance(mask_token, nn.Parameter):
        mask_token.requires_grad_(False)


class DepthStudentPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by the student's classes."""

    config: DepthStudentConfig
    config_class = DepthStudentConfig
    base_model_prefix = "depth_student"
    main_input_name = "pixel_values"
    input_modalities = ("image",)  # type: ignore[assignment]
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Only the decoder's convolutions come here: the backbone is a PreTrainedModel and initialises itself, and
        # modules without weights of their own are passed over. Stock's normal(0.02) leaves a decoder whose output is
        # constant to 1e-6 behind a ReLU that is nearly closed; here every layer keeps its input's scale (x its gain).
        if isinstance(module, nn.ConvTranspose2d):
            # Stride = kernel: each output pixel has a weight matrix of its own. They start equal, which is upsampling
            # by repetition (Aitken et al., arXiv 1707.02937): drawn apart they print one checkerboard on every image,
            # and with gradient matching training got stuck on it.
            shared = torch.randn(*module.weight.shape[:2], 1, 1, device=module.weight.device)
            init.copy_(module.weight, (shared / math.sqrt(module.in_channels)).expand_as(module.weight))
        elif isinstance(module, nn.Conv2d):
            taps = math.prod(module.kernel_size)
            init.normal_(module.weight, std=getattr(module, "init_gain", 1.0) / math.sqrt(module.in_channels * taps))
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
            init.constant_(module.bias, getattr(module, "init_bias", 0.0))


class DepthStudentForDepthEstimation(DepthStudentPreTrainedModel):
    """A DINOv2-like encoder and a DPT decoder for relative inverse depth; larger is nearer.

    `from_pretrained` takes this project's folders and stock Depth Anything V1 / V2 checkpoints alike.
    """

    def __init__(self, config: DepthStudentConfig):
        super().__init__(config)
        config.validate_decoder_fits_backbone()
        # The dtype asked for is torch's default here; a nested configuration may name the one that it was saved in.
        self.backbone = AutoBackbone.from_config(config.backbone_config, dtype=torch.get_default_dtype())
        self.neck = Neck(config)
        self.head = DepthHead(config)
        freeze_mask_token(self.backbone)
        self.post_init()

    @classmethod
    def from_encoder(cls, encoder: str, *, dtype: torch.dtype = torch.float32, **decoder):
        """A student on a pretrained encoder with a fresh decoder: the start of every training.

        Args:
            encoder: Hub id or folder of a DINOv2-like encoder, such as "facebook/dinov2-small".
            dtype: dtype of all weights.
            decoder: fields of [`DepthStudentConfig`] that override the defaults by encoder width, such as
                `fusion_hidden_size=32`; `out_indices` chooses the encoder's layers (default: the last four).

        Returns:
            The model; its encoder equals the pretrained one, its decoder is drawn from torch's global generator.

        Raises:
            ValueError: if the encoder has fewer layers than the decoder has levels, or lacks weights.
        """
        encoder_config = AutoConfig.from_pretrained(encoder, trust_remote_code=False)
        config = cls.config_for_encoder(encoder_config, **decoder)
        model = cls(config).to(dtype=dtype)  # type: ignore[call-arg]
        # AutoBackbone.from_pretrained would ask the Hub about a local folder first (transformers 5.23).
        try:
            model.backbone, info = type(model.backbone).from_pretrained(
                encoder, config=config.backbone_config, dtype=dtype, use_safetensors=True, output_loading_info=True
            )
        except (OSError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"{encoder!r} has no weights that can be read ({reason}); give one with model.safetensors."
            ) from error
        if info["missing_keys"]:
            missing = sorted(info["missing_keys"])
            raise ValueError(
                f"{encoder!r} lacks {len(missing)} of the encoder's weights, such as {missing[0]}; give a complete one."
            )
        model.config.backbone_config = model.backbone.config
        freeze_mask_token(model.backbone)
        return model

    @staticmethod
    def config_for_encoder(encoder_config, **decoder) -> DepthStudentConfig:
        """The configuration of a student on an encoder, its decoder sized as the stock checkpoints have it.

        Args:
            encoder_config: the encoder's configuration.
            decoder: overrides, as in [`from_encoder`].

        Returns:
            The configuration; the encoder's own is copied, not changed.

        Raises:
            ValueError: if the encoder has fewer layers than the decoder has levels.
        """
        width, layers = encoder_config.hidden_size, encoder_config.num_hidden_layers
        factors = decoder.pop("reassemble_factors", [4, 2, 1, 0.5])
        if layers < len(factors):
            raise ValueError(
                f"the encoder has {layers} layers and the decoder needs {len(factors)}; choose an encoder with more."
            )
        # Stock Depth Anything V1: the last four layers. Other encoders follow.
        out_indices = decoder.pop("out_indices", list(range(layers - len(factors) + 1, layers + 1)))
        neck, fusion = DECODER_SIZES.get(width, ([max(16, width // 8 * 2**i) for i in range(4)], max(32, width // 6)))
        backbone = encoder_config.to_dict()
        backbone.pop("out_features", None)
        backbone |= {"out_indices": list(out_indices), "reshape_hidden_states": False, "apply_layernorm": True}
        backbone.pop("architectures", None)
        return DepthStudentConfig(
            backbone_config=type(encoder_config)(**backbone),
            patch_size=encoder_config.patch_size,
            reassemble_hidden_size=width,
            reassemble_factors=factors,
            **({"neck_hidden_sizes": neck, "fusion_hidden_size": fusion} | decoder),
        )

    def to_depth_anything(self) -> DepthAnythingForDepthEstimation:
        """The stock class with this model's weights (shared, not copied), to run anywhere stock Depth Anything runs.

        Returns:
            A `DepthAnythingForDepthEstimation` on the same device and in the same dtype, in evaluation mode.
        """
        fields = self.config.to_dict()
        for own in ("model_type", "auto_map", "architectures"):
            fields.pop(own, None)
        # Stock accepts whole metres only in "metric", and multiplies by it in both.
        if isinstance(fields.get("max_depth"), float) and fields["max_depth"].is_integer():
            fields["max_depth"] = int(fields["max_depth"])
        config = DepthAnythingConfig(**fields)
        config.dtype = self.dtype
        with torch.device("meta"):
            stock = DepthAnythingForDepthEstimation(config)
        stock.load_state_dict(self.state_dict(), assign=True)
        for (_, mine), (name, theirs) in zip(self.named_buffers(), stock.named_buffers(), strict=True):
            if theirs.is_meta:  # non-persistent buffers are not in the state dict
                owner, _, leaf = name.rpartition(".")
                setattr(stock.get_submodule(owner), leaf, mine)
        return stock.eval()

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        output_features: bool = False,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> DepthStudentOutput | tuple[torch.Tensor, ...]:
        """Predicts inverse depth.

        Args:
            pixel_values: (B, 3, H, W), normalised as the encoder expects; H and W multiples of the patch size (what is
                over is not seen, as in stock).
            labels: (B, H, W) inverse depth, larger is nearer, in any affine scale, NaN where unknown.
            output_features: also return the encoder's last patch tokens.
            output_hidden_states: also return the encoder's states.
            output_attentions: also return the encoder's attention maps.
            return_dict: False returns a tuple of what is there, `loss` first.

        Returns:
            [`DepthStudentOutput`].

        Raises:
            ValueError: if the labels are of another size than the prediction, or the checkpoint is a metric one.
        """
        patch_height, patch_width = self.head.patch_size
        height, width = pixel_values.shape[2] // patch_height, pixel_values.shape[3] // patch_width
        if height == 0 or width == 0:
            raise ValueError(
                f"pixel_values are {pixel_values.shape[2]} x {pixel_values.shape[3]} pixels, less than one patch of "
                f"{patch_height} x {patch_width}; resize the image with the model's image processor."
            )
        if labels is not None:
            self._check_labels(labels, (pixel_values.shape[0], height * patch_height, width * patch_width))

        encoded = self.backbone.forward_with_filtered_kwargs(
            pixel_values, output_hidden_states=output_hidden_states, output_attentions=output_attentions
        )
        features = encoded.feature_maps
        predicted_depth = self.head(self.neck(features, height, width), height, width)
        loss = None if labels is None else affine_invariant_loss(predicted_depth, labels)
        output = DepthStudentOutput(
            loss=loss,
            predicted_depth=predicted_depth,
            features=patch_tokens(features[-1], height * width) if output_features else None,
            hidden_states=encoded.hidden_states if output_hidden_states else None,
            attentions=encoded.attentions,
        )
        return_dict = self.config.return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()

    def _check_labels(self, labels: torch.Tensor, expected: tuple[int, int, int]) -> None:
        if self.head.metric:
            raise ValueError(
                "this is a metric checkpoint (depth_estimation_type 'metric') and is not trained on inverse depth; "
                "start from a relative one to train a student."
            )
        if tuple(labels.shape) != expected:
            raise ValueError(
                f"labels are {tuple(labels.shape)} and the prediction is {expected}; give one inverse depth per pixel, "
                "(B, H, W) with H and W multiples of the patch size."
            )


__all__ = [
    "STOCK_MODEL_TYPE",
    "DepthStudentForDepthEstimation",
    "DepthStudentOutput",
    "DepthStudentPreTrainedModel",
    "encoder_features",
]
