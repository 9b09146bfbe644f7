"""Attractors and log-binomial against direct float64 formulas."""

import math

import pytest
import torch
from torch.nn import functional as F

from semidepth.modeling.bin_functions import Readout, attract, conditional_depth, log_binomial_depth


def direct_log_binomial_depth(p: float, temperature: float, centres: torch.Tensor) -> float:
    """One pixel, one bin after the other."""
    n, p, q = len(centres) - 1, max(p, 1e-4), max(1 - p, 1e-4)
    logits = []
    for k in range(n + 1):
        coefficient = n * math.log(n)
        coefficient -= sum(x * math.log(x) for x in (k, n - k) if x)
        logits.append((coefficient + k * math.log(p) + (n - k) * math.log(q)) / temperature)
    weights = [math.exp(logit - max(logits)) for logit in logits]
    return sum(w * c for w, c in zip(weights, centres.tolist(), strict=True)) / sum(weights)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("temperature", [0.0212, 1.0, 50.0])
def test_log_binomial_against_the_direct_formula(p, temperature):
    centres = torch.rand(64).cumsum(0) * 1.2
    arguments = [torch.tensor([p]), torch.tensor([temperature]), centres[None]]
    for argument in arguments:
        argument.requires_grad_()
    found = log_binomial_depth(*arguments)
    assert found.item() == pytest.approx(direct_log_binomial_depth(p, temperature, centres.detach()), rel=1e-5)
    found.backward()
    assert all(argument.grad.isfinite().all() for argument in arguments)


def test_attractors_against_a_loop_and_its_gradient():
    centres = torch.rand(5, 7, dtype=torch.float64, requires_grad=True)
    points = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
    distance = points[:, :, None] - centres[:, None]
    expected = centres + (distance / (1 + 300 * distance**2)).mean(1)
    found = attract(centres, points)
    assert torch.allclose(found.double(), expected, atol=1e-6)
    weights = torch.rand(5, 7, dtype=torch.float64)
    wanted = torch.autograd.grad((expected * weights).sum(), (centres, points))
    got = torch.autograd.grad((found * weights).sum(), (centres, points))
    for mine, theirs in zip(got, wanted, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_depth_of_a_head_against_full_size_maps_and_its_gradient(precision, monkeypatch):
    """The strips against a plain writing with everything resized first; sizes that no strip divides evenly.

    "high" is the way of a GPU, which blends rows without a product.
    """
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)
    maps, embedding = torch.randn(2, 3, 37, 23), torch.randn(2, 4, 9, 6)
    centres = torch.rand(2, 16, 9, 6).cumsum(1)
    first, first_bias = torch.randn(5, 7), torch.randn(5)
    last, last_bias = torch.randn(4, 5), torch.randn(4)
    tensors = [maps, embedding, centres, first, first_bias, last, last_bias]
    for tensor in tensors:
        tensor.requires_grad_()

    def up(x):
        return F.interpolate(x, (37, 23), mode="bilinear", align_corners=True)

    both = torch.cat([maps, up(embedding)], 1)
    hidden = F.gelu(F.conv2d(both, first[:, :, None, None], first_bias))
    out = F.softplus(F.conv2d(hidden, last[:, :, None, None], last_bias)) + 1e-4
    p, share = out[:, 0] / (out[:, 0] + out[:, 1]), out[:, 2] / (out[:, 2] + out[:, 3])
    expected = log_binomial_depth(p, 0.0212 + (50 - 0.0212) * share, up(centres).permute(0, 2, 3, 1))

    coarse = F.conv2d(embedding, first[:, 3:, None, None], first_bias).permute(0, 2, 3, 1)
    readout = Readout(first[:, :3], last, last_bias, 0.0212, 50.0)
    found = conditional_depth((maps,), coarse, centres.permute(0, 2, 3, 1), readout)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    weights = torch.rand_like(expected)
    wanted = torch.autograd.grad((expected * weights).sum(), tensors)
    got = torch.autograd.grad((found * weights).sum(), tensors)
    for mine, theirs in zip(got, wanted, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())
