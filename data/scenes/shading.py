"""The colour of what the rays have met: surface, texture, lights with shadows, contact shade, fog and sky.

Like the ray-caster it keeps to operations that are rounded in one way, so that an image is the same in any
batch. Everything is a (B, N) map; the numbers of a pixel's material are gathered once by its slot.
"""

import torch

from semidepth.data.scenes.materials import MATERIAL
from semidepth.data.scenes.raycast import (
    Rays,
    Solids,
    Vector,
    any_hit,
    make_rays,
)
from semidepth.data.scenes.styles import Look
from semidepth.data.scenes.surface import Surface, dot
from semidepth.data.scenes.textures import road_paint, surface_color, with_sky_texture


def shade(
    solids: Solids,
    casting: Solids,
    look: Look,
    rays: Rays,
    surface: Surface,
    depth: torch.Tensor,
    slot: torch.Tensor,
    road: torch.Tensor,
) -> Vector:
    """Linear colour of each pixel before the camera's effects.

    Args:
        solids, look: B scenes.
        casting: those of the solids that cast shadows.
        rays: the camera's rays.
        surface: what they have met; anything for sky.
        depth: (B, N), metres, inf for sky.
        slot: (B, N), int64; P for sky.
        road: (B, 3), see `Layout`.

    Returns:
        Red, green, blue, each (B, N), from 0 up.
    """
    street = solids.faces == 1
    last = solids.spheres.stop - 1
    material = {name: look.material[:, row].gather(1, slot) for row, name in enumerate(MATERIAL)}
    if street:
        sky = (slot > last).float()
        surface = with_sky_texture(surface, rays, sky)
    albedo, lit, noise = surface_color(surface, material)
    if street:
        paint = road_paint(surface, road) * (slot == 0).float()
        albedo = tuple(part + (0.6 - part) * paint for part in albedo)
    light = _light(solids, casting, look, surface)
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


def _sky_color(look: Look, rays: Rays, noise: torch.Tensor, channel: int) -> torch.Tensor:
    length = dot(rays.direction, rays.direction).sqrt()
    rise = (rays.direction[1] / length).clamp(0.0, 1.0)
    horizon, zenith, cloud = (part[:, channel, None] for part in (look.horizon, look.zenith, look.cloud))
    sky = horizon + (zenith - horizon) * (rise * (2.0 - rise))
    cover = ((noise + 0.15) * 2.5).clamp(0.0, 1.0) * (rise * 5.0).clamp(0.0, 1.0) * look.cloudiness[:, None]
    return sky + (cloud - sky) * cover


def _light(solids: Solids, casting: Solids, look: Look, surface: Surface) -> list[torch.Tensor]:
    """Light on each pixel: from above and below, weaker near contacts, and from the lamps, with shadows."""
    contact = _contact(solids, surface)
    upward = 0.5 + 0.5 * surface.normal[1]
    light = []
    for channel in range(3):
        down, up = look.ambient_down[:, channel, None], look.ambient_up[:, channel, None]
        light.append((down + (up - down) * upward) * contact)
    for number in range(look.light_at.shape[1]):
        on = (look.light_color[:, number] > 0).any(-1).nonzero().squeeze(-1)
        if len(on) == len(contact):
            power = _lamp(casting, look, surface, number)
        elif len(on):
            part = Surface(
                _rows(surface.point, on),
                _rows(surface.normal, on),
                surface.u,
                surface.v,
                surface.face,
                surface.footprint,
            )
            power = torch.zeros_like(contact).index_copy_(0, on, _lamp(casting.pick(on), look.pick(on), part, number))
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


def _lamp(casting: Solids, look: Look, surface: Surface, number: int) -> torch.Tensor:
    """Share of one lamp's light that reaches each pixel, (B, N)."""
    at = tuple(look.light_at[:, number, axis, None] for axis in range(3))
    away = tuple(p - a for p, a in zip(surface.point, at, strict=True))
    square = dot(away, away)
    slant = (-dot(away, surface.normal)).clamp_min_(0.0) / square.sqrt()
    reach = look.light_reach[:, number, None]
    power = slant * reach / (reach + square)
    hidden = any_hit(casting, make_rays(at, away), look.light_end[:, number, None])
    return power * (1.0 - hidden * look.shadow[:, number, None])
