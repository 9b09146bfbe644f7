"""The page with its tabs, and the server that shows it until it is stopped."""

import html
import importlib
import logging
import threading
from pathlib import Path

import gradio as gr
import torch
from app_options import AppOptions
from choosing import choose_models
from page import about, convert_tab, endpoints, many_tab, video_tab
from page.appearance import CSS, HEADING, THEME, TITLE, no_model, trust_html
from page.browser_files import browser_file
from page.photo import image_tab
from page.photo.image_events import ImageEvents
from page.wiring import Page
from refusal import Refusal
from results.clips import MOST_MEGABYTES
from results.converting import converting_models
from work import DepthWork
from zero_gpu import ON_ZERO_GPU

from semidepth.prediction.models import check_device

logger = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
FIRST = "bear.jpg"  # of the examples
OF_CLIP = "palace.jpg"  # the example that the clip to try is made of
HOUR_S = 3600
KEPT_S = 24 * HOUR_S  # uploads and results: a tab that is left open over night still has its picture


def example_pictures() -> list[Path]:
    """Lists the photos in `examples/` beside this file; the page starts with the first."""
    return sorted((HERE / "examples").glob("*.jpg"), key=lambda path: (path.name != FIRST, path.name))


def keep_answers(work: DepthWork, photos: list[Path], stop: threading.Event) -> threading.Thread:
    """Predicts photos by the first model, beside what visitors ask for, and keeps the results; returns the thread.

    Args:
        work: with the models.
        photos: paths; one that cannot be read is left out with a warning.
        stop: to be set where the work is to end with the photo that is being predicted.
    """

    def predict() -> None:
        for photo in photos:
            if stop.is_set():
                return
            try:
                work.see(str(photo), work.models.names[0], keep=True)
            except Refusal as refusal:
                logger.warning("The photo %s is not kept: %s", photo.name, refusal.message)

    thread = threading.Thread(target=predict, name="answers of the page's photos", daemon=True)
    thread.start()
    return thread


def build(work: DepthWork) -> gr.Blocks:
    """Builds the page.

    Args:
        work: with the models to choose from; without any the page says how to get one.
    """
    models, examples, events = work.models, example_pictures(), ImageEvents(work)
    gr.set_static_paths([HERE / "examples"])
    with Page(title=TITLE, analytics_enabled=False, delete_cache=(HOUR_S, KEPT_S)) as page:
        gr.HTML(HEADING, elem_id="heading")
        if not models.names:
            gr.HTML(no_model([html.escape(why) for why in models.skipped]))
            return page
        # On ZeroGPU nothing is computed before somebody asks.
        first = models.card(models.names[0])
        trust = gr.HTML(trust_html(first), elem_id="trust")
        card = gr.Markdown(about.card_text(first), elem_id="card", render=False)
        start = events.start(examples[0]) if examples and not ON_ZERO_GPU else image_tab.Start()
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Photo", id="photo"):
                image = image_tab.build(work, trust, card, examples, start)
            with gr.Tab("Many photos", id="many"):
                many = many_tab.build(work)
            with gr.Tab("Video", id="video"):
                video = video_tab.build(work, example=bool(examples))
            if converting_models(models):
                with gr.Tab("Any to any", id="convert"):
                    convert_tab.ConvertEvents(work).connect(convert_tab.build(work))
        about.build(card, HERE / "examples" / "SOURCES.md")
        events.connect(page, image)
        page.load(None, js=browser_file("names.js"))
        of_clip = next((path for path in examples if path.name == OF_CLIP), next(iter(examples), None))
        video_tab.VideoEvents(work, of_clip).connect(video)
        many_tab.ManyEvents(work).connect(many)
        endpoints.build(work)
    return page


def serve(options: AppOptions) -> None:
    """Serves the page until the process is stopped.

    Raises:
        ValueError: an option cannot be met, such as a port in use.
    """
    if options.mcp:
        try:
            importlib.import_module("mcp")  # without it gradio would go on and only print a line
        except ImportError as error:
            raise ValueError("--mcp needs a package that is missing; pip install 'gradio[mcp]'.") from error
    device = options.device or ("cuda" if torch.cuda.is_available() or ON_ZERO_GPU else "cpu")
    if not ON_ZERO_GPU:
        check_device(device)  # before anything is loaded
    models = choose_models(
        list(options.model), options.outputs, HERE / "README.md", device, trusted=options.trust_remote_code,
        runtime=options.runtime,
    )  # fmt: skip
    work = DepthWork(models)
    page = build(work)
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
        raise ValueError(
            f"the page cannot be had on {where}, which is in use or closed; give another --port."
        ) from error
    stop = threading.Event()
    keeping = keep_answers(work, example_pictures() if models.names and not ON_ZERO_GPU else [], stop)
    # Gradio's own way to wait closes the server under open pages, which keep it from removing files (`delete_cache`).
    try:
        threading.Event().wait()
    finally:
        stop.set()
        keeping.join()  # a process that ends amid a prediction is aborted
        page.close(verbose=False)
