"""What happens in the tab for pictures when something is clicked, moved or handed in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import downloads
import gradio as gr
import numpy as np
from appearance import EMPTY_IMAGE, refused
from coloring import (
    clickable_size,
    depth_shown,
    far_most,
    legend_html,
    limits_of,
    percent_of,
    pushed,
    range_text,
    shown_size,
    value_range,
)
from compare_view import nothing_compared
from heads import heads_of
from PIL import Image
from predictor import Prediction
from read_outs import HINTS, notes_of, number_of, read_out, with_points
from refusal import SHOWN_S, Refusal
from result_files import KINDS, result_file
from work import DepthWork, Seen

if TYPE_CHECKING:
    from image_tab import ImageTab

DEPTH = "Depth"  # to click in; else the photo
PNG16_LABELS = {True: "16-bit PNG, mm", False: "16-bit PNG"}
STEPS = {True: 0.01, False: 1.0}  # of near and far: metres, or per cent
# On a phone the answer begins below what is seen; the page goes there when a picture was handed in.
TO_THE_ANSWER = """() => {
  const answer = document.querySelector('#sheet_answer');
  const below = answer.getBoundingClientRect().top > window.innerHeight / 3;
  if (below && document.querySelector('#picture img')) answer.scrollIntoView({behavior: 'smooth'});
}"""
QUICK: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Before:
    """What is shown.

    Args:
        path: of the picture.
        metric: whether in metres.
        ends: of the range, as long as nobody moves them.
    """

    path: str
    metric: bool
    ends: tuple[float, float]


class ImageEvents:
    """The tab's handlers. Each is a function of what the page sends along.

    Args:
        work: of this Space.
        tab: to be connected.
    """

    def __init__(self, work: DepthWork, tab: ImageTab) -> None:
        self.work = work
        self.tab = tab

    def connect(self) -> None:
        """Binds the handlers to the tab's parts."""
        tab = self.tab
        asked = [tab.picture, tab.model, tab.domain]
        colors = [tab.color_map, tab.near, tab.far]
        read = [tab.told, tab.marked, tab.points]
        clicked = [*asked, *colors, tab.fov, tab.under, tab.points]
        fresh: dict[str, Any] = {
            "fn": self.fresh, "inputs": [*clicked, tab.before], "api_visibility": "private",
            "outputs": [tab.empty, tab.results, tab.slider, tab.legend, tab.router, tab.near, tab.far, tab.found,
                        *read, tab.fov, tab.files[0], tab.before, *tab.compare.shown],
            "concurrency_id": "look", "concurrency_limit": 2, "show_progress_on": [tab.picture],
        }  # fmt: skip
        tab.run.click(self.ask_for_picture, tab.picture, None, **QUICK).then(**fresh)
        tab.picture.change(**fresh).success(None, None, None, js=TO_THE_ANSWER, **QUICK)
        tab.domain.input(**fresh)
        heads = tab.model.input(lambda name: heads_of(self.work.models.card(name)), tab.model, tab.domain, **QUICK)
        heads.then(**fresh)
        ends = (("", tab.color_map.input), ("near", tab.near.release), ("far", tab.far.release))
        for moved, event in ends:
            event(partial(self.again, moved), clicked, [tab.slider, tab.legend, tab.marked, tab.near, tab.far], **QUICK)
        tab.marked.select(self.click, clicked, read, **QUICK)
        for event in (tab.fov.submit, tab.fov.blur, tab.under.input):
            event(self.measure, clicked, read, **QUICK)
        tab.forget.click(self.clear, clicked, read, **QUICK)
        tab.compare.connect(tab.picture, tab.domain, tab.color_map)
        for kind, button in zip(KINDS, tab.files, strict=True):
            downloads.connect(button, partial(self.file, kind), [*asked, *colors])
        # What belongs to one model's result is not shown below several ones'.
        hide, show = ([gr.update(visible=visible) for _ in tab.of_one] for visible in ("hidden", True))
        tab.of_several.select(lambda: hide, None, tab.of_one, **QUICK)
        for view in tab.of_any:
            view.select(lambda: show, None, tab.of_one, **QUICK)

    def ask_for_picture(self, path: str | None) -> None:
        """Says what to do if there is no picture."""
        if not path:
            gr.Info("Upload a picture, take one, or click an example first.", duration=SHOWN_S)

    def fresh(
        self, path: str | None, name: str, head: str, color_map: str, near: float, far: float, given: str, under: str,
        points: list[Any], before: Before | None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """A new prediction. Of the same picture what was clicked and set stays, as far as it means the same.

        Without a picture, or where it is refused, nothing is left of the one before.
        """
        if not path:
            return nothing(EMPTY_IMAGE)
        try:
            seen = self.work.see(path, name, head)
        except Refusal as refusal:
            return nothing(refused(refusal))
        metric, most = seen.prediction.metric, far_most(seen.prediction)
        own = own_range(seen.prediction)
        if before is None or before.path != path:
            before, points, given = None, [], ""
        by_hand = before is not None and before.metric == metric and before.ends != (near, far)
        ends = (near, far) if by_hand and None not in (near, far) and 0 <= near < far <= most else own
        limits = limits_of(seen.prediction, *ends)
        return (
            gr.update(value=EMPTY_IMAGE, visible=False), gr.update(visible=True), *colored(seen, limits, color_map),
            router_label(seen.prediction), *range_sliders(seen.prediction, ends), range_text(seen.prediction),
            *measured(seen, limits, color_map, given, under, points), gr.update(value=given, visible=metric),
            PNG16_LABELS[metric], Before(path, metric, own), *nothing_compared(),
        )  # fmt: skip

    def again(
        self, moved: str, path: str | None, name: str, head: str, color_map: str, near: float, far: float, given: str,
        under: str, points: list[Any],
    ) -> tuple[Any, ...]:  # fmt: skip
        """The same prediction in other colours or another range, of which one end pushes the other along."""
        if not path:
            return (gr.skip(),) * 5
        seen = self.work.see(path, name, head)
        step, own = STEPS[seen.prediction.metric], own_range(seen.prediction)
        given_ends = near, far
        near, far = (end if was is None else was for was, end in zip(given_ends, own, strict=True))  # an emptied field
        ends = tuple(round(end, 2) for end in pushed(near, far, moved, far_most(seen.prediction), step))
        limits = limits_of(seen.prediction, *ends)
        below = measured(seen, limits, color_map, given, under, points)[1] if under == DEPTH else gr.skip()
        sliders = [gr.skip() if end == was else end for end, was in zip(ends, given_ends, strict=True)]
        return *colored(seen, limits, color_map), below, *sliders

    def file(self, kind: str, path: str | None, name: str, head: str, color_map: str, near: float, far: float) -> str:
        """A file to take home."""
        seen = self.work.see(path, name, head)
        return result_file(kind, seen, limits_of(seen.prediction, near, far), color_map, str(path))

    def click(
        self, path: str | None, name: str, head: str, color_map: str, near: float, far: float, given: str, under: str,
        before: list[Any], event: gr.SelectData,
    ) -> tuple[Any, ...]:  # fmt: skip
        """A third point begins anew."""
        if not path:
            return gr.skip(), gr.skip(), []
        image = self.work.see(path, name, head).image
        full, small = np.array(image.size), np.array(clickable_size(image))
        x, y = np.clip((np.array(event.index) + 0.5) * full / small, 0, full - 1).astype(int).tolist()
        now = [*before, (x, y)] if len(before) < 2 else [(x, y)]
        return self.measure(path, name, head, color_map, near, far, given, under, now)

    def clear(self, path: str | None, name: str, head: str, *rest: Any) -> tuple[Any, ...]:
        """No points."""
        return self.measure(path, name, head, *rest[:-1], [])

    def measure(
        self, path: str | None, name: str, head: str, color_map: str, near: float, far: float, given: str, under: str,
        now: list[Any],
    ) -> tuple[Any, ...]:  # fmt: skip
        """What is known of the points, in words and drawn."""
        if not path:
            return gr.skip(), gr.skip(), []
        seen = self.work.see(path, name, head)
        limits = limits_of(seen.prediction, near, far) if under == DEPTH else (0.0, 1.0)
        return measured(seen, limits, color_map, given, under, now)


def nothing(why: str) -> tuple[Any, ...]:
    """What `fresh` shows where there is no result.

    Args:
        why: HTML in its place.
    """
    hidden = gr.update(visible=False)
    return (
        gr.update(value=why, visible=True), hidden, None, "", hidden, *[gr.skip()] * 2, "", "", None, [], "",
        gr.skip(), None, *nothing_compared(),
    )  # fmt: skip


def measured(
    seen: Seen, limits: tuple[float, float], color_map: str, given: str, under: str, points: list[Any]
) -> tuple[str, Image.Image, list[tuple[int, int]]]:
    """What is known of the points, the picture to click in with them drawn, and they themselves.

    A field of view that is none is told in the read-out's place: it is asked for again with every click.
    """
    places = [(int(x), int(y)) for x, y in points]
    told, notes = HINTS[seen.prediction.metric], None
    if places:
        try:
            found = read_out(seen, places, number_of(given, "field of view"))
            told, notes = found["text"], notes_of(found)
        except Refusal as refusal:
            told = refusal.message
    return told, with_points(underlay(seen, limits, color_map, under), places, seen.image.size, notes), places


def underlay(seen: Seen, limits: tuple[float, float], color_map: str, under: str) -> Image.Image:
    """What is clicked in."""
    size = clickable_size(seen.image)
    return depth_shown(seen.prediction, limits, color_map, size) if under == DEPTH else seen.image.resize(size)


def colored(seen: Seen, limits: tuple[float, float], color_map: str) -> tuple[Any, ...]:
    """Slider and legend."""
    size, prediction = shown_size(seen.image), seen.prediction
    percent = (0.0, 0.0) if prediction.metric else percent_of(prediction, limits)
    legend = legend_html(limits, color_map, metric=prediction.metric, percent=percent)
    return (seen.image.resize(size), depth_shown(prediction, limits, color_map, size)), legend


def router_label(prediction: Prediction) -> Any:
    """What the router thinks; hidden for models without one."""
    named = {domain.capitalize(): chance for domain, chance in prediction.domains.items()}
    return gr.update(value=named or None, visible=bool(named))


def own_range(prediction: Prediction) -> tuple[float, float]:
    """Where near and far end stand unless somebody moves them."""
    if not prediction.metric:
        return 0.0, 100.0
    near, far = (round(value, 2) for value in value_range(prediction))
    return near, max(far, near + STEPS[True])


def range_sliders(prediction: Prediction, ends: tuple[float, float]) -> list[Any]:
    """Near and far end in metres, or in per cent where there is no unit.

    Args:
        prediction: of the picture.
        ends: where they stand.
    """
    unit, most, step = "m" if prediction.metric else "%", far_most(prediction), STEPS[prediction.metric]
    return [
        gr.update(minimum=0, maximum=most, value=end, step=step, label=f"{name}, {unit}")
        for name, end in zip(("Near", "Far"), ends, strict=True)
    ]
