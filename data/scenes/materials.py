"""Materials of surfaces: two colours, a pattern of cells, noise and glow for each slot of a scene.

A pattern is a grid of cells over the surface, in metres; inside a cell lies a pane of the second colour.
Windows on a house, bricks, tiles, planks, stripes and checks are the same grid with other numbers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semidepth.data.scenes.draws import Array, Draws
from semidepth.data.scenes.layout import Layout

MATERIAL = (
    "red", "green", "blue",  # linear colour between the panes
    "pane_red", "pane_green", "pane_blue",  # linear colour of the panes
    "per_m_u", "per_m_v",  # cells per metre, along the surface and up
    "shift",  # by how many cells each row is moved against the one below
    "pane_u", "pane_v",  # half width and height of the pane in cells; 0.5 fills the cell, NEVER leaves it out
    "cover",  # share of the surface that panes cover
    "check",  # 1: panes are the black fields of a chess board
    "variation",  # by how much cells differ in brightness
    "frequency", "noise", "vein",  # value noise: per metre, strength, 1 for veins in place of clouds
    "glow",  # light of its own
    "lit",  # share of the panes that glow
    "key",  # number of the material, for its hashes
)  # fmt: skip
NEVER = -1e3

Range = tuple[float, float]


class _Kind(NamedTuple):
    """Low and high ends of a studio material, by role."""

    hue: Range
    saturation: Range
    value: Range
    frequency: Range  # of the noise, 1/m
    noise: Range
    pane_value: Range = (0.5, 0.5)
    cells: tuple[float, float, float, float, float] = (
        1.0,
        1.0,
        0.0,
        NEVER,
        NEVER,
    )  # width, height (m), shift, pane
    variation: float = 0.0


_STUDIO: dict[str, _Kind] = {
    "wall": _Kind(hue=(0.0, 1.0), saturation=(0.0, 0.14), value=(0.72, 0.92), frequency=(0.8, 2.0), noise=(0.03, 0.08)),
    "floor": _Kind(
        hue=(0.06, 0.1),
        saturation=(0.2, 0.5),
        value=(0.35, 0.5),
        pane_value=(0.5, 0.75),
        cells=(1.1, 0.22, 0.37, 0.492, 0.46),
        variation=0.2,
        frequency=(2.0, 4.0),
        noise=(0.05, 0.12),
    ),
    "ceiling": _Kind(
        hue=(0.1, 0.2), saturation=(0.0, 0.05), value=(0.88, 0.97), frequency=(0.8, 2.0), noise=(0.01, 0.03)
    ),
    "door": _Kind(
        hue=(0.05, 0.12),
        saturation=(0.1, 0.5),
        value=(0.5, 0.85),
        pane_value=(0.55, 0.9),
        cells=(0.45, 0.7, 0.0, 0.36, 0.4),
        frequency=(1.0, 3.0),
        noise=(0.02, 0.06),
    ),
    "window": _Kind(
        hue=(0.1, 0.2),
        saturation=(0.0, 0.06),
        value=(0.8, 0.95),
        pane_value=(0.95, 1.0),
        cells=(0.5, 0.6, 0.0, 0.44, 0.44),
        frequency=(0.5, 1.0),
        noise=(0.0, 0.05),
    ),
    "picture": _Kind(hue=(0.0, 1.0), saturation=(0.1, 0.4), value=(0.3, 0.8), frequency=(2.0, 5.0), noise=(0.3, 0.5)),
    "rug": _Kind(hue=(0.0, 1.0), saturation=(0.1, 0.4), value=(0.4, 0.8), frequency=(2.0, 5.0), noise=(0.05, 0.15)),
    "furniture": _Kind(
        hue=(0.05, 0.12),
        saturation=(0.05, 0.5),
        value=(0.3, 0.45),
        pane_value=(0.5, 0.88),
        cells=(0.8, 0.6, 0.0, 0.49, 0.486),
        frequency=(1.0, 3.0),
        noise=(0.04, 0.1),
    ),
    "object": _Kind(
        hue=(0.0, 1.0), saturation=(0.1, 0.45), value=(0.4, 0.85), frequency=(1.0, 3.0), noise=(0.03, 0.08)
    ),
    "column": _Kind(hue=(0.1, 0.15), saturation=(0.0, 0.1), value=(0.6, 0.9), frequency=(1.0, 2.0), noise=(0.03, 0.08)),
    "lamp": _Kind(hue=(0.1, 0.15), saturation=(0.0, 0.1), value=(0.9, 1.0), frequency=(1.0, 2.0), noise=(0.0, 0.02)),
    "ball": _Kind(hue=(0.0, 1.0), saturation=(0.1, 0.5), value=(0.5, 0.9), frequency=(1.0, 2.0), noise=(0.03, 0.08)),
    "road": _Kind(hue=(0.6, 0.7), saturation=(0.0, 0.05), value=(0.36, 0.5), frequency=(0.5, 1.5), noise=(0.06, 0.12)),
    "pavement": _Kind(
        hue=(0.08, 0.14),
        saturation=(0.0, 0.1),
        value=(0.45, 0.55),
        pane_value=(0.6, 0.72),
        cells=(0.8, 0.8, 0.5, 0.475, 0.475),
        variation=0.1,
        frequency=(0.5, 1.0),
        noise=(0.04, 0.1),
    ),
    "house": _Kind(
        hue=(0.02, 0.15),
        saturation=(0.08, 0.45),
        value=(0.6, 0.95),
        pane_value=(0.3, 0.45),
        cells=(2.4, 3.0, 0.0, 0.24, 0.27),
        variation=0.1,
        frequency=(0.3, 1.0),
        noise=(0.03, 0.1),
    ),
    "car": _Kind(hue=(0.0, 1.0), saturation=(0.1, 0.7), value=(0.35, 0.9), frequency=(0.5, 1.0), noise=(0.0, 0.04)),
    "cabin": _Kind(
        hue=(0.55, 0.62), saturation=(0.05, 0.15), value=(0.2, 0.32), frequency=(0.5, 1.0), noise=(0.0, 0.04)
    ),
    "kiosk": _Kind(hue=(0.0, 1.0), saturation=(0.0, 0.4), value=(0.35, 0.75), frequency=(0.5, 1.0), noise=(0.02, 0.06)),
    "trunk": _Kind(hue=(0.06, 0.09), saturation=(0.3, 0.5), value=(0.3, 0.45), frequency=(2.0, 4.0), noise=(0.1, 0.2)),
    "pole": _Kind(hue=(0.5, 0.6), saturation=(0.0, 0.1), value=(0.35, 0.6), frequency=(1.0, 2.0), noise=(0.0, 0.05)),
    "person": _Kind(hue=(0.0, 1.0), saturation=(0.1, 0.45), value=(0.3, 0.8), frequency=(1.0, 3.0), noise=(0.02, 0.08)),
    "crown": _Kind(hue=(0.22, 0.34), saturation=(0.4, 0.6), value=(0.5, 0.75), frequency=(1.2, 2.5), noise=(0.25, 0.4)),
    "head": _Kind(hue=(0.05, 0.08), saturation=(0.25, 0.5), value=(0.4, 0.85), frequency=(1.0, 2.0), noise=(0.0, 0.03)),
    "sky": _Kind(hue=(0.6, 0.6), saturation=(0.0, 0.0), value=(0.5, 0.5), frequency=(0.6, 1.2), noise=(0.0, 0.0)),
}
# Wild: cell width and height as multiples of one size, shift, pane half sizes, check.
_WILD_PATTERNS = np.array(
    [
        [1.0, 1.0, 0.0, 0.5, 0.5, 1.0],  # checks
        [1.0, 9.0, 0.0, 0.25, 9.0, 0.0],  # upright stripes
        [9.0, 1.0, 0.0, 9.0, 0.25, 0.0],  # level stripes
        [2.0, 0.8, 0.5, 0.45, 0.4, 0.0],  # bricks
        [1.0, 1.0, 0.0, 0.42, 0.42, 0.0],  # tiles
        [0.7, 0.7, 0.5, 0.28, 0.28, 0.0],  # dots
        [1.0, 1.0, 0.0, NEVER, NEVER, 0.0],  # nothing but noise
    ]
)
_GLOWING = {"lamp": 1.0, "window": 0.7}


_ROLE_NUMBER = {role: number for number, role in enumerate(_STUDIO)}
_RANGES = np.array(
    [(kind.hue, kind.saturation, kind.value, kind.pane_value, kind.frequency, kind.noise) for kind in _STUDIO.values()]
)  # (roles, 6, 2)
_CELLS = np.array([(*kind.cells, kind.variation) for kind in _STUDIO.values()])  # (roles, 6)


def hsv_to_linear(hue: Array, saturation: Array, value: Array) -> Array:
    """Linear RGB (..., 3) of hue, saturation and value, each in 0 ... 1; gamma 2."""
    wheel = np.abs((np.asarray(hue)[..., None] * 6.0 + [0.0, 4.0, 2.0]) % 6.0 - 3.0) - 1.0
    shown = np.asarray(value)[..., None] * (1.0 + np.asarray(saturation)[..., None] * (np.clip(wheel, 0.0, 1.0) - 1.0))
    return shown * shown


def draw_materials(draws: Draws, layout: Layout, mode: NDArray[np.int64], palette: Array) -> Array:
    """Draws a material for every slot and for the sky.

    Args:
        draws: uniforms of B scenes.
        layout: the scenes, P slots.
        mode: (B,), -1 for studio, otherwise which look of "wild".
        palette: (B, 3), the scene's hues.

    Returns:
        (B, F, P + 1), rows as `MATERIAL`.
    """
    roles = (*layout.slots.roles, "sky")
    studio = _studio(draws, roles)
    wild = _wild(draws, roles, mode, palette, studio, indoor=len(layout.slots.faces) == 6)
    chosen = np.where((mode >= 0)[:, None, None], wild, studio)
    night_windows = np.isin(roles, "house") * (mode == 0)[:, None] * draws.uniform(0.1, 0.5, 1)
    chosen[:, MATERIAL.index("lit")] = night_windows
    chosen[:, MATERIAL.index("glow")] = np.array([_GLOWING.get(role, 0.0) for role in roles])
    chosen[:, MATERIAL.index("key")] = np.arange(len(roles)) * 64 + draws.integer(1 << 14, 1)
    return chosen


def _rows(ground: Array, pane: Array, cells: Array, check: Array, variation: Array, noise: list[Array]) -> Array:
    """Stacks the parts of materials: (B, M, ...) each -> (B, F, M)."""
    half = cells[..., 3:5]
    cover = np.clip(2 * half, 0.0, 1.0).prod(-1)
    cover = np.where(check > 0, 0.5, cover)
    columns = [
        ground,
        pane,
        1.0 / cells[..., :2],
        cells[..., 2:5],
        cover[..., None],
        check[..., None],
        variation[..., None],
    ]
    columns += [part[..., None] for part in noise] + [np.zeros((*check.shape, 3))]
    return np.concatenate(columns, -1).transpose(0, 2, 1)


def _studio(draws: Draws, roles: tuple[str, ...]) -> Array:
    numbers = [_ROLE_NUMBER[role] for role in roles]
    ends = _RANGES[numbers]  # (M, 6, 2)
    drawn = draws.uniform(ends[..., 0], ends[..., 1], len(roles), 6)
    cells = _CELLS[numbers] * draws.uniform(0.85, 1.2, len(roles), 1) ** ([1, 1, 0, 0, 0, 0])
    hue, saturation, value, pane_value, frequency, noise = (drawn[..., n] for n in range(6))
    # some furniture and houses are white or grey; a tree is not
    saturation = saturation * (draws.chance(0.7, len(roles)) | np.isin(roles, ["crown", "trunk", "head"]))
    ground = hsv_to_linear(hue, saturation, value)
    pane = hsv_to_linear(hue, saturation, pane_value)
    zero = np.zeros_like(hue)
    return _rows(ground, pane, cells, zero, cells[..., 5], [frequency, noise, zero])


def _wild(
    draws: Draws, roles: tuple[str, ...], mode: NDArray[np.int64], palette: Array, studio: Array, indoor: bool
) -> Array:
    """Loud patterns in the scene's palette; half of the houses keep their windows."""
    count = len(roles)
    which = draws.integer(3, count)
    hue = np.take_along_axis(palette, which, 1) + draws.uniform(-0.04, 0.04, count)
    span = np.array([[0.2, 0.9], [0.1, 0.6], [0.55, 1.0], [0.1, 0.6]])[np.maximum(mode, 0)]  # by look, (B, 2)
    saturation = draws.uniform(span[:, :1], span[:, 1:], count)
    value = draws.uniform(0.2, 0.95, count)
    pane_value = np.where(value > 0.55, value - draws.uniform(0.3, 0.5, count), value + draws.uniform(0.3, 0.5, count))
    pane_hue = hue + draws.uniform(-0.15, 0.15, count) + 0.5 * draws.chance(0.3, count)
    pattern = _WILD_PATTERNS[draws.integer(len(_WILD_PATTERNS), count)]
    size = draws.uniform(0.08, 0.35, count) if indoor else draws.uniform(0.35, 1.4, count)
    cells = np.concatenate([pattern[..., :2] * size[..., None], pattern[..., 2:5]], -1)
    strength = draws.uniform(0.15, 0.7, count)
    frequency = draws.uniform(3.0, 10.0, count) if indoor else draws.uniform(1.0, 4.0, count)
    noise = [frequency, strength, np.round(draws.uniform(0.0, 1.0, count))]
    ground = hsv_to_linear(hue, saturation, value)
    pane = hsv_to_linear(pane_hue, saturation, np.clip(pane_value, 0.03, 1.0))
    wild = _rows(ground, pane, cells, pattern[..., 5], draws.uniform(0.0, 0.6, count), noise)
    first, last = MATERIAL.index("per_m_u"), MATERIAL.index("check")
    keep = np.isin(roles, ["house", "window", "door"]) & draws.chance(0.6, count)
    kept = np.where(keep[:, None], studio[:, first : last + 1], wild[:, first : last + 1])
    wild[:, first : last + 1] = kept
    return wild
