"""What a visitor is told when something cannot be done."""

import logging
from typing import Any

import gradio as gr

SHOWN_S = 5.0  # so that one complaint is gone before the next piles up on it

logger = logging.getLogger(__name__)


class Refusal(gr.Error):
    """One sentence for the visitor, and nothing in the server's log: the fault is not the server's.

    Args:
        message: what came, what was expected, what to do.
        title: above it where it stands in the place of a result.
    """

    def __init__(self, message: str, title: str = "Not possible") -> None:
        super().__init__(message, duration=SHOWN_S, title=title, print_exception=False)


def answer_in_sentences(page: gr.Blocks) -> None:
    """Makes a page answer with a sentence where gradio's own look at what came in ends in a trace.

    Such are files that were never uploaded, and values of a shape that no component has.
    """
    checked = page.preprocess_data

    async def preprocess_data(event: Any, inputs: Any, state: Any, *args: Any, **options: Any) -> Any:
        # Whenever a part of the page is updated, gradio makes it anew for that visitor, without its own `preprocess`.
        for part in event.inputs:
            own = vars(part).get("preprocess")
            if own is not None and state is not None and part._id in state:
                state[part._id].preprocess = own
        try:
            return await checked(event, inputs, state, *args, **options)
        except gr.Error:
            raise
        except Exception as error:
            logger.info("refused: %s", error)
            raise Refusal(
                "What was sent is not what is taken here: files have to be uploaded first, and each value has to be of "
                "the kind that “Use via API” names."
            ) from error

    setattr(page, "preprocess_data", preprocess_data)  # noqa: B010 - a method, which a type checker guards
