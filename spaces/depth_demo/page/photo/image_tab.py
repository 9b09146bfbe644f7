"""The tab for photos: its parts and where they stand. What they do is in image_events.py and scene_view.py."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from results.coloring import COLOR_CHOICES
from results.surface_files import HAS_EXR
from work import ROUTER, DepthWork

from page.appearance import EMPTY_IMAGE
from page.browser_files import browser_file
from page.photo import compare_view, keeping, legend_bar, measure_view, scene_view, strip
from page.photo.compare_view import CompareParts
from page.photo.measure_view import MeasureParts
from page.photo.scene_view import SceneParts
from page.wiring import Latest
from semidepth.media.color_maps import DEFAULT_COLOR_MAP

PNG16_LABELS = {True: "16-bit PNG, mm", False: "16-bit PNG"}  # by whether the model predicts metres
FILE_LABELS = {"color": "Coloured PNG", "png16": PNG16_LABELS[True], "npy": "NumPy .npy"}
SURFACE_LABELS = {"normals": "Normals PNG", "exr": "Depth .exr"}
SPLIT = '<input type="range" min="0" max="100" value="50" step="1" aria-label="Photo to the left, depth to the right">'


@dataclass(frozen=True, kw_only=True)
class ImageParts(CompareParts, MeasureParts, SceneParts):
    """The parts of the tab, those of its views to measure, to compare models and to show the scene included.

    Args:
        trust: line on what the model was trained and how far off it is.
        card: the model's card.
        change: button that takes another photo.
        domain: head that somebody has chosen, or "router".
        place: heads with the router's percentages, and the one that was used.
        found: what is shown: photo, model and range.
        photo: the photo below the depth.
        before: what is shown, an `image_values.Before`, or None.
        order: changes when a picture is to be predicted.
        latest: what was asked for last, see `wiring.Latest`.
        view: name of the view that is open.
        views: row of views.
        kept: what the browser keeps of the tab.
        ready: whether the page has been set to what the browser had kept.
        png16: button for the file of this kind; likewise `npy`, `color`, `normals` and `exr`.
        strip: of photos to click on; None without any.
        examples: paths of these.
    """

    trust: gr.HTML
    card: gr.Markdown
    picture: gr.Image
    change: gr.UploadButton
    model: gr.Dropdown
    domain: gr.State
    place: gr.Radio
    empty: gr.HTML
    results: gr.Column
    found: gr.Markdown
    photo: gr.Image
    depth: gr.Image
    legend: gr.HTML
    color_map: gr.Radio
    png16: gr.Button
    npy: gr.Button
    color: gr.Button
    normals: gr.Button
    exr: gr.Button
    depth_tab: gr.Tab
    measure_tab: gr.Tab
    scene_tab: gr.Tab
    compare_tab: gr.Tab
    before: gr.State
    order: gr.State
    latest: gr.State
    view: gr.State
    views: gr.Tabs
    kept: gr.BrowserState
    ready: gr.State
    strip: gr.HTML | None
    examples: list[Path]


class Start(dict[str, Any]):
    """Updates of parts by name, as keyword arguments of the parts while they are made."""

    def of(self, name: str, **otherwise: Any) -> dict[str, Any]:
        """Keyword arguments of one part.

        Args:
            name: of the part.
            otherwise: those that hold where the updates say nothing else.
        """
        update = self.get(name, {})
        if not (isinstance(update, dict) and update.get("__type__") == "update"):
            update = {"value": update} if name in self else {}
        return otherwise | {key: value for key, value in update.items() if key != "__type__"}


def build(work: DepthWork, trust: gr.HTML, card: gr.Markdown, examples: list[Path], start: Start) -> ImageParts:
    """Lays out the tab.

    Args:
        work: whose models can be chosen.
        trust: line above the tabs on how far the first model can be trusted.
        card: part that shows a model's card.
        examples: pictures to click on.
        start: updates that show a result; empty: none is shown.
    """
    metric = work.models.card(work.models.names[0]).metric
    with gr.Row(equal_height=False, elem_id="top"):
        top = _top(work, start)
    empty = gr.HTML(**start.of("empty", value=EMPTY_IMAGE), elem_id="empty")
    with gr.Column(**start.of("results", visible=False), elem_id="results") as results:
        found = gr.Markdown(**start.of("found"), elem_id="found")
        views = _views(work, metric, start)
        with gr.Row(elem_id="under"):
            below = _below(metric, start)
    photos = strip.build(examples, elem_id="examples") if examples else None
    states = {
        "domain": gr.State(ROUTER), "points": gr.State([]), "before": gr.State(start.get("before")),
        "order": gr.State(0), "latest": gr.State(Latest()), "view": gr.State("depth"), "built": gr.State(None),
        "metric": gr.State(metric),
    }  # fmt: skip
    return ImageParts(
        trust=trust,
        card=card,
        empty=empty,
        results=results,
        found=found,
        strip=photos,
        examples=examples,
        **top,
        **views,
        **below,
        **states,
        **keeping.build(),
    )


def _top(work: DepthWork, start: Start) -> dict[str, Any]:
    """Lays out the picture, small once there is one, and which model looks at it."""
    cards = [work.models.card(name) for name in work.models.names]
    picture = gr.Image(
        **start.of("picture"), type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"],
        label="Photo", show_label=False, elem_id="picture", buttons=[],
    )  # fmt: skip
    with gr.Column(elem_id="choices", min_width=0), gr.Row(elem_id="line"):
        model = gr.Dropdown(
            [(card.label, card.name) for card in cards], value=cards[0].name, label="Model", elem_id="model",
            filterable=len(cards) > 8, min_width=220,
        )  # fmt: skip
        place = gr.Radio(**start.of("place", choices=[], visible=False), elem_id="place", min_width=220)
        change = gr.UploadButton("Change photo", file_types=["image"], elem_id="change", size="md", min_width=140,
                                 scale=0)  # fmt: skip
    return {"picture": picture, "model": model, "place": place, "change": change}


def _views(work: DepthWork, metric: bool, start: Start) -> dict[str, Any]:
    """Lays out the stage: one row of views on the picture."""
    with gr.Tabs(elem_id="views") as tabs:
        with gr.Tab("Depth", id="depth") as depth_tab, gr.Column(elem_id="stage"):
            plain: dict[str, Any] = {
                "show_label": False, "type": "pil", "interactive": False, "format": "jpeg", "buttons": [],
                "container": False,
            }  # fmt: skip
            photo = gr.Image(**start.of("photo"), **plain, elem_id="photo")
            depth = gr.Image(**start.of("depth"), **plain, elem_id="depth")
            gr.HTML(html_template=SPLIT, js_on_load=browser_file("split.js"), elem_id="split")
        with gr.Tab("Measure", id="measure") as measure_tab:
            measure = measure_view.build(metric, start)
        with gr.Tab("3D", id="scene") as scene_tab:
            scene = scene_view.build(metric)
        with gr.Tab("Compare", id="compare") as compare_tab:
            compare = compare_view.build(work)
    return {
        "photo": photo, "depth": depth, "depth_tab": depth_tab, "measure_tab": measure_tab, "scene_tab": scene_tab,
        "compare_tab": compare_tab, "views": tabs, **measure, **scene, **compare,
    }  # fmt: skip


def _below(metric: bool, start: Start) -> dict[str, Any]:
    """Lays out what stands under the picture: the range of colours, the colours, and the files."""
    legend = legend_bar.build(**start.of("legend"), elem_id="legend")
    color_map = gr.Radio(COLOR_CHOICES, value=DEFAULT_COLOR_MAP, label="Colours", elem_id="colors", min_width=240)
    with gr.Accordion("Download", open=False, elem_id="download"):
        labels = FILE_LABELS | {"png16": PNG16_LABELS[metric]}
        files = {
            kind: gr.Button(**start.of(kind, value=label), size="md", min_width=120, elem_id=f"file_{kind}")
            for kind, label in labels.items()
        }
        files |= {
            kind: gr.Button(label, size="md", min_width=120, elem_id=f"file_{kind}", visible=kind != "exr" or HAS_EXR)
            for kind, label in SURFACE_LABELS.items()
        }
        scene = {kind: gr.Button(label, size="md", min_width=120, elem_id=kind)
                 for kind, label in (("glb", "Mesh .glb"), ("ply", "Points .ply"))}  # fmt: skip
    return {"legend": legend, "color_map": color_map, **files, **scene}
