"""The tab for many photos: its parts, where they stand, and what they do."""

import html
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict

import gradio as gr
from refusal import file_paths
from results.clips import duration
from results.coloring import COLOR_CHOICES
from results.many import MOST_PHOTOS, ManyWish, Pack, depth_of_many
from results.result_files import KINDS
from work import ROUTER, DepthWork

from page.appearance import placeholder, progress_html
from page.photo.image_tab import FILE_LABELS
from page.video_tab import HIDE, OFF, ON, SETTLED_S, SHOW, place_choices
from page.wiring import QUICK, Wiring, head_of
from semidepth.media.color_maps import DEFAULT_COLOR_MAP

ONE_PACK: dict[str, Any] = {"concurrency_id": "many", "concurrency_limit": 1}
WAITING = "Waiting in the queue: the photos of one visitor are worked on at a time."
EMPTY = placeholder("A ZIP file appears here", "With the depth of each photo, and a list of what became of them.")
FIRST_KINDS = ["color", "png16"]
MOST_NAMED = 10  # photos without depth


@dataclass(frozen=True, kw_only=True)
class ManyParts:
    """The parts of the tab."""

    photos: gr.File
    folder: gr.UploadButton
    model: gr.Dropdown
    domain: gr.Radio
    color_map: gr.Dropdown
    kinds: gr.CheckboxGroup
    make: gr.Button
    cancel: gr.Button
    empty: gr.HTML
    bar: gr.HTML
    result: gr.File
    told: gr.Markdown


@dataclass(frozen=True)
class ManyAsked:
    """The values of the parts, each under its part's name.

    Args:
        photos: paths of the uploaded files.
        model: name.
        domain: head that is chosen, or "router".
        color_map: name.
        kinds: of result files.
    """

    photos: list[str] = field(metadata={"read": file_paths})
    model: str
    domain: str = field(metadata={"read": head_of})
    color_map: str
    kinds: list[str]


class ManyUpdates(TypedDict, total=False):
    """Updates of the parts that show a result."""

    empty: Any
    bar: Any
    result: Any
    told: Any
    photos: Any
    folder: Any
    make: Any
    cancel: Any


class HeadUpdates(TypedDict):
    """The choice of heads for another model."""

    domain: Any


def build(work: DepthWork) -> ManyParts:
    """Lays out the tab.

    Args:
        work: whose models can be chosen.
    """
    cards = [work.models.card(name) for name in work.models.names]
    labels = FILE_LABELS | {"png16": "16-bit PNG"}
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            photos = gr.File(
                label=f"Photos, at most {MOST_PHOTOS}", file_count="multiple", file_types=["image"], height=190,
                elem_id="many_photos",
            )  # fmt: skip
            folder = gr.UploadButton("Choose a folder", file_count="directory", elem_id="many_folder", size="md")
            model = gr.Dropdown([(card.label, card.name) for card in cards], value=cards[0].name, label="Model",
                                elem_id="many_model", filterable=False)  # fmt: skip
            domain = gr.Radio(
                place_choices(cards[0]), value=ROUTER, label="Taken", visible=cards[0].choosable, elem_id="many_domain",
            )  # fmt: skip
            kinds = gr.CheckboxGroup([(labels[kind], kind) for kind in KINDS], value=FIRST_KINDS, label="Files",
                                     elem_id="many_kinds")  # fmt: skip
            color_map = gr.Dropdown(COLOR_CHOICES, value=DEFAULT_COLOR_MAP, label="Colours", elem_id="many_colors")
            with gr.Row():
                make = gr.Button("Make ZIP file", variant="primary", elem_id="many_make", min_width=140, scale=2)
                cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="many_cancel", min_width=90)
        with gr.Column(scale=3, min_width=300):
            empty = gr.HTML(EMPTY, elem_id="many_empty")
            bar = gr.HTML(visible=False, elem_id="many_bar")
            result = gr.File(label="ZIP file", interactive=False, visible=False, elem_id="many_result")
            told = gr.Markdown(visible=False, elem_id="many_told")
    return ManyParts(
        photos=photos, folder=folder, model=model, domain=domain, color_map=color_map, kinds=kinds, make=make,
        cancel=cancel, empty=empty, bar=bar, result=result, told=told,
    )  # fmt: skip


class ManyEvents:
    """The tab's handlers.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self, tab: ManyParts) -> None:
        """Binds the handlers to the tab's parts."""
        wiring = Wiring(tab, ManyAsked)
        waiting = wiring.on(tab.make.click, wait, ManyUpdates, queue=False, **QUICK)
        running = wiring.on(
            waiting.then, self.make, ManyUpdates, show_progress="minimal", show_progress_on=tab.bar, **ONE_PACK
        )
        # Twice, as in the tab for clips: a step may have been on its way.
        cancelled = wiring.on(tab.cancel.click, settling, ManyUpdates, cancels=[running], queue=False, **QUICK)
        wiring.on(cancelled.then, settled, ManyUpdates, queue=False, **QUICK)
        tab.folder.upload(
            None, tab.folder, [tab.photos, tab.folder], js="(files) => [files, null]", api_visibility="private", **QUICK
        )
        wiring.on(tab.photos.change, reset, ManyUpdates, queue=False, **QUICK)
        wiring.on(tab.model.input, self.heads, HeadUpdates, **QUICK)

    def make(self, asked: ManyAsked) -> Iterator[ManyUpdates]:
        """Shows how far the work is, then the result."""
        wish = ManyWish(asked.model, asked.domain, asked.color_map, tuple(asked.kinds))
        try:
            for step in depth_of_many(self.work, asked.photos, wish):
                if isinstance(step, Pack):
                    yield finished(step)
                else:
                    yield busy(step.done / step.photos, step.text)
        except gr.Error as error:
            yield reset(asked)
            raise error

    def heads(self, asked: ManyAsked) -> HeadUpdates:
        """Offers the heads of the chosen model."""
        card = self.work.models.card(asked.model)
        return {"domain": gr.update(choices=place_choices(card), value=ROUTER, visible=card.choosable)}


def wait(asked: ManyAsked) -> ManyUpdates:
    """Says that the photos wait for their turn."""
    return busy(0.0, WAITING)


def busy(share: float, text: str) -> ManyUpdates:
    """Shows a bar of work in progress.

    Args:
        share: done, between 0 and 1.
        text: below it.
    """
    bar = gr.update(value=progress_html(share, text), visible=True)
    return {"empty": HIDE, "bar": bar, "result": HIDE, "told": HIDE, "photos": OFF, "folder": OFF, "make": OFF,
            "cancel": ON}  # fmt: skip


def finished(pack: Pack) -> ManyUpdates:
    """Shows the file, and which photos are not in it."""
    told = f"Depth of {pack.photos} photo{'' if pack.photos == 1 else 's'} in {duration(pack.seconds)}."
    if pack.refused:
        rows = [f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in pack.refused[:MOST_NAMED]]
        more = len(pack.refused) - MOST_NAMED
        rows += [f"<li>and {more} more, which the list in the ZIP file names</li>"] if more > 0 else []
        told += f" Without depth: {len(pack.refused)}.<ul>{''.join(rows)}</ul>"
    return {
        "empty": HIDE, "bar": HIDE, "result": gr.update(value=pack.path, visible=True),
        "told": gr.update(value=told, visible=True), "photos": ON, "folder": ON, "make": ON, "cancel": OFF,
    }  # fmt: skip


def reset(asked: ManyAsked) -> ManyUpdates:
    """Shows no result and no work in progress."""
    return {"empty": SHOW, "bar": HIDE, "result": HIDE, "told": HIDE, "photos": ON, "folder": ON, "make": ON,
            "cancel": OFF}  # fmt: skip


def settling(asked: ManyAsked) -> ManyUpdates:
    """Shows the same until the last step of cancelled work must have arrived; nothing can be asked for."""
    return reset(asked) | {"photos": OFF, "folder": OFF, "make": OFF}


def settled(asked: ManyAsked) -> ManyUpdates:
    """Shows the same a moment later; other photos can be asked for."""
    time.sleep(SETTLED_S)
    return reset(asked)
