"""The heads that a model has to choose from, as the tabs show them."""

from typing import Any

import gradio as gr
from predictor import ModelCard
from work import ROUTER


def head_choices(card: ModelCard) -> list[tuple[str, str]]:
    """Labels and values, the router first."""
    return [("Let the router choose", ROUTER)] + [(domain.capitalize(), domain) for domain in card.domains]


def heads_of(card: ModelCard) -> Any:
    """An update of the choice for another model."""
    return gr.update(choices=head_choices(card), value=ROUTER, visible=card.choosable)
