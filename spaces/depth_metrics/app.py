"""Web page of the metric: upload a prediction and its ground truth, get their scores.

    python app.py        # in the composed folder, beside depth_metrics.py (see `semidepth publish --space metrics`)

The page is ours because `evaluate.utils.launch_gradio_widget` needs Gradio 3 and only takes tables of numbers and text.
"""

from pathlib import Path
from typing import Any

import evaluate
import gradio as gr
import numpy as np
from PIL import Image
from protocols import PROTOCOLS

HERE = Path(__file__).resolve().parent
SCRIPT = str(HERE / "depth_metrics.py")


def read_map(path: str | None, units_per_metre: float, what: str) -> np.ndarray:
    """Reads a depth map.

    Args:
        path: a .npy file, or a PNG or TIFF of one channel.
        units_per_metre: the values of a PNG or TIFF are divided by it.
        what: its name in messages.

    Returns:
        (H, W) float64.

    Raises:
        ValueError: there is no file, or no map in it.
    """
    if path is None:
        raise ValueError(f"there is no {what}; give a .npy file or a 16-bit PNG.")
    if Path(path).suffix.lower() == ".npy":
        values = np.load(path, allow_pickle=False).astype(np.float64)
    else:
        with Image.open(path) as picture:
            if picture.mode not in ("I", "I;16", "I;16B", "F", "L"):
                raise ValueError(
                    f"the {what} {Path(path).name} has the channels {picture.mode}; expected one channel of depth, "
                    "such as a 16-bit PNG, not a coloured picture."
                )
            values = np.asarray(picture).astype(np.float64) / units_per_metre
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2:
        raise ValueError(f"the {what} {Path(path).name} has the shape {values.shape}, expected (height, width).")
    return values


def score(
    prediction: str | None,
    reference: str | None,
    units_per_metre: float,
    mode: str,
    align: str,
    space: str,
    protocol: str,
    max_depth_m: float | None,
) -> list[list[Any]]:
    """Scores one pair of files; returns rows of name and score."""
    try:
        maps = {
            "predictions": [read_map(prediction, units_per_metre if mode == "metric" else 1.0, "prediction")],
            "references": [read_map(reference, units_per_metre, "ground truth")],
        }
        options = {"mode": mode, "align": align, "protocol": protocol, "max_depth_m": max_depth_m or None}
        scores = evaluate.load(SCRIPT, keep_in_memory=True).compute(**maps, space=space, **options)
        scores |= evaluate.load(SCRIPT, "boundary", keep_in_memory=True).compute(**maps, **options)
    except (OSError, ValueError) as error:
        raise gr.Error(str(error), print_exception=False) from error
    return [[name, round(value, 4)] for name, value in scores.items()]


def build() -> gr.Blocks:
    """Builds the page."""
    with gr.Blocks(title="Depth metrics") as page:
        gr.Markdown(
            "# Depth metrics\nScores of a depth map against its ground truth. Maps are `.npy` files, or 16-bit PNGs "
            "whose values are divided by the units per metre (1000 for millimetres, 256 for KITTI). Ground truth is "
            "in metres, 0 or NaN where unknown."
        )
        with gr.Row():
            prediction = gr.File(label="Prediction", file_types=[".npy", ".png", ".tif", ".tiff"])
            reference = gr.File(label="Ground truth", file_types=[".npy", ".png", ".tif", ".tiff"])
        with gr.Row():
            mode = gr.Radio(
                [("metres", "metric"), ("inverse depth, no unit", "relative")], value="metric", label="Prediction is"
            )
            align = gr.Radio(["none", "least_squares", "median"], value="none", label="Alignment")
            space = gr.Radio(["depth", "disparity"], value="depth", label="Compare in")
        with gr.Row():
            protocol = gr.Dropdown(list(PROTOCOLS), value="none", label="Protocol (crop and range)")
            units = gr.Number(1000, label="Units per metre of PNG files", minimum=1e-6)
            cap = gr.Number(None, label="Farthest scored depth, metres (empty: the protocol's)")
        button = gr.Button("Score", variant="primary")
        table = gr.Dataframe(headers=["metric", "score"], datatype=["str", "number"], label="Scores", interactive=False)
        mode.change(
            lambda chosen: "none" if chosen == "metric" else "least_squares", mode, align, api_visibility="private"
        )
        inputs = [prediction, reference, units, mode, align, space, protocol, cap]
        button.click(score, inputs, table, api_name="score")
        gr.Markdown((HERE / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2])
    return page


if __name__ == "__main__":
    build().launch()
