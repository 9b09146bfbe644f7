"""A strip of photos to click on."""

import base64
import html
import io
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

SIDE = 144  # pixels of a photo's copy
CLICKED = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) { props.value = {number: Number(button.dataset.number), time: Date.now()}; trigger('input'); }
});"""


def build(photos: list[Path], **options: Any) -> gr.HTML:
    """Makes buttons with photos. The value is a dictionary with the `number` of the one clicked last.

    Args:
        photos: paths; a photo's name is its file's.
        options: of gr.HTML.
    """
    buttons = "".join(
        f'<button type="button" data-number="{number}"><img alt="{html.escape(title(path))}" src="{small(path)}">'
        "</button>"
        for number, path in enumerate(photos)
    )
    template = f'<div class="strip" role="group" aria-label="Photos to try">{buttons}</div>'
    return gr.HTML(html_template=template, js_on_load=CLICKED, label="Photos to try", **options)


def number_of(value: Any) -> int:
    """Number of the photo that was clicked; -1 for a value that is none."""
    number = value.get("number") if isinstance(value, dict) else None
    return number if isinstance(number, int) else -1


def title(path: Path) -> str:
    """Name of a photo for people."""
    return path.stem.replace("_", " ").capitalize()


def small(path: Path) -> str:
    """A small copy of a photo as an address that holds it."""
    with Image.open(path) as photo:
        copy = photo.convert("RGB")
    copy.thumbnail((2 * SIDE, SIDE))
    content = io.BytesIO()
    copy.save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
