"""Metric bins: seed centres, attractors that move them, and the log-binomial that turns them into metres.

ZoeDepth (arXiv 2302.12288, section 3). Each pixel has `n_bins` centres; four levels of attractors, coarse to fine,
pull them; the depth is their mean under a log-binomial distribution whose mode and temperature come from a per-pixel
MLP. The arithmetic is in bin_functions.py, in float32 whatever the autocast; here are the layers with weights. Maps of
bins have their channels last: (B, h, w, n_bins). The router that chooses a domain for each image stands at the end.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bin_functions import Readout, attract, conditional_depth

# Added to widths and attractors of the bounded ("normed") kind, so that none is zero (released code).
NORMED_OFFSET = 1e-3
# A fresh head's last layers start this small: the bins start where their biases put them.
SMALL_GAIN = 0.1
# Fresh bins cover the depths from this fraction of the farthest on.
FARTHEST_OVER_NEAREST = 100.0
# An image's own factor on the bin centres lies between e^-2 and e^2.
LARGEST_LOG_SCALE = 2.0
IMAGE_SCALE_HIDDEN = 128
IMAGE_SCALE_DROPOUT = 0.2
# Wavelengths of the positional encoding grow geometrically up to this.
LONGEST_WAVELENGTH = 10_000.0


class Mlp(nn.Module):
    """Two 1 x 1 convolutions with a ReLU between them: (B, C_in, h, w) -> (B, C_out, h, w)."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, hidden, kernel_size=1)
        self.conv2 = nn.Conv2d(hidden, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(x)))


def resize_last(maps: Tensor, height: int, width: int) -> Tensor:
    """(B, h, w, C) -> (B, height, width, C), bilinear, corners aligned."""
    if maps.shape[1:3] == (height, width):
        return maps
    resized = F.interpolate(maps.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=True)
    return resized.permute(0, 2, 3, 1)


def start_at(layer: nn.Conv2d | nn.Linear, biases: list[float]) -> None:
    """Notes how a fresh head's last layer begins: small weights and these biases."""
    layer.init_gain, layer.init_biases = SMALL_GAIN, biases  # type: ignore[assignment]


def spread_depths(count: int, min_depth_m: float, max_depth_m: float) -> list[float]:
    """Depths at equal ratios over a range, metres, not nearer than a hundredth of its end.

    The loss compares logarithms. At equal distances over 80 m, all that is nearer than 10 m would begin with 8 of 64
    bins, and attractors move a centre that is a metre away by millimetres (1 / (1 + 300 * 1^2)).
    """
    near = max(min_depth_m, max_depth_m / FARTHEST_OVER_NEAREST)
    return [near * (max_depth_m / near) ** ((index + 0.5) / count) for index in range(count)]


def inverse_softplus(value: float) -> float:
    """x with log(1 + e^x) = value > 0."""
    return value + math.log(-math.expm1(-value))


class SeedBins(nn.Module):
    """First bin centres of a domain, from the bottleneck; fresh ones are spread over its range."""

    def __init__(self, channels: int, hidden: int, n_bins: int, min_depth_m: float, max_depth_m: float, bounded: bool):
        super().__init__()
        self.mlp = Mlp(channels, hidden, n_bins)
        self.bounded = bounded
        spread = spread_depths(n_bins, min_depth_m, max_depth_m)
        start_at(self.mlp.conv2, [1.0] * n_bins if bounded else [inverse_softplus(depth) for depth in spread])

    def forward(self, bottleneck: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, h, w, n_bins) float32: metres ("softplus"), or rising shares of the range ("normed")."""
        raw = self.mlp(bottleneck).permute(0, 2, 3, 1)
        with torch.autocast(raw.device.type, enabled=False):
            if not self.bounded:
                return F.softplus(raw.float())
            widths = F.relu(raw.float()) + NORMED_OFFSET
            widths = widths / widths.sum(-1, keepdim=True)
            return widths.cumsum(-1) - 0.5 * widths


class Attractors(nn.Module):
    """One level of attractors of one domain; fresh ones are spread over its range."""

    def __init__(
        self, channels: int, count: int, min_depth_m: float, max_depth_m: float, bounded: bool, alpha: float, kind: str
    ):
        super().__init__()
        self.bounded, self.alpha, self.kind = bounded, alpha, kind
        # The bounded kind's released weights have two outputs per attractor, of which the first is used.
        self.mlp = Mlp(channels, channels, count * (2 if bounded else 1))
        if bounded:
            biases = [bias for index in range(count) for bias in ((index + 0.5) / count, 0.0)]
        else:
            biases = [inverse_softplus(depth) for depth in spread_depths(count, min_depth_m, max_depth_m)]
        start_at(self.mlp.conv2, biases)

    def forward(self, embedding: Tensor, centres: Tensor) -> Tensor:
        """Moves centres to a finer level.

        Args:
            embedding: (B, C, h, w) of this level, the coarser one's added.
            centres: (B, h', w', n_bins) float32 of the coarser level.

        Returns:
            (B, h, w, n_bins) float32 in the same unit.
        """
        raw = self.mlp(embedding).permute(0, 2, 3, 1)
        with torch.autocast(raw.device.type, enabled=False):
            points = F.relu(raw.float()[..., ::2]) + NORMED_OFFSET if self.bounded else F.softplus(raw.float())
            return attract(resize_last(centres, *raw.shape[1:3]), points, self.alpha, self.kind)


class ConditionalLogBinomial(nn.Module):
    """Per-pixel mode and temperature from full-size maps and the bin embedding, then metres."""

    def __init__(self, channels: int, embedding: int, factor: int, min_temp: float, max_temp: float):
        super().__init__()
        hidden = (channels + embedding) // factor
        self.channels, self.min_temp, self.max_temp = channels, min_temp, max_temp
        self.conv1 = nn.Conv2d(channels + embedding, hidden, kernel_size=1)
        self.conv2 = nn.Conv2d(hidden, 4, kernel_size=1)
        # A fresh one begins in the middle of the bins and with a temperature near 1, not in the middle of its range.
        share = (1.0 - min_temp) / (max_temp - min_temp) if min_temp < 1.0 < max_temp else 0.5
        positive = (1.0, 1.0, share, 1.0 - share)
        start_at(self.conv2, [inverse_softplus(value) for value in positive])

    def forward(self, maps: tuple[Tensor, ...], embedding: Tensor, centres: Tensor) -> Tensor:
        """Metres per pixel.

        Args:
            maps: (B, C_i, H, W), `channels` in all.
            embedding: (B, C, h, w).
            centres: (B, h, w, n_bins) float32 metres.

        Returns:
            (B, H, W) float32 metres, between the smallest and the largest centre.
        """
        with torch.autocast(embedding.device.type, enabled=False):
            weight, bias = self.conv1.weight.float(), self.conv1.bias
            # Linear, so the embedding's part of the layer runs on its own grid, before it is resized.
            bias = None if bias is None else bias.float()
            hidden = F.conv2d(embedding.float(), weight[:, self.channels :], bias).permute(0, 2, 3, 1)
            assert self.conv2.bias is not None  # made with one above
            readout = Readout(
                weight[:, : self.channels].flatten(1),
                self.conv2.weight.float().flatten(1),
                self.conv2.bias.float(),
                self.min_temp,
                self.max_temp,
            )
            return conditional_depth(maps, hidden, centres, readout)


class ImageScale(nn.Module):
    """One factor an image for the bin centres of a domain, from a summary of the whole image; about 1 while fresh.

    ZoeDepth's heads see one place of the picture each and leave it to the core, which learns along, to bring the scale
    of the scene there. A frozen relative core has no reason to: its loss ignores scale. Figures are in
    docs/semidepth_small.md.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.dropout = nn.Dropout(IMAGE_SCALE_DROPOUT)
        self.linear1 = nn.Linear(channels, IMAGE_SCALE_HIDDEN)
        self.linear2 = nn.Linear(IMAGE_SCALE_HIDDEN, 1)
        start_at(self.linear2, [0.0])

    def forward(self, image: Tensor) -> Tensor:
        """(B, channels) float32, about unit size -> (B, 1, 1, 1) float32, e^-2 to e^2."""
        with torch.autocast(image.device.type, enabled=False):
            hidden = F.linear(self.dropout(image), self.linear1.weight.float(), self.linear1.bias.float())
            raw = F.linear(F.gelu(hidden), self.linear2.weight.float(), self.linear2.bias.float())
            log_scale = LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE)
            return log_scale.exp()[:, :, None, None]


class MetricHead(nn.Module):
    """Layers of one domain: seed bins, four levels of attractors, the image's scale if any, the log-binomial."""

    def __init__(self, domain: dict, config, bottleneck_channels: int, map_channels: int, image_channels: int):
        super().__init__()
        self.min_depth_m, self.max_depth_m = domain["min_depth_m"], domain["max_depth_m"]
        self.bounded = domain["bin_centers_type"] == "normed"
        limits = (self.min_depth_m, self.max_depth_m, self.bounded)
        embedding = config.bin_embedding_dim
        self.seed = SeedBins(bottleneck_channels, config.seed_hidden_size, domain["n_bins"], *limits)
        self.attractors = nn.ModuleList(
            Attractors(embedding, count, *limits, config.attractor_alpha, config.attractor_kind)
            for count in config.num_attractors
        )
        self.log_binomial = ConditionalLogBinomial(
            map_channels, embedding, config.log_binomial_factor, config.min_temp, config.max_temp
        )
        self.image_scale = ImageScale(image_channels) if config.image_scale else None

    def forward(
        self,
        bottleneck: Tensor,
        seed_embedding: Tensor,
        embeddings: list[Tensor],
        maps: tuple[Tensor, ...],
        image: Tensor | None = None,
    ) -> Tensor:
        """Metres.

        Args:
            bottleneck: (B, C, h, w).
            seed_embedding: (B, E, h, w).
            embeddings: one (B, E, h_i, w_i) per level, coarse to fine.
            maps: (B, C_j, H, W) full-size maps.
            image: (B, 2C) summary of each image; only for a head with an image scale.

        Returns:
            (B, H, W) float32 metres, larger is farther.
        """
        centres, before = self.seed(bottleneck), seed_embedding
        for attractors, embedding in zip(self.attractors, embeddings, strict=True):
            resized = F.interpolate(before, embedding.shape[2:], mode="bilinear", align_corners=True)
            centres, before = attractors(embedding + resized, centres), embedding
        return self.log_binomial(maps, embeddings[-1], self.in_metres(centres, image))

    def in_metres(self, centres: Tensor, image: Tensor | None) -> Tensor:
        """Bin centres after the last attractors, in metres: (B, h, w, n_bins) -> the same, float32."""
        if self.bounded:
            # Order holds for the mean of attractors; their sum may overshoot, and stock sorts.
            centres = ((self.max_depth_m - self.min_depth_m) * centres + self.min_depth_m).sort(-1).values
        if self.image_scale is not None:
            assert image is not None  # the model gives it where its configuration has image_scale
            centres = centres * self.image_scale(image)
        return centres.clamp(self.min_depth_m, self.max_depth_m) if self.bounded else centres


class DomainRouter(nn.Module):
    """A small transformer over the bottleneck map; its first token says the domain (arXiv 2302.12288, section 3.4)."""

    def __init__(self, channels: int, domains: int, width: int = 128, layers: int = 4, heads: int = 4, mlp: int = 1024):
        super().__init__()
        self.embedding = nn.Conv2d(channels, width, kernel_size=1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, mlp, dropout=0.1, activation="relu", batch_first=True)
            for _ in range(layers)
        )
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, domains)

    def forward(self, bottleneck: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, domains) float32 logits; row i depends on image i alone."""
        tokens = self.embedding(bottleneck).flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, h*w, width)
        tokens = torch.cat((torch.zeros_like(tokens[:, :1]), tokens), 1)  # an empty token first, to gather the answer
        tokens = tokens + positional_encoding(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens.dtype)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.linear2(torch.relu(self.linear1(tokens[:, 0]))).float()


def positional_encoding(length: int, width: int, device: torch.device) -> Tensor:
    """(length, width) float32: sines of the position in the first half of the channels, cosines in the second."""
    position = torch.arange(length, dtype=torch.float32, device=device)[:, None]
    exponent = torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
    phase = position * LONGEST_WAVELENGTH**-exponent
    return torch.cat((phase.sin(), phase.cos()), 1)


__all__ = [
    "Attractors",
    "ConditionalLogBinomial",
    "DomainRouter",
    "ImageScale",
    "MetricHead",
    "Mlp",
    "SeedBins",
    "positional_encoding",
]
