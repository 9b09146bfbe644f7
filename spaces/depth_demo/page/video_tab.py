"""The tab for clips: its parts, where they stand, and what they do."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import gradio as gr
from predictor import ModelCard
from refusal import Refusal
from results.clips import LIMITS_TEXT, Clip, Wish, depth_of_clip, duration, look_at
from results.coloring import COLOR_CHOICES, legend_html
from results.example_clip import example_clip
from work import ROUTER, DepthWork

from page.appearance import EMPTY_VIDEO, progress_html
from page.photo.image_results import place_name
from page.wiring import QUICK, Wiring, head_of
from semidepth.media.color_maps import DEFAULT_COLOR_MAP

# Clips of the page and of the API are worked on one at a time: gradio's queue lets the others wait, and tells them.
ONE_CLIP: dict[str, Any] = {"concurrency_id": "clip", "concurrency_limit": 1}
WAITING = "Waiting in the queue: one clip is worked on at a time."
SETTLED_S = 1.0
HIDE, SHOW = gr.update(visible=False), gr.update(visible=True)
ON, OFF = gr.update(interactive=True), gr.update(interactive=False)


@dataclass(frozen=True, kw_only=True)
class VideoParts:
    """The parts of the tab; `example` is a button that takes a clip to try."""

    clip: gr.Video
    example: gr.Button
    facts: gr.Markdown
    model: gr.Dropdown
    domain: gr.Radio
    color_map: gr.Dropdown
    beside: gr.Checkbox
    make: gr.Button
    cancel: gr.Button
    empty: gr.HTML
    bar: gr.HTML
    result: gr.Video
    legend: gr.HTML
    told: gr.Markdown


@dataclass(frozen=True)
class VideoAsked:
    """The values of the parts, each under its part's name.

    Args:
        clip: path of the uploaded file; None without one.
        model: name.
        domain: head that is chosen, or "router".
        color_map: name.
        beside: whether the clip stands beside its depth.
    """

    clip: str | None
    model: str
    domain: str = field(metadata={"read": head_of})
    color_map: str
    beside: bool


class VideoUpdates(TypedDict, total=False):
    """Updates of the parts that show a result.

    While a clip is worked on no other can take its place: the result would appear beside another clip.
    """

    empty: Any
    bar: Any
    result: Any
    legend: Any
    told: Any
    clip: Any
    example: Any
    make: Any
    cancel: Any


class HeadUpdates(TypedDict):
    """The choice of heads for another model."""

    domain: Any


class ExampleUpdates(TypedDict):
    """A clip to try."""

    clip: str


class FactUpdates(TypedDict):
    """Facts of a clip that was handed in."""

    facts: str
    make: Any


def build(work: DepthWork, *, example: bool) -> VideoParts:
    """Lays out the tab.

    Args:
        work: whose models can be chosen.
        example: whether there is a clip to try.
    """
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            settings = _settings(work, example)
        with gr.Column(scale=3, min_width=300):
            answer = _answer()
    return VideoParts(**settings, **answer)


def _settings(work: DepthWork, example: bool) -> dict[str, Any]:
    """Lays out the left half: a clip, a model, a head, and how it is shown."""
    cards = [work.models.card(name) for name in work.models.names]
    clip = gr.Video(label="Clip", sources=["upload", "webcam"], height=250, elem_id="clip")
    taken = gr.Button("Take the example clip", size="md", elem_id="example_clip", visible=example)
    facts = gr.Markdown(LIMITS_TEXT, elem_id="facts")
    model = gr.Dropdown([(card.label, card.name) for card in cards], value=cards[0].name, label="Model",
                        elem_id="video_model", filterable=False)  # fmt: skip
    domain = gr.Radio(
        place_choices(cards[0]), value=ROUTER, label="Taken", visible=cards[0].choosable, elem_id="video_domain",
    )  # fmt: skip
    color_map = gr.Dropdown(COLOR_CHOICES, value=DEFAULT_COLOR_MAP, label="Colours", elem_id="video_colors")
    beside = gr.Checkbox(True, label="Side by side with the clip", elem_id="beside")
    with gr.Row():
        make = gr.Button("Make depth clip", variant="primary", elem_id="make", min_width=140, scale=2)
        cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel", min_width=90)
    return {"clip": clip, "example": taken, "facts": facts, "model": model, "domain": domain, "color_map": color_map,
            "beside": beside, "make": make, "cancel": cancel}  # fmt: skip


def _answer() -> dict[str, Any]:
    """Lays out the right half: nothing yet, work in progress, or the result."""
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
    """The tab's handlers.

    Args:
        work: of this Space.
        photo: path of the one that the clip to try is made of; None without one.
    """

    def __init__(self, work: DepthWork, photo: Path | None) -> None:
        self.work, self.photo = work, photo

    def connect(self, tab: VideoParts) -> None:
        """Binds the handlers to the tab's parts."""
        wiring = Wiring(tab, VideoAsked)
        waiting = wiring.on(tab.make.click, wait, VideoUpdates, queue=False, **QUICK)
        running = wiring.on(
            waiting.then, self.make, VideoUpdates, show_progress="minimal", show_progress_on=tab.bar, **ONE_CLIP
        )
        # Twice: a step that was on its way when the work was cancelled may arrive after the first. Nothing can be
        # asked for in between: the second would take it off the page again, though it waits in the queue.
        cancelled = wiring.on(tab.cancel.click, settling, VideoUpdates, cancels=[running], queue=False, **QUICK)
        wiring.on(cancelled.then, settled, VideoUpdates, queue=False, **QUICK)
        changed = wiring.on(tab.clip.change, looking, VideoUpdates, queue=False, **QUICK)
        wiring.on(changed.then, look, FactUpdates, **QUICK)
        wiring.on(tab.model.input, self.heads, HeadUpdates, **QUICK)
        wiring.on(tab.example.click, self.example, ExampleUpdates, **QUICK)

    def example(self, asked: VideoAsked) -> ExampleUpdates:
        """Takes the clip to try.

        Raises:
            Refusal: there is none.
        """
        if self.photo is None:
            raise Refusal("This page has no photo to make a clip of; upload a clip.", title="There is no clip yet")
        return {"clip": example_clip(self.photo)}

    def make(self, asked: VideoAsked) -> Iterator[VideoUpdates]:
        """Shows how far the work is, then the result."""
        wish = Wish(asked.model, asked.domain, asked.color_map, asked.beside)
        try:
            for step in depth_of_clip(self.work.models, asked.clip, wish):
                if isinstance(step, Clip):
                    yield finished(step, asked.color_map, self.work.models.card(asked.model).label)
                else:
                    yield busy(step.done / max(step.frames, 1), step.text)
        except gr.Error as error:
            yield reset(asked)
            raise error

    def heads(self, asked: VideoAsked) -> HeadUpdates:
        """Offers the heads of the chosen model."""
        card = self.work.models.card(asked.model)
        return {"domain": gr.update(choices=place_choices(card), value=ROUTER, visible=card.choosable)}


def place_choices(card: ModelCard) -> list[tuple[str, str]]:
    """Lists labels and values of a model's heads to choose from, its own choice first."""
    return [("As the model finds", ROUTER)] + [(place_name(name), name) for name in card.domains]


def wait(asked: VideoAsked) -> VideoUpdates:
    """Says that the clip waits for its turn; how many are before it is said by gradio, beside this."""
    return busy(0.0, WAITING)


def busy(share: float, text: str) -> VideoUpdates:
    """Shows a bar of work in progress.

    Args:
        share: done, between 0 and 1.
        text: below it.
    """
    return {
        "empty": HIDE, "bar": gr.update(value=progress_html(share, text), visible=True), "result": HIDE,
        "legend": HIDE, "told": HIDE, "clip": OFF, "example": OFF, "make": OFF, "cancel": ON,
    }  # fmt: skip


def finished(made: Clip, color_map: str, label: str) -> VideoUpdates:
    """Shows the result, what its colours mean, which model made it, and what became of the sound."""
    legend = legend_html(made.limits, color_map, metric=made.metric)
    return {
        "empty": HIDE, "bar": HIDE, "result": gr.update(value=made.path, visible=True),
        "legend": gr.update(value=legend, visible=True), "told": gr.update(value=f"{label}: {made.text}", visible=True),
        "clip": ON, "example": ON, "make": ON, "cancel": OFF,
    }  # fmt: skip


def reset(asked: VideoAsked) -> VideoUpdates:
    """Shows no result and no work in progress."""
    return {"empty": SHOW, "bar": HIDE, "result": HIDE, "legend": HIDE, "told": HIDE, "clip": ON, "example": ON,
            "make": ON, "cancel": OFF}  # fmt: skip


def settling(asked: VideoAsked) -> VideoUpdates:
    """Shows the same until the last step of cancelled work must have arrived; nothing can be asked for."""
    return reset(asked) | {"clip": OFF, "example": OFF, "make": OFF}


def looking(asked: VideoAsked) -> VideoUpdates:
    """Shows the same while another clip is looked at, which ends in [`look`]."""
    return reset(asked) | {"make": OFF}


def settled(asked: VideoAsked) -> VideoUpdates:
    """Shows the same a moment later; another clip can be asked for."""
    time.sleep(SETTLED_S)
    return reset(asked)


def look(asked: VideoAsked) -> FactUpdates:
    """Says what the clip is, or why it is not taken."""
    if not asked.clip:
        return {"facts": LIMITS_TEXT, "make": ON}
    try:
        info = look_at(asked.clip)
    except Refusal as refusal:
        return {"facts": f"**Not taken.** {refusal.message}", "make": OFF}
    sound = "with sound" if info.has_audio else "without sound"
    text = f"{duration(info.duration_s)}, {info.frames} frames of {info.width} x {info.height}, {sound}."
    return {"facts": text, "make": ON}
