"""Open the page with what the browser had kept, or with what its address asks for."""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from refusal import Refusal
from results.coloring import far_most
from work import DepthWork, Seen

from page.photo.image_values import Asked, ResultUpdates
from page.photo.keeping import ADDRESS, GONE, VIEWS, KeepingAsked, KeepingUpdates, Kept, keep, read_address, read_kept
from page.photo.legend_bar import own_range
from page.wiring import QUICK, Latest, Wiring

Show = Callable[[Asked, Seen, tuple[float, float]], ResultUpdates]


@dataclass(frozen=True)
class OpeningAsked:
    """Values that the browser has kept, as they came, and what was asked for last, see `wiring.Latest`."""

    kept: Any
    latest: Latest = field(default_factory=Latest)


class OpeningUpdates(ResultUpdates, total=False):
    """Updates of all parts that are set as the page opens."""

    picture: str
    model: str
    domain: str
    color_map: str
    share: float
    compared: list[str]
    also: list[str]
    views: Any
    ready: bool


class OpeningEvents:
    """The handlers.

    Args:
        work: of this Space.
        photos: of the page, the first of which it starts with.
        show: gives the updates that show a result, see `ImageEvents.shown`.
    """

    def __init__(self, work: DepthWork, photos: list[Path], show: Show) -> None:
        self.work, self.photos, self.show = work, photos, show

    def connect(self, page: gr.Blocks, tab: Any) -> None:
        """Binds the handlers.

        Args:
            page: that opens.
            tab: its parts.
        """
        Wiring(tab, OpeningAsked).on_opening(page, self.opened, OpeningUpdates, **QUICK)
        changes = [
            tab.before.change, tab.view.change, tab.points.change, tab.color_map.input, tab.legend.input,
            tab.share.input, tab.fov.submit, tab.fov.blur, tab.compared.input, tab.also.input,
        ]  # fmt: skip
        kept = Wiring(tab, KeepingAsked).on(
            partial(gr.on, changes), partial(keep, self.photos, self.work.models), KeepingUpdates,
            trigger_mode="always_last", **QUICK,
        )  # fmt: skip
        kept.then(None, tab.kept, None, js=ADDRESS, api_visibility="private", **QUICK)

    def opened(self, asked: OpeningAsked, address: Mapping[str, str]) -> OpeningUpdates:
        """Shows what the browser had kept; what the address asks for goes before it."""
        before = read_kept(asked.kept, self.photos, self.work.models)
        kept, wrong = read_address(address, before, self.photos, self.work.models)
        if isinstance(asked.kept, dict) and asked.kept.get("picture") and kept.picture is None:
            wrong.append(GONE)
        updates: OpeningUpdates = {"ready": True}
        try:
            if kept != Kept():
                updates |= self.result(kept, wrong)
        except Refusal as refusal:  # the photo cannot be read any longer
            wrong.append(refusal.message)
        for sentence in wrong:
            gr.Warning(html.escape(sentence))
        return updates

    def result(self, kept: Kept, wrong: list[str]) -> OpeningUpdates:
        """The result that is asked for.

        Args:
            kept: by the browser, or asked for by the address.
            wrong: sentences for the visitor, to which others are added.

        Raises:
            Refusal: the picture cannot be read.
        """
        model = kept.model or self.work.models.names[0]
        updates: OpeningUpdates = {
            "model": model, "color_map": kept.color_map, "share": kept.share, "also": list(kept.also),
        }  # fmt: skip
        if kept.compared is not None:
            updates["compared"] = list(kept.compared)
        if kept.view != VIEWS[0]:
            updates["views"] = gr.update(selected=kept.view)
        picture = kept.picture or next(map(str, self.photos), None)
        if picture is None:
            return updates
        seen = self.work.see(picture, model, kept.domain)
        own = own_range(seen.prediction)
        near, far = (own_end if end is None else end for end, own_end in zip(kept.ends, own, strict=True))
        if not 0 <= near < far <= far_most(seen.prediction):
            wrong.append(
                f"The range from {near:g} to {far:g} is none of this photo, which has {own[0]:g} to {own[1]:g}."
            )
            near, far = own
        asked = Asked(
            picture=picture, model=model, domain=kept.domain, place="", color_map=kept.color_map, legend=(near, far),
            fov=kept.fov, share=kept.share, places="", points=list(kept.points), before=None, order=0,
        )  # fmt: skip
        return self.show(asked, seen, (near, far)) | updates | {"picture": picture, "domain": kept.domain}
