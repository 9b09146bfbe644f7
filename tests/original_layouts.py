"""Tiny weights in the layouts of the original repositories: every name and shape, with values made from the name."""

import math
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
NECK = (4, 8, 16, 32)


def fill(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Returns float32 weights of these shapes: sines whose phase depends on the name."""
    weights = {}
    for name, shape in shapes.items():
        count = math.prod(shape)
        waves = torch.sin(torch.arange(count, dtype=torch.float64) * 0.7 + zlib.crc32(name.encode()) % 1000)
        wide = math.prod(shape[1:]) if len(shape) > 1 else 1
        values = waves / wide**0.5 if len(shape) > 1 else 0.5 + 0.1 * waves
        weights[name] = values.reshape(shape).float()
    return weights


def picture(height: int, width: int) -> Tensor:
    """Returns (1, 3, height, width) float32 pixels."""
    return torch.sin(torch.arange(3 * height * width, dtype=torch.float64) * 0.013).reshape(1, 3, height, width).float()


def with_bias(name: str, *shape: int) -> Shapes:
    """Returns a module's weight and its bias, of the first side of the shape."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def decoder(prefix: str, neck: tuple[int, ...], features: int) -> Shapes:
    """Returns the convolutions that both decoders have under `scratch.`."""
    shapes: Shapes = {}
    for level, width in enumerate(neck, start=1):
        shapes[f"{prefix}scratch.layer{level}_rn.weight"] = (features, width, 3, 3)
        fusion = f"{prefix}scratch.refinenet{level}"
        shapes |= with_bias(f"{fusion}.out_conv", features, features, 1, 1)
        for unit in ("resConfUnit1.conv1", "resConfUnit1.conv2", "resConfUnit2.conv1", "resConfUnit2.conv2"):
            shapes |= with_bias(f"{fusion}.{unit}", features, features, 3, 3)
    return shapes


def depth_anything(*, layers: int = 12, width: int = 64, grid: int = 4, swiglu: bool = False) -> Shapes:
    """Returns Depth Anything V1's and V2's layout: DINOv2 with patches of 14 pixels and a DPT decoder."""
    shapes: Shapes = {
        "pretrained.cls_token": (1, 1, width),
        "pretrained.pos_embed": (1, 1 + grid * grid, width),
        "pretrained.mask_token": (1, width),
        **with_bias("pretrained.patch_embed.proj", width, 3, 14, 14),
    }
    for layer in range(layers):
        block = f"pretrained.blocks.{layer}"
        for norm in ("norm1", "norm2"):
            shapes |= {f"{block}.{norm}.weight": (width,), f"{block}.{norm}.bias": (width,)}
        shapes |= with_bias(f"{block}.attn.qkv", 3 * width, width) | with_bias(f"{block}.attn.proj", width, width)
        shapes |= {f"{block}.ls1.gamma": (width,), f"{block}.ls2.gamma": (width,)}
        if swiglu:
            hidden = (int(4 * width * 2 / 3) + 7) // 8 * 8
            shapes |= with_bias(f"{block}.mlp.w12", 2 * hidden, width) | with_bias(f"{block}.mlp.w3", width, hidden)
        else:
            shapes |= with_bias(f"{block}.mlp.fc1", 4 * width, width) | with_bias(f"{block}.mlp.fc2", width, 4 * width)
    shapes |= {"pretrained.norm.weight": (width,), "pretrained.norm.bias": (width,)}
    for level, size in enumerate(NECK):
        shapes |= with_bias(f"depth_head.projects.{level}", size, width, 1, 1)
    for level, kernel in ((0, 4), (1, 2), (3, 3)):
        shapes |= with_bias(f"depth_head.resize_layers.{level}", NECK[level], NECK[level], kernel, kernel)
    shapes |= decoder("depth_head.", NECK, 8) | with_bias("depth_head.scratch.output_conv1", 4, 8, 3, 3)
    shapes |= with_bias("depth_head.scratch.output_conv2.0", 32, 4, 3, 3)
    return shapes | with_bias("depth_head.scratch.output_conv2.2", 1, 32, 1, 1)


def zoedepth(kind: str, *, layers: int = 4, width: int = 64, features: int = 32) -> Shapes:
    """Returns the layout of ZoeD_N, ZoeD_K or ZoeD_NK: BEiT for 64 x 64 pixels, a DPT decoder and metric heads.

    Args:
        kind: "N", "K" or "NK".
    """
    core, model = "core.core.", "core.core.pretrained.model."
    shapes: Shapes = {f"{model}cls_token": (1, 1, width), **with_bias(f"{model}patch_embed.proj", width, 3, 16, 16)}
    for layer in range(layers):
        block = f"{model}blocks.{layer}"
        for name in ("gamma_1", "gamma_2", "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[f"{block}.{name}"] = (width,)
        shapes |= {f"{block}.attn.q_bias": (width,), f"{block}.attn.v_bias": (width,)}
        shapes |= {f"{block}.attn.qkv.weight": (3 * width, width)} | with_bias(f"{block}.attn.proj", width, width)
        shapes |= {f"{block}.attn.relative_position_bias_table": (7 * 7 + 3, 1)}
        shapes |= with_bias(f"{block}.mlp.fc1", 4 * width, width) | with_bias(f"{block}.mlp.fc2", width, 4 * width)
    for level, (size, kernel) in enumerate(zip(NECK, (4, 2, 0, 3), strict=True), start=1):
        post = f"{core}pretrained.act_postprocess{level}"
        shapes |= with_bias(f"{post}.0.project.0", width, 2 * width) | with_bias(f"{post}.3", size, width, 1, 1)
        shapes |= with_bias(f"{post}.4", size, size, kernel, kernel) if kernel else {}
    shapes |= decoder(core, NECK, features)
    shapes |= with_bias(f"{core}scratch.output_conv.0", features // 2, features, 3, 3)
    shapes |= with_bias(f"{core}scratch.output_conv.2", 32, features // 2, 3, 3)
    shapes |= with_bias(f"{core}scratch.output_conv.4", 1, 32, 1, 1) | with_bias("conv2", features, features, 1, 1)
    return shapes | _metric_heads(kind, features)


def _metric_heads(kind: str, features: int) -> Shapes:
    embedding, bins, many = 128, 64, kind == "NK"
    shapes: Shapes = {}

    def net(name: str, wide: int, hidden: int, out: int, *, of: str = "_net") -> None:
        shapes.update(with_bias(f"{name}.{of}.0", hidden, wide, 1, 1) | with_bias(f"{name}.{of}.2", out, hidden, 1, 1))

    projector = embedding // 2 if many else 128
    for name in ("seed_projector", *(f"projectors.{level}" for level in range(4))):
        net(name, features, projector, embedding)
    for head in ("nyu", "kitti") if many else ("",):
        plural, key = ("s", f".{head}") if many else ("", "")
        net(f"seed_bin_regressor{plural}{key}", features, embedding // 2 if many else 256, bins)
        for level, count in enumerate((16, 16, 16, 16) if many else (16, 8, 4, 1)):
            net(f"attractors{key}.{level}", embedding, 128, count * (2 if kind == "K" else 1))
        wide = 32 + embedding + (0 if many else 1)
        net(f"conditional_log_binomial{key}", wide, wide // (4 if many else 2), 4, of="mlp")
    if many:
        shapes |= with_bias("patch_transformer.embedding_convPxP", 128, features, 1, 1)
        for layer in range(4):
            block = f"patch_transformer.transformer_encoder.layers.{layer}"
            shapes |= {f"{block}.self_attn.in_proj_weight": (384, 128), f"{block}.self_attn.in_proj_bias": (384,)}
            shapes |= with_bias(f"{block}.self_attn.out_proj", 128, 128)
            shapes |= with_bias(f"{block}.linear1", 1024, 128) | with_bias(f"{block}.linear2", 128, 1024)
            for norm in ("norm1", "norm2"):
                shapes |= {f"{block}.{norm}.weight": (128,), f"{block}.{norm}.bias": (128,)}
        shapes |= with_bias("mlp_classifier.0", 128, 128) | with_bias("mlp_classifier.2", 2, 128)
    return shapes
