"""Procedural textures: hashed noise, the pattern of cells on every surface, road markings, clouds.

Like the ray-caster it keeps to operations that are rounded in one way, so that a picture is the same in any
batch. What is finer than a pixel fades out, since there is one ray per pixel.
"""

import torch

from semidepth.data.scenes.raycast import Rays, Vector
from semidepth.data.scenes.surface import Surface, dot

OCTAVES = 3
_MULTIPLIERS = (73856093, 19349663, 83492791, 0x2C1B3C6D)  # large odd numbers, for hashing


def hash_bits(x: torch.Tensor, y: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Scrambles three int32 maps into one whose low 31 bits look random."""
    return _mix(x * _MULTIPLIERS[0] ^ y * _MULTIPLIERS[1] ^ key * _MULTIPLIERS[2])


def _mix(bits: torch.Tensor) -> torch.Tensor:
    bits = bits.bitwise_xor_(bits >> 15).mul_(_MULTIPLIERS[3])
    return bits.bitwise_xor_(bits >> 12)


def _unit(bits: torch.Tensor) -> torch.Tensor:
    """16 bits as a float in [0, 1)."""
    return bits.bitwise_and_(0xFFFF).float().mul_(1.0 / 65536.0)


def value_noise(u: torch.Tensor, v: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Smooth noise in -1 ... 1: hashed values on the integer lattice, blended.

    Args:
        u, v: (B, N), coordinates in lattice steps.
        key: (B, N), int32, which noise.
    """
    low_u, low_v = u.floor(), v.floor()
    part_u, part_v = u - low_u, v - low_v
    blend_u = part_u * part_u * (3.0 - 2.0 * part_u)
    blend_v = part_v * part_v * (3.0 - 2.0 * part_v)
    left = (low_u.int() * _MULTIPLIERS[0]).bitwise_xor_(key * _MULTIPLIERS[2])
    right = ((low_u + 1.0).int() * _MULTIPLIERS[0]).bitwise_xor_(key * _MULTIPLIERS[2])
    bottom = low_v.int() * _MULTIPLIERS[1]
    top = bottom + _MULTIPLIERS[1]
    lower = _unit(_mix(left ^ bottom))
    lower = lower + (_unit(_mix(right ^ bottom)) - lower) * blend_u
    upper = _unit(_mix(left ^ top))
    upper = upper + (_unit(_mix(right ^ top)) - upper) * blend_u
    return (lower + (upper - lower) * blend_v) * 2.0 - 1.0


def fractal_noise(
    u: torch.Tensor, v: torch.Tensor, key: torch.Tensor, pixels: torch.Tensor, octaves: int = OCTAVES
) -> torch.Tensor:
    """Octaves of value noise in about -1 ... 1; those finer than a pixel are faded out.

    Args:
        u, v: (B, N), in steps of the coarsest lattice.
        key: (B, N), int32.
        pixels: (B, N), lattice steps per pixel.
        octaves: how many, each twice as fine and 0.6 times as strong.
    """
    total, scale, strength = torch.zeros_like(u), 1.0, 0.55
    for octave in range(octaves):
        seen = (1.4 - pixels * scale).clamp(0.0, 1.0) * strength
        total += value_noise(u * scale, v * scale, key + octave) * seen
        scale, strength = scale * 2.0, strength * 0.6
    return total


def surface_color(surface: Surface, material: dict[str, torch.Tensor]) -> tuple[Vector, torch.Tensor, torch.Tensor]:
    """Albedo by the pattern of cells and the noise.

    Returns:
        Linear red, green and blue, the glow of lit panes in 0 ... 1, and the noise in -1 ... 1; each (B, N).
    """
    key = (material["key"] + surface.face).int()
    down = surface.v * material["per_m_v"]
    row = down.floor()
    along = surface.u * material["per_m_u"] + row * material["shift"]
    column = along.floor()
    sharp_u = 1.0 / (surface.footprint * material["per_m_u"] + 1e-6)  # pixels per cell
    sharp_v = 1.0 / (surface.footprint * material["per_m_v"] + 1e-6)
    part_u, part_v = along - column, down - row
    inside = ((material["pane_u"] - (part_u - 0.5).abs()) * sharp_u + 0.5).clamp_(0.0, 1.0)
    inside *= ((material["pane_v"] - (part_v - 0.5).abs()) * sharp_v + 0.5).clamp_(0.0, 1.0)
    wave_u = (((along * 0.5).frac().abs() - 0.5).abs() - 0.25).mul_(2.0 * sharp_u).clamp_(-0.5, 0.5)
    wave_v = (((down * 0.5).frac().abs() - 0.5).abs() - 0.25).mul_(2.0 * sharp_v).clamp_(-0.5, 0.5)
    inside += (0.5 + 2.0 * wave_u * wave_v - inside) * material["check"]
    clear = (torch.minimum(sharp_u, sharp_v) * 0.5 - 0.5).clamp_(0.0, 1.0)
    inside = material["cover"] + (inside - material["cover"]) * clear
    chosen = _unit(hash_bits(column.int(), row.int(), key))
    noise = fractal_noise(
        surface.u * material["frequency"],
        surface.v * material["frequency"],
        key,
        surface.footprint * material["frequency"],
    )
    noise = noise + (1.0 - 5.0 * noise.abs() - noise) * material["vein"]
    shade = 1.0 + material["variation"] * (chosen - 0.5) * clear
    shade = (shade * (1.0 + material["noise"] * noise)).clamp_min_(0.05)
    color = tuple(
        (material[name] + (material["pane_" + name] - material[name]) * inside) * shade
        for name in ("red", "green", "blue")
    )
    lit = ((material["lit"] - chosen) * 1e6).clamp_(0.0, 1.0) * inside
    return color, lit, noise


def with_sky_texture(surface: Surface, rays: Rays, sky: torch.Tensor) -> Surface:
    """Texture coordinates of the clouds, a plane high above, where there is sky."""
    up = rays.direction[1].abs() + 0.15 * dot(rays.direction, rays.direction).sqrt()
    above = up.reciprocal()
    u = surface.u + (rays.direction[0] * above - surface.u) * sky
    v = surface.v + (rays.direction[2] * above - surface.v) * sky
    footprint = surface.footprint * (1.0 - sky) + 0.03 * sky
    return Surface(surface.point, surface.normal, u, v, surface.face * (1.0 - sky), footprint)


def road_paint(surface: Surface, road: torch.Tensor) -> torch.Tensor:
    """1 on the road's dashed middle line and on the lines along its edges, with soft borders a pixel wide."""
    half, width, period = road[:, 0, None], road[:, 1, None], road[:, 2, None]
    x = surface.point[0].abs()
    sharp = 1.0 / (surface.footprint + 1e-6)
    dash = ((0.25 - ((surface.point[2] / period).frac().abs() - 0.5).abs()) * period * sharp + 0.5).clamp_(0.0, 1.0)
    middle = ((width - x) * sharp + 0.5).clamp_(0.0, 1.0) * dash
    edge = ((width - (x - half + 0.35).abs()) * sharp + 0.5).clamp_(0.0, 1.0)
    seen = (2.0 * width * sharp * 2.0).clamp_(0.0, 1.0)
    return torch.maximum(middle, edge) * seen
