"""Original weights of ZoeDepth (github.com/isl-org/ZoeDepth): ZoeD_N, ZoeD_K and ZoeD_NK, on MiDaS' BEiT."""

import math
import re
from typing import Any

from torch import Tensor
from transformers import BeitConfig, ZoeDepthConfig

from semidepth.prediction.originals.names import DECODER, Rule, below, rename, split

CORE = r"core\.core\."
BLOCK = CORE + r"pretrained\.model\.blocks\.(\d+)\."
LAYER = "backbone.encoder.layer."
ROUTER = r"patch_transformer\.transformer_encoder\.layers\.(\d+)\."
NAMES: tuple[Rule, ...] = (
    (CORE + r"pretrained\.model\.cls_token", lambda: "backbone.embeddings.cls_token"),
    (CORE + r"pretrained\.model\.patch_embed\.proj", lambda: "backbone.embeddings.patch_embeddings.projection"),
    (BLOCK + r"gamma_(\d)", lambda layer, part: f"{LAYER}{layer}.lambda_{part}"),
    (BLOCK + r"norm1", lambda layer: f"{LAYER}{layer}.layernorm_before"),
    (BLOCK + r"norm2", lambda layer: f"{LAYER}{layer}.layernorm_after"),
    (BLOCK + r"mlp\.fc1", lambda layer: f"{LAYER}{layer}.intermediate.dense"),
    (BLOCK + r"mlp\.fc2", lambda layer: f"{LAYER}{layer}.output.dense"),
    (BLOCK + r"attn\.proj", lambda layer: f"{LAYER}{layer}.attention.output.dense"),
    (BLOCK + r"attn\.q_bias", lambda layer: f"{LAYER}{layer}.attention.attention.query.bias"),
    (BLOCK + r"attn\.v_bias", lambda layer: f"{LAYER}{layer}.attention.attention.value.bias"),
    (BLOCK + r"attn\.(query|key|value)", lambda layer, part: f"{LAYER}{layer}.attention.attention.{part}"),
    (
        BLOCK + r"attn\.relative_position_bias_table",
        lambda layer: f"{LAYER}{layer}.attention.attention.relative_position_bias.relative_position_bias_table",
    ),
    (
        CORE + r"pretrained\.act_postprocess(\d)\.0\.project",
        lambda level: f"neck.reassemble_stage.readout_projects.{int(level) - 1}",
    ),
    (
        CORE + r"pretrained\.act_postprocess(\d)\.3",
        lambda level: f"neck.reassemble_stage.layers.{int(level) - 1}.projection",
    ),
    (
        CORE + r"pretrained\.act_postprocess(\d)\.4",
        lambda level: f"neck.reassemble_stage.layers.{int(level) - 1}.resize",
    ),
    *below(CORE, DECODER),
    (CORE + r"scratch\.output_conv\.([024])", lambda place: f"relative_head.conv{int(place) // 2 + 1}"),
    (r"conv2", lambda: "metric_head.conv2"),
    (
        r"(seed_bin_regressor|seed_bin_regressors\.\w+|seed_projector|projectors\.\d|attractors(?:\.\w+)?\.\d)"
        r"\._net\.([02])",
        lambda part, place: f"metric_head.{part}.conv{int(place) // 2 + 1}",
    ),
    (r"(conditional_log_binomial(?:\.\w+)?)\.mlp\.([02])", lambda part, place: f"metric_head.{part}.mlp.{place}"),
    (r"patch_transformer\.embedding_convPxP", lambda: "metric_head.patch_transformer.embedding_convPxP"),
    (
        ROUTER + r"(self_attn\.(?:query|key|value|out_proj)|linear\d|norm\d)",
        lambda layer, part: f"metric_head.patch_transformer.transformer_encoder.{layer}.{part}",
    ),
    (r"mlp_classifier\.([02])", lambda place: f"metric_head.mlp_classifier.linear{int(place) // 2 + 1}"),
)
# Constants that the classes compute, and BEiT's classifier, which depth does not use.
LEFT_OUT = re.compile(
    r".*\.(relative_position_index|k_idx|K_minus_1)|core\.core\.pretrained\.model\.(fc_norm|norm|head)\..*"
)
HEADS = ({"name": "nyu", "max_depth": 10.0}, {"name": "kitti", "max_depth": 80.0})
BEIT_HEAD_WIDTH, ROUTER_HEADS, NEAREST_M = 64, 4, 1e-3


def is_zoedepth(weights: dict[str, Tensor]) -> bool:
    """Returns True for weights with the original names of ZoeDepth on MiDaS' BEiT."""
    return {"core.core.pretrained.model.cls_token", "conv2.weight"} <= weights.keys()


def is_on_depth_anything(weights: dict[str, Tensor]) -> bool:
    """Returns True for ZoeDepth on a Depth Anything encoder, the metric models of Depth Anything V1."""
    return "core.core.pretrained.cls_token" in weights


def config_for(weights: dict[str, Tensor], max_depth_m: float | None) -> ZoeDepthConfig:
    """Returns the stock configuration whose sizes are those of the weights.

    Args:
        weights: under their original names.
        max_depth_m: upper end of bounded bins, as ZoeD_K has them; None: 80, KITTI's.

    Raises:
        ValueError: there is no such ZoeDepth, or a range is given where the weights have no use for one.
    """
    names = sorted({found[1] for name in weights if (found := re.match(r"seed_bin_regressors\.(\w+)\.", name))})
    seed = f"seed_bin_regressors.{names[0]}" if names else "seed_bin_regressor"
    first = f"attractors.{names[0]}" if names else "attractors"
    attractors = [weights[f"{first}.{level}._net.2.weight"].shape[0] for level in range(4)]
    # Bounded ("normed") bins have two values for each attractor: 32, 16, 8, 2 instead of 16, 8, 4, 1.
    bounded = not names and attractors[-1] == 2
    if max_depth_m is not None and not bounded:
        raise ValueError("has bins without bounds, which take no --max_depth_m; leave it out")
    n_bins = weights[f"{seed}._net.2.weight"].shape[0]
    bins = {"n_bins": n_bins, "min_depth": NEAREST_M}
    if names:
        if names != sorted(str(head["name"]) for head in HEADS):
            raise ValueError(f"has heads {', '.join(names)}; expected those of ZoeD_NK, nyu and kitti")
        heads = [{"name": head["name"], **bins, "max_depth": head["max_depth"]} for head in HEADS]
    else:
        name, farthest = ("kitti", max_depth_m or 80.0) if bounded else ("nyu", 10.0)
        heads = [{"name": name, **bins, "max_depth": farthest}]
    return ZoeDepthConfig(
        backbone_config=_encoder_for(weights),
        neck_hidden_sizes=[
            weights[f"core.core.pretrained.act_postprocess{level}.3.weight"].shape[0] for level in (1, 2, 3, 4)
        ],
        fusion_hidden_size=weights["core.core.scratch.layer1_rn.weight"].shape[0],
        bottleneck_features=weights["conv2.weight"].shape[0],
        num_relative_features=weights["core.core.scratch.output_conv.2.weight"].shape[0],
        bin_embedding_dim=weights["projectors.0._net.2.weight"].shape[0],
        num_attractors=[count // 2 if bounded else count for count in attractors],
        bin_centers_type="normed" if bounded else "softplus",
        bin_configurations=heads,
        **(_router_for(weights) if names else {}),
    )


def _encoder_for(weights: dict[str, Tensor]) -> BeitConfig:
    blocks = {int(found[1]) for name in weights if (found := re.match(BLOCK, name))}
    width, layers = weights["core.core.pretrained.model.cls_token"].shape[-1], len(blocks)
    patch = weights["core.core.pretrained.model.patch_embed.proj.weight"].shape[-1]
    # (2 g - 1)^2 distances of a grid of g x g patches, and three of the class token.
    table = weights["core.core.pretrained.model.blocks.0.attn.relative_position_bias_table"].shape
    grid = (math.isqrt(table[0] - 3) + 1) // 2
    if layers % 4:
        raise ValueError(f"has an encoder of {layers} layers; expected a multiple of 4, of which each fourth is read")
    return BeitConfig(  # type: ignore[call-arg] # out_features is known to its __init__ alone
        image_size=grid * patch,
        patch_size=patch,
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=weights["core.core.pretrained.model.blocks.0.mlp.fc1.weight"].shape[0],
        num_attention_heads=table[1],
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=[f"stage{layers // 4 * part}" for part in (1, 2, 3, 4)],
    )


def _router_for(weights: dict[str, Tensor]) -> dict[str, Any]:
    width = weights["patch_transformer.embedding_convPxP.weight"].shape[0]
    return {
        "num_patch_transformer_layers": len({found[1] for name in weights if (found := re.match(ROUTER, name))}),
        "patch_transformer_hidden_size": width,
        "patch_transformer_intermediate_size": weights[
            "patch_transformer.transformer_encoder.layers.0.linear1.weight"
        ].shape[0],
        "patch_transformer_num_attention_heads": ROUTER_HEADS,
    }


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights under the names of published transformers checkpoints."""
    kept = {name: value for name, value in weights.items() if not LEFT_OUT.fullmatch(name)}
    kept = split(kept, BLOCK.replace(r"(\d+)", r"\d+") + r"attn\.(qkv)\.weight", ("query", "key", "value"))
    for kind in ("weight", "bias"):
        pattern = ROUTER.replace(r"(\d+)", r"\d+") + rf"self_attn\.(in_proj_{kind})"
        kept = split(kept, pattern, [f"{part}.{kind}" for part in ("query", "key", "value")])
    return rename(kept, NAMES)


def describe(config: ZoeDepthConfig) -> str:
    """Returns a few words about the model: its heads and their bins."""
    heads = config.bin_configurations or []
    if len(heads) > 1:
        return "ZoeDepth with two heads (ZoeD_NK), metres"
    if config.bin_centers_type == "normed":
        return f"ZoeDepth with bounded bins (ZoeD_K), metres to {heads[0]['max_depth']:g}"
    return "ZoeDepth with one head (ZoeD_N), metres"
