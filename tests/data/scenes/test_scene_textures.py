"""Noise and patterns."""

import pytest
import torch

from semidepth.data.scenes.materials import MATERIAL, NEVER
from semidepth.data.scenes.surface import Surface
from semidepth.data.scenes.textures import (
    fractal_noise,
    hash_bits,
    surface_color,
    value_noise,
)

KEY = torch.zeros(1, 1, dtype=torch.int32)


def paint(u: list[float], v: list[float], footprint: float = 1e-4, **changed: float) -> torch.Tensor:
    """Red of a black wall with white panes at some places."""
    plain = dict.fromkeys(MATERIAL, 0.0) | {"pane_red": 1.0, "per_m_u": 1.0, "per_m_v": 1.0, "frequency": 1.0}
    plain |= {"pane_u": NEVER, "pane_v": NEVER} | changed
    zero = torch.zeros(1, len(u))
    flat = (zero, zero, zero)
    surface = Surface(flat, flat, torch.tensor([u]), torch.tensor([v]), zero, zero + footprint)
    color, _, _ = surface_color(surface, {name: zero + value for name, value in plain.items()})
    return color[0][0]


def test_noise_is_smooth_bounded_and_fixed_on_the_lattice():
    u, v = torch.meshgrid(torch.linspace(-5, 5, 401), torch.linspace(-5, 5, 401), indexing="xy")
    noise = value_noise(u.reshape(1, -1), v.reshape(1, -1), KEY).view(401, 401)
    assert noise.abs().max() <= 1
    assert noise.std() > 0.3
    assert abs(noise.mean()) < 0.1
    # 40 steps per cell; a smooth step of 3 t^2 - 2 t^3 rises by 1.5 / 40 of a difference of at most 2
    assert max(noise.diff(dim=0).abs().max(), noise.diff(dim=1).abs().max()) <= 2 * 1.5 / 40 + 1e-4
    lattice = noise[::40, ::40]
    bits = hash_bits(torch.arange(-5, 6, dtype=torch.int32)[None], torch.arange(-5, 6, dtype=torch.int32)[:, None], KEY)
    torch.testing.assert_close(lattice, (bits & 0xFFFF).float() / 32768 - 1, atol=2e-3, rtol=0)
    middle = noise[20::40, 20::40]  # half way, all four corners weigh the same
    corners = (lattice[1:, 1:] + lattice[1:, :-1] + lattice[:-1, 1:] + lattice[:-1, :-1]) / 4
    torch.testing.assert_close(middle, corners, atol=2e-3, rtol=0)


def test_noise_differs_by_key_and_fades_when_finer_than_a_pixel():
    u = torch.rand(1, 500, generator=torch.Generator().manual_seed(0)) * 50
    first = value_noise(u, u * 0.3, KEY)
    assert (value_noise(u, u * 0.3, KEY + 1) - first).abs().mean() > 0.2
    assert fractal_noise(u, u, KEY, torch.zeros_like(u)).abs().mean() > 0.1
    assert fractal_noise(u, u, KEY, torch.full_like(u, 2.0)).abs().max() == 0


def test_hash_bits_are_fair():
    bits = hash_bits(torch.arange(4096, dtype=torch.int32), torch.full((1,), 7, dtype=torch.int32), KEY[0])
    for place in range(16):
        assert abs(((bits >> place) & 1).float().mean() - 0.5) < 0.05, place
    assert len((bits & 0xFFFF).unique()) > 3700  # 4096 throws into 65536: about 3970 different ones


def test_pattern_by_hand():
    window = {"pane_u": 0.25, "pane_v": 0.25, "cover": 0.25}
    # the middle of a cell, its border, the middle of another one
    assert paint([0.5, 0.1, 3.5], [0.5, 0.5, -1.5], **window).tolist() == [1.0, 0.0, 1.0]
    # with every row moved by half a cell
    assert paint([0.5, 0.0], [1.5, 1.5], shift=0.5, **window).tolist() == [0.0, 1.0]
    # twice as many cells per metre along the wall
    assert paint([0.25, 0.5], [0.5, 0.5], per_m_u=2.0, **window).tolist() == [1.0, 0.0]


def test_checks_alternate():
    places = [float(n) for n in range(6)]
    along = paint(places, [0.0] * 6, check=1.0, cover=0.5)
    up = paint([0.0] * 6, places, check=1.0, cover=0.5)
    assert along.tolist() == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    assert up.tolist() == along.tolist()


def test_a_pattern_finer_than_a_pixel_becomes_its_mean():
    far = paint([0.5, 0.1, 0.9], [0.5, 0.5, 0.1], footprint=3.0, pane_u=0.25, pane_v=0.25, cover=0.25)
    assert far.tolist() == pytest.approx([0.25] * 3)
