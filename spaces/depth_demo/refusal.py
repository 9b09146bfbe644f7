"""What a visitor is told when something cannot be done."""

import gradio as gr


class Refusal(gr.Error):
    """One sentence for the visitor, and nothing in the server's log: the fault is not the server's.

    Args:
        message: what came, what was expected, what to do.
        title: above it.
    """

    def __init__(self, message: str, title: str = "Not possible") -> None:
        super().__init__(message, title=title, print_exception=False)
