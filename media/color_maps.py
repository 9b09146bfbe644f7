"""Colour maps for depth, and legends that say what a colour means.

For example:

    colors = colorize(metres, (0.5, 8.0), "cividis", reverse=True)   # near is bright
    bar = legend((0.5, 8.0), "cividis", unit="m", reverse=True)
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Evenly spaced entries, straight lines in between. Magma (Smith and van der Walt; within 3/255) and cividis, which
# looks alike with a red-green deficiency (Nunez, Anderton, Renslow 2018; within 11/255), are perceptually uniform. Both
# go from dark to bright, as grey does, so that a print in grey keeps the order. Turbo (Mikhailov 2019; within 6/255)
# and Spectral (ColorBrewer, exact; near is red) tell more steps apart and keep no order in a print.
COLOR_MAPS = {
    "magma": (
        "000004 090720 1a1042 311165 4a1079 621980 792282 912b81 aa337d "
        "c23b75 d9466b ec5860 f7725c fc8e64 feaa74 fec68a fde2a3 fcfdbf"
    ),
    "cividis": (
        "00224e 002d68 163770 2e416d 3f4c6c 4e566c 5c616e 696b71 767676 "
        "838179 928c78 a09875 afa471 bfb06b cfbd62 dfca57 f0d846 fee838"
    ),
    "turbo": (
        "30123b 3f3e9c 4666dd 458cfd 2fb2f4 1ad4d0 22ebaa 52fa7a 8bff4b "
        "b7f735 dbe236 f5c53a fea130 f9751d e84b0c ce2d04 a91601 7a0403"
    ),
    "spectral": "5e4fa2 3288bd 66c2a5 abdda4 e6f598 ffffbf fee08b fdae61 f46d43 d53e4f 9e0142",
    "gray": "000000 ffffff",
}
DEFAULT_COLOR_MAP = "magma"
UNKNOWN_COLOR = (64, 64, 64)
# A legend's numbers: steps of 1, 2 or 5 times a power of ten, so many of them at most.
MOST_TICKS = 7


def color_table(name: str = DEFAULT_COLOR_MAP) -> np.ndarray:
    """The 256 colours of a colour map.

    Args:
        name: a key of `COLOR_MAPS`.

    Returns:
        (256, 3) uint8 RGB: far for 0, near for 255; of magma, cividis and gray dark and bright.

    Raises:
        ValueError: there is no such map.
    """
    if name not in COLOR_MAPS:
        raise ValueError(f"there is no colour map {name!r}; choose one of {', '.join(COLOR_MAPS)}.")
    anchors = np.array([list(bytes.fromhex(color)) for color in COLOR_MAPS[name].split()], dtype=np.float64)
    positions = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), positions, anchors[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)


def display_range(values: np.ndarray) -> tuple[float, float]:
    """Range of values for the colours: the 1st and 99th percentile of known values, which outliers do not stretch.

    Args:
        values: any shape; unknown where not finite.

    Returns:
        Low and high; 0 and 1 where nothing is known.
    """
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(known, [1, 99])
    return float(low), float(high)


def colorize(
    values: np.ndarray,
    limits: tuple[float, float] | None = None,
    name: str = DEFAULT_COLOR_MAP,
    *,
    reverse: bool = False,
) -> np.ndarray:
    """Values as colours.

    Args:
        values: (H, W), unknown where not finite. Near is bright for inverse depth, and for metres with `reverse`.
        limits: values at the two ends of the map; values beyond get the colour of the end. None: [`display_range`].
        name: of the colour map.
        reverse: bright for small values.

    Returns:
        (H, W, 3) uint8 RGB; unknown is grey.
    """
    values = np.asarray(values)
    low, high = display_range(values) if limits is None else limits
    known = np.isfinite(values)
    scaled = (np.where(known, values, low).astype(np.float32) - low) / max(high - low, 1e-12)
    places = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    table = color_table(name)
    colors = (table[::-1] if reverse else table)[places]
    colors[~known] = UNKNOWN_COLOR
    return colors


def legend(
    limits: tuple[float, float],
    name: str = DEFAULT_COLOR_MAP,
    *,
    unit: str | None = "m",
    reverse: bool = False,
    inverse: bool = False,
    width: int = 480,
    dark: bool = False,
) -> Image.Image:
    """Picture of a colour bar with numbers below it, to be put under a coloured picture.

    Args:
        limits: as in [`colorize`].
        name: of the colour map.
        unit: unit after the numbers; None: values have no unit, and the ends are called far and near.
        reverse: as in [`colorize`].
        inverse: `limits` are inverse metres, and the numbers shown are metres.
        width: of the picture, pixels.
        dark: light text on black, else dark text on white.

    Returns:
        RGB picture, `width` x 44.
    """
    ink, paper = ("white", "black") if dark else ("black", "white")
    margin, bar_px, height = 18, 14, 44
    low, high = limits
    length = max(2, width - 2 * margin)
    canvas = Image.new("RGB", (width, height), paper)
    strip = colorize(np.linspace(low, high, length)[None], (low, high), name, reverse=reverse)
    canvas.paste(Image.fromarray(np.repeat(strip, bar_px, axis=0)), (margin, 4))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    if unit is None:
        words = ("near", "far") if reverse else ("far", "near")
        draw.text((margin, 22), words[0], fill=ink, font=font, anchor="la")
        draw.text((margin + length, 22), words[1], fill=ink, font=font, anchor="ra")
        return canvas
    free_from = 0.0
    most = max(2, min(MOST_TICKS, length // 60))
    marks = {1 / metres: metres for metres in _round_numbers(low, high)} if inverse else {}
    if not inverse:
        marks = {tick: tick for tick in ticks(low, high, most)}
    for place, number in sorted(marks.items()):
        x = margin + (place - low) / max(high - low, 1e-12) * (length - 1)
        text = f"{number:.6g} {unit}" if not inverse else f"{number:.3g} {unit}"
        half = draw.textlength(text, font=font) / 2
        center = min(max(x, half + 1), width - half - 1)
        draw.line([(x, 4 + bar_px), (x, 8 + bar_px)], fill=ink)
        if center - half > free_from:
            draw.text((center, 24), text, fill=ink, font=font, anchor="ma")
            free_from = center + half + 4
    return canvas


def ticks(low: float, high: float, most: int = MOST_TICKS) -> Sequence[float]:
    """Round numbers between two values: multiples of 1, 2 or 5 times a power of ten.

    Args:
        low: the smaller end.
        high: the larger end.
        most: largest number of ticks, at least 2.

    Returns:
        Increasing numbers within the two ends; the low end alone where the two are equal.
    """
    if not high > low:
        return [low]
    power = 10.0 ** np.floor(np.log10((high - low) / most))
    step = next(power * times for times in (1, 2, 5, 10, 20) if (high - low) / (power * times) <= most - 1)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [float(f"{number * step:.10g}") + 0.0 for number in np.arange(first, last + 1)]  # + 0.0: no -0


def _round_numbers(low: float, high: float) -> list[float]:
    """Numbers of 1, 2, 5, 10, 20, ... whose inverse lies between two values, up to fifty times the smallest.

    The inverses of the two ends where that gives fewer than two.
    """
    if not high > 0:
        return []
    low = max(low, high / 50)
    powers = range(int(np.floor(np.log10(1 / high))), int(np.ceil(np.log10(1 / low))) + 1)
    numbers = [float(f"{times}e{power}") for power in powers for times in (1, 2, 5)]
    found = [number for number in numbers if low <= 1 / number <= high]
    return found if len(found) > 1 else [1 / high, 1 / low]
