"""What happens in the tab for pictures when something is clicked, moved or handed in."""

from __future__ import annotations

import html
from functools import partial
from typing import TYPE_CHECKING, Any

import downloads
import gradio as gr
import numpy as np
from appearance import EMPTY_IMAGE, refused
from coloring import (
    clickable_size,
    depth_shown,
    legend_html,
    limits_of,
    range_text,
    shown_size,
    value_range,
)
from comparing import compare_models, has_head
from PIL import Image
from predictor import Prediction
from read_outs import HINT, number_of, read_out, with_points
from refusal import Refusal
from result_files import KINDS, result_file
from work import ROUTER, DepthWork, Seen

if TYPE_CHECKING:
    from image_tab import ImageTab

DEPTH = "Depth"  # to click in; else the photo
PNG16_LABELS = {True: "16-bit PNG, mm", False: "16-bit PNG"}
QUICK: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


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
        measured = [tab.told, tab.marked, tab.points]
        fresh: dict[str, Any] = {
            "fn": self.fresh, "inputs": [*asked, tab.color_map, tab.under], "api_visibility": "private",
            "outputs": [tab.empty, tab.results, tab.slider, tab.legend, tab.router, tab.near, tab.far, tab.found,
                        *measured, tab.gallery, tab.files[0]],
            "concurrency_id": "look", "concurrency_limit": 2, "show_progress_on": [tab.picture],
        }  # fmt: skip
        tab.run.click(self.refuse_nothing, tab.picture, None, **QUICK).success(**fresh)
        tab.picture.change(**fresh)
        tab.domain.input(**fresh)
        tab.model.input(self.heads, tab.model, tab.domain, **QUICK).then(**fresh)
        for event in (tab.color_map.input, tab.near.release, tab.far.release):
            event(self.again, [*asked, *colors, tab.under, tab.points], [tab.slider, tab.legend, tab.marked], **QUICK)
        clicked = [*asked, *colors, tab.fov, tab.under, tab.points]
        tab.marked.select(self.click, clicked, measured, **QUICK)
        for event in (tab.fov.submit, tab.fov.blur, tab.under.input):
            event(self.measure, clicked, measured, **QUICK)
        tab.forget.click(self.clear, clicked, measured, **QUICK)
        tab.compare.click(
            self.show_compared, [tab.picture, tab.compared, tab.domain, tab.color_map], tab.gallery,
            api_visibility="private", concurrency_id="look",
        )  # fmt: skip
        for kind, button in zip(KINDS, tab.files, strict=True):
            downloads.connect(button, partial(self.file, kind), [*asked, *colors])

    def refuse_nothing(self, path: str | None) -> None:
        """Says so if there is no picture."""
        if not path:
            raise Refusal("Upload a picture, take one, or click an example first.", title="There is no picture yet")

    def fresh(self, path: str | None, name: str, head: str, color_map: str, under: str) -> tuple[Any, ...]:
        """A new prediction: everything is shown afresh, in the prediction's own range.

        Without a picture, or where it is refused, nothing is left of the one before.
        """
        if not path:
            return nothing(EMPTY_IMAGE)
        try:
            seen = self.work.see(path, name, head)
        except Refusal as refusal:
            gr.Warning(html.escape(refusal.message), title=html.escape(refusal.title))
            return nothing(refused(refusal))
        limits = value_range(seen.prediction)
        return (
            gr.update(value=EMPTY_IMAGE, visible=False), gr.update(visible=True), *colored(seen, limits, color_map),
            router_label(seen.prediction), *range_sliders(seen.prediction), range_text(seen.prediction),
            HINT, underlay(seen, limits, color_map, under), [], gr.update(value=None, visible=False),
            PNG16_LABELS[seen.prediction.metric],
        )  # fmt: skip

    def again(
        self, path: str | None, name: str, head: str, color_map: str, near: float, far: float, under: str,
        points: list[Any],
    ) -> tuple[Any, ...]:  # fmt: skip
        """The same prediction in other colours or another range."""
        if not path:
            return (gr.skip(),) * 3
        seen = self.work.see(path, name, head)
        limits = limits_of(seen.prediction, near, far)
        below = marked(seen, limits, color_map, under, points) if under == DEPTH else gr.skip()
        return *colored(seen, limits, color_map), below

    def file(self, kind: str, path: str | None, name: str, head: str, color_map: str, near: float, far: float) -> str:
        """A file to take home."""
        seen = self.work.see(path, name, head)
        return result_file(kind, seen, limits_of(seen.prediction, near, far), color_map, str(path))

    def heads(self, name: str) -> Any:
        """The heads that a model has to choose from."""
        from image_tab import head_choices

        card = self.work.models.card(name)
        return gr.update(choices=head_choices(card.domains), value=ROUTER, visible=card.choosable)

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
        points = [(int(x), int(y)) for x, y in now]
        told = read_out(seen, points, number_of(given, "field of view"))["text"] if points else HINT
        limits = limits_of(seen.prediction, near, far) if under == DEPTH else (0.0, 1.0)
        return told, marked(seen, limits, color_map, under, points), points

    def show_compared(self, path: str | None, names: list[str], head: str, color_map: str) -> Any:
        """The gallery of several models, each with the head that is chosen if it has that one."""
        having = any(has_head(self.work.models.card(name), head) for name in names)
        found = compare_models(self.work, path, names, head if having else None, color_map)
        return gr.update(value=[(picture, caption) for picture, caption, _ in found], visible=True)


def nothing(why: str) -> tuple[Any, ...]:
    """What `fresh` shows where there is no result.

    Args:
        why: HTML in its place.
    """
    hidden = gr.update(visible=False)
    return (
        gr.update(value=why, visible=True), hidden, None, "", hidden, *[gr.skip()] * 2, "", HINT, None, [],
        gr.update(value=None, visible=False), gr.skip(),
    )  # fmt: skip


def marked(
    seen: Seen, limits: tuple[float, float], color_map: str, under: str, points: list[tuple[int, int]]
) -> Image.Image:
    """The picture to click in, with its points."""
    return with_points(underlay(seen, limits, color_map, under), points, seen.image.size)


def underlay(seen: Seen, limits: tuple[float, float], color_map: str, under: str) -> Image.Image:
    """What is clicked in."""
    size = clickable_size(seen.image)
    return depth_shown(seen.prediction, limits, color_map, size) if under == DEPTH else seen.image.resize(size)


def colored(seen: Seen, limits: tuple[float, float], color_map: str) -> tuple[Any, ...]:
    """Slider and legend."""
    size = shown_size(seen.image)
    depth = depth_shown(seen.prediction, limits, color_map, size)
    return (seen.image.resize(size), depth), legend_html(limits, color_map, metric=seen.prediction.metric)


def router_label(prediction: Prediction) -> Any:
    """What the router thinks; hidden for models without one."""
    named = {domain.capitalize(): chance for domain, chance in prediction.domains.items()}
    return gr.update(value=named or None, visible=bool(named))


def range_sliders(prediction: Prediction) -> tuple[Any, Any]:
    """Near and far end in metres, or in per cent where there is no unit."""
    if not prediction.metric:
        return (gr.update(minimum=0, maximum=100, value=0, step=1, label="Near, %"),
                gr.update(minimum=0, maximum=100, value=100, step=1, label="Far, %"))  # fmt: skip
    low, high = value_range(prediction)
    most = float(np.ceil(max(prediction.values.max(), high)))
    return (gr.update(minimum=0, maximum=most, value=round(low, 2), step=0.01, label="Near, m"),
            gr.update(minimum=0, maximum=most, value=round(high, 2), step=0.01, label="Far, m"))  # fmt: skip
