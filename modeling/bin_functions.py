"""Attractors and log-binomial of the bin heads as functions: float32, in strips that fit a cache, small in training.

A plain writing of these formulas keeps maps of (bins x attractors x H x W) and several of (bins x H x W) for the
backward pass. Here the backward pass recomputes them strip by strip from the few-channel maps that define them, so
no such map exists at any time. Channels come last everywhere: that is where the sums run.

Formulas: ZoeDepth (arXiv 2302.12288, section 3.1) with the constants of its released code.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Added to the four positive outputs that p and the temperature are ratios of (released code).
RATIO_OFFSET = 1e-4
# p and 1 - p are kept at least this far from 0 (released code).
PROBABILITY_FLOOR = 1e-4
# Bins x pixels of a strip: a few buffers of this many float32 stay in a core's cache; a GPU wants fewer, larger
# kernels.
STRIP_ELEMENTS = {"cpu": 2**19}
STRIP_ELEMENTS_OTHER = 2**25


@torch.compiler.disable  # the compiler would unroll the strips
def attract(centres: Tensor, points: Tensor, alpha: float = 300.0, kind: str = "mean") -> Tensor:
    """Moves bin centres towards attractor points: c + mean_a dx / (1 + alpha * dx^2), dx = point_a - c.

    With "mean" the order of the centres is kept: each term's slope in c is at least -1.

    Args:
        centres: (..., K), in the unit of the points.
        points: (..., A), the same leading sizes.
        alpha: how fast the pull fades with distance.
        kind: "mean" or "sum" over the attractors.

    Returns:
        (..., K) float32.
    """
    flat = centres.float().reshape(-1, centres.shape[-1])
    weight = 1.0 / points.shape[-1] if kind == "mean" else 1.0
    with torch.autocast(centres.device.type, enabled=False):
        moved = _Attract.apply(flat, points.float().reshape(-1, points.shape[-1]), float(alpha), weight)
    return moved.view(centres.shape)


class _Attract(torch.autograd.Function):
    """Loops over attractors, strip by strip; the backward pass computes the slopes anew."""

    @staticmethod
    def forward(ctx: Any, centres: Tensor, points: Tensor, alpha: float, weight: float) -> Tensor:
        ctx.save_for_backward(centres, points)
        ctx.alpha, ctx.weight = alpha, weight
        moved = torch.empty_like(centres)
        one = centres.new_ones(())
        for rows in _strips(len(centres), centres.shape[1], centres.device):
            centre, pull = centres[rows], torch.zeros_like(centres[rows])
            for point in points[rows].split(1, dim=1):
                distance = point - centre
                pull.addcdiv_(distance, torch.addcmul(one, distance, distance, value=alpha))
            torch.add(centre, pull, alpha=weight, out=moved[rows])
        return moved

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        centres, points = ctx.saved_tensors
        grad_centres, grad_points = torch.empty_like(centres), torch.empty_like(points)
        for rows in _strips(len(centres), centres.shape[1], centres.device):
            centre, given, slopes = centres[rows], grad[rows], torch.zeros_like(centres[rows])
            for index, point in enumerate(points[rows].split(1, dim=1)):
                square = (point - centre).square_().mul_(ctx.alpha)
                # d/dx of x / (1 + alpha x^2) is (1 - u) / (1 + u)^2 with u = alpha x^2
                slope = (1 - square).div_(square.add_(1).square_())
                slopes += slope
                torch.sum(slope.mul_(given), dim=1, out=grad_points[rows, index])
            torch.addcmul(given, given, slopes, value=-ctx.weight, out=grad_centres[rows])
        return grad_centres, grad_points.mul_(ctx.weight), None, None


def log_binomial_depth(probability: Tensor, temperature: Tensor, centres: Tensor) -> Tensor:
    """Expected bin centre under a log-binomial: sum_k softmax_k((log C(n,k) + k log p + (n-k) log(1-p)) / t) * c_k.

    n = K - 1; log C(n,k) is Stirling's, as in the released code. p and 1 - p are clamped to at least 1e-4.

    Args:
        probability: (...) in [0, 1].
        temperature: (...) > 0.
        centres: (..., K), any unit.

    Returns:
        (...) float32 in the unit of the centres.
    """
    shape = probability.shape
    with torch.autocast(centres.device.type, enabled=False):
        scale, tilt = _scale_and_tilt(probability.float().reshape(-1), temperature.float().reshape(-1))
        return _Expectation.apply(scale, tilt, centres.float().reshape(-1, centres.shape[-1])).view(shape)


def _scale_and_tilt(probability: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    """(1 / t, logit(p) / t): all that softmax over k sees of p and t, since n log(1-p) is the same for every k."""
    log_p = probability.clamp(PROBABILITY_FLOOR, 1.0).log()
    log_q = (1.0 - probability).clamp(PROBABILITY_FLOOR, 1.0).log()
    scale = 1.0 / temperature
    return scale, (log_p - log_q) * scale


def log_binomial_coefficients(n_bins: int, device: torch.device) -> Tensor:
    """log C(n, k) for k = 0 .. n = n_bins - 1 by Stirling's formula without its root: (n_bins,) float32.

    Computed where it is used: a non-persistent buffer would come back from `from_pretrained` as garbage.
    """
    k = torch.arange(n_bins, dtype=torch.float64, device="cpu")
    n = torch.tensor(float(n_bins - 1), dtype=torch.float64)
    logarithms = (torch.xlogy(n, n) - torch.xlogy(k, k) - torch.xlogy(n - k, n - k)).float()
    return logarithms.to(device, non_blocking=True)


class _Expectation(torch.autograd.Function):
    """sum_k softmax_k(scale * log C_k + tilt * k) * c_k for (P,), (P,) and (P, K); its slopes are covariances."""

    @staticmethod
    def forward(ctx: Any, scale: Tensor, tilt: Tensor, centres: Tensor) -> Tensor:
        coefficients = log_binomial_coefficients(centres.shape[1], centres.device)
        k = torch.arange(centres.shape[1], dtype=centres.dtype, device=centres.device)
        # Not a matrix product, which a "high" float32 precision would round to 10 bits of mantissa.
        logits = (tilt[:, None] * k).addcmul_(scale[:, None], coefficients)
        probabilities = logits.softmax(1)
        expected = (probabilities * centres).sum(1)
        ctx.save_for_backward(probabilities, centres, expected, coefficients, k)
        return expected

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        probabilities, centres, expected, coefficients, k = ctx.saved_tensors
        grad_centres = probabilities * grad[:, None]
        grad_logits = (centres - expected[:, None]).mul_(grad_centres)
        return torch.mv(grad_logits, coefficients), torch.mv(grad_logits, k), grad_centres


class Readout(NamedTuple):
    """The last layers of a head and the range of its temperature.

    weight_in: (hidden, M), the first layer's columns for the full-size maps.
    weight_out: (4, hidden).
    bias_out: (4,).
    """

    weight_in: Tensor
    weight_out: Tensor
    bias_out: Tensor
    min_temp: float
    max_temp: float


@torch.compiler.disable
def conditional_depth(maps: tuple[Tensor, ...], hidden: Tensor, centres: Tensor, readout: Readout) -> Tensor:
    """Depth from full-size features, and hidden units and bin centres on a coarser grid.

    For each pixel: out = weight_out @ gelu(weight_in @ maps + up(hidden)) + bias_out; p and t are ratios of its
    softplus; depth = the log-binomial's expectation of up(centres). up is bilinear with align_corners. The hidden
    units' share of the coarse features was computed on their own grid: a 1 x 1 convolution commutes with resizing.

    Args:
        maps: (B, M_i, H, W) tensors whose channels sum to M, in any memory order.
        hidden: (B, h, w, hidden), the rest of the first layer with its bias.
        centres: (B, h, w, K), metres.
        readout: the layers.

    Returns:
        (B, H, W) float32, metres.
    """
    tensors = [x.float() for x in (*maps, hidden, centres, *readout[:3])]
    plan = _Plan(maps[0].shape[2:], hidden.shape[1], readout.min_temp, readout.max_temp, len(maps))
    with torch.autocast(hidden.device.type, enabled=False):
        return _ConditionalDepth.apply(plan, *tensors)


class _Plan(NamedTuple):
    size: torch.Size  # (H, W)
    source_rows: int  # h
    min_temp: float
    max_temp: float
    n_maps: int


def _source_rows(plan: _Plan, rows: slice) -> tuple[slice, Tensor, Tensor, Tensor]:
    """The coarse rows that these rows lie between; for each the upper one, the lower one, the lower one's share."""
    step = (plan.source_rows - 1) / max(plan.size[0] - 1, 1)
    position = torch.arange(rows.start, rows.stop, dtype=torch.float64) * step
    upper = position.floor().long().clamp(0, plan.source_rows - 1)
    lower = (upper + 1).clamp(max=plan.source_rows - 1)
    first, last = int(upper[0]), int(lower[-1])
    return slice(first, last + 1), upper - first, lower - first, (position - upper).float()


def _slice(plan: _Plan, tensors: Any, image: int, rows: slice) -> list[Tensor]:
    """The parts of the tensors that a strip of one image reads."""
    source = _source_rows(plan, rows)[0]
    maps, coarse = tensors[: plan.n_maps], tensors[plan.n_maps : plan.n_maps + 2]
    return [*(x[image, :, rows] for x in maps), *(x[image, source] for x in coarse), *tensors[plan.n_maps + 2 :]]


def _strip_depth(plan: _Plan, rows: slice, *parts: Tensor) -> Tensor:
    """(rows, W) depth from what [`_slice`] gives."""
    maps = parts[: plan.n_maps]
    hidden, centres, weight_in, weight_out, bias_out = parts[plan.n_maps :]
    source, upper, lower, share = _source_rows(plan, rows)
    device, width = hidden.device, plan.size[1]
    upper, lower, share = (x.to(device, non_blocking=True) for x in (upper, lower, share[:, None]))
    # A product with two weights per row is twice as fast on a CPU as picking rows and blending them, but a GPU, and any
    # device that was allowed "high" or "medium" products, would round it.
    by_product = device.type == "cpu" and torch.get_float32_matmul_precision() == "highest"
    if by_product:
        blend = hidden.new_zeros(len(share), source.stop - source.start)
        blend.scatter_(1, upper[:, None], 1 - share).scatter_add_(1, lower[:, None], share)

    def up(coarse: Tensor) -> Tensor:  # (n, w, C) -> (rows * W, C)
        # The batch axis goes in front first: its stride decides whether the map counts as channels-last, uncopied.
        wide = coarse[None].permute(0, 3, 1, 2)
        if coarse.shape[1] != width:
            wide = F.interpolate(wide, size=(coarse.shape[0], width), mode="bilinear", align_corners=True)
        wide = wide.permute(0, 2, 3, 1)[0]
        if by_product:
            return (blend @ wide.flatten(1)).view(-1, wide.shape[-1])
        return torch.lerp(wide.index_select(0, upper), wide.index_select(0, lower), share[..., None]).flatten(0, 1)

    columns = maps[0].flatten(1) if len(maps) == 1 else torch.cat([x.flatten(1) for x in maps])  # (M, rows * W)
    units = F.gelu(up(hidden).addmm_(columns.t(), weight_in.t()))
    out = F.softplus(torch.addmm(bias_out[:, None], weight_out, units.t())) + RATIO_OFFSET  # (4, rows * W)
    probability, share_of_range = out[0] / (out[0] + out[1]), out[2] / (out[2] + out[3])
    temperature = plan.min_temp + (plan.max_temp - plan.min_temp) * share_of_range
    scale, tilt = _scale_and_tilt(probability, temperature)
    return _Expectation.apply(scale, tilt, up(centres)).view(-1, width)


class _ConditionalDepth(torch.autograd.Function):
    """[`conditional_depth`] in strips; the backward pass runs each strip again and differentiates it."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        ctx.plan = plan
        depth = tensors[0].new_empty((len(tensors[0]), *plan.size))
        for image, rows in _image_strips(plan, tensors):
            depth[image, rows] = _strip_depth(plan, rows, *_slice(plan, tensors, image, rows))
        return depth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan, tensors = ctx.plan, ctx.saved_tensors
        wanted = [index for index, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        # Coarse rows are shared by neighbouring strips, so their gradients add up; so do the weights'.
        grads = {index: torch.zeros_like(tensors[index]) for index in wanted}
        with torch.autocast(grad.device.type, enabled=False):
            for image, rows in _image_strips(plan, tensors):
                parts = [part.detach() for part in _slice(plan, tensors, image, rows)]
                with torch.enable_grad():
                    leaves = [parts[index].requires_grad_() for index in wanted]
                    depth = _strip_depth(plan, rows, *parts)
                found = torch.autograd.grad(depth, leaves, grad[image, rows])
                places = _slice(plan, [grads.get(i, t) for i, t in enumerate(tensors)], image, rows)
                for index, value in zip(wanted, found, strict=True):
                    places[index] += value
        return None, *(grads.get(index) for index in range(len(tensors)))


def _image_strips(plan: _Plan, tensors: Any) -> Iterator[tuple[int, slice]]:
    """Every image's strips of whole rows."""
    centres = tensors[plan.n_maps + 1]
    for image in range(len(centres)):
        for rows in _strips(plan.size[0], centres.shape[-1] * plan.size[1], centres.device):
            yield image, rows


def _strips(length: int, elements_each: int, device: torch.device) -> Iterator[slice]:
    """Slices over `length` items of `elements_each` numbers that are as long as the cache allows."""
    step = max(1, STRIP_ELEMENTS.get(device.type, STRIP_ELEMENTS_OTHER) // elements_each)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


__all__ = ["Readout", "attract", "conditional_depth", "log_binomial_coefficients", "log_binomial_depth"]
