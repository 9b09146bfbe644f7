"""The foot of the page: the project, its source code and papers, the model's card, and whose the photos are."""

import html
import os
import re
import zipfile
from importlib import metadata
from pathlib import Path

import gradio as gr
from predictor import ModelCard
from results.result_files import new_folder
from trust import card_of

import semidepth
from page.wiring import FETCH
from semidepth.prediction.shipped.folder import find_model

PAPERS = {
    "Depth Anything": "2401.10891", "Depth Anything V2": "2406.09414", "ZoeDepth": "2302.12288", "MiDaS": "1907.01341",
}  # fmt: skip
NAMES = ("repository", "source", "source code", "homepage")  # of an address of code, in a package's metadata
CODE = {".py", ".md", ".css", ".js", ".yaml", ".json", ".toml", ".txt", ".sh"}
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # of a card on the Hub


def build(card: gr.Markdown, sources: Path) -> None:
    """Lays out the foot of the page.

    Args:
        card: part that shows the model's card, not rendered yet.
        sources: Markdown file with the photos' sources and licences.
    """
    address = repository()
    with gr.Row(elem_id="foot_line"):
        gr.HTML(foot_html(address), elem_id="foot")
        if not address:
            code = gr.Button("Source code", size="md", min_width=150, scale=0, elem_id="code")
            made = gr.File(visible="hidden")
            event = code.click(source_zip, None, made, api_visibility="private", show_progress_on=code)
            event.success(None, made, None, js=FETCH, api_visibility="private")
    with gr.Row(elem_id="about", equal_height=False):
        with gr.Accordion("Model card", open=False):
            card.render()
        with gr.Accordion("Sources and licences of the photos", open=False):
            gr.Markdown(sources.read_text(encoding="utf-8"), elem_id="sources")


def repository() -> str:
    """Returns the address of the project's code.

    It is that which the installed package names, else that of the Hugging Face Space that this page is; "" where there
    is neither, and [`source_zip`] has the code.
    """
    try:
        facts = metadata.metadata("semidepth")
        urls = facts.get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # a Space has the package's parts beside the page
        urls = []
    named = {name.lower(): address for name, _, address in (url.partition(", ") for url in urls)}
    space = os.environ.get("SPACE_ID", "")
    own = f"https://huggingface.co/spaces/{space}/tree/main" if space else ""
    return next((named[name] for name in NAMES if named.get(name)), own)


def source_zip() -> str:
    """Packs the code that runs here, the package's and the page's; returns the path of the ZIP file."""
    page, package = Path(__file__).resolve().parents[1], Path(semidepth.__file__).parent
    path = new_folder() / "semidepth_source.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for root, name in ((package, "semidepth"), (page, "spaces/depth_demo")):
            for folder, _, files in os.walk(root, followlinks=True):
                for file in sorted(files):
                    if Path(file).suffix in CODE:
                        packed.write(Path(folder) / file, Path(name) / Path(folder).relative_to(root) / file)
    return str(path)


def foot_html(address: str) -> str:
    """Returns the line with the project and the papers whose methods it has.

    Args:
        address: of the project's code; "" where it is not known.
    """
    name = f'<b>semidepth</b> (<a href="{html.escape(address)}">source code</a>)' if address else "<b>semidepth</b>"
    papers = ", ".join(f'<a href="https://arxiv.org/abs/{number}">{title}</a>' for title, number in PAPERS.items())
    return f"<p>Made with {name}, which trains such models. Methods: {papers}.</p>"


def card_text(card: ModelCard) -> str:
    """Returns a model's card as Markdown: what its folder has, or where it is on the Hub.

    Args:
        card: of the model.
    """
    folder = Path(find_model(card.place))
    if folder.is_dir():
        readme = card_of(folder)
        if not readme.is_file():
            return f"The folder of {card.name} has no card (README.md)."
        return FRONT_MATTER.sub("", readme.read_text(encoding="utf-8"))
    return f"[{card.place} on the Hugging Face Hub](https://huggingface.co/{card.place})"
