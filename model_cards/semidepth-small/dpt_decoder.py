"""DPT decoder: from the tokens of four encoder layers to one inverse-depth map.

The function is stock Depth Anything's (arXiv 2103.13413, arXiv 2401.10891), and so are the parameter names, so
that weights go back and forth without renaming. The order of the operations is our own:

- tokens become a channels-last map by a view, and every convolution runs channels-last;
- a fusion level's 1 x 1 projection runs before its upsampling, not after. Both are linear, the projection acts on
  channels and the (weights-sum-to-one) resizing on positions, so they commute, at a quarter of the cost;
- the last 1 x 1 convolution and the activation run in float32, so that a half-precision model does not quantise
  its output to 8 bits of mantissa.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_depth_student import DepthStudentConfig, as_pair

# Initial scales of convolutions.
# A ReLU halves the mean square, so the convolution after it makes up for that (He et al. 2015).
RELU_GAIN = math.sqrt(2)
# Residual branches start small, so that four levels of them do not blow up the scale.
RESIDUAL_GAIN = 0.1 * RELU_GAIN
# The first predictions vary by about 1 around 10, so that the last ReLU starts open everywhere: a closed one never
# learns, and the affine-invariant loss, blind to where zero is, does nothing to keep it open.
OUTPUT_GAIN, OUTPUT_BIAS = 1.0, 10.0


def set_initial_scale(module: nn.Module, gain: float, bias: float = 0.0) -> None:
    """Notes on a convolution how its weights are to be drawn; it is done where the model initialises itself."""
    module.init_gain, module.init_bias = gain, bias  # type: ignore[assignment]


def patch_tokens(feature: torch.Tensor, patches: int) -> torch.Tensor:
    """The patch tokens of a backbone's feature, without class and register tokens.

    Args:
        feature: (B, prefix + N, C) tokens or a (B, C, h, w) map.
        patches: N, the number of patches.

    Returns:
        (B, N, C), row by row from the top left.
    """
    if feature.ndim == 4:
        return feature.flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, h*w, C)
    return feature[:, feature.shape[1] - patches :]


def tokens_to_map(feature: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Patch tokens as a channels-last map; a map stays as it is.

    Args:
        feature: (B, prefix + height * width, C) tokens, class and register tokens first (or none), or a
            (B, C, height, width) map.
        height: patches from top to bottom.
        width: patches from left to right.

    Returns:
        (B, C, height, width), channels-last in memory.
    """
    if feature.ndim == 4:
        return feature.contiguous(memory_format=torch.channels_last)
    tokens = feature[:, feature.shape[1] - height * width :]
    # (B, h*w, C) -> (B, C, h, w): a view whose memory order is channels-last already
    return tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)


class ReassembleLayer(nn.Module):
    """Projects one feature map and brings it to its level's resolution (x `factor`)."""

    def __init__(self, in_channels: int, channels: int, factor: float):
        super().__init__()
        self.projection = nn.Conv2d(in_channels, channels, kernel_size=1)
        self.resize: nn.Module
        if factor > 1:
            self.resize = nn.ConvTranspose2d(channels, channels, kernel_size=int(factor), stride=int(factor))
        elif factor == 1:
            self.resize = nn.Identity()
        else:
            self.resize = nn.Conv2d(channels, channels, kernel_size=3, stride=int(1 / factor), padding=1)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return self.resize(self.projection(feature))


class ResidualUnit(nn.Module):
    """Pre-activation residual unit: x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolution1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.convolution2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        set_initial_scale(self.convolution1, RELU_GAIN)
        set_initial_scale(self.convolution2, RESIDUAL_GAIN)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.convolution2(F.relu(self.convolution1(F.relu(x))))


class FusionLayer(nn.Module):
    """Adds a finer level to the coarser sum, refines, and upsamples to the next level's size (or by 2)."""

    def __init__(self, channels: int):
        super().__init__()
        self.projection = nn.Conv2d(channels, channels, kernel_size=1)
        self.residual_layer1 = ResidualUnit(channels)
        self.residual_layer2 = ResidualUnit(channels)

    def forward(
        self, fused: torch.Tensor, level: torch.Tensor | None = None, size: torch.Size | None = None
    ) -> torch.Tensor:
        if level is not None:
            if level.shape != fused.shape:
                level = F.interpolate(level, size=fused.shape[2:], mode="bilinear", align_corners=False)
            fused = fused + self.residual_layer1(level)
        fused = self.projection(self.residual_layer2(fused))
        target = (2 * fused.shape[2], 2 * fused.shape[3]) if size is None else size
        return F.interpolate(fused, size=target, mode="bilinear", align_corners=True)


class ReassembleStage(nn.Module):
    """One [`ReassembleLayer`] for each of the encoder's feature maps."""

    def __init__(self, config: DepthStudentConfig):
        super().__init__()
        self.layers = nn.ModuleList(
            ReassembleLayer(config.reassemble_hidden_size, channels, factor)
            for channels, factor in zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True)
        )

    def forward(self, features: list[torch.Tensor] | tuple[torch.Tensor, ...], height: int, width: int):
        maps = (tokens_to_map(feature, height, width) for feature in features)
        return [layer(feature) for layer, feature in zip(self.layers, maps, strict=True)]


class FusionStage(nn.Module):
    """Fuses the levels from the coarsest to the finest."""

    def __init__(self, config: DepthStudentConfig):
        super().__init__()
        self.layers = nn.ModuleList(FusionLayer(config.fusion_hidden_size) for _ in config.neck_hidden_sizes)
        # The coarsest level has nothing to be added to. Stock has these weights all the same, so we keep their names;
        # without a gradient they neither decay nor stop distributed training, which waits for every trainable one.
        self.layers[0].residual_layer1.requires_grad_(False)

    def forward(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        levels = levels[::-1]
        fused: list[torch.Tensor] = []
        for index, layer in enumerate(self.layers):
            size = levels[index + 1].shape[2:] if index + 1 < len(levels) else None
            fused.append(layer(levels[0], size=size) if index == 0 else layer(fused[-1], levels[index], size=size))
        return fused


class Neck(nn.Module):
    """Reassembling, a 3 x 3 convolution to the decoder's width, fusion."""

    def __init__(self, config: DepthStudentConfig):
        super().__init__()
        self.reassemble_stage = ReassembleStage(config)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, config.fusion_hidden_size, kernel_size=3, padding=1, bias=False)
            for channels in config.neck_hidden_sizes
        )
        self.fusion_stage = FusionStage(config)

    def forward(
        self, features: list[torch.Tensor] | tuple[torch.Tensor, ...], height: int, width: int
    ) -> list[torch.Tensor]:
        """Fuses the encoder's features.

        Args:
            features: one (B, N, C) tensor of tokens or (B, C, h, w) map per level, first layer to last.
            height: patches from top to bottom.
            width: patches from left to right.

        Returns:
            Fused maps (B, fusion_hidden_size, h_i, w_i), coarsest first; the last is the finest.
        """
        return self.fusion_stage(self.levels(features, height, width))

    def levels(
        self, features: list[torch.Tensor] | tuple[torch.Tensor, ...], height: int, width: int
    ) -> list[torch.Tensor]:
        """Returns the maps to fuse, (B, fusion_hidden_size, h_i, w_i), finest first; the last is the bottleneck."""
        levels = self.reassemble_stage(features, height, width)
        return [conv(level) for conv, level in zip(self.convs, levels, strict=True)]


class OpeningReLU(torch.autograd.Function):
    """ReLU whose closed units get the gradient that would open them, and no other.

    The affine-invariant loss does not see how far a map is below zero. A map that starts upside down, near at the top,
    grows until its lower half is closed; plain ReLU passes nothing there, and training stays upside down (1 of 3 seeds
    of the demo's teacher: correlation with the truth -0.5 at the end, loss 2.9 instead of 0.9).
    """

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x > 0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        (open_units,) = ctx.saved_tensors
        return torch.where(open_units, grad, grad.clamp(max=0))


class DepthHead(nn.Module):
    """Predicts one value per pixel from the finest fused map."""

    def __init__(self, config: DepthStudentConfig):
        super().__init__()
        channels = config.fusion_hidden_size
        self.patch_size = as_pair(config.patch_size)
        self.head_in_index = config.head_in_index
        self.metric = config.depth_estimation_type == "metric"
        self.max_depth = 1 if config.max_depth is None else config.max_depth
        self.conv1 = nn.Conv2d(channels, channels // 2, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels // 2, config.head_hidden_size, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(config.head_hidden_size, 1, kernel_size=1)
        if not self.metric:
            set_initial_scale(self.conv3, OUTPUT_GAIN, OUTPUT_BIAS)

    def forward(self, fused: list[torch.Tensor], height: int, width: int) -> torch.Tensor:
        """Predicts a map.

        Args:
            fused: the neck's maps.
            height: patches from top to bottom.
            width: patches from left to right.

        Returns:
            (B, height * patch, width * patch) float32: inverse depth >= 0, larger is nearer, no unit ("relative"), or
            metres in [0, max_depth], larger is farther ("metric").
        """
        return self.predict(self.activation(fused, height, width))

    def activation(self, fused: list[torch.Tensor], height: int, width: int) -> torch.Tensor:
        """Returns the last convolution's input, (B, head_hidden_size, height * patch, width * patch)."""
        x = self.conv1(fused[self.head_in_index])
        size = (height * self.patch_size[0], width * self.patch_size[1])
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
        return F.relu(self.conv2(x))

    def predict(self, activation: torch.Tensor) -> torch.Tensor:
        """The map out of the activation; shapes and units as in `forward`."""
        with torch.autocast(activation.device.type, enabled=False):
            bias = None if self.conv3.bias is None else self.conv3.bias.float()
            x = F.conv2d(activation.float(), self.conv3.weight.float(), bias)
        positive: Any = OpeningReLU.apply if torch.is_grad_enabled() else F.relu  # exporters know the plain one
        x = torch.sigmoid(x) if self.metric else positive(x)
        return x.squeeze(1) * self.max_depth  # (B, 1, H, W) -> (B, H, W)


__all__ = ["DepthHead", "Neck", "patch_tokens", "tokens_to_map"]
