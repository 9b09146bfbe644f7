"""Original weights of Depth Anything V1 and V2 (github.com/LiheYoung/Depth-Anything, DepthAnything/Depth-Anything-V2).

Both have a DINOv2 under `pretrained.` and a DPT decoder under `depth_head.`, with the same names and shapes. They
differ in the layers that the decoder reads, which only the name of the file tells; so does the range of metric models.
"""

import math
import re
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import DepthAnythingConfig, Dinov2Config

from semidepth.prediction.originals.names import DECODER, Rule, below, rename, split
from semidepth.prediction.originals.options import Version

BLOCK = r"pretrained\.blocks\.(\d+)\."
LAYER = "backbone.encoder.layer."
NAMES: tuple[Rule, ...] = (
    (r"pretrained\.(cls_token|mask_token)", lambda token: f"backbone.embeddings.{token}"),
    (r"pretrained\.pos_embed", lambda: "backbone.embeddings.position_embeddings"),
    (r"pretrained\.patch_embed\.proj", lambda: "backbone.embeddings.patch_embeddings.projection"),
    (r"pretrained\.norm", lambda: "backbone.layernorm"),
    (BLOCK + r"ls(\d)\.gamma", lambda layer, part: f"{LAYER}{layer}.layer_scale{part}.lambda1"),
    (BLOCK + r"(norm\d|mlp\.fc\d)", lambda layer, part: f"{LAYER}{layer}.{part}"),
    (BLOCK + r"mlp\.w12", lambda layer: f"{LAYER}{layer}.mlp.weights_in"),
    (BLOCK + r"mlp\.w3", lambda layer: f"{LAYER}{layer}.mlp.weights_out"),
    (BLOCK + r"attn\.proj", lambda layer: f"{LAYER}{layer}.attention.output.dense"),
    (BLOCK + r"attn\.(query|key|value)", lambda layer, part: f"{LAYER}{layer}.attention.attention.{part}"),
    (r"depth_head\.projects\.(\d)", lambda level: f"neck.reassemble_stage.layers.{level}.projection"),
    (r"depth_head\.resize_layers\.(\d)", lambda level: f"neck.reassemble_stage.layers.{level}.resize"),
    *below(r"depth_head\.", DECODER),
    (r"depth_head\.scratch\.output_conv1", lambda: "head.conv1"),
    (r"depth_head\.scratch\.output_conv2\.0", lambda: "head.conv2"),
    (r"depth_head\.scratch\.output_conv2\.2", lambda: "head.conv3"),
)
# Layers of the encoder -> those that V2's decoder reads, counted from 1. V1's reads the last four.
V2_LAYERS = {12: [3, 6, 9, 12], 24: [5, 12, 18, 24], 40: [10, 20, 30, 40]}
HEAD_WIDTH = 64  # of DINOv2's attention, in all sizes
SIZES = {(384, 12): "ViT-S", (768, 12): "ViT-B", (1024, 24): "ViT-L", (1536, 40): "ViT-g"}
METRES = {"hypersim": 20.0, "vkitti": 80.0}


def is_depth_anything(weights: dict[str, Tensor]) -> bool:
    """Returns True for weights with the original names of Depth Anything."""
    return {"pretrained.cls_token", "depth_head.projects.0.weight"} <= weights.keys()


def version_of(file: Path) -> Version | None:
    """Returns the version that a file's name, or else its folder's, tells; None where neither does."""
    for name in (file.name.lower(), file.absolute().parent.name.lower()):
        if re.search(r"anything[-_]?v2", name):
            return "v2"
        if re.search(r"depth[-_]?anything[-_]?vit[sbl]14", name):
            return "v1"
    return None


def max_depth_of(file: Path) -> float | None:
    """Returns the range in metres that the name of a published metric model tells; None for other names.

    Raises:
        ValueError: the name says that the model is metric, and not on what it was trained.
    """
    name = file.name.lower()
    known = [metres for data, metres in METRES.items() if data in name]
    if not known and "metric" in name:
        raise ValueError("is a metric model by its name; say its range with --max_depth_m, as in its training")
    return known[0] if known else None


def config_for(weights: dict[str, Tensor], version: Version, max_depth_m: float | None) -> DepthAnythingConfig:
    """Returns the stock configuration whose sizes are those of the weights.

    Args:
        weights: under their original names.
        version: decides which layers the decoder reads.
        max_depth_m: range of a metric model; None for inverse depth.

    Raises:
        ValueError: there is no such Depth Anything.
    """
    blocks = {int(found[1]) for name in weights if (found := re.match(BLOCK, name))}
    width, layers = weights["pretrained.cls_token"].shape[-1], len(blocks)
    patch = weights["pretrained.patch_embed.proj.weight"].shape[-1]
    grid = math.isqrt(weights["pretrained.pos_embed"].shape[1] - 1)
    if layers not in V2_LAYERS or width % HEAD_WIDTH:
        raise ValueError(f"has an encoder of {layers} layers and width {width}, which is no DINOv2")
    metric: dict[str, Any] = (
        {} if max_depth_m is None else {"depth_estimation_type": "metric", "max_depth": whole(max_depth_m)}
    )
    return DepthAnythingConfig(
        backbone_config=Dinov2Config(  # type: ignore[call-arg] # out_indices is known to its __init__ alone
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // HEAD_WIDTH,
            patch_size=patch,
            image_size=grid * patch,
            use_swiglu_ffn="pretrained.blocks.0.mlp.w12.weight" in weights,
            out_indices=V2_LAYERS[layers] if version == "v2" else list(range(layers - 3, layers + 1)),
            apply_layernorm=True,
            reshape_hidden_states=False,
        ),
        patch_size=patch,
        reassemble_hidden_size=width,
        neck_hidden_sizes=[weights[f"depth_head.projects.{level}.weight"].shape[0] for level in range(4)],
        fusion_hidden_size=weights["depth_head.scratch.layer1_rn.weight"].shape[0],
        head_hidden_size=weights["depth_head.scratch.output_conv2.0.weight"].shape[0],
        **metric,
    )


def whole(max_depth_m: float) -> int:
    """Returns the range as a whole number, which is all that the stock class takes."""
    if not max_depth_m.is_integer():
        raise ValueError(f"cannot have --max_depth_m {max_depth_m}: Depth Anything takes whole metres")
    return int(max_depth_m)


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights under the names of published transformers checkpoints."""
    return rename(split(weights, r"pretrained\.blocks\.\d+\.attn\.(qkv)\..*", ("query", "key", "value")), NAMES)


def describe(config: DepthAnythingConfig, version: Version) -> str:
    """Returns a few words about the model: version, size and what it predicts."""
    backbone: Any = config.backbone_config
    size = SIZES.get((backbone.hidden_size, backbone.num_hidden_layers), f"ViT of width {backbone.hidden_size}")
    kind = f"metres to {config.max_depth}" if config.depth_estimation_type == "metric" else "inverse depth"
    return f"Depth Anything {version.upper()}, {size}, {kind}"
