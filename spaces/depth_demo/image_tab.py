"""The tab for pictures: depth in colours, distances by a click, models side by side, files to take home."""

from dataclasses import dataclass
from typing import Any

import compare_view
import gradio as gr
from appearance import EMPTY_IMAGE
from coloring import MAP_NAMES
from heads import head_choices
from image_events import DEPTH, PNG16_LABELS, ImageEvents
from read_outs import HINTS
from work import ROUTER, DepthWork

from semidepth.media.color_maps import COLOR_MAPS, DEFAULT_COLOR_MAP

COLOR_CHOICES = [(MAP_NAMES.get(name, name), name) for name in COLOR_MAPS]


@dataclass
class ImageTab:
    """The parts of the tab."""

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
    compare: compare_view.CompareView
    legend: gr.HTML
    color_map: gr.Dropdown
    near: gr.Slider
    far: gr.Slider
    found: gr.Markdown
    files: list[gr.Button]
    of_one: list[Any]
    of_several: gr.Tab
    of_any: list[gr.Tab]
    points: gr.State
    before: gr.State


def build(work: DepthWork, examples: list[str]) -> ImageTab:
    """Lays out the tab and connects it.

    Args:
        work: what the buttons do.
        examples: pictures to click on.
    """
    with gr.Row(equal_height=False, elem_id="sheet"):  # a grid, which has the answer second where all is one column
        with gr.Column(elem_id="sheet_picture", min_width=0):
            picture = handing_in(examples)
        with gr.Column(elem_id="sheet_answer", min_width=0):
            empty = gr.HTML(EMPTY_IMAGE, elem_id="empty")
            with gr.Column(visible=False, elem_id="results") as results:
                answer = answering(work)
        with gr.Column(elem_id="sheet_settings", min_width=0):
            asked = asking(work)
    tab = ImageTab(picture, **asked, **answer, empty=empty, results=results, points=gr.State([]), before=gr.State(None))
    ImageEvents(work, tab).connect()
    return tab


def handing_in(examples: list[str]) -> gr.Image:
    """Where a picture is handed in."""
    picture = gr.Image(
        type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], label="Picture", height=300,
        elem_id="picture",
    )  # fmt: skip
    unopened(picture)
    if examples:
        gr.Examples(examples, picture, label="Examples", elem_id="examples", api_visibility="private")
    return picture


def asking(work: DepthWork) -> dict[str, Any]:
    """What is asked of the picture: a model, a head."""
    cards = [work.models.card(name) for name in work.models.names]
    model = gr.Dropdown(
        [(card.label, card.name) for card in cards], value=cards[0].name, label="Model", elem_id="model",
        info="“Metres” can be measured in; “near to far” has no unit.", filterable=len(cards) > 8,
    )  # fmt: skip
    domain = gr.Radio(
        head_choices(cards[0]), value=ROUTER, label="Head", visible=cards[0].choosable, elem_id="domain",
        info="Indoors and outdoors are measured by different parts of the model.",
    )  # fmt: skip
    router = gr.Label(
        label="Where was this taken? The router's guess", visible=False, elem_id="router", show_heading=False
    )
    run = gr.Button("Show depth", variant="primary", elem_id="run")
    return {"model": model, "domain": domain, "router": router, "run": run}


def answering(work: DepthWork) -> dict[str, Any]:
    """What came out."""
    cards = [work.models.card(name) for name in work.models.names]
    found = gr.Markdown(elem_id="found")
    with gr.Tabs(elem_id="views"):
        with gr.Tab("Look", id="look") as look_tab:
            slider = gr.ImageSlider(
                show_label=False, type="pil", interactive=False, max_height=520, elem_id="slider", format="jpeg"
            )
        with gr.Tab("Measure", id="measure") as measure_tab:
            told = gr.Markdown(HINTS[cards[0].metric], elem_id="told")
            marked = gr.Image(
                show_label=False, type="pil", interactive=False, buttons=["fullscreen"], elem_id="marked",
                format="jpeg", height=460,
            )  # fmt: skip
            with gr.Row():
                under = gr.Radio(["Photo", DEPTH], value="Photo", label="Click in", elem_id="under", min_width=130)
                fov = gr.Textbox(label="Field of view, degrees", placeholder="the photo's own, else 60", elem_id="fov",
                                 min_width=150, visible=cards[0].metric)  # fmt: skip
            forget = gr.Button("Clear the points", elem_id="forget", size="md")
        with gr.Tab("Compare", id="compare") as compare_tab:
            compare = compare_view.build(work)
    legend = gr.HTML(elem_id="legend")
    with gr.Row(equal_height=True):
        color_map = gr.Dropdown(
            COLOR_CHOICES, value=DEFAULT_COLOR_MAP, label="Colours", elem_id="colors", min_width=150
        )
        near = gr.Slider(0, 100, 0, label="Near, %", elem_id="near", min_width=170)
        far = gr.Slider(0, 100, 100, label="Far, %", elem_id="far", min_width=170)
    for end in (near, far):
        end.preprocess = lambda payload: payload  # what is typed beyond the ends is moved, not complained of
    with gr.Row() as taken_home:
        names = (PNG16_LABELS[cards[0].metric], "NumPy .npy", "Coloured PNG")
        files = [
            gr.Button(name, size="md", min_width=110, elem_id=f"file{number}") for number, name in enumerate(names)
        ]
    return {
        "found": found, "slider": slider, "told": told, "marked": marked, "under": under, "fov": fov, "forget": forget,
        "compare": compare, "legend": legend, "color_map": color_map, "near": near, "far": far, "files": files,
        "of_one": [legend, near, far, taken_home], "of_several": compare_tab, "of_any": [look_tab, measure_tab],
    }  # fmt: skip


def unopened(component: Any) -> None:
    """Makes a component hand on an upload's path unopened: only `open_image` can say well what is wrong with a file.

    Gradio has made sure by then that the path lies in its own folder of uploads.
    """
    component.preprocess = lambda payload: payload.path if payload else None
