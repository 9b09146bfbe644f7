"""What surfaces are made of: two colours, a pattern of cells, noise and glow for each slot of a scene.

A pattern is a grid of cells over the surface, in metres; inside a cell lies a pane of the second colour. Windows on a
house, bricks, tiles, planks, stripes and checks are the same grid with other numbers.
"""

import numpy as np
from numpy.typing import NDArray

from semidepth.training.data.scene_draws import Array, Draws
from semidepth.training.data.scene_layout import Layout

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
# Studio: hue, saturation and value of the ground colour, pane value, cell width and height (m), shift, pane half sizes
# in cells, variation, noise frequency (1/m) and strength.
_PLAIN = (1.0, 1.0, 0.0, NEVER, NEVER)
_STUDIO: dict[str, tuple[Range, Range, Range, Range, tuple[float, ...], float, Range, Range]] = {
    "wall": ((0.0, 1.0), (0.0, 0.14), (0.72, 0.92), (0.8, 0.9), _PLAIN, 0.0, (0.8, 2.0), (0.03, 0.08)),
    "floor": ((0.06, 0.1), (0.2, 0.5), (0.35, 0.5), (0.5, 0.75), (1.1, 0.22, 0.37, 0.492, 0.46), 0.2, (2.0, 4.0), (0.05, 0.12)),
    "ceiling": ((0.1, 0.2), (0.0, 0.05), (0.88, 0.97), (0.9, 0.9), _PLAIN, 0.0, (0.8, 2.0), (0.01, 0.03)),
    "door": ((0.05, 0.12), (0.1, 0.5), (0.5, 0.85), (0.55, 0.9), (0.45, 0.7, 0.0, 0.36, 0.4), 0.0, (1.0, 3.0), (0.02, 0.06)),
    "window": ((0.1, 0.2), (0.0, 0.06), (0.8, 0.95), (0.95, 1.0), (0.5, 0.6, 0.0, 0.44, 0.44), 0.0, (0.5, 1.0), (0.0, 0.05)),
    "picture": ((0.0, 1.0), (0.1, 0.4), (0.3, 0.8), (0.5, 0.9), _PLAIN, 0.0, (2.0, 5.0), (0.3, 0.5)),
    "rug": ((0.0, 1.0), (0.1, 0.4), (0.4, 0.8), (0.5, 0.8), _PLAIN, 0.0, (2.0, 5.0), (0.05, 0.15)),
    "furniture": ((0.05, 0.12), (0.05, 0.5), (0.4, 0.88), (0.5, 0.8), (0.5, 0.4, 0.0, 0.485, 0.48), 0.0, (1.0, 3.0), (0.04, 0.1)),
    "object": ((0.0, 1.0), (0.1, 0.45), (0.4, 0.85), (0.5, 0.8), _PLAIN, 0.0, (1.0, 3.0), (0.03, 0.08)),
    "column": ((0.1, 0.15), (0.0, 0.1), (0.6, 0.9), (0.6, 0.9), _PLAIN, 0.0, (1.0, 2.0), (0.03, 0.08)),
    "lamp": ((0.1, 0.15), (0.0, 0.1), (0.9, 1.0), (0.9, 1.0), _PLAIN, 0.0, (1.0, 2.0), (0.0, 0.02)),
    "ball": ((0.0, 1.0), (0.1, 0.5), (0.5, 0.9), (0.5, 0.9), _PLAIN, 0.0, (1.0, 2.0), (0.03, 0.08)),
    "road": ((0.6, 0.7), (0.0, 0.05), (0.36, 0.5), (0.4, 0.5), _PLAIN, 0.0, (0.5, 1.5), (0.06, 0.12)),
    "pavement": ((0.08, 0.14), (0.0, 0.1), (0.45, 0.55), (0.6, 0.72), (0.8, 0.8, 0.5, 0.475, 0.475), 0.1, (0.5, 1.0), (0.04, 0.1)),
    "house": ((0.02, 0.15), (0.05, 0.35), (0.55, 0.9), (0.3, 0.45), (2.4, 3.0, 0.0, 0.24, 0.27), 0.1, (0.3, 1.0), (0.03, 0.1)),
    "car": ((0.0, 1.0), (0.0, 0.5), (0.3, 0.9), (0.3, 0.9), _PLAIN, 0.0, (0.5, 1.0), (0.0, 0.04)),
    "cabin": ((0.55, 0.62), (0.05, 0.15), (0.2, 0.32), (0.2, 0.3), _PLAIN, 0.0, (0.5, 1.0), (0.0, 0.04)),
    "kiosk": ((0.0, 1.0), (0.0, 0.4), (0.35, 0.75), (0.35, 0.8), _PLAIN, 0.0, (0.5, 1.0), (0.02, 0.06)),
    "trunk": ((0.06, 0.09), (0.3, 0.5), (0.3, 0.45), (0.3, 0.5), _PLAIN, 0.0, (2.0, 4.0), (0.1, 0.2)),
    "pole": ((0.5, 0.6), (0.0, 0.1), (0.35, 0.6), (0.3, 0.6), _PLAIN, 0.0, (1.0, 2.0), (0.0, 0.05)),
    "person": ((0.0, 1.0), (0.1, 0.45), (0.3, 0.8), (0.3, 0.8), _PLAIN, 0.0, (1.0, 3.0), (0.02, 0.08)),
    "crown": ((0.22, 0.34), (0.35, 0.55), (0.4, 0.6), (0.4, 0.6), _PLAIN, 0.0, (1.2, 2.5), (0.25, 0.4)),
    "head": ((0.05, 0.08), (0.25, 0.5), (0.4, 0.85), (0.4, 0.8), _PLAIN, 0.0, (1.0, 2.0), (0.0, 0.03)),
    "sky": ((0.6, 0.6), (0.0, 0.0), (0.5, 0.5), (0.5, 0.5), _PLAIN, 0.0, (0.6, 1.2), (0.0, 0.0)),
}  # fmt: skip
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


def _pack() -> dict[str, tuple[Array, Array]]:
    """Low and high ends of the studio's numbers, one row per role."""
    rows = list(_STUDIO.values())
    ranges = np.array([[*row[:4], row[6], row[7]] for row in rows])  # (R, 6, 2)
    cells = np.array([[*row[4], row[5]] for row in rows])  # (R, 6)
    return {"ranges": (ranges[..., 0], ranges[..., 1]), "cells": (cells, cells)}


_PACKED = _pack()
_ROLE_NUMBER = {role: number for number, role in enumerate(_STUDIO)}


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
    columns = [ground, pane, 1.0 / cells[..., :2], cells[..., 2:5], cover[..., None], check[..., None], variation[..., None]]
    columns += [part[..., None] for part in noise] + [np.zeros((*check.shape, 3))]
    return np.concatenate(columns, -1).transpose(0, 2, 1)


def _studio(draws: Draws, roles: tuple[str, ...]) -> Array:
    numbers = [_ROLE_NUMBER[role] for role in roles]
    low, high = (part[numbers] for part in _PACKED["ranges"])  # (M, 6)
    drawn = draws.uniform(low, high, len(roles), 6)
    cells = _PACKED["cells"][0][numbers] * draws.uniform(0.85, 1.2, len(roles), 1) ** ([1, 1, 0, 0, 0, 0])
    hue, saturation, value, pane_value, frequency, noise = (drawn[..., n] for n in range(6))
    # everyday things share one colour world: half of the furniture is white or grey
    saturation = saturation * draws.chance(0.7, len(roles))
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
