"""The tab for pictures: its parts and where they stand. What they do is in image_events.py."""

from dataclasses import dataclass, fields
from typing import Any, TypedDict

import gradio as gr
from coloring import MAP_NAMES
from predictor import ModelCard
from read_outs import HINTS
from work import ROUTER, DepthWork

from page.appearance import EMPTY_IMAGE
from page.compare_view import CompareParts
from page.compare_view import build as build_compare
from semidepth.media.color_maps import COLOR_MAPS, DEFAULT_COLOR_MAP

COLOR_CHOICES = [(MAP_NAMES.get(name, name), name) for name in COLOR_MAPS]
PHOTO, DEPTH = "Photo", "Depth"  # what is clicked in to measure
PNG16_LABELS = {True: "16-bit PNG, mm", False: "16-bit PNG"}  # by whether the model predicts metres


@dataclass(frozen=True, kw_only=True)
class ImageParts(CompareParts):
    """The parts of the tab, those of its view that compares models included.

    Args:
        points: clicked ones, (column, row) of the upright picture.
        before: what is shown, an `image_events.Before`, or None.
        png16: button for the file of this kind; likewise `npy` and `color`.
        downloads: row of the three.
    """

    picture: gr.Image
    model: gr.Dropdown
    domain: gr.Radio
    router: gr.Label
    run: gr.Button
    empty: gr.HTML
    results: gr.Column
    slider: gr.ImageSlider
    told: gr.Markdown
    marked: gr.Image
    under: gr.Radio
    fov: gr.Textbox
    forget: gr.Button
    legend: gr.HTML
    color_map: gr.Dropdown
    near: gr.Slider
    far: gr.Slider
    found: gr.Markdown
    png16: gr.Button
    npy: gr.Button
    color: gr.Button
    downloads: gr.Row
    look_tab: gr.Tab
    measure_tab: gr.Tab
    compare_tab: gr.Tab
    points: gr.State
    before: gr.State


def build(work: DepthWork, examples: list[str]) -> ImageParts:
    """Lays out the tab.

    Args:
        work: whose models can be chosen.
        examples: paths of pictures to click on.
    """
    with gr.Row(equal_height=False, elem_id="sheet"):  # a grid, which has the answer second where all is one column
        with gr.Column(elem_id="sheet_picture", min_width=0):
            picture = _picture(examples)
        with gr.Column(elem_id="sheet_answer", min_width=0):
            empty = gr.HTML(EMPTY_IMAGE, elem_id="empty")
            with gr.Column(visible=False, elem_id="results") as results:
                answer = _answer(work)
        with gr.Column(elem_id="sheet_settings", min_width=0):
            settings = _settings(work)
    return ImageParts(
        picture=picture, empty=empty, results=results, **settings, **answer, points=gr.State([]), before=gr.State(None)
    )


def head_choices(card: ModelCard) -> list[tuple[str, str]]:
    """Lists labels and values of a model's heads to choose from, the router first."""
    return [("Let the router choose", ROUTER)] + [(domain.capitalize(), domain) for domain in card.domains]


class HeadUpdates(TypedDict):
    """The choice of heads for another model."""

    domain: Any


def heads_of(card: ModelCard) -> HeadUpdates:
    """Offers the heads of another model."""
    return {"domain": gr.update(choices=head_choices(card), value=ROUTER, visible=card.choosable)}


def _picture(examples: list[str]) -> gr.Image:
    picture = gr.Image(
        type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], label="Picture", height=300,
        elem_id="picture",
    )  # fmt: skip
    if examples:
        gr.Examples(examples, picture, label="Examples", elem_id="examples", api_visibility="private")
    return picture


def _settings(work: DepthWork) -> dict[str, Any]:
    """Lays out the choice of a model and a head."""
    cards = [work.models.card(name) for name in work.models.names]
    return {
        "model": gr.Dropdown(
            [(card.label, card.name) for card in cards], value=cards[0].name, label="Model", elem_id="model",
            info="“Metres” can be measured in; “near to far” has no unit.", filterable=len(cards) > 8,
        ),
        "domain": gr.Radio(
            head_choices(cards[0]), value=ROUTER, label="Head", visible=cards[0].choosable, elem_id="domain",
            info="Indoors and outdoors are measured by different parts of the model.",
        ),
        "router": gr.Label(
            label="Where was this taken? The router's guess", visible=False, elem_id="router", show_heading=False
        ),
        "run": gr.Button("Show depth", variant="primary", elem_id="run"),
    }  # fmt: skip


def _answer(work: DepthWork) -> dict[str, Any]:
    """Lays out the results: three views, the colours and the files."""
    metric = work.models.card(work.models.names[0]).metric
    found = gr.Markdown(elem_id="found")
    with gr.Tabs(elem_id="views"):
        with gr.Tab("Look", id="look") as look_tab:
            slider = gr.ImageSlider(
                show_label=False, type="pil", interactive=False, max_height=520, elem_id="slider", format="jpeg"
            )
        with gr.Tab("Measure", id="measure") as measure_tab:
            measure = _measure(metric)
        with gr.Tab("Compare", id="compare") as compare_tab:
            compare = build_compare(work)
    legend = gr.HTML(elem_id="legend")
    with gr.Row(equal_height=True):
        color_map = gr.Dropdown(
            COLOR_CHOICES, value=DEFAULT_COLOR_MAP, label="Colours", elem_id="colors", min_width=150
        )
        near = gr.Slider(0, 100, 0, label="Near, %", elem_id="near", min_width=170)
        far = gr.Slider(0, 100, 100, label="Far, %", elem_id="far", min_width=170)
    with gr.Row() as downloads:
        labels = {"png16": PNG16_LABELS[metric], "npy": "NumPy .npy", "color": "Coloured PNG"}
        files = {
            kind: gr.Button(label, size="md", min_width=110, elem_id=f"file_{kind}") for kind, label in labels.items()
        }
    return {
        "found": found, "slider": slider, "legend": legend, "color_map": color_map, "near": near, "far": far,
        "downloads": downloads, "look_tab": look_tab, "measure_tab": measure_tab, "compare_tab": compare_tab,
        **measure, **files, **{each.name: getattr(compare, each.name) for each in fields(compare)},
    }  # fmt: skip


def _measure(metric: bool) -> dict[str, Any]:
    """Lays out the view to measure in.

    Args:
        metric: whether the first model predicts metres.
    """
    told = gr.Markdown(HINTS[metric], elem_id="told")
    marked = gr.Image(
        show_label=False, type="pil", interactive=False, buttons=["fullscreen"], elem_id="marked", format="jpeg",
        height=460,
    )  # fmt: skip
    with gr.Row():
        under = gr.Radio([PHOTO, DEPTH], value=PHOTO, label="Click in", elem_id="under", min_width=130)
        fov = gr.Textbox(label="Field of view, degrees", placeholder="the photo's own, else 60", elem_id="fov",
                         min_width=150, visible=metric)  # fmt: skip
    forget = gr.Button("Clear the points", elem_id="forget", size="md")
    return {"told": told, "marked": marked, "under": under, "fov": fov, "forget": forget}
