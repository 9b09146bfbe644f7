"""Stock ZoeDepth's configuration and weights as a routed model's, and back."""

from typing import Any

import torch
from torch import Tensor
from transformers import ZoeDepthConfig, ZoeDepthForDepthEstimation

from .configuration_routed_depth import LEVELS, RoutedDepthConfig

# What the stock two-domain class has, whatever its configuration says: 16 attractors at every level, no relative depth
# in the mixture, a quarter of its inputs as hidden channels, and half the embedding in the other hidden layers.
ATTRACTORS_OF_MANY = (16, 16, 16, 16)
# All released weights were trained with it; the configuration's attractor_alpha is never used.
ALPHA = 300.0


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


__all__ = ["config_of_zoedepth", "stock_of_routed", "weights_of_zoedepth"]
