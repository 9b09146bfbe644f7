"""The view that shows several models' depth of the same picture, with a legend of its own."""

from dataclasses import dataclass, field
from typing import Any, TypedDict

import gradio as gr
from coloring import colors_of
from refusal import SHOWN_S
from work import ROUTER, DepthWork

from page.comparing import compare_models, compared_legend, has_head
from page.wiring import Wiring


@dataclass(frozen=True, kw_only=True)
class CompareParts:
    """The parts of the view.

    Args:
        compared: models to compare.
        compare: button.
        gallery: of their pictures.
        compare_legend: of these.
        drawn: whether a comparison is shown, which then follows what is chosen.
    """

    compared: gr.CheckboxGroup
    compare: gr.Button
    gallery: gr.Gallery
    compare_legend: gr.HTML
    drawn: gr.State


@dataclass(frozen=True)
class CompareAsked:
    """The values of the tab's parts that a comparison depends on, each under its part's name.

    Args:
        picture: path of the uploaded file; None without one.
        compared: names of the models.
        domain: head that is chosen, or "router".
        color_map: name.
        drawn: whether a comparison is shown.
    """

    picture: str | None
    compared: list[str]
    domain: str
    color_map: str = field(metadata={"read": colors_of})
    drawn: bool


class CompareUpdates(TypedDict, total=False):
    """Updates of the view's parts."""

    gallery: Any
    compare_legend: Any
    drawn: bool


class CompareEvents:
    """The handlers of the view.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self, parts: Any) -> list[Any]:
        """Binds the handlers.

        Args:
            parts: of the tab for photos, the view's own among them.

        Returns:
            The events that show a comparison, to be cancelled where the result goes.
        """
        wiring = Wiring(parts, CompareAsked)
        options: dict[str, Any] = {"show_progress_on": parts.gallery, "concurrency_id": "look"}
        following = [
            wiring.on(event, self.follow, CompareUpdates, trigger_mode="always_last", **options)
            for event in (parts.compared.input, parts.color_map.input)
        ]
        return [wiring.on(parts.compare.click, self.draw, CompareUpdates, **options), *following]

    def draw(self, asked: CompareAsked) -> CompareUpdates:
        """Shows each model's depth, with the chosen head where the model has it."""
        if not asked.compared:
            gr.Info("Choose at least one model to compare.", duration=SHOWN_S)
            return nothing_compared()
        having = any(has_head(self.work.models.card(name), asked.domain) for name in asked.compared)
        head = asked.domain if having else ROUTER
        found = compare_models(self.work, asked.picture, asked.compared, head, asked.color_map)
        pictures = [(picture, caption) for picture, caption, _ in found]
        legend = compared_legend([seen for _, _, seen in found], asked.color_map)
        return {"gallery": gr.update(value=pictures, visible=True), "compare_legend": legend, "drawn": True}

    def follow(self, asked: CompareAsked) -> CompareUpdates:
        """Draws a comparison that is shown anew, as another model or another colour map is chosen."""
        if not asked.drawn or not asked.picture:
            return {}
        if not asked.compared:
            return nothing_compared() | {"drawn": True}  # and follows once a model is chosen again
        return self.draw(asked)


def nothing_compared() -> CompareUpdates:
    """Takes gallery and legend away."""
    return {"gallery": gr.update(value=None, visible=False), "compare_legend": "", "drawn": False}


def build(work: DepthWork) -> dict[str, Any]:
    """Lays out the view."""
    cards = [work.models.card(name) for name in work.models.names]
    compared = gr.CheckboxGroup(
        [(card.label, card.name) for card in cards], value=[card.name for card in cards][:4], label="Models",
        elem_id="compared", visible=len(cards) > 1,
        info="The chosen head is used by all that have it; metres share one range of colours.",
    )  # fmt: skip
    gr.Markdown(
        "Start this page with several models to compare them: `--model FOLDER_OR_ID FOLDER_OR_ID`.",
        visible=len(cards) < 2,
    )
    compare = gr.Button("Compare", elem_id="compare", visible=len(cards) > 1)
    gallery = gr.Gallery(
        show_label=False, columns=2, object_fit="contain", height="auto", visible=False,
        elem_id="gallery", interactive=False, format="jpeg", buttons=["download", "fullscreen"],
    )  # fmt: skip
    legend = gr.HTML(elem_id="compare_legend")
    return {"compared": compared, "compare": compare, "gallery": gallery, "compare_legend": legend,
            "drawn": gr.State(False)}  # fmt: skip
