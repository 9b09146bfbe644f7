"""The colour of what the rays have met: surface, texture, lights with shadows, contact shade, fog and sky.

Like the ray-caster it keeps to operations that are rounded in one way, so that an image is the same in any batch.
Everything is a (B, N) map; the numbers of a pixel's material are gathered once by its slot.
"""

from dataclasses import dataclass

import torch

from semidepth.training.data.scene_materials import MATERIAL
from semidepth.training.data.scene_raycast import Rays, Solids, Vector, any_hit, make_rays
from semidepth.training.data.scene_styles import Look

OCTAVES = 3
_MULTIPLIERS = (73856093, 19349663, 83492791, 0x2C1B3C6D)  # large odd numbers, for hashing


@dataclass(frozen=True)
class Surface:
    """What each pixel shows; every map is (B, N).

    Args:
        point: world x, y, z, metres.
        normal: world x, y, z, unit length, facing the camera.
        u, v: metres along and up the surface, for textures.
        face: 0, 1 or 2 for surfaces whose normal lies mostly along their own x, y or z.
        footprint: metres of surface that a pixel covers, at least along one direction.
    """

    point: Vector
    normal: Vector
    u: torch.Tensor
    v: torch.Tensor
    face: torch.Tensor
    footprint: torch.Tensor


def find_surface(solids: Solids, rays: Rays, depth: torch.Tensor, slot: torch.Tensor, pixel: torch.Tensor) -> Surface:
    """Places, normals and texture coordinates of the hits.

    Args:
        solids: B scenes of P slots.
        rays: the camera's rays.
        depth: (B, N), metres, finite.
        slot: (B, N), int64, below P.
        pixel: (B, 1), size of a pixel at one metre, metres.
    """
    table = solids.table.squeeze(-1)  # (8, P, B)
    x, y, z, half_x, half_y, half_z, cos_yaw, sin_yaw = (part.t().gather(1, slot) for part in table)
    point = tuple(o + depth * d for o, d in zip(rays.origin, rays.direction, strict=True))
    offset = [p - c for p, c in zip(point, (x, y, z), strict=True)]
    local_x = cos_yaw * offset[0] - sin_yaw * offset[2]
    local_z = sin_yaw * offset[0] + cos_yaw * offset[2]
    scaled = [local_x / half_x, offset[1] / half_y, local_z / half_z]  # the surface lies at 1
    sphere = (slot >= solids.spheres.start).float()
    cylinder = (slot >= solids.cylinders.start).float() - sphere
    across = [part.abs() for part in scaled]
    cap = (across[1] * across[1] > scaled[0] * scaled[0] + scaled[2] * scaled[2]).float()
    across[1] = across[1] * (1.0 - cylinder) + 2.0 * (cylinder * cap)
    most = torch.maximum(torch.maximum(across[0], across[1]), across[2])
    along_x = (across[0] >= most).float()
    along_y = (across[1] >= most).float() * (1.0 - along_x)
    along_z = 1.0 - along_x - along_y
    curved = sphere + cylinder * (1.0 - cap)
    flat = 1.0 - curved
    n_x = scaled[0] * curved + scaled[0].sign() * (flat * along_x)
    n_y = scaled[1] * (curved * sphere) + scaled[1].sign() * (flat * along_y)
    n_z = scaled[2] * curved + scaled[2].sign() * (flat * along_z)
    normal = [cos_yaw * n_x + sin_yaw * n_z, n_y, cos_yaw * n_z - sin_yaw * n_x]
    facing = sum(n * d for n, d in zip(normal, rays.direction, strict=True))
    toward = -facing.sign()
    length = (_dot(rays.direction, rays.direction)).sqrt()
    slant = (facing.abs() / length).clamp_min(0.1)
    return Surface(
        point=point,
        normal=tuple(n * toward for n in normal),
        u=along_x * local_z + (1.0 - along_x) * local_x,
        v=along_y * local_z + (1.0 - along_y) * point[1],
        face=along_y + 2.0 * along_z,
        footprint=depth * pixel / slant,
    )


def _dot(a: Vector, b: Vector) -> torch.Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


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


def shade(
    solids: Solids, look: Look, rays: Rays, depth: torch.Tensor, slot: torch.Tensor, pixel: torch.Tensor, road: torch.Tensor
) -> Vector:
    """Linear colour of each pixel before the camera's effects.

    Args:
        solids, look: B scenes.
        rays: the camera's rays.
        depth: (B, N), metres, inf for sky.
        slot: (B, N), int64; P for sky.
        pixel: (B, 1), size of a pixel at one metre, metres.
        road: (B, 3), see `Layout`.

    Returns:
        Red, green, blue, each (B, N), from 0 up.
    """
    street = solids.faces == 1
    last = solids.spheres.stop - 1
    surface = find_surface(solids, rays, depth.clamp_max(1e3), slot.clamp_max(last), pixel)
    material = {name: look.material[:, row].gather(1, slot) for row, name in enumerate(MATERIAL)}
    if street:
        sky = (slot > last).float()
        surface = _with_sky_texture(surface, rays, sky)
    albedo, lit, noise = surface_color(surface, material)
    if street:
        paint = _road_paint(surface, road) * (slot == 0).float()
        albedo = tuple(part + (0.6 - part) * paint for part in albedo)
    light = _light(solids, look, surface)
    glow = material["glow"] + lit * 1.5
    color = [a * (incoming + glow) for a, incoming in zip(albedo, light, strict=True)]
    # exp(-x) as (1 + x / 8) ** -8, with operations that are rounded in one way
    clear = (1.0 + depth.clamp_max(1e3) * look.fog_density[:, None] * 0.125).reciprocal_()
    clear = clear.square_().square_().square_()
    for channel in range(3):
        fog = look.fog_color[:, channel, None]
        color[channel] = fog + (color[channel] - fog) * clear
        if street:
            above = _sky_color(look, rays, noise, channel)
            color[channel] = color[channel] + (above - color[channel]) * sky
    return (color[0], color[1], color[2])


def _with_sky_texture(surface: Surface, rays: Rays, sky: torch.Tensor) -> Surface:
    """Texture coordinates of the clouds, a plane high above, where there is sky."""
    up = rays.direction[1].abs() + 0.15 * _dot(rays.direction, rays.direction).sqrt()
    above = up.reciprocal()
    u = surface.u + (rays.direction[0] * above - surface.u) * sky
    v = surface.v + (rays.direction[2] * above - surface.v) * sky
    footprint = surface.footprint * (1.0 - sky) + 0.03 * sky
    return Surface(surface.point, surface.normal, u, v, surface.face, footprint)


def _sky_color(look: Look, rays: Rays, noise: torch.Tensor, channel: int) -> torch.Tensor:
    length = _dot(rays.direction, rays.direction).sqrt()
    rise = (rays.direction[1] / length).clamp(0.0, 1.0)
    horizon, zenith, cloud = (part[:, channel, None] for part in (look.horizon, look.zenith, look.cloud))
    sky = horizon + (zenith - horizon) * (rise * (2.0 - rise))
    cover = ((noise + 0.15) * 2.5).clamp(0.0, 1.0) * (rise * 5.0).clamp(0.0, 1.0) * look.cloudiness[:, None]
    return sky + (cloud - sky) * cover


def _road_paint(surface: Surface, road: torch.Tensor) -> torch.Tensor:
    """1 on the road's dashed middle line and on the lines along its edges, with soft borders a pixel wide."""
    half, width, period = road[:, 0, None], road[:, 1, None], road[:, 2, None]
    x = surface.point[0].abs()
    sharp = 1.0 / (surface.footprint + 1e-6)
    dash = ((0.25 - ((surface.point[2] / period).frac().abs() - 0.5).abs()) * period * sharp + 0.5).clamp_(0.0, 1.0)
    middle = ((width - x) * sharp + 0.5).clamp_(0.0, 1.0) * dash
    edge = ((width - (x - half + 0.35).abs()) * sharp + 0.5).clamp_(0.0, 1.0)
    seen = (2.0 * width * sharp * 2.0).clamp_(0.0, 1.0)
    return torch.maximum(middle, edge) * seen


def _light(solids: Solids, look: Look, surface: Surface) -> list[torch.Tensor]:
    """Light that falls on each pixel: from above and below, weaker near contacts, and from the lamps with shadows."""
    contact = _contact(solids, surface)
    upward = 0.5 + 0.5 * surface.normal[1]
    light = []
    for channel in range(3):
        down, up = look.ambient_down[:, channel, None], look.ambient_up[:, channel, None]
        light.append((down + (up - down) * upward) * contact)
    for number in range(look.light_at.shape[1]):
        on = (look.light_color[:, number] > 0).any(-1).nonzero().squeeze(-1)
        if len(on) == len(contact):
            power = _lamp(solids, look, surface, number)
        elif len(on):
            part = Surface(
                _rows(surface.point, on), _rows(surface.normal, on), surface.u, surface.v, surface.face, surface.footprint
            )
            power = torch.zeros_like(contact).index_copy_(0, on, _lamp(solids.pick(on), look.pick(on), part, number))
        else:
            continue
        for channel in range(3):
            light[channel] += power * look.light_color[:, number, channel, None]
    return light


def _rows(vector: Vector, images: torch.Tensor) -> Vector:
    return (vector[0][images], vector[1][images], vector[2][images])


def _contact(solids: Solids, surface: Surface) -> torch.Tensor:
    """Less light in corners and at the foot of things: a cheap stand-in for ambient occlusion."""
    x, y, z = surface.point
    gaps = [y.clamp_min(0.0)]
    if solids.faces == 6:
        half_x, half_y, half_z = solids.table[3:6, 0]
        gaps += [half_x - x.abs(), half_z - z.abs(), 2.0 * half_y - y]
    contact = torch.ones_like(y)
    for gap in gaps:
        contact *= 1.0 - 0.4 / (1.0 + gap * gap * 16.0)
    return contact


def _lamp(solids: Solids, look: Look, surface: Surface, number: int) -> torch.Tensor:
    """Share of one lamp's light that reaches each pixel, (B, N)."""
    at = tuple(look.light_at[:, number, axis, None] for axis in range(3))
    away = tuple(p - a for p, a in zip(surface.point, at, strict=True))
    square = _dot(away, away)
    slant = (-_dot(away, surface.normal)).clamp_min_(0.0) / square.sqrt()
    reach = look.light_reach[:, number, None]
    power = slant * reach / (reach + square)
    hidden = any_hit(solids, make_rays(at, away), look.light_end[:, number, None])
    return power * (1.0 - hidden * look.shadow[:, number, None])
