"""The view that shows several models side by side, with a legend of its own."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from comparing import compare_models, compared_legend, has_head
from refusal import SHOWN_S
from work import ROUTER, DepthWork


@dataclass
class CompareView:
    """The parts of the view, whose handlers are functions of what the page sends along.

    Args:
        work: of this Space.
        chosen: models.
        run: button.
        gallery: of their pictures.
        legend: of these.
        drawn: whether a comparison is shown, which then follows what is chosen.
    """

    work: DepthWork
    chosen: gr.CheckboxGroup
    run: gr.Button
    gallery: gr.Gallery
    legend: gr.HTML
    drawn: gr.State

    @property
    def shown(self) -> list[Any]:
        """What `draw` and `nothing_compared` fill."""
        return [self.gallery, self.legend, self.drawn]

    def connect(self, picture: gr.Image, domain: gr.Radio, color_map: gr.Dropdown) -> None:
        """Binds the handlers."""
        asked = [picture, self.chosen, domain, color_map]
        line: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "look"}
        self.run.click(self.draw, asked, self.shown, **line)
        for event in (self.chosen.input, color_map.input):
            event(self.follow, [*asked, self.drawn], self.shown, show_progress_on=self.gallery,
                  trigger_mode="always_last", **line)  # fmt: skip

    def draw(self, path: str | None, names: list[str], head: str, color_map: str) -> tuple[Any, ...]:
        """The gallery, each model with the head that is chosen if it has that one."""
        if not names:
            gr.Info("Choose at least one model to compare.", duration=SHOWN_S)
            return nothing_compared()
        having = any(has_head(self.work.models.card(name), head) for name in names)
        found = compare_models(self.work, path, names, head if having else ROUTER, color_map)
        legend = compared_legend([seen for _, _, seen in found], color_map)
        pictures = [(picture, caption) for picture, caption, _ in found]
        return gr.update(value=pictures, visible=True), legend, True

    def follow(self, path: str | None, names: list[str], head: str, color_map: str, drawn: bool) -> tuple[Any, ...]:
        """A comparison that is shown follows what is chosen."""
        if not drawn or not path:
            return (gr.skip(),) * 3
        if not names:
            return gr.update(value=None, visible=False), "", True
        return self.draw(path, names, head, color_map)


def nothing_compared() -> tuple[Any, ...]:
    """No gallery and no legend."""
    return gr.update(value=None, visible=False), "", False


def build(work: DepthWork) -> CompareView:
    """Lays out the view."""
    cards = [work.models.card(name) for name in work.models.names]
    chosen = gr.CheckboxGroup(
        [(card.label, card.name) for card in cards], value=[card.name for card in cards][:4], label="Models",
        elem_id="compared", visible=len(cards) > 1,
        info="The chosen head is used by all that have it; metres share one range of colours.",
    )  # fmt: skip
    gr.Markdown(
        "Start this page with several models to compare them: `--model FOLDER_OR_ID FOLDER_OR_ID`.",
        visible=len(cards) < 2,
    )
    run = gr.Button("Compare", elem_id="compare", visible=len(cards) > 1)
    gallery = gr.Gallery(
        show_label=False, columns=2, object_fit="contain", height="auto", visible=False,
        elem_id="gallery", interactive=False, format="jpeg", buttons=["download", "fullscreen"],
    )  # fmt: skip
    legend = gr.HTML(elem_id="compare_legend")
    return CompareView(work, chosen, run, gallery, legend, gr.State(False))
