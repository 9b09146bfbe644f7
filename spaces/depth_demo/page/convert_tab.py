"""The tab that makes any modality of any other: its parts, where they stand, and what they do."""

import html
from dataclasses import dataclass
from typing import Any, TypedDict

import gradio as gr
from refusal import Refusal
from results.converting import GIVEN, MADE, Handed, convert_handed, converting_models
from work import DepthWork

from page.appearance import placeholder, refused
from page.wiring import Wiring

ONE: dict[str, Any] = {"concurrency_id": "convert", "concurrency_limit": 1}
EMPTY = placeholder(
    "Given and predicted appear here", "Hand in any of what is on the left, and tick what is to be made of it."
)
TO = [("Depth", "depth"), ("Normals", "normals"), ("Classes", "semantics"), ("Sentence", "caption"), ("Colours", "rgb")]
FIRST = ["depth", "normals", "semantics", "caption"]
DEPTH_FILES = [".png", ".tif", ".tiff", ".npy", ".npz", ".pfm", ".exr"]
HIDE = gr.update(visible=False)


@dataclass(frozen=True, kw_only=True)
class ConvertParts:
    """The parts of the tab."""

    photo: gr.Image
    depth: gr.File
    unit_m: gr.Slider
    normals: gr.File
    classes: gr.File
    sentence: gr.Textbox
    model: gr.Dropdown
    to: gr.CheckboxGroup
    steps: gr.Slider
    temperature: gr.Slider
    make: gr.Button
    empty: gr.HTML
    shown: gr.Gallery
    told: gr.HTML


@dataclass(frozen=True)
class ConvertAsked:
    """The values of the parts, each under its part's name; uploads are paths, None without one."""

    photo: str | None
    depth: str | None
    unit_m: float
    normals: str | None
    classes: str | None
    sentence: str
    model: str
    to: list[str]
    steps: float
    temperature: float


class ConvertUpdates(TypedDict, total=False):
    """Updates of the parts that show a result."""

    empty: Any
    shown: Any
    told: Any


def build(work: DepthWork) -> ConvertParts:
    """Lays out the tab.

    Args:
        work: some of whose models make any modality of any other.
    """
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            settings = _settings(work)
        with gr.Column(scale=3, min_width=300):
            empty = gr.HTML(EMPTY, elem_id="convert_empty")
            shown = gr.Gallery(
                show_label=False, visible=False, columns=2, height="auto", object_fit="contain", interactive=False,
                elem_id="convert_shown",
            )  # fmt: skip
            told = gr.HTML(visible=False, elem_id="convert_told")
    return ConvertParts(**settings, empty=empty, shown=shown, told=told)


def _settings(work: DepthWork) -> dict[str, Any]:
    """Lays out the left half: what is given, and what is asked for."""
    cards = converting_models(work.models)
    photo = gr.Image(
        label="Photo", type="filepath", sources=["upload", "clipboard"], height=220, elem_id="convert_photo"
    )
    depth = gr.File(label="Depth map, unknown pixels 0 or NaN", file_types=DEPTH_FILES, height=160,
                    elem_id="convert_depth")  # fmt: skip
    unit_m = gr.Slider(0.0001, 1.0, value=0.001, step=0.0001, label="Metres per unit of a depth map in whole numbers",
                       elem_id="convert_unit")  # fmt: skip
    sentence = gr.Textbox(label="Sentence", placeholder="a room with two chairs", elem_id="convert_sentence")
    with gr.Accordion("Normals and classes", open=False):
        normals = gr.File(label="Normals as a picture", file_types=["image"], height=160, elem_id="convert_normals")
        classes = gr.File(label="Classes, a number per pixel", file_types=["image"], height=160,
                          elem_id="convert_classes")  # fmt: skip
    model = gr.Dropdown([(card.name, card.name) for card in cards], value=cards[0].name, label="Model",
                        elem_id="convert_model", filterable=False)  # fmt: skip
    to = gr.CheckboxGroup(TO, value=FIRST, label="Make", elem_id="convert_to")
    with gr.Accordion("How it is made", open=False):
        steps = gr.Slider(1, 16, value=1, step=1, label="Steps of each map", elem_id="convert_steps")
        temperature = gr.Slider(0.0, 2.0, value=0.0, step=0.1, label="Temperature, 0 is the likeliest",
                                elem_id="convert_temperature")  # fmt: skip
    make = gr.Button("Convert", variant="primary", elem_id="convert_make")
    return {"photo": photo, "depth": depth, "unit_m": unit_m, "normals": normals, "classes": classes, "model": model,
            "sentence": sentence, "to": to, "steps": steps, "temperature": temperature, "make": make}  # fmt: skip


class ConvertEvents:
    """The tab's handlers.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self, tab: ConvertParts) -> None:
        """Binds the handlers to the tab's parts."""
        wiring = Wiring(tab, ConvertAsked)
        wiring.on(tab.make.click, self.make, ConvertUpdates, show_progress="minimal", **ONE)

    def make(self, asked: ConvertAsked) -> ConvertUpdates:
        """Shows what was given and what the model makes of it, or why it cannot be made."""
        handed = Handed(asked.photo, asked.depth, asked.unit_m, asked.normals, asked.classes, asked.sentence)
        try:
            shown = convert_handed(
                self.work.models, asked.model, handed, asked.to, steps=int(asked.steps), temperature=asked.temperature
            )
        except Refusal as refusal:
            return {"empty": gr.update(value=refused(refusal), visible=True), "shown": HIDE, "told": HIDE}
        lines = [f"<p>{_frame(GIVEN)} given {_frame(MADE)} predicted</p>"]
        lines += [f"<p>Sentence, given: {html.escape(asked.sentence)}</p>"] if asked.sentence.strip() else []
        lines += [f"<p>Sentence: {html.escape(shown.sentence)}</p>"] if shown.sentence is not None else []
        pictures = gr.update(value=shown.pictures, visible=bool(shown.pictures))
        return {"empty": HIDE, "shown": pictures, "told": gr.update(value="".join(lines), visible=True)}


def _frame(colour: str) -> str:
    """Returns HTML of a small frame, as pictures of that kind have it."""
    return f'<span style="display:inline-block;width:0.8em;height:0.8em;border:3px solid {colour}"></span>'


__all__ = ["ConvertEvents", "ConvertParts", "build"]
