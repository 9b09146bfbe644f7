"""Depth in colours: ranges, pictures, and a legend in the page's text colour."""

from typing import Any

import numpy as np
from PIL import Image
from predictor import ImageDepth
from refusal import Refusal, word
from trust import rounded
from work import Seen

from semidepth.media.color_maps import COLOR_MAPS, DEFAULT_COLOR_MAP, color_table, colorize, display_range, ticks

SHOWN_SIDE = 1600  # pixels; larger pictures are shown smaller, their files are whole
CLICKED_SIDE = 1000
END_PERCENT = 18  # of a legend, which its ends' numbers take on a phone
MAP_NAMES = {
    "magma": "Magma", "cividis": "Cividis (all eyes)", "turbo": "Turbo", "spectral": "Spectral", "gray": "Grey",
}  # fmt: skip
COLOR_CHOICES = [(MAP_NAMES[name], name) for name in COLOR_MAPS]  # labels and values of what can be chosen


def colors_of(color_map: Any) -> str:
    """Checks a colour map's name; returns it, or the default where none is given.

    Raises:
        Refusal: there is no such colour map.
    """
    return word(color_map, "color_map", list(COLOR_MAPS)) or DEFAULT_COLOR_MAP


def value_range(prediction: ImageDepth) -> tuple[float, float]:
    """Default range of values for the colours."""
    low, high = display_range(prediction.known())
    return low, max(high, low + 1e-6)


def limits_of(prediction: ImageDepth, near: float | None, far: float | None) -> tuple[float, float]:
    """Low and high value of the colours.

    Args:
        prediction: whose values.
        near: metres, or for inverse depth 0 to 100 per cent of the way from the nearest to the farthest value; None:
            the prediction's own end.
        far: likewise; the larger.

    Returns:
        Low and high value.

    Raises:
        Refusal: if the near end is not before the far one.
    """
    low, high = value_range(prediction)
    if prediction.metric:
        near, far = (low if near is None else near), (high if far is None else far)
    else:
        near, far = (0.0 if near is None else near), (100.0 if far is None else far)
    if not near < far:
        raise Refusal(f"The near end ({near:g}) has to lie before the far end ({far:g}).")
    if prediction.metric:
        return near, far
    return high - (high - low) * far / 100, high - (high - low) * near / 100


def far_most(prediction: ImageDepth) -> float:
    """Largest value of the far end: metres, or per cent."""
    if not prediction.metric:
        return 100.0
    known = prediction.known()
    return float(np.ceil(known[np.isfinite(known)].max(initial=value_range(prediction)[1])))


def depth_picture(prediction: ImageDepth, limits: tuple[float, float], color_map: str) -> Image.Image:
    """Picture of the depth at full size, near is bright and what is beyond grey."""
    return Image.fromarray(colorize(prediction.known(), limits, color_map, reverse=prediction.metric))


def depth_shown(
    prediction: ImageDepth, limits: tuple[float, float], color_map: str, size: tuple[int, int]
) -> Image.Image:
    """Picture of the depth at a smaller size, without colouring pixels that are not shown.

    Args:
        prediction: whose values.
        limits: low and high value.
        color_map: of the colours.
        size: width and height.
    """
    step = max(1, min(prediction.values.shape[0] // size[1], prediction.values.shape[1] // size[0]))
    small = Image.fromarray(colorize(prediction.known(step), limits, color_map, reverse=prediction.metric))
    return small if small.size == size else small.resize(size)


def shown_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of a copy that is small enough for a browser."""
    return _scaled(image, min(1.0, SHOWN_SIDE / max(image.size)))


def clickable_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of a copy larger than a screen shows: only in those does gradio report places of clicks."""
    return _scaled(image, min(SHOWN_SIDE, max(CLICKED_SIDE, *image.size)) / max(image.size))


def _scaled(image: Image.Image, scale: float) -> tuple[int, int]:
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def legend_html(limits: tuple[float, float], *color_maps: str, metric: bool) -> str:
    """A bar that says what the colours mean: metres, or near and far. Near is left.

    Args:
        limits: low and high value.
        color_maps: of the colours; a bar for each, all of the same range.
        metric: whether they are metres.
    """
    low, high = limits
    if metric:
        inner = [(100 * (tick - low) / max(high - low, 1e-12), f"{tick:g} m") for tick in ticks(low, high, 6)]
        free = [(place, text) for place, text in inner if END_PERCENT < place < 100 - END_PERCENT and len(text) < 8]
        places = [(0.0, _metres(low, high - low)), *free, (100.0, _metres(high, high - low))]
        says = f"Colours from {low:.2f} to {high:.2f} metres"
    else:
        places, says = [(0.0, "near"), (100.0, "far")], "Colours from near to far"
    marks = "".join(
        f'<span style="left:{place:.2f}%;transform:translateX(-{place:.0f}%)">{text}</span>' for place, text in places
    )
    bars = "".join(f'<div class="bar" style="background:{_ramp(name)}"></div>' for name in color_maps)
    return f'<div class="legend" role="img" aria-label="{says}">{bars}<div class="marks">{marks}</div></div>'


def _ramp(color_map: str) -> str:
    """Colours from near to far, as a background in CSS."""
    stops = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in color_table(color_map)[::-16].tolist())
    return f"linear-gradient(to right, {stops})"


def _metres(value: float, span: float) -> str:
    """A length, in as many digits as tell the ends of a range of that span apart."""
    digits = 2 if span < 1 or value < 10 else 1 if value < 100 else 0
    return f"{round(value, digits):.8g} m"


def half_text(seen: Seen) -> str:
    """Says that a large picture was read at half its size; "" for others."""
    if seen.image.size == seen.picture.size:
        return ""
    width, height = seen.picture.size
    return f" · {width * height / 1e6:.0f} megapixels, read at half the width and height"


def range_text(prediction: ImageDepth) -> str:
    """Returns one line for people with the range that was found."""
    if not prediction.metric:
        return "without a unit"
    share = prediction.beyond_share
    grey = f"; {share:.0%} sky or too far to tell, in grey" if share >= 0.005 else ""
    known = prediction.known()
    if not np.isfinite(known).any():
        return "all of it sky or too far to tell"
    low, median, high = np.nanpercentile(known, [1, 50, 99])
    near, middle, far = (rounded(float(value), prediction.error) for value in (low, median, high))
    return f"{'about ' if prediction.error else ''}**{near}** to **{far}**, half of it within **{middle}**{grey}"
