"""The tab for pictures: depth in colours, distances by a click, files to take home, models side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from color_maps import COLOR_MAPS, DEFAULT_COLOR_MAP
from predictor import Prediction
from work import (
    ROUTER,
    DepthWork,
    Seen,
    depth_legend,
    depth_picture,
    field_of_view,
    limits_of,
    read_out,
    result_files,
    value_range,
    with_points,
)

MAP_NAMES = {"magma": "Magma", "cividis": "Cividis (for colour-blind eyes)"}
HINT = "Click a point in the picture to read its distance, a second one for the distance between them."


@dataclass
class ImageTab:
    """The parts of the tab that other tabs use."""

    picture: gr.Image
    model: gr.Dropdown
    domain: gr.Radio
    fov: gr.Number


def build(work: DepthWork, examples: list[str]) -> ImageTab:
    """Lays out the tab and connects it.

    Args:
        work: what the buttons do.
        examples: pictures to click on.
    """
    names = work.models.names
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            picture = gr.Image(
                type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], label="Picture", height=320,
                elem_id="picture",
            )  # fmt: skip
            model = gr.Dropdown(names, value=names[0], label="Model", elem_id="model")
            domain = gr.Radio([("Let the router choose", ROUTER)], value=ROUTER, label="Head", visible=False,
                              elem_id="domain")  # fmt: skip
            run = gr.Button("Show depth", variant="primary", elem_id="run")
            if examples:
                gr.Examples(examples, picture, label="Examples")
        with gr.Column(scale=3, min_width=300):
            slider = gr.ImageSlider(label="Photo | depth", type="numpy", interactive=False, max_height=520,
                                    elem_id="slider")  # fmt: skip
            legend = gr.Image(show_label=False, container=False, interactive=False, buttons=[], height=52,
                              elem_id="legend", visible=False)  # fmt: skip
            router = gr.Label(label="Where was this taken? The router's probabilities", visible=False, elem_id="router")
            with gr.Row():
                color_map = gr.Dropdown([(MAP_NAMES.get(name, name), name) for name in COLOR_MAPS],
                                        value=DEFAULT_COLOR_MAP, label="Colours", elem_id="colors")  # fmt: skip
                near = gr.Slider(0, 100, 0, label="Near end, %", elem_id="near")
                far = gr.Slider(0, 100, 100, label="Far end, %", elem_id="far")
            with gr.Accordion("Measure", open=True):
                told = gr.Markdown(HINT, elem_id="told")
                marked = gr.Image(label="Click here", type="filepath", interactive=False, buttons=["fullscreen"],
                                  elem_id="marked")  # fmt: skip
                with gr.Row():
                    fov = gr.Number(None, label="Horizontal field of view, degrees",
                                    info="Empty: from the photo's EXIF data, else guessed.", elem_id="fov")  # fmt: skip
                    forget = gr.Button("Forget the points", elem_id="forget")
            files = gr.File(label="Download: 16-bit PNG, .npy, coloured PNG", file_count="multiple", interactive=False,
                            elem_id="files")  # fmt: skip
    points = gr.State([])

    def see_new(path: str | None, name: str, head: str) -> tuple[Any, ...]:
        """A new prediction: everything is shown afresh, in the prediction's own range."""
        seen = work.see(path, name, head)
        limits = value_range(seen.prediction)
        near_slider, far_slider = range_sliders(seen.prediction)
        return (
            *colored(seen, limits, color_map.value, path), router_label(seen.prediction), near_slider, far_slider,
            seen.image, [], HINT,
        )  # fmt: skip

    def see_again(path: str | None, name: str, head: str, colors: str, low: float, high: float) -> tuple[Any, ...]:
        """The same prediction in other colours or another range."""
        if not path:
            return gr.skip(), gr.skip(), gr.skip()
        seen = work.see(path, name, head)
        return colored(seen, limits_of(seen.prediction, low, high), colors, path)

    def click(
        path: str | None, name: str, head: str, given: float | None, before: list[Any], event: gr.SelectData
    ) -> tuple[Any, ...]:
        x, y = (int(number) for number in event.index)
        now = [*map(tuple, before), (x, y)] if len(before) < 2 else [(x, y)]
        return measured(path, name, head, given, now)

    def measured(path: str | None, name: str, head: str, given: float | None, now: list[Any]) -> tuple[Any, ...]:
        if not path or not now:
            return gr.skip(), gr.skip(), now
        seen = work.see(path, name, head)
        found = read_out(seen, now, field_of_view(seen.image, given))
        return found["text"], with_points(seen.image, now), now

    shown = [slider, legend, files]
    asked = [picture, model, domain]
    fresh = {"fn": see_new, "inputs": asked, "outputs": [*shown, router, near, far, marked, points, told],
             "api_visibility": "private"}  # fmt: skip
    again = {"fn": see_again, "inputs": [*asked, color_map, near, far], "outputs": shown, "api_visibility": "private",
             "show_progress": "hidden"}  # fmt: skip
    run.click(**fresh)
    picture.upload(**fresh)
    domain.input(**fresh)
    model.change(lambda name: heads_of(work, name), model, domain, api_visibility="private").then(
        **(fresh | {"fn": lambda path, name, head: see_new(path, name, head) if path else (gr.skip(),) * 9})
    )
    color_map.input(**again)
    near.release(**again)
    far.release(**again)
    marked.select(click, [*asked, fov, points], [told, marked, points], api_visibility="private",
                  show_progress="hidden")  # fmt: skip
    fov.submit(measured, [*asked, fov, points], [told, marked, points], api_visibility="private")
    forget.click(lambda path: (HINT, path, []), picture, [told, marked, points], api_visibility="private")
    return ImageTab(picture, model, domain, fov)


def colored(seen: Seen, limits: tuple[float, float], colors: str, path: str | None) -> tuple[Any, ...]:
    """Slider, legend and files."""
    depth = depth_picture(seen.prediction, limits, colors)
    bar = gr.update(value=depth_legend(seen.prediction, limits, colors), visible=True)
    return (np.asarray(seen.image), depth), bar, result_files(seen, depth, Path(path or "picture").stem)


def router_label(prediction: Prediction) -> Any:
    """What the router thinks; hidden for models without one."""
    if not prediction.domains:
        return gr.update(value=None, visible=False)
    return gr.update(value=prediction.domains, visible=True)


def range_sliders(prediction: Prediction) -> tuple[Any, Any]:
    """Near and far end in metres, or in per cent where there is no unit."""
    if not prediction.metric:
        return (gr.update(minimum=0, maximum=100, value=0, step=1, label="Near end, %"),
                gr.update(minimum=0, maximum=100, value=100, step=1, label="Far end, %"))  # fmt: skip
    low, high = value_range(prediction)
    most = float(np.ceil(max(prediction.values.max(), high)))
    return (gr.update(minimum=0, maximum=most, value=round(low, 2), step=0.01, label="Near end, m"),
            gr.update(minimum=0, maximum=most, value=round(high, 2), step=0.01, label="Far end, m"))  # fmt: skip


def heads_of(work: DepthWork, name: str) -> Any:
    """The heads that a model has to choose from."""
    try:
        domains = work.models.get(name).domains
    except ValueError as error:
        raise gr.Error(str(error), title="No model") from error
    choices = [("Let the router choose", ROUTER)] + [(domain.capitalize(), domain) for domain in domains]
    return gr.update(choices=choices, value=ROUTER, visible=len(domains) > 1)
