"""What happens in the tab for pictures when something is clicked, moved or handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from coloring import (
    clickable_size,
    depth_picture,
    depth_shown,
    legend_html,
    limits_of,
    range_text,
    shown_size,
    value_range,
)
from comparing import compare_models
from predictor import Prediction
from read_outs import HINT, number_of, read_out, with_points
from refusal import Refusal
from result_files import result_files
from work import ROUTER, DepthWork, Seen

if TYPE_CHECKING:
    from image_tab import ImageTab

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
        shown_parts = [tab.slider, tab.legend]
        measured = [tab.told, tab.marked, tab.points]
        fresh: dict[str, Any] = {
            "fn": self.fresh, "inputs": [*asked, tab.color_map, tab.under], "api_visibility": "private",
            "outputs": [tab.empty, tab.results, *shown_parts, tab.router, tab.near, tab.far, tab.found, *measured,
                        tab.gallery],
            "concurrency_id": "look", "concurrency_limit": 2, "show_progress_on": [tab.picture],
        }  # fmt: skip
        write: dict[str, Any] = {"fn": self.files, "inputs": [*asked, *colors], "outputs": tab.files, **QUICK}
        tab.run.click(self.refuse_nothing, tab.picture, None, **QUICK).success(**fresh).success(**write)
        tab.picture.change(**fresh).success(**write)
        tab.domain.input(**fresh).success(**write)
        tab.model.input(self.heads, tab.model, tab.domain, **QUICK).then(**fresh).success(**write)
        again: dict[str, Any] = {"fn": self.again, "inputs": [*asked, *colors], "outputs": shown_parts, **QUICK}
        for event in (tab.color_map.input, tab.near.release, tab.far.release):
            event(**again).success(**write)
        clicked = [*asked, tab.fov, tab.color_map, tab.under, tab.points]
        tab.marked.select(self.click, clicked, measured, **QUICK)
        for event in (tab.fov.submit, tab.fov.blur, tab.under.input, tab.color_map.input):
            event(self.measure, clicked, measured, **QUICK)
        tab.forget.click(self.clear, clicked, measured, **QUICK)
        tab.compare.click(
            self.show_compared, [tab.picture, tab.compared, tab.color_map], tab.gallery, api_visibility="private",
            concurrency_id="look",
        )  # fmt: skip

    def refuse_nothing(self, path: str | None) -> None:
        """Says so if there is no picture."""
        if not path:
            raise Refusal("Upload a picture, take one, or click an example first.", title="There is no picture yet")

    def fresh(self, path: str | None, name: str, head: str, color_map: str, under: str) -> tuple[Any, ...]:
        """A new prediction: everything is shown afresh, in the prediction's own range. Without a picture nothing is."""
        if not path:
            hidden = gr.update(visible=False)
            return (gr.update(visible=True), hidden, None, "", hidden, *[gr.skip()] * 3, HINT, None, [], hidden)
        seen = self.work.see(path, name, head)
        limits = value_range(seen.prediction)
        return (
            gr.update(visible=False), gr.update(visible=True), *colored(seen, limits, color_map),
            router_label(seen.prediction), *range_sliders(seen.prediction), range_text(seen.prediction),
            HINT, self.underlay(seen, color_map, under), [], gr.update(visible=False),
        )  # fmt: skip

    def again(self, path: str | None, name: str, head: str, color_map: str, near: float, far: float) -> tuple[Any, ...]:
        """The same prediction in other colours or another range."""
        if not path:
            return gr.skip(), gr.skip()
        seen = self.work.see(path, name, head)
        return colored(seen, limits_of(seen.prediction, near, far), color_map)

    def files(self, path: str | None, name: str, head: str, color_map: str, near: float, far: float) -> list[Any]:
        """Files to take home, written after the picture is shown."""
        if not path:
            return [gr.update(value=None, interactive=False)] * 3
        seen = self.work.see(path, name, head)
        limits = limits_of(seen.prediction, near, far)
        first = "16-bit PNG, mm" if seen.prediction.metric else "16-bit PNG"
        paths = result_files(seen, depth_picture(seen.prediction, limits, color_map), path)
        labels = (first, "NumPy .npy", "Coloured PNG")
        return [gr.update(value=file, interactive=True, label=label) for file, label in zip(paths, labels, strict=True)]

    def heads(self, name: str) -> Any:
        """The heads that a model has to choose from."""
        from image_tab import head_choices

        card = self.work.models.card(name)
        return gr.update(choices=head_choices(card.domains), value=ROUTER, visible=card.choosable)

    def click(
        self, path: str | None, name: str, head: str, given: str, color_map: str, under: str,
        before: list[Any], event: gr.SelectData,
    ) -> tuple[Any, ...]:  # fmt: skip
        """A third point begins anew."""
        if not path:
            return gr.skip(), gr.skip(), []
        image = self.work.see(path, name, head).image
        full, small = np.array(image.size), np.array(clickable_size(image))
        x, y = np.clip((np.array(event.index) + 0.5) * full / small, 0, full - 1).astype(int).tolist()
        now = [*before, (x, y)] if len(before) < 2 else [(x, y)]
        return self.measure(path, name, head, given, color_map, under, now)

    def clear(self, path: str | None, name: str, head: str, *rest: Any) -> tuple[Any, ...]:
        """No points."""
        given, color_map, under, _ = rest
        return self.measure(path, name, head, given, color_map, under, [])

    def measure(
        self, path: str | None, name: str, head: str, given: str, color_map: str, under: str, now: list[Any]
    ) -> tuple[Any, ...]:
        """What is known of the points, in words and drawn."""
        if not path:
            return gr.skip(), gr.skip(), []
        seen = self.work.see(path, name, head)
        points = [(int(x), int(y)) for x, y in now]
        told = read_out(seen, points, number_of(given, "field of view"))["text"] if points else HINT
        return told, with_points(self.underlay(seen, color_map, under), points, seen.image.size), points

    def underlay(self, seen: Seen, color_map: str, under: str) -> Any:
        """What is clicked in."""
        size = clickable_size(seen.image)
        if under == "Depth":
            return depth_shown(seen.prediction, value_range(seen.prediction), color_map, size)
        return seen.image.resize(size)

    def show_compared(self, path: str | None, names: list[str], color_map: str) -> Any:
        """The gallery of several models."""
        found = compare_models(self.work, path, names, color_map)
        return gr.update(value=[(picture, caption) for picture, caption, _ in found], visible=True)


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
