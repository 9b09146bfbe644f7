"""Models rewritten for the ONNX exporter: without decisions on the host, without strips, for any size.

The models themselves work in strips of a length that depends on the size, put images in groups by domain, and one
encoder resizes its position embeddings by an operation that exporters freeze at the example's size. Here is the same
arithmetic in plain operations on whole maps, on the models' own weights. It is for inference and keeps maps of
(bins x H x W), which the models avoid.
"""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.modeling.bin_functions import PROBABILITY_FLOOR, RATIO_OFFSET, log_binomial_coefficients
from semidepth.modeling.depth_cores import core_features
from semidepth.modeling.metric_bins import NORMED_OFFSET, Attractors, ConditionalLogBinomial, MetricHead

# PyTorch's cubic kernel: -0.75 without antialiasing, -0.5 (Keys 1981) with it.
CUBIC = -0.5


class StudentGraph(nn.Module):
    """Student whose only output is the depth: (B, 3, H, W) -> (B, H, W) inverse depth."""

    outputs = ("predicted_depth",)

    def __init__(self, model: DepthStudentForDepthEstimation):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.model(pixel_values=pixel_values).predicted_depth


class MetricGraph(nn.Module):
    """Metric model with one domain: (B, 3, H, W) -> (B, H, W) metres."""

    outputs: tuple[str, ...] = ("predicted_depth",)

    def __init__(self, model: RoutedDepthForDepthEstimation):
        super().__init__()
        self.model = model
        self.heads = nn.ModuleList(HeadGraph(head) for head in model.heads)  # type: ignore[arg-type]

    def forward(self, pixel_values: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self._depths(pixel_values)[0][0]

    def _depths(self, pixel_values: Tensor) -> tuple[list[Tensor], Tensor]:
        """Returns (B, H, W) metres of each head, and the (B, C, h, w) features that the router sees."""
        model = self.model
        core = core_features(model.core, pixel_values).divided(model.core_scales)
        bottleneck = model.bottleneck(core.bottleneck)
        maps = (core.activation, core.relative[:, None]) if model.config.relative_conditioning else (core.activation,)
        seed = model.seed_projector(bottleneck)
        embeddings = [projector(block) for projector, block in zip(model.projectors, core.blocks, strict=True)]
        image = None if model.image_summary is None else model.image_summary(core)
        return [head(bottleneck, seed, embeddings, maps, image) for head in self.heads], bottleneck


class RoutedGraph(MetricGraph):
    """Metric model with several domains: every head sees every image, and the depth of one is chosen afterwards.

    Returns predicted_depth (B, H, W), metres of the head that the router chose; domain_logits (B, D); domain (B,), the
    index of that head; and depth_by_domain (B, D, H, W), metres of all heads.
    """

    outputs = ("predicted_depth", "domain_logits", "domain", "depth_by_domain")

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        depths, bottleneck = self._depths(pixel_values)
        assert self.model.router is not None  # there is one from two domains on
        logits = self.model.router(bottleneck)
        domain = logits.argmax(1)
        predicted = depths[0]
        for index, depth in enumerate(depths[1:], start=1):
            predicted = torch.where((domain == index)[:, None, None], depth, predicted)
        return predicted, logits, domain, torch.stack(depths, 1)


class HeadGraph(nn.Module):
    """Metric head, see [`MetricHead`], in plain operations."""

    coefficients: Tensor
    steps: Tensor

    def __init__(self, head: MetricHead):
        super().__init__()
        self.head = head
        bins = head.seed.mlp.conv2.out_channels
        self.register_buffer("coefficients", log_binomial_coefficients(bins, torch.device("cpu")).view(1, -1, 1, 1))
        self.register_buffer("steps", torch.arange(bins, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(
        self,
        bottleneck: Tensor,
        seed: Tensor,
        embeddings: list[Tensor],
        maps: tuple[Tensor, ...],
        image: Tensor | None = None,
    ) -> Tensor:
        head = self.head
        centres, before = head.seed(bottleneck), seed
        for attractors, embedding in zip(head.attractors, embeddings, strict=True):
            centres = _attracted(attractors, embedding + _resized(before, embedding), centres)  # type: ignore[arg-type]
            before = embedding
        centres = head.in_metres(centres, image).permute(0, 3, 1, 2)
        return self._expected(head.log_binomial, maps, embeddings[-1], centres)

    def _expected(
        self, mixture: ConditionalLogBinomial, maps: tuple[Tensor, ...], embedding: Tensor, centres: Tensor
    ) -> Tensor:
        """Returns (B, H, W) metres; centres are (B, K, h, w)."""
        weight, channels = mixture.conv1.weight, mixture.channels
        hidden = F.conv2d(embedding, weight[:, channels:], mixture.conv1.bias)
        whole = torch.cat(maps, 1)
        units = F.gelu(F.conv2d(whole, weight[:, :channels]) + _resized(hidden, whole))
        out = F.softplus(mixture.conv2(units)) + RATIO_OFFSET  # (B, 4, H, W)
        probability = out[:, 0:1] / (out[:, 0:1] + out[:, 1:2])
        share = out[:, 2:3] / (out[:, 2:3] + out[:, 3:4])
        temperature = mixture.min_temp + (mixture.max_temp - mixture.min_temp) * share
        log_p = probability.clamp(PROBABILITY_FLOOR, 1.0).log()
        log_q = (1.0 - probability).clamp(PROBABILITY_FLOOR, 1.0).log()
        logits = (self.coefficients + self.steps * (log_p - log_q)) / temperature  # (B, K, H, W)
        return (logits.softmax(1) * _resized(centres, whole)).sum(1)


def _attracted(attractors: Attractors, embedding: Tensor, centres: Tensor) -> Tensor:
    """Moves bin centres as [`Attractors`] does, without strips: (B, h', w', K) -> (B, h, w, K)."""
    raw = attractors.mlp(embedding).permute(0, 2, 3, 1)
    points = F.relu(raw[..., ::2]) + NORMED_OFFSET if attractors.bounded else F.softplus(raw)
    coarse = centres.permute(0, 3, 1, 2)
    centres = _resized(coarse, embedding).permute(0, 2, 3, 1)
    # All attractors at once (a finer level has fewer of them): a loop would be unrolled, and the export would take
    # several times as long.
    distance = points[..., None, :] - centres[..., None]  # (B, h, w, K, A)
    pull = distance / (1 + attractors.alpha * distance * distance)
    return centres + (pull.mean(-1) if attractors.kind == "mean" else pull.sum(-1))


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    """Resizes (B, C, h, w) to the size of another map; also where they are equal, as other images may differ."""
    return F.interpolate(maps, like.shape[2:], mode="bilinear", align_corners=True)


def resize_weights(count: Tensor, source: int) -> Tensor:
    """Returns one axis of PyTorch's antialiased bicubic resizing as a matrix.

    Args:
        count: (n,) the numbers 0 to n - 1 as float32, one for each new position.
        source: how many positions there were.

    Returns:
        (n, source) float32; rows sum to 1.
    """
    step = source / count.shape[0]  # old positions per new one
    # The kernel widens where the axis shrinks; Resize with antialiasing is this, too.
    widening = torch.clamp(torch.ones_like(count) * step, min=1.0)[:, None]
    centre = (count[:, None] + 0.5) * step
    old = torch.arange(source, dtype=torch.float32) + 0.5
    x = ((old[None] - centre) / widening).abs()
    inner = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    outer = ((x - 5) * x + 8) * x * CUBIC - 4 * CUBIC
    weights = torch.where(x < 1, inner, torch.where(x < 2, outer, torch.zeros_like(x)))
    return weights / weights.sum(1, keepdim=True)


@contextlib.contextmanager
def followable(model: nn.Module) -> Iterator[None]:
    """Replaces, while it is open, what the exporter cannot follow in a model by plain operations.

    These are the position embeddings of DINOv2 with registers, which are resized bicubically with antialiasing (torch's
    exporter writes the example's size into the file), those of plain DINOv2, which are resized for all sizes but one
    (a program of torch.export then refuses that one), and the fused transformer layers of the router.
    """
    kinds = {"Dinov2WithRegistersEmbeddings": _Antialiased, "Dinov2Embeddings": _Positions}
    resized = [module for module in model.modules() if type(module).__name__ in kinds]
    fused = torch.backends.mha.get_fastpath_enabled()
    for module in resized:
        module.interpolate_pos_encoding = kinds[type(module).__name__](module)  # type: ignore[assignment]
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for module in resized:
            del module.interpolate_pos_encoding


class _Positions:
    """Replacement for `interpolate_pos_encoding` of a DINOv2: always resized."""

    def __init__(self, embeddings: nn.Module):
        self.positions: Tensor = embeddings.position_embeddings  # type: ignore[assignment]
        self.patch: tuple[int, int] = embeddings.patch_embeddings.patch_size  # type: ignore[assignment, union-attr]

    def __call__(self, embeddings: Tensor, height: int, width: int) -> Tensor:
        """Returns (1, 1 + rows * columns, C) for an image of height x width pixels."""
        side = math.isqrt(self.positions.shape[1] - 1)
        grid = self.positions[0, 1:].float().view(side, side, -1)
        grid = self.resize(grid, height // self.patch[0], width // self.patch[1]).flatten(0, 1)[None]
        return torch.cat((self.positions[:, :1], grid.to(self.positions.dtype)), 1)

    def resize(self, grid: Tensor, rows: int, columns: int) -> Tensor:
        """Resizes (side, side, C) to (rows, columns, C)."""
        maps = grid.permute(2, 0, 1)[None]
        return F.interpolate(maps, (rows, columns), mode="bicubic", align_corners=False)[0].permute(1, 2, 0)


class _Antialiased(_Positions):
    """The same of a DINOv2 with registers."""

    def resize(self, grid: Tensor, rows: int, columns: int) -> Tensor:
        """Resizes (side, side, C) to (rows, columns, C)."""
        down, across = (
            resize_weights(torch.arange(count, dtype=torch.float32), grid.shape[0]) for count in (rows, columns)
        )
        grid = torch.einsum("ri,ijc->rjc", down, grid)
        return torch.einsum("sj,rjc->rsc", across, grid)


__all__ = ["MetricGraph", "RoutedGraph", "StudentGraph", "followable", "resize_weights"]
