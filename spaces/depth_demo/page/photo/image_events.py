"""Handlers of the tab for photos: what happens when something is clicked, moved or handed in."""

import html
from dataclasses import replace
from functools import partial
from pathlib import Path

import gradio as gr
from refusal import Refusal
from results.coloring import limits_of, shown_size
from results.read_outs import field_of_view, number_of
from results.result_files import KINDS, result_file
from results.surface_files import KINDS as SURFACE_KINDS
from results.surface_files import surface_file
from work import ROUTER, DepthWork, Seen

from page.about import card_text
from page.appearance import EMPTY_IMAGE, progress_html, refused, trust_html
from page.photo.compare_view import VIEW as COMPARE
from page.photo.compare_view import CompareEvents, nothing_compared
from page.photo.image_results import before_of, colored, heading, kept_ends, measured, nothing, place_choice
from page.photo.image_tab import PNG16_LABELS, ImageParts, Start
from page.photo.image_values import (
    Asked,
    ColorUpdates,
    OrderUpdates,
    PictureUpdates,
    ResultUpdates,
    StripAsked,
    TrustUpdates,
    ViewUpdates,
)
from page.photo.legend_bar import bar_of, own_range
from page.photo.measure_view import MeasureEvents
from page.photo.opening import OpeningEvents
from page.photo.scene_view import VIEW as SCENE
from page.photo.scene_view import SceneEvents, no_scene
from page.wiring import QUICK, Wiring
from semidepth.media.color_maps import DEFAULT_COLOR_MAP

# On a phone the answer begins below the screen; the page goes there when a picture was handed in.
TO_THE_ANSWER = """() => {
  const answer = document.querySelector('#results');
  const below = answer && answer.getBoundingClientRect().top > window.innerHeight / 3;
  if (below) answer.scrollIntoView({behavior: 'smooth'});
}"""

# Until the server has taken an old result away it is faint, so that it is not taken for that of what was just chosen.
FAINT = """(...values) => {
  document.querySelector('#results')?.classList.add('old');
  return values;
}"""
FAINT_NO_MORE = "() => {setTimeout(() => document.querySelector('#results')?.classList.remove('old'), 100)}"


class ImageEvents:
    """The tab's handlers.

    Args:
        work: of this Space.
    """

    def __init__(self, work: DepthWork) -> None:
        self.work = work

    def connect(self, page: gr.Blocks, tab: ImageParts) -> None:
        """Binds the handlers to the tab's parts.

        Args:
            page: that the tab is on.
            tab: its parts.
        """
        wiring = Wiring(tab, Asked)
        # Two steps: the first takes the old result away, and what is under way for it is not shown any more, so that
        # no late answer shows it again, or shows it under another model's name. The second waits for no earlier one.
        predicted = wiring.on(
            tab.order.change, self.fresh, ResultUpdates, concurrency_id="look", concurrency_limit=2, drop_late=True,
            trigger_mode="multiple", **QUICK,
        )  # fmt: skip
        for script in (TO_THE_ANSWER, FAINT_NO_MORE):
            predicted.then(None, js=script, api_visibility="private", **QUICK)
        self._connect_colors(wiring, tab)
        SceneEvents(self.work).connect(tab, predicted)
        CompareEvents(self.work).connect(tab, predicted)
        OpeningEvents(self.work, tab.examples, self.shown).connect(page, tab)
        changes = {"picture": tab.picture.change, "model": tab.model.input, "place": tab.place.input}
        for what, event in changes.items():
            # Queued, since only then gradio tells of a State that has changed; and waiting for nobody.
            wiring.on(
                event, partial(self.begin, what), OrderUpdates, concurrency_limit=None, trigger_mode="multiple",
                js=None if what == "picture" else FAINT, **QUICK,
            )  # fmt: skip
        # The button forgets its file, else the same one could not be chosen again.
        taken_over = {"js": "(file) => [file, null]", "api_visibility": "private", **QUICK}
        tab.change.upload(None, tab.change, [tab.picture, tab.change], **taken_over)
        if tab.strip is not None:
            taken = partial(take_photo, tab.examples)
            Wiring(tab, StripAsked).on(tab.strip.input, taken, PictureUpdates, queue=False, **QUICK)
        wiring.on(tab.model.change, self.trust, TrustUpdates, queue=False, **QUICK)
        MeasureEvents(self.work).connect(tab)
        for kind in (*KINDS, *SURFACE_KINDS):
            wiring.hand_out(getattr(tab, kind), partial(self.file, kind))

    def _connect_colors(self, wiring: Wiring[Asked], tab: ImageParts) -> None:
        """Binds what changes the colours."""
        views = {"depth": tab.depth_tab, "measure": tab.measure_tab, SCENE: tab.scene_tab, COMPARE: tab.compare_tab}
        for name, view in views.items():
            wiring.on(view.select, partial(self.open_view, name), ViewUpdates, **QUICK)
        for event in (tab.color_map.input, tab.legend.input):
            wiring.on(event, self.again, ColorUpdates, trigger_mode="always_last", drop_late=True, **QUICK)

    def start(self, picture: Path) -> Start:
        """Predicts a picture by the first model, and keeps the result.

        Args:
            picture: path of a photo.

        Returns:
            Updates of the tab's parts.
        """
        model = self.work.models.names[0]
        self.work.see(str(picture), model, keep=True)
        asked = Asked(
            picture=str(picture), model=model, domain=ROUTER, place="", color_map=DEFAULT_COLOR_MAP,
            legend=(None, None), fov="", share=0, places="", points=[], before=None, order=0,
        )  # fmt: skip
        return Start(self.fresh(asked) | {"picture": str(picture)})

    def open_view(self, name: str, asked: Asked) -> ViewUpdates:
        """Remembers the open view; one model's colours are not shown below the scene or several models' results."""
        update = gr.update(visible=True if name in ("depth", "measure") else "hidden")
        return {"view": name, "legend": update, "color_map": gr.update(visible=name != SCENE)}

    def begin(self, what: str, asked: Asked) -> OrderUpdates:
        """Takes the result away and says what is done, where another picture, model or head was chosen.

        Args:
            what: was chosen: "picture", "model" or "place". The marked head is used where it was, else the router's.
            asked: values of the tab's parts.
        """
        domain = asked.place if what == "place" and asked.place else ROUTER
        if not asked.picture:
            asked.latest.order(None)
            return {**nothing(EMPTY_IMAGE), "domain": domain}
        if is_shown(what, asked):
            return {}
        doing = progress_html(None, f"{html.escape(self.work.models.card(asked.model).name)} looks at the photo …")
        return {
            "empty": gr.update(value=doing, visible=True), "results": gr.update(visible="hidden"), "domain": domain,
            "order": asked.latest.order(asked.picture), "place": gr.update(visible=what == "place"),
        }  # fmt: skip

    def fresh(self, asked: Asked) -> ResultUpdates:
        """Predicts anew. Points and settings of the same picture stay, as far as they mean the same.

        Without a picture, or where it is refused, nothing of the one before stays.
        """
        if not asked.picture:
            return nothing(EMPTY_IMAGE)
        try:
            seen = self._see(asked)
        except Refusal as refusal:
            return nothing(refused(refusal))
        before = asked.before if asked.before and asked.before.path == asked.picture else None
        if before is None:
            asked = replace(asked, points=[], fov="")
        ends = kept_ends(asked, before, seen.prediction) or own_range(seen.prediction)
        return self.shown(asked, seen, ends)

    def shown(self, asked: Asked, seen: Seen, ends: tuple[float, float]) -> ResultUpdates:
        """Shows a result.

        Args:
            asked: values of the tab's parts.
            seen: picture and prediction.
            ends: near and far end of the colours.
        """
        card, metric = self.work.models.card(asked.model), seen.prediction.metric
        limits, fov = limits_of(seen.prediction, *ends), field_of_view(seen.image, None)
        own_fov = f"{fov.degrees:.0f}, {fov.origin}"
        return {
            "empty": gr.update(value=EMPTY_IMAGE, visible=False), "results": gr.update(visible=True),
            "photo": seen.image.resize(shown_size(seen.image)), **colored(seen, limits, asked.color_map),
            "place": place_choice(seen.prediction, card, asked.domain), "legend": bar_of(seen.prediction, ends),
            "found": heading(asked.picture, card.label, seen), **measured(seen, limits, asked),
            "fov": gr.update(value=asked.fov, visible=metric, placeholder=own_fov), "png16": PNG16_LABELS[metric],
            "before": before_of(asked, seen.prediction), **nothing_compared(),
            **no_scene(),  # that of the result before
        }  # fmt: skip

    def again(self, asked: Asked) -> ColorUpdates:
        """Shows the same prediction in other colours or another range."""
        if not asked.picture or asked.latest.is_other(asked.picture):
            return {}
        seen = self._see(asked)
        limits = limits_of(seen.prediction, *asked.legend)
        updates = colored(seen, limits, asked.color_map)
        if asked.share:
            updates["marked"] = measured(seen, limits, asked)["marked"]
        return updates

    def trust(self, asked: Asked) -> TrustUpdates:
        """Says what is recorded of the chosen model."""
        card = self.work.models.card(asked.model)
        return {"trust": trust_html(card), "card": card_text(card)}

    def file(self, kind: str, asked: Asked) -> str:
        """Writes a file of the depth; returns its path.

        Args:
            kind: one of `result_files.KINDS` or of `surface_files.KINDS`.
            asked: values of the tab's parts.
        """
        seen = self._see(asked)
        if kind in SURFACE_KINDS:
            return surface_file(kind, seen, number_of(asked.fov, "field of view"), str(asked.picture))
        limits = limits_of(seen.prediction, *asked.legend)
        return result_file(kind, seen, limits, asked.color_map, str(asked.picture))

    def _see(self, asked: Asked) -> Seen:
        return self.work.see(asked.picture, asked.model, asked.domain)


def is_shown(what: str, asked: Asked) -> bool:
    """Returns whether the result on the page is that of what was chosen, and none is under way.

    Gradio tells of the picture as the page opens, too.
    """
    before = asked.before
    if before is None or before.order != asked.order:
        return False
    return {
        "picture": before.path == asked.picture, "model": before.model == asked.model,
        "place": before.domain == asked.place,
    }[what]  # fmt: skip


def take_photo(photos: list[Path], asked: StripAsked) -> PictureUpdates:
    """Takes the photo of the strip that was clicked.

    Args:
        photos: of the strip.
        asked: which was clicked.

    Raises:
        Refusal: there is no such photo.
    """
    if not 0 <= asked.strip < len(photos):
        raise Refusal(f"There is no photo {asked.strip}; there are {len(photos)} to click on.")
    return {"picture": str(photos[asked.strip])}
