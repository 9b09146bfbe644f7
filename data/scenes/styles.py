"""Look of a built-in scene: materials, lights, sky, fog and the camera's faults, in two styles.

"studio" is even light, mild colours, fine textures and a clean sensor. "wild" is one of four looks (night
with coloured lamps, thick fog, loud patterns in hard light, one-colour film with grain), with strong textures
and a poor camera. The geometry does not come into it: one index has the same shapes in each style.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from semidepth.data.scenes.draws import Array, Draws
from semidepth.data.scenes.layout import Layout
from semidepth.data.scenes.materials import draw_materials, hsv_to_linear

STYLES: tuple[str, ...] = ("studio", "wild")
NIGHT, FOG, LOUD, FILM = range(4)  # the looks of "wild"
SUN_DISTANCE_M = 300.0  # far enough for parallel shadows, near enough for float32


@dataclass(frozen=True)
class Look:
    """Appearance of a batch of scenes; colours are linear RGB.

    Args:
        material: (B, F, P + 1), rows as `scene_materials.MATERIAL` names them, one column per slot and one
            for the sky.
        light_at: (B, 2, 3), metres.
        light_color: (B, 2, 3), zero where a light is off.
        light_reach: (B, 2), metres squared; at that squared distance half the light is left.
        light_end: (B, 2), share of the way to a surface after which nothing shadows it any more.
        shadow: (B, 2), share of the light that a shadow takes.
        ambient_up, ambient_down: (B, 3), light from above and from below.
        fog_color: (B, 3).
        fog_density: (B,), per metre.
        zenith, horizon, cloud: (B, 3), colours of the sky.
        cloudiness: (B,), 0 for a clear sky.
        mix: (B, 3, 3), colour matrix of the camera.
        exposure: (B,), mean linear luminance that the camera aims at.
        gamma, contrast, vignette: (B,), see `scene_camera`.
        blur: (B,), 0 for sharp.
        grain: (B,), noise of the sensor, standard deviation as a share of the full range.
    """

    material: torch.Tensor
    light_at: torch.Tensor
    light_color: torch.Tensor
    light_reach: torch.Tensor
    light_end: torch.Tensor
    shadow: torch.Tensor
    ambient_up: torch.Tensor
    ambient_down: torch.Tensor
    fog_color: torch.Tensor
    fog_density: torch.Tensor
    zenith: torch.Tensor
    horizon: torch.Tensor
    cloud: torch.Tensor
    cloudiness: torch.Tensor
    mix: torch.Tensor
    exposure: torch.Tensor
    gamma: torch.Tensor
    contrast: torch.Tensor
    vignette: torch.Tensor
    blur: torch.Tensor
    grain: torch.Tensor

    def pick(self, images: torch.Tensor | slice) -> "Look":
        """The looks of some of the images."""
        return Look(**{field.name: getattr(self, field.name)[images] for field in fields(self)})


def draw_look(draws: Draws, layout: Layout, wild: NDArray[np.bool_], device: torch.device) -> Look:
    """Draws the appearance of scenes.

    Args:
        draws: uniforms of B scenes, apart from those of the layout.
        layout: the scenes.
        wild: (B,), which scenes are "wild"; the others are "studio".
        device: where the tensors go.
    """
    indoor = len(layout.slots.faces) == 6
    mode = np.where(wild, draws.integer(4), -1)  # -1: studio
    palette = draws.uniform(0.0, 1.0, 1) + draws.uniform(-0.08, 0.08, 3) + [0.0, 0.33, 0.5]  # (B, 3), hues
    parts: dict[str, Array] = {"material": draw_materials(draws, layout, mode, palette)}
    parts |= _room_light(draws, layout, mode, palette) if indoor else _street_light(draws, layout, mode, palette)
    parts |= _camera(draws, mode, palette)
    return Look(**{name: torch.from_numpy(part.astype(np.float32)).to(device) for name, part in parts.items()})


def _by_mode(mode: NDArray[np.int64], studio: float, night: float, fog: float, loud: float, film: float) -> Array:
    """One number per scene by its look, studio first."""
    return np.array([studio, night, fog, loud, film])[mode + 1]


def _room_light(draws: Draws, layout: Layout, mode: NDArray[np.int64], palette: Array) -> dict[str, Array]:
    """Two lamps and what the walls throw back; a haze of the light's colour."""
    saturation = _by_mode(mode, 0.2, 0.75, 0.3, 0.35, 0.1) * draws.uniform(0.5, 1.0)
    warm = np.where(mode < 0, draws.uniform(0.06, 0.14), palette[:, 0])
    first = hsv_to_linear(warm, saturation, np.ones_like(warm)) * draws.uniform(0.8, 1.2, 1)
    second = hsv_to_linear(palette[:, 1], saturation, np.ones_like(warm)) * draws.uniform(0.4, 1.2, 1)
    second *= draws.chance(_by_mode(mode, 0.25, 0.9, 0.2, 0.4, 0.4)[:, None], 1)
    ambient = _by_mode(mode, 0.8, 0.1, 0.5, 0.2, 0.25)[:, None] * draws.uniform(0.8, 1.2, 1)
    bounce = 0.5 * (first + 1.0) * ambient
    haze = hsv_to_linear(palette[:, 2], 0.5 * saturation, _by_mode(mode, 0.8, 0.1, 0.85, 0.6, 0.7))
    density = _by_mode(mode, 0.004, 0.02, 0.12, 0.01, 0.04) * draws.uniform(0.5, 1.3)
    reach = _by_mode(mode, 30.0, 3.0, 12.0, 20.0, 10.0)[:, None] * draws.uniform(0.7, 1.3, 2)
    hidden = _by_mode(mode, 0.45, 0.95, 0.7, 1.0, 0.9)[:, None] * np.ones(2)
    return {
        "light_at": layout.lamps,
        "light_color": np.stack([first, second], 1),
        "light_reach": reach,
        "light_end": np.full_like(reach, 0.997),
        "shadow": hidden,
        "ambient_up": bounce,
        "ambient_down": bounce * 0.8,
        "fog_color": haze,
        "fog_density": density,
        "zenith": haze,
        "horizon": haze,
        "cloud": haze,
        "cloudiness": np.zeros_like(warm),
    }


def _street_light(draws: Draws, layout: Layout, mode: NDArray[np.int64], palette: Array) -> dict[str, Array]:
    """Sun or moon, a street lamp, and a sky whose horizon is the fog's colour."""
    night = mode == NIGHT
    height = np.where(mode < 0, draws.uniform(0.7, 1.2), draws.uniform(0.25, 1.1))  # radians above the horizon
    around = draws.uniform(0.0, 2 * np.pi)
    toward = np.stack([np.sin(around) * np.cos(height), np.sin(height), np.cos(around) * np.cos(height)], -1)
    sun_power = _by_mode(mode, 1.3, 0.08, 0.5, 1.6, 1.2) * draws.uniform(0.6, 1.2)
    sun_hue = np.where(mode < 0, draws.uniform(0.08, 0.14), np.where(night, 0.6, palette[:, 0]))
    tint = _by_mode(mode, 0.25, 0.5, 0.2, 0.35, 0.1) * draws.uniform(0.3, 1.0)
    sun = hsv_to_linear(sun_hue, tint, np.ones_like(tint)) * sun_power[:, None]
    lamp = hsv_to_linear(palette[:, 1], _by_mode(mode, 0.0, 0.7, 0.3, 0.5, 0.3), np.ones_like(tint))
    lamp_on = np.where(night, True, draws.chance(_by_mode(mode, 0.0, 1.0, 0.4, 0.0, 0.15)))
    lamp = lamp * (lamp_on * draws.uniform(0.8, 1.6))[:, None]

    blue = np.where(mode < 0, draws.uniform(0.55, 0.62), palette[:, 2])
    vivid = _by_mode(mode, 0.55, 0.7, 0.15, 0.8, 0.1) * draws.uniform(0.4, 1.0)
    zenith = hsv_to_linear(blue, vivid, _by_mode(mode, 0.85, 0.12, 0.7, 0.8, 0.75) * draws.uniform(0.8, 1.0))
    glow = np.where(mode < 0, 0.58, palette[:, 0])
    horizon = hsv_to_linear(
        glow,
        _by_mode(mode, 0.2, 0.5, 0.5, 0.5, 0.5) * vivid,
        _by_mode(mode, 0.95, 0.28, 0.8, 0.9, 0.9) * draws.uniform(0.85, 1.0),
    )
    cloud = hsv_to_linear(glow, 0.2 * vivid, _by_mode(mode, 1.0, 0.2, 0.85, 0.5, 1.0))
    ambient = _by_mode(mode, 0.55, 0.1, 0.8, 0.3, 0.3)[:, None]
    density = _by_mode(mode, 0.004, 0.01, 0.035, 0.004, 0.01) * draws.uniform(0.5, 1.4)
    return {
        "light_at": np.stack([SUN_DISTANCE_M * toward, layout.lamps[:, 0]], 1),
        "light_color": np.stack([sun, lamp], 1),
        "light_reach": np.stack([np.full_like(tint, 1e9), draws.uniform(30.0, 120.0)], -1),
        "light_end": np.broadcast_to(np.array([1.0 - 1e-4, 0.998]), (len(tint), 2)),
        "shadow": _by_mode(mode, 0.6, 0.9, 0.3, 1.0, 0.9)[:, None] * np.ones(2),
        "ambient_up": (0.5 * zenith + 0.5 * horizon) * ambient,
        "ambient_down": horizon * ambient * 0.35,
        "fog_color": horizon,
        "fog_density": density,
        "zenith": zenith,
        "horizon": horizon,
        "cloud": cloud,
        "cloudiness": draws.uniform(0.0, 1.0) * _by_mode(mode, 0.8, 1.0, 0.3, 1.0, 1.0),
    }


def _camera(draws: Draws, mode: NDArray[np.int64], palette: Array) -> dict[str, Array]:
    """Exposure, colour cast, tone curve, lens and sensor."""
    count = len(mode)
    luminance = np.broadcast_to(np.array([0.3, 0.6, 0.1]), (count, 3, 3))
    keep = np.where(mode == FILM, draws.uniform(0.0, 0.15), 1.0)[:, None, None]  # film keeps hardly any colour
    cast_saturation = _by_mode(mode, 0.04, 0.25, 0.15, 0.25, 0.4) * draws.uniform()
    cast = hsv_to_linear(palette[:, 1], cast_saturation, np.ones(count)) + 0.1
    mix = (keep * np.eye(3) + (1.0 - keep) * luminance) * cast[:, :, None]
    is_wild = mode >= 0
    return {
        "mix": mix,
        "exposure": draws.uniform(*np.where(is_wild, [[0.14], [0.36]], [[0.27], [0.4]])),
        "gamma": np.where(is_wild, draws.uniform(-0.5, 0.25), draws.uniform(-0.1, 0.1)),
        "contrast": np.where(is_wild, draws.uniform(0.0, 0.9), draws.uniform(0.0, 0.2)),
        "vignette": np.where(is_wild, draws.uniform(0.0, 0.8), draws.uniform(0.0, 0.1)),
        "blur": np.where(is_wild & draws.chance(0.3), 1.0, 0.0),
        "grain": _by_mode(mode, 0.003, 0.07, 0.04, 0.07, 0.09) * np.where(is_wild, draws.uniform(0.15, 1.0), 1.0),
    }
