"""The tab for clips."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from appearance import EMPTY_VIDEO, progress_html
from clips import LIMITS_TEXT, Clip, Wish, depth_of_clip, duration, look_at
from coloring import legend_html
from heads import head_choices, heads_of
from image_tab import COLOR_CHOICES, unopened
from refusal import Refusal
from work import ROUTER, DepthWork

from semidepth.media.color_maps import DEFAULT_COLOR_MAP

SETTLED_S = 1.0
HIDE, SHOW = gr.update(visible=False), gr.update(visible=True)
ON, OFF = gr.update(interactive=True), gr.update(interactive=False)


@dataclass
class VideoTab:
    """The parts of the tab."""

    clip: gr.Video
    facts: gr.Markdown
    model: gr.Dropdown
    domain: gr.Radio
    color_map: gr.Dropdown
    beside: gr.Checkbox
    run: gr.Button
    cancel: gr.Button
    empty: gr.HTML
    bar: gr.HTML
    result: gr.Video
    legend: gr.HTML
    told: gr.Markdown


def build(work: DepthWork) -> None:
    """Lays out the tab and connects it."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            left = asking(work)
        with gr.Column(scale=3, min_width=300):
            right = answering()
    VideoEvents(work, VideoTab(**left, **right)).connect()


def asking(work: DepthWork) -> dict[str, Any]:
    """The left half: a clip, a model, a head, and how it is shown."""
    cards = [work.models.card(name) for name in work.models.names]
    clip = gr.Video(label="Clip", sources=["upload", "webcam"], height=300, elem_id="clip")
    unopened(clip)
    facts = gr.Markdown(LIMITS_TEXT, elem_id="facts")
    model = gr.Dropdown([(card.label, card.name) for card in cards], value=cards[0].name, label="Model",
                        elem_id="video_model", filterable=False)  # fmt: skip
    domain = gr.Radio(
        head_choices(cards[0]), value=ROUTER, label="Head", visible=cards[0].choosable,
        elem_id="video_domain", info="One for the whole clip.",
    )  # fmt: skip
    color_map = gr.Dropdown(COLOR_CHOICES, value=DEFAULT_COLOR_MAP, label="Colours", elem_id="video_colors")
    beside = gr.Checkbox(True, label="Side by side with the clip", elem_id="beside")
    with gr.Row():
        run = gr.Button("Make depth clip", variant="primary", elem_id="make", min_width=140, scale=2)
        cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel", min_width=90)
    return {"clip": clip, "facts": facts, "model": model, "domain": domain, "color_map": color_map, "beside": beside,
            "run": run, "cancel": cancel}  # fmt: skip


def answering() -> dict[str, Any]:
    """The right half: nothing yet, work in progress, or what came out."""
    return {
        "empty": gr.HTML(EMPTY_VIDEO, elem_id="video_empty"),
        "bar": gr.HTML(visible=False, elem_id="bar"),
        "result": gr.Video(
            show_label=False, interactive=False, visible=False, elem_id="result", buttons=["download"]
        ),
        "legend": gr.HTML(visible=False, elem_id="video_legend"),
        "told": gr.Markdown(visible=False, elem_id="video_told"),
    }  # fmt: skip


class VideoEvents:
    """What happens when something is clicked.

    Args:
        work: what the buttons do.
        tab: its parts.
    """

    def __init__(self, work: DepthWork, tab: VideoTab) -> None:
        self.work = work
        self.tab = tab
        # While a clip is worked on no other can be put in its place: its depth would appear beside another clip.
        self.shown = [tab.empty, tab.bar, tab.result, tab.legend, tab.told, tab.clip, tab.run, tab.cancel]

    def connect(self) -> None:
        """Connects all of it."""
        tab = self.tab
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        running = tab.run.click(
            self.make, [tab.clip, tab.model, tab.domain, tab.color_map, tab.beside], self.shown,
            concurrency_limit=None, **quiet,  # those who come later wait in `clips.LINE`, which tells them
        )  # fmt: skip
        # Twice: a step that was on its way when the work was cancelled may arrive after the first.
        tab.cancel.click(self.reset, None, self.shown, cancels=[running], queue=False, **quiet).then(
            self.settled, None, self.shown, queue=False, **quiet
        )
        tab.clip.change(self.reset, None, self.shown, queue=False, **quiet).then(
            self.look, tab.clip, [tab.facts, tab.run], **quiet
        )
        tab.model.input(lambda name: heads_of(self.work.models.card(name)), tab.model, tab.domain, **quiet)

    def make(self, path: str | None, model: str, head: str, colors: str, beside: bool) -> Iterator[list[Any]]:
        """Shows how far the work is, then the clip."""
        try:
            for step in depth_of_clip(self.work.models, path, Wish(model, head, colors, beside)):
                if isinstance(step, Clip):
                    yield self.finished(step, colors, self.work.models.card(model).label)
                else:
                    bar = gr.update(value=progress_html(step.done / max(step.frames, 1), step.text), visible=True)
                    yield [HIDE, bar, HIDE, HIDE, HIDE, OFF, OFF, ON]
        except gr.Error as error:
            yield self.reset()
            raise error

    def finished(self, made: Clip, colors: str, label: str) -> list[Any]:
        """The clip, what its colours mean, whose depth it is, and what became of its sound."""
        legend = legend_html(made.limits, colors, metric=made.metric)
        return [
            HIDE, HIDE, gr.update(value=made.path, visible=True), gr.update(value=legend, visible=True),
            gr.update(value=f"{label}: {made.text}", visible=True), ON, ON, OFF,
        ]  # fmt: skip

    def reset(self) -> list[Any]:
        """Nothing is shown, nothing is under way."""
        return [SHOW, HIDE, HIDE, HIDE, HIDE, ON, ON, OFF]

    def settled(self) -> list[Any]:
        """The same a moment later."""
        time.sleep(SETTLED_S)
        return self.reset()

    def look(self, path: str | None) -> tuple[str, Any]:
        """What the clip is, or why it is not taken and cannot be worked on."""
        if not path:
            return LIMITS_TEXT, ON
        try:
            info = look_at(path)
        except Refusal as refusal:
            return f"**Not taken.** {refusal.message}", OFF
        sound = "with sound" if info.has_audio else "without sound"
        return f"{duration(info.duration_s)}, {info.frames} frames of {info.width} x {info.height}, {sound}.", ON
