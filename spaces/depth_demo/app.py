"""Depth from a picture, in 3D, or of a video, with any depth-estimation model of transformers.

    python spaces/depth_demo/app.py                                     # the newest model below outputs/
    python spaces/depth_demo/app.py --model outputs/demo/metric depth-anything/Depth-Anything-V2-Small-hf

On a Hugging Face Space the same file runs without arguments; the variable MODELS (ids, with spaces between) names the
models there.
"""

import argparse
import os
from pathlib import Path

import gradio as gr
import image_tab
import torch
from huggingface_hub import metadata_load
from predictor import Models, find_models
from work import DepthWork

HERE = Path(__file__).resolve().parent
TITLE = "How far is everything in this picture?"
SUBTITLE = "One photo in, the distance of every pixel out: look at it, measure in it, walk around in it."
THEME = gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=["system-ui", "sans-serif"])
CSS = """
.gradio-container {max-width: 1180px !important; margin: auto}
#heading {text-align: center}
#told p {font-size: 1.05rem}
@media (max-width: 600px) {.gradio-container {padding: 8px !important}}
"""


def published_model() -> str | None:
    """The first id under `models` in the front matter of this Space's README."""
    models = (metadata_load(HERE / "README.md") or {}).get("models") or []
    return models[0] if models else None


def example_pictures() -> list[str]:
    """Photos that the gradio package carries, and those in `examples/` beside this file."""
    own = sorted((HERE / "examples").glob("*.jpg"))
    stock = Path(gr.__file__).parent / "media_assets" / "images"
    return [str(path) for path in (*own, stock / "tower.jpg", stock / "lion.jpg", stock / "cheetah.jpg") if path.is_file()]


def build(models: Models) -> gr.Blocks:
    """The page.

    Args:
        models: to choose from; without any the page says how to get one.
    """
    with gr.Blocks(title="semidepth", analytics_enabled=False) as page:
        gr.Markdown(f"# {TITLE}\n{SUBTITLE}", elem_id="heading")
        if not models.names:
            gr.Markdown(
                "## There is no model yet\nTrain one with `make demo`, then start this page again, or name one: "
                "`python spaces/depth_demo/app.py --model FOLDER_OR_ID`."
            )
            return page
        work = DepthWork(models)
        with gr.Tab("Image", id="image"):
            image_tab.build(work, example_pictures())
    return page


def main() -> None:
    """Command line; see the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=os.environ.get("MODELS", "").split(), help="Hub ids or folders")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where trained models are looked for")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--host", default=None, help="address to serve on; default: gradio's")
    parser.add_argument("--port", type=int, default=None)
    options = parser.parse_args()
    models = Models(find_models(options.model, options.outputs, published_model()), options.device)
    page = build(models)
    page.queue(default_concurrency_limit=1, max_size=64)
    page.launch(server_name=options.host, server_port=options.port, theme=THEME, css=CSS, max_file_size="200mb")


if __name__ == "__main__":
    main()
