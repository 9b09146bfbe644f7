"""The view that shows several models' depth of a picture in several colours beside the photo, with its own legend."""

from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import gradio as gr
from predictor import ModelCard
from results.coloring import COLOR_CHOICES, colors_of, shown_size
from work import ROUTER, DepthWork, open_picture

from page.photo.comparing import compare_models, compared_legend, has_head
from page.wiring import Latest, Wiring

VIEW = "compare"  # its name among the views
PHOTO = "the photo"  # its name among the models
NOTHING_CHOSEN = '<p class="note">Choose what to compare.</p>'


@dataclass(frozen=True, kw_only=True)
class CompareParts:
    """The parts of the view.

    Args:
        compared: models to compare, and the photo.
        also: further colours that each of them is shown in.
        gallery: of their pictures.
        compare_legend: of these.
        drawn: what the comparison that is shown was made from, a `CompareAsked`, or None.
    """

    compared: gr.CheckboxGroup
    also: gr.CheckboxGroup
    gallery: gr.Gallery
    compare_legend: gr.HTML
    drawn: gr.State


@dataclass(frozen=True)
class CompareAsked:
    """The values of the tab's parts that a comparison depends on, each under its part's name.

    Args:
        picture: path of the uploaded file; None without one.
        compared: names of the models, the photo's among them.
        domain: head that is chosen, or "router".
        color_map: name.
        also: names of further ones.
        view: name of the view that is open.
        drawn: what the comparison that is shown was made from; None without one.
        latest: see `wiring.Latest`.
    """

    picture: str | None
    compared: list[str]
    domain: str
    color_map: str = field(metadata={"read": colors_of})
    also: list[str]
    view: str
    drawn: "CompareAsked | None"
    latest: Latest = field(default_factory=Latest)

    def wish(self) -> "CompareAsked":
        """Returns the same without what is shown, to compare two of them."""
        return replace(self, view="", drawn=None, latest=Latest())

    def color_maps(self) -> list[str]:
        """Returns the colours, those that are chosen for the whole page first."""
        return list(dict.fromkeys([self.color_map, *self.also]))


class CompareUpdates(TypedDict, total=False):
    """Updates of the view's parts."""

    gallery: Any
    compare_legend: Any
    drawn: CompareAsked | None


class CompareEvents:
    """The handlers of the view.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self, parts: Any, predicted: Any) -> None:
        """Binds the handlers.

        Args:
            parts: of the tab for photos, the view's own among them.
            predicted: event after which another result is shown.
        """
        wiring = Wiring(parts, CompareAsked)
        options: dict[str, Any] = {
            "show_progress_on": parts.gallery, "concurrency_id": "look", "drop_late": True,
            "trigger_mode": "always_last",
        }  # fmt: skip
        for event in (predicted.then, parts.compared.input, parts.also.input, parts.color_map.input):
            wiring.on(event, self.follow, CompareUpdates, **options)
        wiring.on(parts.compare_tab.select, self.opened, CompareUpdates, **options)

    def opened(self, asked: CompareAsked) -> CompareUpdates:
        """Compares when the view is opened, unless this very comparison is shown."""
        return self.follow(replace(asked, view=VIEW))

    def follow(self, asked: CompareAsked) -> CompareUpdates:
        """Compares what is chosen now, where the view is open and does not show it."""
        if asked.latest.is_other(asked.picture):
            return {}
        if not asked.picture or asked.view != VIEW or asked.wish() == asked.drawn:
            return {}
        if not asked.compared:
            return nothing_compared() | {"compare_legend": NOTHING_CHOSEN, "drawn": asked.wish()}
        return self.draw(asked) | {"drawn": asked.wish()}

    def draw(self, asked: CompareAsked) -> CompareUpdates:
        """Shows each model's depth, with the chosen head where the model has it; the photo first."""
        names = [name for name in asked.compared if name != PHOTO]
        having = any(has_head(self.work.models.card(name), asked.domain) for name in names)
        head = asked.domain if having else ROUTER
        found = compare_models(self.work, asked.picture, names, head, asked.color_maps()) if names else []
        pictures = [(picture, caption) for picture, caption, _ in found]
        if PHOTO in asked.compared:
            image = found[0][2].image if found else open_picture(asked.picture).image
            pictures.insert(0, (image.resize(shown_size(image)), "Photo"))
        legend = compared_legend([seen for _, _, seen in found], *asked.color_maps()) if found else ""
        columns = 3 if len(pictures) in (3, 5, 6) or len(pictures) > 8 else 2
        return {"gallery": gr.update(value=pictures, columns=columns), "compare_legend": legend}


def nothing_compared() -> CompareUpdates:
    """Takes pictures and legend away."""
    return {"gallery": None, "compare_legend": "", "drawn": None}


def first_choice(cards: list[ModelCard]) -> list[str]:
    """Returns what is compared as the view opens: two models, or the photo and the only one."""
    return [card.name for card in cards[:2]] if len(cards) > 1 else [PHOTO, cards[0].name]


def build(work: DepthWork) -> dict[str, Any]:
    """Lays out the view."""
    cards = [work.models.card(name) for name in work.models.names]
    with gr.Row(elem_id="comparing"):
        compared = gr.CheckboxGroup(
            [("Photo", PHOTO), *((card.label, card.name) for card in cards)], value=first_choice(cards),
            label="Compare", elem_id="compared", min_width=300,
            info="The chosen head is used by all that have it; metres share one range of colours."
            if len(cards) > 1 else "More models to compare: start this page with --model FOLDER_OR_ID FOLDER_OR_ID.",
        )  # fmt: skip
        also = gr.CheckboxGroup(
            COLOR_CHOICES, value=[], label="Each also in", elem_id="also", min_width=300,
            info="Besides the colours that are chosen below.",
        )  # fmt: skip
    gallery = gr.Gallery(
        show_label=False, columns=2, object_fit="contain", height="auto", elem_id="gallery", interactive=False,
        format="jpeg", buttons=["download", "fullscreen"],
    )  # fmt: skip
    legend = gr.HTML(elem_id="compare_legend")
    return {"compared": compared, "also": also, "gallery": gallery, "compare_legend": legend, "drawn": gr.State(None)}
