"""Relative cores: our student, or the MiDaS core of stock ZoeDepth; what heads read of them.

And stock ZoeDepth's configuration and weights as a routed model's, and back.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ZoeDepthConfig, ZoeDepthForDepthEstimation

from .configuration_routed_depth import LEVELS, RoutedDepthConfig
from .dpt_decoder import tokens_to_map
from .modeling_depth_student import DepthStudentForDepthEstimation

# What the stock two-domain class has, whatever its configuration says: 16 attractors at every level, no relative depth
# in the mixture, a quarter of its inputs as hidden channels, and half the embedding in the other hidden layers.
ATTRACTORS_OF_MANY = (16, 16, 16, 16)
# All released weights were trained with it; the configuration's attractor_alpha is never used.
ALPHA = 300.0


@dataclass
class CoreFeatures:
    """Features of the core that the heads read.

    Args:
        activation: (B, C, H, W) before the relative head's last convolution.
        bottleneck: (B, C, h, w), the coarsest map before fusion.
        blocks: four fused maps, coarse to fine.
        relative: (B, H, W) inverse depth.
        image: (B, 2C) float32, mean and standard deviation over the patches of the encoder's last map, see
            [`EncodedImage.summary`]; only `ImageScale` needs it.
    """

    activation: Tensor
    bottleneck: Tensor
    blocks: list[Tensor]
    relative: Tensor
    image: Tensor | None = None

    def divided(self, scales: Tensor) -> "CoreFeatures":
        """The same maps, each divided by its number of the 7: bottleneck, blocks, activation, relative."""
        maps = (self.bottleneck, *self.blocks, self.activation, self.relative)
        bottleneck, *blocks, activation, relative = (
            x / scale.to(x.dtype) for x, scale in zip(maps, scales, strict=True)
        )
        return CoreFeatures(activation, bottleneck, blocks, relative, self.image)

    def mean_squares(self) -> Tensor:
        """(7,) float32: the mean square of each map, in the order of [`divided`]."""
        maps = [self.bottleneck, *self.blocks, self.activation, self.relative]
        return torch.stack([x.detach().float().square().mean() for x in maps])


class StandardSummary(nn.Module):
    """Summaries of images, see [`EncodedImage.summary`], centred and divided by their spread over some images."""

    mean: Tensor
    spread: Tensor
    # The variances over a few images are drawn to their mean, as if this many more images had that.
    prior_images = 8

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))

    def measure(self, summaries: Tensor) -> None:
        """Takes centre and spread from (B, channels) summaries."""
        variance = summaries.var(0, correction=0)
        images = len(summaries)
        variance = (images * variance + self.prior_images * variance.mean()) / (images + self.prior_images)
        self.mean.copy_(summaries.mean(0))
        self.spread.copy_(torch.where(variance > 0, variance.sqrt(), 1.0))

    def forward(self, core: CoreFeatures) -> Tensor:
        """(B, channels) float32, about unit size."""
        if core.image is None:
            raise ValueError("this model needs each image's summary; give features that `core_features` made.")
        return (core.image - self.mean.float()) / self.spread.float()


@dataclass
class EncodedImage:
    """Output of a relative core's encoder for a batch.

    Args:
        maps: the encoder's feature maps, first layer to last.
        height: patches from top to bottom.
        width: patches from left to right.
    """

    maps: tuple[Tensor, ...]
    height: int
    width: int

    def last(self) -> Tensor:
        """(B, C, h, w): the last layer's patches as a map."""
        return tokens_to_map(self.maps[-1], self.height, self.width)

    def summary(self) -> Tensor:
        """(B, 2C) float32: mean, then standard deviation of each channel over the last layer's patches."""
        patches = self.last().float().flatten(2)
        # The offset keeps the gradient finite where all patches are equal, or there is one.
        return torch.cat((patches.mean(2), (patches.var(2, correction=0) + 1e-6).sqrt()), 1)


def make_core(config: Any) -> nn.Module:
    """The relative core of a configuration, with fresh weights."""
    if config.model_type != "zoedepth":
        return DepthStudentForDepthEstimation(config)
    config.backbone_config.dtype = torch.get_default_dtype()  # not the one that it was saved in
    core = ZoeDepthForDepthEstimation(config)
    del core.metric_head  # ours take its place; encoder, neck and relative head stay
    return core


def core_channels(config: Any) -> tuple[int, int, int]:
    """Channels of bottleneck, fused maps and activation."""
    if config.model_type == "zoedepth":
        return config.bottleneck_features, config.fusion_hidden_size, config.num_relative_features
    return config.fusion_hidden_size, config.fusion_hidden_size, config.head_hidden_size


def encode(core: Any, pixel_values: Tensor) -> EncodedImage:
    """Runs the encoder of a student or a MiDaS core.

    Args:
        core: [`DepthStudentForDepthEstimation`], or stock ZoeDepth.
        pixel_values: (B, 3, H, W).

    Raises:
        ValueError: if the image is smaller than one patch.
    """
    student = isinstance(core, DepthStudentForDepthEstimation)
    patch_height, patch_width = core.head.patch_size if student else (core.patch_size, core.patch_size)
    height, width = pixel_values.shape[2] // patch_height, pixel_values.shape[3] // patch_width
    if height == 0 or width == 0:
        raise ValueError(
            f"pixel_values are {pixel_values.shape[2]} x {pixel_values.shape[3]} pixels, less than one patch of "
            f"{patch_height} x {patch_width}; resize the image with the model's image processor."
        )
    return EncodedImage(core.backbone.forward_with_filtered_kwargs(pixel_values).feature_maps, height, width)


def fuse(core: Any, encoded: EncodedImage) -> tuple[Tensor, list[Tensor]]:
    """The core's bottleneck and its four fused maps, coarse to fine, as in [`CoreFeatures`]."""
    if isinstance(core, DepthStudentForDepthEstimation):
        levels = core.neck.levels(encoded.maps, encoded.height, encoded.width)
        return levels[-1], core.neck.fusion_stage(levels)
    blocks, bottleneck = core.neck(encoded.maps, encoded.height, encoded.width)
    return bottleneck, list(blocks)


def predict_relative(core: Any, encoded: EncodedImage, bottleneck: Tensor, blocks: list[Tensor]) -> CoreFeatures:
    """Runs the core's relative head on its fused maps; returns all that metric heads need."""
    if isinstance(core, DepthStudentForDepthEstimation):
        activation = core.head.activation(blocks, encoded.height, encoded.width)
        return CoreFeatures(activation, bottleneck, blocks, core.head.predict(activation), encoded.summary())
    relative, activation = core.relative_head(blocks)
    return CoreFeatures(activation, bottleneck, blocks, relative.float(), encoded.summary())


def core_features(core: Any, pixel_values: Tensor) -> CoreFeatures:
    """Runs a student or a MiDaS core up to what the metric heads need; arguments and errors as in [`encode`]."""
    encoded = encode(core, pixel_values)
    return predict_relative(core, encoded, *fuse(core, encoded))


def config_of_zoedepth(config: ZoeDepthConfig) -> RoutedDepthConfig:
    """The routed configuration that computes what the stock class does."""
    entries = config.bin_configurations or []
    many = len(entries) > 1
    domains = [
        {
            "name": entry.get("name") or ("depth" if index == 0 else f"depth_{index}"),
            "n_bins": entry["n_bins"],
            "min_depth_m": entry["min_depth"],
            "max_depth_m": entry["max_depth"],
            "bin_centers_type": config.bin_centers_type,
        }
        for index, entry in enumerate(entries)
    ]
    embedding = config.bin_embedding_dim
    fields: dict[str, Any] = {
        "core_config": type(config)(**config.to_dict()),
        "domains": domains,
        "bin_embedding_dim": embedding,
        "seed_hidden_size": embedding // 2 if many else 256,
        "projector_hidden_size": embedding // 2 if many else 128,
        "num_attractors": list(ATTRACTORS_OF_MANY if many else config.num_attractors),
        "attractor_alpha": ALPHA,
        "attractor_kind": config.attractor_kind,
        "relative_conditioning": not many,
        "log_binomial_factor": 4 if many else 2,
        "min_temp": config.min_temp,
        "max_temp": config.max_temp,
    }
    if many:
        fields |= {
            "router_hidden_size": config.patch_transformer_hidden_size,
            "router_layers": 4,  # stock runs four, whatever is configured
            "router_heads": config.patch_transformer_num_attention_heads,
            "router_intermediate_size": config.patch_transformer_intermediate_size,
        }
    return RoutedDepthConfig(**fields)


def _head_names(config: RoutedDepthConfig) -> dict[str, str]:
    """Our name -> the stock one, for modules that have a weight and a bias."""
    domains = config.domains or []
    many = len(domains) > 1
    names = {"bottleneck": "conv2"}
    for conv in ("conv1", "conv2"):
        names[f"seed_projector.{conv}"] = f"seed_projector.{conv}"
        names |= {f"projectors.{level}.{conv}": f"projectors.{level}.{conv}" for level in range(LEVELS)}
        for index, domain in enumerate(domains):
            plural, key = ("s", f".{domain['name']}") if many else ("", "")
            mixture = "log_binomial.conv1" if conv == "conv1" else "log_binomial.conv2"
            stock = 0 if conv == "conv1" else 2
            names[f"heads.{index}.seed.mlp.{conv}"] = f"seed_bin_regressor{plural}{key}.{conv}"
            names[f"heads.{index}.{mixture}"] = f"conditional_log_binomial{key}.mlp.{stock}"
            for level in range(LEVELS):
                names[f"heads.{index}.attractors.{level}.mlp.{conv}"] = f"attractors{key}.{level}.{conv}"
    if many:
        names |= {"router.embedding": "patch_transformer.embedding_convPxP"}
        names |= {f"router.linear{n}": f"mlp_classifier.linear{n}" for n in (1, 2)}
        for layer in range(config.router_layers):
            ours, stock_layer = f"router.layers.{layer}", f"patch_transformer.transformer_encoder.{layer}"
            names[f"{ours}.self_attn.out_proj"] = f"{stock_layer}.self_attn.out_proj"
            names |= {f"{ours}.{part}": f"{stock_layer}.{part}" for part in ("linear1", "linear2", "norm1", "norm2")}
    return {
        f"{ours}.{kind}": f"metric_head.{stock}.{kind}" for ours, stock in names.items() for kind in ("weight", "bias")
    }


def _attention_names(config: RoutedDepthConfig) -> dict[str, list[str]]:
    """Our joint projection -> the stock query, key and value, in this order."""
    if len(config.domains or []) < 2:
        return {}
    return {
        f"router.layers.{layer}.self_attn.in_proj_{kind}": [
            f"metric_head.patch_transformer.transformer_encoder.{layer}.self_attn.{part}.{kind}"
            for part in ("query", "key", "value")
        ]
        for layer in range(config.router_layers)
        for kind in ("weight", "bias")
    }


def weights_of_zoedepth(stock: dict[str, Tensor], config: RoutedDepthConfig) -> dict[str, Tensor]:
    """A stock state dict under our names."""
    weights = {f"core.{name}": value for name, value in stock.items() if not name.startswith("metric_head.")}
    weights |= {ours: stock[theirs] for ours, theirs in _head_names(config).items()}
    weights["core_scales"] = torch.ones(LEVELS + 3)  # stock's heads were trained on the maps as they are
    return weights | {ours: torch.cat([stock[p] for p in parts]) for ours, parts in _attention_names(config).items()}


def stock_of_routed(model: Any) -> ZoeDepthForDepthEstimation:
    """See `RoutedDepthForDepthEstimation.to_zoedepth`."""
    config: RoutedDepthConfig = model.config
    if config.core_config is None or config.core_config.model_type != "zoedepth":  # type: ignore[union-attr]
        raise ValueError("this model's core is a depth student, which stock ZoeDepth cannot hold; save it as it is.")
    stock_config = ZoeDepthConfig(**config.core_config.to_dict())  # type: ignore[union-attr]
    wanted, mine = config_of_zoedepth(stock_config).to_dict(), config.to_dict()
    compared = set(RoutedDepthConfig.__annotations__) - {"model_type", "core_config", "router_loss_weight"}
    differing = sorted(name for name in compared if wanted.get(name) != mine.get(name))
    if differing:
        raise ValueError(f"stock ZoeDepth has no other {', '.join(differing)} than its own; save this model as it is.")
    if not torch.equal(model.core_scales, torch.ones_like(model.core_scales)):
        raise ValueError("stock ZoeDepth does not divide its core's maps and this model does; save it as it is.")
    ours = model.state_dict()
    weights = {name.removeprefix("core."): value for name, value in ours.items() if name.startswith("core.")}
    weights |= {theirs: ours[name] for name, theirs in _head_names(config).items()}
    for name, parts in _attention_names(config).items():
        weights |= dict(zip(parts, ours[name].chunk(3), strict=True))
    stock = ZoeDepthForDepthEstimation(stock_config).to(model.device, model.dtype)
    stock.load_state_dict(weights)
    return stock.eval()


__all__ = [
    "CoreFeatures",
    "EncodedImage",
    "StandardSummary",
    "config_of_zoedepth",
    "core_channels",
    "core_features",
    "encode",
    "fuse",
    "make_core",
    "predict_relative",
    "stock_of_routed",
    "weights_of_zoedepth",
]
