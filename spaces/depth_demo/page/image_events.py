"""Handlers of the tab for pictures: what happens when something is clicked, moved or handed in."""

from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr
import numpy as np
from coloring import (
    clickable_size,
    depth_shown,
    far_most,
    half_text,
    legend_html,
    limits_of,
    percent_of,
    pushed,
    range_text,
    shown_size,
    value_range,
)
from PIL import Image
from predictor import Prediction
from read_outs import HINTS, notes_of, number_of, read_out, with_points
from refusal import SHOWN_S, Refusal
from result_files import KINDS, result_file
from work import DepthWork, Seen

from page.appearance import EMPTY_IMAGE, refused
from page.compare_view import CompareEvents, nothing_compared
from page.image_tab import DEPTH, PNG16_LABELS, HeadUpdates, ImageParts, heads_of
from page.image_values import Asked, Before, ColorUpdates, ReadUpdates, ResultUpdates, VisibleUpdates
from page.wiring import QUICK, Wiring

STEPS = {True: 0.01, False: 1.0}  # of near and far end, by whether they are metres; else per cent
# On a phone the answer begins below the screen; the page goes there when a picture was handed in.
TO_THE_ANSWER = """() => {
  const answer = document.querySelector('#sheet_answer');
  const below = answer.getBoundingClientRect().top > window.innerHeight / 3;
  if (below && document.querySelector('#picture img')) answer.scrollIntoView({behavior: 'smooth'});
}"""


class ImageEvents:
    """The tab's handlers.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self, tab: ImageParts) -> None:
        """Binds the handlers to the tab's parts."""
        wiring = Wiring(tab, Asked)
        fresh: dict[str, Any] = {
            "handler": self.fresh, "updates": ResultUpdates, "concurrency_id": "look", "concurrency_limit": 2,
            "show_progress_on": [tab.picture],
        }  # fmt: skip
        wiring.on(wiring.on(tab.run.click, self.ask_for_picture, None, **QUICK).then, **fresh)
        wiring.on(tab.picture.change, **fresh).success(None, js=TO_THE_ANSWER, api_visibility="private", **QUICK)
        wiring.on(tab.domain.input, **fresh)
        wiring.on(wiring.on(tab.model.input, self.heads, HeadUpdates, **QUICK).then, **fresh)
        for moved, event in (("", tab.color_map.input), ("near", tab.near.release), ("far", tab.far.release)):
            wiring.on(event, partial(self.again, moved), ColorUpdates, **QUICK)
        wiring.on_click_in(tab.marked, self.click, ReadUpdates, **QUICK)
        for event in (tab.fov.submit, tab.fov.blur, tab.under.input):
            wiring.on(event, self.measure, ReadUpdates, **QUICK)
        wiring.on(tab.forget.click, self.clear, ReadUpdates, **QUICK)
        for kind in KINDS:
            wiring.hand_out(getattr(tab, kind), partial(self.file, kind))
        # What belongs to one model's result is not shown below several models' results.
        wiring.on(tab.compare_tab.select, partial(self.show_one, "hidden"), VisibleUpdates, **QUICK)
        for view in (tab.look_tab, tab.measure_tab):
            wiring.on(view.select, partial(self.show_one, True), VisibleUpdates, **QUICK)
        CompareEvents(self.work).connect(tab)

    def ask_for_picture(self, asked: Asked) -> None:
        """Says what to do if there is no picture."""
        if not asked.picture:
            gr.Info("Upload a picture, take one, or click an example first.", duration=SHOWN_S)

    def heads(self, asked: Asked) -> HeadUpdates:
        """Offers the heads of the chosen model."""
        return heads_of(self.work.models.card(asked.model))

    def show_one(self, visible: bool | str, asked: Asked) -> VisibleUpdates:
        """Shows or hides the parts that belong to one model's result."""
        update = gr.update(visible=visible)
        return {"legend": update, "near": update, "far": update, "downloads": update}

    def fresh(self, asked: Asked) -> ResultUpdates:
        """Predicts anew. Points and settings of the same picture stay, as far as they mean the same.

        Without a picture, or where it is refused, nothing of the one before stays.
        """
        if not asked.picture:
            return nothing(EMPTY_IMAGE)
        try:
            seen = self._see(asked)
        except Refusal as refusal:
            return nothing(refused(refusal))
        metric, own = seen.prediction.metric, own_range(seen.prediction)
        before = asked.before if asked.before and asked.before.path == asked.picture else None
        if before is None:
            asked = replace(asked, points=[], fov="")
        ends = kept_ends(asked, before, seen.prediction) or own
        limits = limits_of(seen.prediction, *ends)
        near, far = range_sliders(seen.prediction, ends)
        return {
            "empty": gr.update(value=EMPTY_IMAGE, visible=False), "results": gr.update(visible=True),
            **colored(seen, limits, asked.color_map), "router": router_label(seen.prediction),
            "near": near, "far": far, "found": range_text(seen.prediction) + half_text(seen),
            **measured(seen, limits, asked),
            "fov": gr.update(value=asked.fov, visible=metric), "png16": PNG16_LABELS[metric],
            "before": Before(asked.picture, metric, own), **nothing_compared(),
        }  # fmt: skip

    def again(self, moved: str, asked: Asked) -> ColorUpdates:
        """Shows the same prediction in other colours or another range.

        Args:
            moved: end of the range that was moved, "near" or "far", which pushes the other along; "": neither.
            asked: values of the tab's parts.
        """
        if not asked.picture:
            return {}
        seen = self._see(asked)
        prediction, sent = seen.prediction, (asked.near, asked.far)
        near, far = (end if was is None else was for was, end in zip(sent, own_range(prediction), strict=True))
        pair = pushed(near, far, moved, far_most(prediction), STEPS[prediction.metric])
        ends = tuple(round(end, 2) for end in pair)
        limits = limits_of(prediction, *ends)
        updates: ColorUpdates = {**colored(seen, limits, asked.color_map)}
        if asked.under == DEPTH:
            updates["marked"] = measured(seen, limits, asked)["marked"]
        updates.update({name: end for name, end, was in zip(("near", "far"), ends, sent, strict=True) if end != was})
        return updates

    def file(self, kind: str, asked: Asked) -> str:
        """Writes a file of the depth; returns its path.

        Args:
            kind: one of `result_files.KINDS`.
            asked: values of the tab's parts.
        """
        seen = self._see(asked)
        limits = limits_of(seen.prediction, asked.near, asked.far)
        return result_file(kind, seen, limits, asked.color_map, str(asked.picture))

    def click(self, asked: Asked, pixel: tuple[int, int]) -> ReadUpdates:
        """Adds a point and measures; a third point starts again.

        Args:
            asked: values of the tab's parts.
            pixel: (column, row) that was clicked, of the picture as it was sent to the browser.
        """
        if not asked.picture:
            return {"points": []}
        seen = self._see(asked)
        full, sent = np.array(seen.picture.size), np.array(clickable_size(seen.image))
        x, y = np.clip((np.array(pixel) + 0.5) * full / sent, 0, full - 1).astype(int).tolist()
        points = [*asked.points, (x, y)] if len(asked.points) < 2 else [(x, y)]
        return self.measure(replace(asked, points=points))

    def clear(self, asked: Asked) -> ReadUpdates:
        """Takes the points away."""
        return self.measure(replace(asked, points=[]))

    def measure(self, asked: Asked) -> ReadUpdates:
        """Tells what is known of the points, in words and drawn."""
        if not asked.picture:
            return {"points": []}
        seen = self._see(asked)
        limits = limits_of(seen.prediction, asked.near, asked.far) if asked.under == DEPTH else (0.0, 1.0)
        return measured(seen, limits, asked)

    def _see(self, asked: Asked) -> Seen:
        return self.work.see(asked.picture, asked.model, asked.domain)


def nothing(why: str) -> ResultUpdates:
    """Takes the result away.

    Args:
        why: HTML in its place.
    """
    hidden = gr.update(visible=False)
    return {
        "empty": gr.update(value=why, visible=True), "results": hidden, "slider": None, "legend": "", "router": hidden,
        "found": "", "told": "", "marked": None, "points": [], "fov": "", "before": None, **nothing_compared(),
    }  # fmt: skip


def measured(seen: Seen, limits: tuple[float, float], asked: Asked) -> ReadUpdates:
    """Tells what is known of the points, and draws them into the picture to click in.

    A wrong field of view is told in the read-out's place: it is used again with every click.
    """
    points = [(int(x), int(y)) for x, y in asked.points]
    told, notes = HINTS[seen.prediction.metric], None
    if points:
        try:
            found = read_out(seen, points, number_of(asked.fov, "field of view"))
            told, notes = found["text"], notes_of(found)
        except Refusal as refusal:
            told = refusal.message
    marked = with_points(underlay(seen, limits, asked), points, seen.picture.size, notes)
    return {"told": told, "marked": marked, "points": points}


def underlay(seen: Seen, limits: tuple[float, float], asked: Asked) -> Image.Image:
    """Returns the picture to click in, without points."""
    size = clickable_size(seen.image)
    if asked.under != DEPTH:
        return seen.image.resize(size)
    return depth_shown(seen.prediction, limits, asked.color_map, size)


def colored(seen: Seen, limits: tuple[float, float], color_map: str) -> ColorUpdates:
    """Shows the depth in colours, and what they mean."""
    size, prediction = shown_size(seen.image), seen.prediction
    percent = (0.0, 0.0) if prediction.metric else percent_of(prediction, limits)
    return {
        "slider": (seen.image.resize(size), depth_shown(prediction, limits, color_map, size)),
        "legend": legend_html(limits, color_map, metric=prediction.metric, percent=percent),
    }


def kept_ends(asked: Asked, before: Before | None, prediction: Prediction) -> tuple[float, float] | None:
    """Returns near and far end as they were set by hand; None where they were not, or mean nothing for this result.

    Args:
        asked: values of the tab's parts.
        before: result of the same picture that was shown; None without one.
        prediction: the new result.
    """
    near, far = asked.near, asked.far
    if before is None or near is None or far is None:
        return None
    by_hand = before.metric == prediction.metric and before.ends != (near, far)
    return (near, far) if by_hand and 0 <= near < far <= far_most(prediction) else None


def router_label(prediction: Prediction) -> Any:
    """Shows the router's guess; hidden for models without a router."""
    named = {domain.capitalize(): chance for domain, chance in prediction.domains.items()}
    return gr.update(value=named or None, visible=bool(named))


def own_range(prediction: Prediction) -> tuple[float, float]:
    """Returns near and far end of a result unless somebody moves them: metres, or 0 and 100 per cent."""
    if not prediction.metric:
        return 0.0, 100.0
    near, far = (round(value, 2) for value in value_range(prediction))
    return near, max(far, near + STEPS[True])


def range_sliders(prediction: Prediction, ends: tuple[float, float]) -> list[Any]:
    """Sets the sliders of near and far end, in metres or in per cent.

    Args:
        prediction: of the picture.
        ends: near and far.
    """
    unit, most, step = "m" if prediction.metric else "%", far_most(prediction), STEPS[prediction.metric]
    return [
        gr.update(minimum=0, maximum=most, value=end, step=step, label=f"{name}, {unit}")
        for name, end in zip(("Near", "Far"), ends, strict=True)
    ]
