"""Buttons that hand out a file which is written, or looked for, when they are pressed."""

from collections.abc import Callable
from typing import Any

import gradio as gr

# What the browser does with the file that has been made for it.
FETCH = """(file) => {
  const link = Object.assign(document.createElement('a'), {href: file.url, download: file.orig_name});
  document.body.appendChild(link); link.click(); link.remove();
}"""


def connect(button: gr.Button, make: Callable[..., str], inputs: list[Any]) -> None:
    """Makes a button hand out a file.

    Args:
        button: to be pressed.
        make: from the inputs' values to a path; it may refuse.
        inputs: parts of the page.
    """
    made = gr.File(visible="hidden")
    event = button.click(make, inputs, made, api_visibility="private", show_progress_on=button, concurrency_id="file",
                         concurrency_limit=2)  # fmt: skip
    event.success(None, made, None, js=FETCH)
