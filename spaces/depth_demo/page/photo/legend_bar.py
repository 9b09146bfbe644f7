"""The bar of colours under the picture, with handles and number fields for its near and far end."""

from typing import Any

import gradio as gr
import numpy as np
from predictor import ImageDepth
from refusal import Refusal, shown
from results.coloring import far_most, value_range
from trust import round_step

from page.browser_files import browser_file
from semidepth.media.color_maps import COLOR_MAPS, color_table, ticks

Ends = tuple[float | None, float | None]
STEPS = 100  # of the result's own range that an arrow key passes, about
TEMPLATE = """
<div class="scale" role="group" aria-label="Range of colours">
  <div class="band"></div>
  <input type="range" class="handle near" aria-label="Near end">
  <input type="range" class="handle far" aria-label="Far end">
</div>
<div class="ticks" aria-hidden="true"></div>
<div class="fields">
  <label>Near <input type="number" class="field near" inputmode="decimal"> <span class="unit"></span></label>
  <button class="reset" type="button" disabled>Reset range</button>
  <label>Far <input type="number" class="field far" inputmode="decimal"> <span class="unit"></span></label>
</div>
"""


def build(**options: Any) -> gr.HTML:
    """Makes the bar. Its value is a dictionary: see [`bar_of`].

    Args:
        options: of gr.HTML.
    """
    return gr.HTML(html_template=TEMPLATE, js_on_load=browser_file("legend.js"), label="Range of colours", **options)


def ends_of(value: Any) -> Ends:
    """Near and far end as a browser sent them; None without a result, of which gradio makes "".

    Raises:
        Refusal: these are no two numbers.
    """
    if value in (None, ""):
        return None, None
    ends = [value.get(name) for name in ("near", "far")] if isinstance(value, dict) else []
    if len(ends) != 2 or not all(isinstance(end, int | float) and abs(end) < 1e9 for end in ends):
        raise Refusal(f"The range of colours is {shown(value)}; it has a near and a far end.")
    return float(ends[0]), float(ends[1])


def own_range(prediction: ImageDepth) -> tuple[float, float]:
    """Near and far end of a result unless somebody moves them: metres, or 0 and 100 per cent."""
    if not prediction.metric:
        return 0.0, 100.0
    near, far = (round(value, 2) for value in value_range(prediction))
    return near, max(far, near + 0.01)


def bar_of(prediction: ImageDepth, ends: tuple[float, float]) -> dict[str, Any]:
    """Returns the bar's value: ends, limits, steps and numbers.

    Args:
        prediction: of the picture.
        ends: near and far.

    Returns:
        `near`, `far`, `own` (the two ends as long as nobody moves them) and `most` (the bar's right end) in metres or
        per cent, `unit`, `step` of an arrow key, `digits` behind the point, and `ticks` with their places in per cent.
    """
    near, far = own = own_range(prediction)
    most = max(far_most(prediction), ends[1])
    step = max(0.01, round_step((far - near) / STEPS)) if prediction.metric else 1.0
    marks = [(100 * tick / most, f"{tick:g}") for tick in ticks(0, most, 6)]
    if not prediction.metric:
        marks = [(0.0, "near"), (100.0, "far")]
    return {
        "near": ends[0], "far": ends[1], "own": own, "most": most, "step": step,
        "digits": max(2, -int(np.floor(np.log10(step)))) if prediction.metric else 0,
        "unit": "m" if prediction.metric else "%", "ticks": marks,
    }  # fmt: skip


def color_css() -> str:
    """Returns the style of swatches and bar, which has the colours of the swatch that is chosen; near is left."""
    rules = []
    for number, name in enumerate(COLOR_MAPS, 1):
        colors = ["rgb({} {} {})".format(*color) for color in color_table(name)[::-15].tolist()]
        ramp = f"linear-gradient(90deg, {', '.join(colors)})"
        rules.append(
            f"#colors label:nth-of-type({number}) {{background: {ramp}}}\n"
            f"#under:has(#colors label:nth-of-type({number}) input:checked) "
            f"{{--ramp: {ramp}; --nearest: {colors[0]}; --farthest: {colors[-1]}}}"
        )
    return "\n".join(rules)
