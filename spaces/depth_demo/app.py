"""Depth from a picture, in 3D, or of a video, with any depth-estimation model of transformers.

    python spaces/depth_demo/app.py            # the model that comes with semidepth, and those below outputs/
    python spaces/depth_demo/app.py --model outputs/demo/metric depth-anything/Depth-Anything-V2-Small-hf

On a Hugging Face Space the same file runs without arguments; the variable MODELS (ids, with spaces between) names the
models there.
"""

import argparse
import html
import importlib
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import gradio as gr
import torch
from choosing import choose_models
from clips import MOST_MEGABYTES
from page import endpoints, image_tab, scene_tab, video_tab
from page.appearance import CSS, SUBTITLE, THEME, TITLE, no_model
from page.image_events import ImageEvents
from page.wiring import Page
from predictor import Models
from work import DepthWork
from zero_gpu import ON_ZERO_GPU

from semidepth.prediction.models import check_device

HERE = Path(__file__).resolve().parent
HOUR_S = 3600
KEPT_S = 24 * HOUR_S  # uploads and results: a tab that is left open over night still has its picture


def example_pictures() -> list[str]:
    """Lists the photos in `examples/` beside this file."""
    return [str(path) for path in sorted((HERE / "examples").glob("*.jpg"))]


def build(models: Models) -> gr.Blocks:
    """Builds the page.

    Args:
        models: to choose from; without any the page says how to get one.
    """
    with Page(title=TITLE, analytics_enabled=False, delete_cache=(HOUR_S, KEPT_S)) as page:
        gr.Markdown(f"# {TITLE}\n{SUBTITLE}", elem_id="heading")
        if not models.names:
            gr.HTML(no_model([html.escape(why) for why in models.skipped]))
            return page
        work = DepthWork(models)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Image", id="image"):
                image = image_tab.build(work, example_pictures())
            with gr.Tab("3D", id="scene") as opening:
                scene = scene_tab.build(work, image)
            with gr.Tab("Video", id="video"):
                video = video_tab.build(work)
        ImageEvents(work).connect(image)
        scene_tab.SceneEvents(work).connect(scene, opening)
        video_tab.VideoEvents(work).connect(video)
        endpoints.build(work)
    return page


def main() -> int:
    """Command line; see the top of the file. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=os.environ.get("MODELS", "").split(), help="Hub ids or folders")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where trained models are looked for")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() or ON_ZERO_GPU else "cpu")
    parser.add_argument("--host", default=None, help="address to serve on; default: gradio's")
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--trust_remote_code", action="store_true", help="run code that models of --model bring along")
    parser.add_argument("--mcp", action="store_true", help="serve the endpoints as MCP tools, too; needs gradio[mcp]")
    options = parser.parse_args()
    logging.basicConfig(format="%(levelname)s: %(message)s")
    # SIGTERM is to stop this process as Ctrl-C does, so that uploads and results are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def serve(options: argparse.Namespace) -> None:
    """Serves the page until the process is stopped.

    Raises:
        ValueError: an option cannot be met.
        OSError: the port cannot be had.
    """
    if options.mcp:
        try:
            importlib.import_module("mcp")  # without it gradio would go on and only print a line
        except ImportError as error:
            raise ValueError("--mcp needs a package that is missing; pip install 'gradio[mcp]'.") from error
    if not ON_ZERO_GPU:
        check_device(options.device)  # before anything is loaded
    models = choose_models(
        options.model, options.outputs, HERE / "README.md", options.device, trusted=options.trust_remote_code
    )
    page = build(models)
    # Every second: by default gradio tells nobody that somebody before them has left the queue.
    page.queue(default_concurrency_limit=4, max_size=64, status_update_rate=1)
    try:
        page.launch(
            server_name=options.host, server_port=options.port, theme=THEME, css=CSS,
            max_file_size=f"{MOST_MEGABYTES}mb", footer_links=["api"], run_history=False, mcp_server=options.mcp,
            prevent_thread_lock=True,
        )  # fmt: skip
    except (OSError, OverflowError) as error:  # gradio has found no free port
        where = f"port {options.port}" if options.port is not None else "any port"
        raise OSError(f"the page cannot be had on {where}, which is in use or closed; give another --port.") from error
    # Gradio's own way to wait closes the server under open pages, which keep it from removing files (`delete_cache`).
    try:
        threading.Event().wait()
    finally:
        page.close(verbose=False)


if __name__ == "__main__":
    sys.exit(main())
