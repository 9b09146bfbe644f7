"""Layers of promptable masks, with the parameter names of stock SAM, and how fresh ones are drawn."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

# Initial scales. A ReLU or GELU halves the mean square, and the layer after it makes up for that. Points differ by
# their positions first; what stands for no mask hardly changes the image.
ACTIVATION_GAIN = math.sqrt(2)
POINT_SCALE, NO_MASK_SCALE = 0.5, 0.1
# Logits of [`box_prior`]: inside a box, and outside by how far in sides of the box.
PRIOR_INSIDE, PRIOR_SLOPE, PRIOR_LEAST = 1.0, 40.0, -10.0


def start_with(layer: Any, gain: float, bias: float = 0.0) -> Any:
    """Notes on a layer how its fresh weights are drawn; that is done where the model initialises itself.

    Args:
        layer: the layer.
        gain: how much it scales its input; of an embedding, the standard deviation.
        bias: standard deviation of its biases.

    Returns:
        The layer.
    """
    layer.init_gain, layer.init_bias = gain, bias
    return layer


def draw_weights(module: nn.Module) -> bool:
    """Draws a fresh layer's weights; returns False for a kind of layer that is none of ours.

    Every layer keeps its input's scale (x its gain): with stock's normal(0.02) a mask is the product of two numbers
    near zero, a saddle.
    """
    gain = getattr(module, "init_gain", 1.0)
    if isinstance(module, PositionalEmbedding):
        init.normal_(module.positional_embedding, std=module.scale)
    elif isinstance(module, nn.Embedding):
        init.normal_(module.weight, std=gain)
    elif isinstance(module, nn.ConvTranspose2d):
        # All taps equal: upsampling by repetition, without a checkerboard, as in the student's decoder.
        shared = torch.randn(*module.weight.shape[:2], 1, 1, device=module.weight.device)
        init.copy_(module.weight, (gain * shared / math.sqrt(module.in_channels)).expand_as(module.weight))
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d | nn.Linear):
        init.normal_(module.weight, std=gain / math.sqrt(module.weight[0].numel()))
        if module.bias is not None:
            init.normal_(module.bias, std=getattr(module, "init_bias", 0.0))
    else:
        return False
    return True


class PositionalEmbedding(nn.Module):
    """Random Fourier features of positions."""

    def __init__(self, width: int, scale: float):
        super().__init__()
        self.scale = scale
        self.positional_embedding = nn.Parameter(torch.empty(2, width // 2), requires_grad=False)

    def forward(self, positions: Tensor) -> Tensor:
        """(..., 2) x, y in [0, 1] -> (..., width) in the model's dtype."""
        with torch.autocast(positions.device.type, enabled=False):
            phase = 2 * math.pi * ((2 * positions.float() - 1) @ self.positional_embedding.float())
            return torch.cat((phase.sin(), phase.cos()), -1).to(self.positional_embedding.dtype)

    def grid(self, height: int, width: int) -> Tensor:
        """(height * width, C): of the middles of cells, row by row."""
        device = self.positional_embedding.device
        y = (torch.arange(height, device=device) + 0.5) / height
        x = (torch.arange(width, device=device) + 0.5) / width
        return self(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)).flatten(0, 1)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, h, w)."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MaskEmbedding(nn.Module):
    """Logits at four times the grid's resolution as a map on the grid."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        # Without biases the first norm would leave the sign of a logit and hide its size.
        self.conv1 = start_with(nn.Conv2d(1, channels // 4, kernel_size=2, stride=2), 1.0, bias=1.0)
        self.conv2 = start_with(nn.Conv2d(channels // 4, channels, kernel_size=2, stride=2), ACTIVATION_GAIN)
        self.conv3 = start_with(nn.Conv2d(channels, width, kernel_size=1), ACTIVATION_GAIN)
        self.layer_norm1 = ChannelNorm(channels // 4)
        self.layer_norm2 = ChannelNorm(channels)

    def forward(self, logits: Tensor) -> Tensor:
        """(O, 4h, 4w) -> (O, width, h, w)."""
        x = F.gelu(self.layer_norm1(self.conv1(logits[:, None])))
        return self.conv3(F.gelu(self.layer_norm2(self.conv2(x))))


class Attention(nn.Module):
    """Attention between two sets of tokens, at a width of choice."""

    def __init__(self, width: int, heads: int, downsample: int = 1):
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width // downsample)
        self.k_proj = nn.Linear(width, width // downsample)
        self.v_proj = nn.Linear(width, width // downsample)
        self.out_proj = nn.Linear(width // downsample, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, known: Tensor | None = None) -> Tensor:
        """Attends.

        Args:
            query: (O, Q, C).
            key: (O, K, C).
            value: (O, K, C).
            known: (O, K) bool, False for keys to pass over; None: none.

        Returns:
            (O, Q, C).
        """
        query, key, value = (
            projection(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        mask = None if known is None else known[:, None, None]
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with a ReLU between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = start_with(nn.Linear(hidden, width), ACTIVATION_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.relu(self.lin1(x)))


class FeedForward(nn.Module):
    """Layers with a ReLU between them; the last one starts with a gain of its own."""

    def __init__(self, width: int, hidden: int, out: int, layers: int, last_gain: float):
        super().__init__()
        self.proj_in = nn.Linear(width, hidden)
        self.layers = nn.ModuleList(start_with(nn.Linear(hidden, hidden), ACTIVATION_GAIN) for _ in range(layers - 2))
        self.proj_out = start_with(nn.Linear(hidden, out), ACTIVATION_GAIN * last_gain)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.proj_in(x))
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.proj_out(x)


class Neck(nn.Module):
    """From the core's patches to the image embedding, as SAM's encoder ends."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=1, bias=False)
        self.layer_norm1 = ChannelNorm(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.layer_norm2 = ChannelNorm(width)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, width, h, w)."""
        return self.layer_norm2(self.conv2(self.layer_norm1(self.conv1(patches))))


class FineFeatures(nn.Module):
    """Two of the depth decoder's maps for the mask decoder to add; fresh ones add nothing."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv_s0 = start_with(nn.Conv2d(channels, width // 8, kernel_size=1), 0.0)
        self.conv_s1 = start_with(nn.Conv2d(channels, width // 4, kernel_size=1), 0.0)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """[`finest_maps`] -> (B, width / 4, 2h, 2w) and (B, width / 8, 4h, 4w)."""
        coarse, fine = maps
        return [self.conv_s1(coarse), self.conv_s0(fine)]


@torch.no_grad()
def box_prior(boxes: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Returns the logits that answers to boxes start from: the box filled, and surer of what is farther outside.

    Args:
        boxes: (O, 4) x1, y1, x2, y2 in pixels; a NaN row: no box, and no prior.
        grid: rows and columns of the image embedding; the map has four times as many.
        size: height and width of the image in pixels.

    Returns:
        (O, 4h, 4w) float32.
    """
    outside = boxes.new_zeros(len(boxes), 1, 1, dtype=torch.float32)
    left, top, right, bottom = (boxes.float() + 0.5)[..., None].unbind(1)
    for axis, (low, high) in ((1, (top, bottom)), (0, (left, right))):
        cells, side = 4 * grid[1 - axis], size[1 - axis]
        middles = (torch.arange(cells, device=boxes.device) + 0.5) * (side / cells)
        length = (high - low).clamp(min=side / cells)  # one cell at least
        beyond = ((middles - (low + high) / 2).abs() / length - 0.5).clamp(min=0)  # (O, cells), in sides of the box
        outside = torch.maximum(outside, beyond[:, :, None] if axis == 1 else beyond[:, None])
    prior = torch.where(outside > 0, (-PRIOR_INSIDE - PRIOR_SLOPE * outside).clamp(min=PRIOR_LEAST), PRIOR_INSIDE)
    return torch.where(boxes.isnan().any(-1)[:, None, None], 0.0, prior)


def finest_maps(blocks: list[Tensor], height: int, width: int) -> tuple[Tensor, Tensor]:
    """The two finest of a depth decoder's maps, (B, C, 2h, 2w) and (B, C, 4h, 4w), of mean square 1 over each image.

    Their own scale is arbitrary, hundreds for some cores, and no one learning rate would fit.
    """
    coarse, fine = (
        F.interpolate(_unit(block), (scale * height, scale * width), mode="bilinear", align_corners=False)
        for block, scale in zip(blocks[-2:], (2, 4), strict=True)
    )
    return coarse, fine


def _unit(maps: Tensor) -> Tensor:
    scale = maps.float().square().mean((1, 2, 3), keepdim=True).sqrt()
    return (maps / torch.where(scale > 0, scale, 1.0)).to(maps.dtype)


__all__ = [
    "Attention",
    "ChannelNorm",
    "FeedForward",
    "FineFeatures",
    "MaskEmbedding",
    "Mlp",
    "Neck",
    "PositionalEmbedding",
    "box_prior",
    "draw_weights",
    "finest_maps",
    "start_with",
]
