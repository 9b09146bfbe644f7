"""The foot of the page: the project, its papers, the model's card, and whose the photos are."""

import html
import os
import re
from importlib import metadata
from pathlib import Path

import gradio as gr
from predictor import ModelCard
from trust import card_of

from semidepth.prediction.shipped.folder import find_model

PAPERS = {
    "Depth Anything": "2401.10891", "Depth Anything V2": "2406.09414", "ZoeDepth": "2302.12288", "MiDaS": "1907.01341",
}  # fmt: skip
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # of a card on the Hub


def build(card: gr.Markdown, sources: Path) -> None:
    """Lays out the foot of the page.

    Args:
        card: part that shows the model's card, not rendered yet.
        sources: Markdown file with the photos' sources and licences.
    """
    gr.HTML(foot_html(repository()), elem_id="foot")
    with gr.Row(elem_id="about", equal_height=False):
        with gr.Accordion("Model card", open=False):
            card.render()
        with gr.Accordion("Sources and licences of the photos", open=False):
            gr.Markdown(sources.read_text(encoding="utf-8"), elem_id="sources")


def repository() -> str:
    """Returns the address of the project's code.

    It is that which the installed package names, else that of the Hugging Face Space that this page is; "" where there
    is neither.
    """
    try:
        urls = metadata.metadata("semidepth").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # a Space has the package's parts beside the page
        urls = []
    named = dict(url.split(", ", 1) for url in urls)
    space = os.environ.get("SPACE_ID", "")
    return named.get("Repository") or (f"https://huggingface.co/spaces/{space}/tree/main" if space else "")


def foot_html(address: str) -> str:
    """Returns the line with the project and the papers whose methods it has.

    Args:
        address: of the project's code; "" where it is not known.
    """
    name = f'<a href="{html.escape(address)}">semidepth</a>' if address else "<b>semidepth</b>"
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
