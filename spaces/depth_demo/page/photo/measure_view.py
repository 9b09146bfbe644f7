"""The view to measure in: points to click, to drag and to type, and what is known of them."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
import numpy as np
from refusal import Refusal, pixels, shown
from results.coloring import clickable_size, limits_of
from results.read_outs import HINTS, Point, points_of, points_text
from work import DepthWork

from page.browser_files import browser_file
from page.photo.image_results import measured
from page.photo.image_values import Asked, ReadUpdates
from page.wiring import QUICK, Wiring


@dataclass(frozen=True, kw_only=True)
class MeasureParts:
    """The parts of the view.

    Args:
        told: read-out.
        marked: picture to click in, with the points.
        marks: handles on the points.
        places: points as text.
        share: of the depth over the photo.
        fov: horizontal field of view.
        forget: takes the points away.
        points: clicked ones, (column, row) of the upright picture.
    """

    told: gr.Markdown
    marked: gr.Image
    marks: gr.HTML
    places: gr.Textbox
    share: gr.Slider
    fov: gr.Textbox
    forget: gr.Button
    points: gr.State


def points_sent(value: Any) -> list[Point]:
    """Checks points as the handles sent them.

    Raises:
        Refusal: these are none.
    """
    sent = value.get("points") if isinstance(value, dict) else None
    if not isinstance(sent, list):
        raise Refusal(f"The points are {shown(value)}; move those that are there.")
    return pixels(sent, "Points") if sent else []


@dataclass(frozen=True)
class DraggedAsked(Asked):
    """The values of the tab's parts, and the points as they were dragged."""

    marks: list[Point] = field(metadata={"read": points_sent})


def build(metric: bool, start: Any) -> dict[str, Any]:
    """Lays out the view.

    Args:
        metric: whether the first model predicts metres.
        start: `image_tab.Start`, updates that show a result.
    """
    told = gr.Markdown(**start.of("told", value=HINTS[metric]), elem_id="told")
    with gr.Column(elem_id="measured"):
        marked = gr.Image(
            **start.of("marked"), show_label=False, type="pil", interactive=False, buttons=["fullscreen"],
            elem_id="marked", format="jpeg",
        )  # fmt: skip
        marks = gr.HTML(
            **start.of("marks"), html_template='<div class="marks" role="group" aria-label="Points"></div>',
            js_on_load=browser_file("marks.js"), elem_id="marks", label="Points",
        )  # fmt: skip
    with gr.Row(elem_id="measuring"):
        places = gr.Textbox(
            label="Points: x, y", placeholder="120, 80; 300, 200", elem_id="places", min_width=170,
            info="In pixels from the upper left corner.",
        )  # fmt: skip
        fov = gr.Textbox(
            **start.of("fov", visible=metric, placeholder="the photo's own, else 60"), label="Field of view, degrees",
            elem_id="fov", min_width=170, info="Horizontal. It sets widths and heights.",
        )  # fmt: skip
        share = gr.Slider(
            0, 100, 0, step=5, label="Depth over the photo, %", elem_id="share", min_width=240, buttons=[],
        )  # fmt: skip
        forget = gr.Button("Clear the points", elem_id="forget", size="md", min_width=120)
    return {"told": told, "marked": marked, "marks": marks, "places": places, "fov": fov, "share": share,
            "forget": forget}  # fmt: skip


class MeasureEvents:
    """The view's handlers.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self, tab: Any) -> None:
        """Binds the handlers.

        Args:
            tab: parts of the tab for photos, the view's own among them.
        """
        wiring = Wiring(tab, Asked)
        wiring.on_click_in(tab.marked, self.click, ReadUpdates, **QUICK)
        options = QUICK | {"drop_late": True}
        Wiring(tab, DraggedAsked).on(tab.marks.input, self.dragged, ReadUpdates, trigger_mode="always_last", **options)
        for event in (tab.fov.submit, tab.fov.blur):
            wiring.on(event, self.measure, ReadUpdates, **options)
        wiring.on(tab.share.input, self.measure, ReadUpdates, trigger_mode="always_last", **options)
        for event in (tab.places.submit, tab.places.blur):
            wiring.on(event, self.typed, ReadUpdates, **options)
        wiring.on(tab.forget.click, self.clear, ReadUpdates, **options)

    def click(self, asked: Asked, pixel: tuple[int, int]) -> ReadUpdates:
        """Adds a point and measures; with two there already, the nearer of them moves to where was clicked.

        Args:
            asked: values of the tab's parts.
            pixel: (column, row) that was clicked, of the picture as it was sent to the browser.
        """
        if not asked.picture or asked.latest.is_other(asked.picture):
            return {}
        seen = self.work.see(asked.picture, asked.model, asked.domain)
        full, sent = np.array(seen.picture.size), np.array(clickable_size(seen.image))
        x, y = np.clip((np.array(pixel) + 0.5) * full / sent, 0, full - 1).astype(int).tolist()
        points = [*asked.points, (x, y)]
        if len(points) > 2:
            apart = [math.dist((x, y), point) for point in asked.points]
            points = [points[0], (x, y)] if apart[1] <= apart[0] else [(x, y), points[1]]
        return self.measure(replace(asked, points=points))

    def typed(self, asked: Asked) -> ReadUpdates:
        """Takes the points that were typed, and measures."""
        if not asked.picture or asked.places.strip() == points_text(asked.points):
            return {}
        try:
            points = points_of(asked.places)
            return self.measure(replace(asked, points=points))
        except Refusal as refusal:
            return {"told": refusal.message}

    def dragged(self, asked: DraggedAsked) -> ReadUpdates:
        """Measures between the points as they were dragged, or moved with arrow keys."""
        return self.measure(replace(asked, points=asked.marks))

    def clear(self, asked: Asked) -> ReadUpdates:
        """Takes the points away."""
        return self.measure(replace(asked, points=[]))

    def measure(self, asked: Asked) -> ReadUpdates:
        """Tells what is known of the points, in words and drawn."""
        if not asked.picture or asked.latest.is_other(asked.picture):
            return {}
        seen = self.work.see(asked.picture, asked.model, asked.domain)
        limits = limits_of(seen.prediction, *asked.legend) if asked.share else (0.0, 1.0)
        return measured(seen, limits, asked)
