"""Relative cores that metric heads stand on: our student, or the MiDaS core of stock ZoeDepth."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ZoeDepthForDepthEstimation

from .modeling_depth_student import DepthStudentForDepthEstimation


@dataclass
class CoreFeatures:
    """Features of the core that the heads read.

    Args:
        activation: (B, C, H, W) before the relative head's last convolution.
        bottleneck: (B, C, h, w), the coarsest map before fusion.
        blocks: four fused maps, coarse to fine.
        relative: (B, H, W) inverse depth.
    """

    activation: Tensor
    bottleneck: Tensor
    blocks: list[Tensor]
    relative: Tensor

    def divided(self, scales: Tensor) -> "CoreFeatures":
        """The same maps, each divided by its number of the 7: bottleneck, blocks, activation, relative."""
        maps = (self.bottleneck, *self.blocks, self.activation, self.relative)
        bottleneck, *blocks, activation, relative = (
            x / scale.to(x.dtype) for x, scale in zip(maps, scales, strict=True)
        )
        return CoreFeatures(activation, bottleneck, blocks, relative)

    def mean_squares(self) -> Tensor:
        """(7,) float32: the mean square of each map, in the order of [`divided`]."""
        maps = [self.bottleneck, *self.blocks, self.activation, self.relative]
        return torch.stack([x.detach().float().square().mean() for x in maps])


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


def core_features(core: Any, pixel_values: Tensor) -> CoreFeatures:
    """Runs a student or a MiDaS core up to what the metric heads need.

    Args:
        core: [`DepthStudentForDepthEstimation`], or stock ZoeDepth (its metric head is not used).
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
    maps = core.backbone.forward_with_filtered_kwargs(pixel_values).feature_maps
    if student:
        levels = core.neck.levels(maps, height, width)
        blocks = core.neck.fusion_stage(levels)
        activation = core.head.activation(blocks, height, width)
        return CoreFeatures(activation, levels[-1], blocks, core.head.predict(activation))
    blocks, bottleneck = core.neck(maps, height, width)
    relative, activation = core.relative_head(blocks)
    return CoreFeatures(activation, bottleneck, list(blocks), relative.float())


__all__ = ["CoreFeatures", "core_channels", "core_features", "make_core"]
