"""Tiny 4M models of apple/ml-4m's layout: configurations, weights and batches that both codes can make."""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

SIZES = {
    "dim": 32, "encoder_depth": 2, "decoder_depth": 2, "num_heads": 2, "mlp_ratio": 4, "image_size": 224,
    "patch_size": 16, "qkv_bias": False, "proj_bias": False, "mlp_bias": False, "norm_bias": False,
    "act_layer": "SiLU", "gated_mlp": True,
}  # fmt: skip
SEVEN = ["rgb@224", "caption", "tok_depth@224", "tok_normal@224"]
MORE = ["t5_caption", "color_palette", "tok_dinov2@224", "tok_dinov2_global"]
CONFIGS: dict[str, dict[str, Any]] = {
    "4M-7": SIZES | {"domains_in": SEVEN, "domains_out": SEVEN[1:]},
    "4M-21": SIZES
    | {"domains_in": [SEVEN[0], *MORE], "domains_out": MORE[1:], "qk_norm": True, "num_register_tokens": 3},
    "biases": SIZES
    | {"domains_in": SEVEN[:3], "domains_out": SEVEN[1:3], "gated_mlp": False, "act_layer": "GELU"}
    | {"qkv_bias": True, "proj_bias": True, "mlp_bias": True, "norm_bias": True},
}


def fill(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Returns float32 weights of these shapes: sines whose phase depends on the name."""
    weights = {}
    for name, shape in shapes.items():
        waves = torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) * 0.7 + zlib.crc32(name.encode()) % 1000)
        if "norm" in name and name.endswith("weight"):
            waves = 1 + 0.2 * waves
        elif name.endswith(("weight", "bias")) and "token_emb" not in name:
            waves = waves / shape[-1] ** 0.5
        weights[name] = waves.reshape(shape).float()
    return weights


def numbers(*shape: int, below: int, step: int) -> Tensor:
    """Whole numbers from 0 that repeat late."""
    return (torch.arange(math.prod(shape)) * step % below).view(shape)


def batch(which: str) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Two samples: inputs, what is seen of them, targets, and what is asked for."""
    pixels = torch.sin(torch.arange(2 * 3 * 224 * 224, dtype=torch.float64) * 0.013).view(2, 3, 224, 224).float()
    seen = numbers(2, 196, below=7, step=3) < 2
    inputs, targets = {"rgb@224": pixels}, {}
    if which == "4M-21":
        own = {"tok_dinov2@224": numbers(2, 16, 16, below=8192, step=531)}
        inputs |= own | {"t5_caption": torch.cos(torch.arange(2 * 5 * 4096.0) * 0.3).view(2, 5, 4096)}
        given = torch.tensor([[5, 17, 200, 6, -100], [31, 7, -100, -100, -100]])
        inputs["color_palette"] = given
        asked = numbers(2, 256, below=5, step=2) == 0
        positions = {"rgb@224": seen, "tok_dinov2@224": ~asked & (numbers(2, 256, below=11, step=3) < 4)}
        positions["t5_caption"] = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        targets = own | {"tok_dinov2_global": numbers(2, 16, below=8192, step=97)}
        return inputs, positions, targets, {"tok_dinov2@224": asked, "tok_dinov2_global": torch.ones(2, 16).bool()}
    depth = numbers(2, 14, 14, below=8192, step=531)
    asked = numbers(2, 196, below=5, step=2) == 0
    inputs |= {"tok_depth@224": depth, "caption": torch.tensor([[40, 41, 5, 17, -100], [5, -100, -100, -100, -100]])}
    positions = {"rgb@224": seen, "tok_depth@224": ~asked & (numbers(2, 196, below=11, step=3) < 4)}
    targets = {"tok_depth@224": depth, "caption": torch.tensor([[5, 23, 24, 6, 3], [5, 900, 901, 6, -100]])}
    wanted = {"tok_depth@224": asked}
    if which == "4M-7":
        targets["tok_normal@224"], wanted["tok_normal@224"] = depth.flip(1), ~asked
    return inputs, positions, targets, wanted
