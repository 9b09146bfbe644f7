"""Keep the tab for photos in the browser, so that a reload shows it again, and in the page's address.

Both come from outside and may be anything: each value is checked as if a visitor had just set it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import gradio as gr
from gradio.utils import get_upload_folder
from predictor import Models
from refusal import Refusal, number, pixels, word
from results.read_outs import Point, number_of
from work import ROUTER

from page.photo.compare_view import PHOTO, first_choice
from page.photo.image_values import Asked
from page.photo.legend_bar import Ends, ends_of
from semidepth.media.color_maps import COLOR_MAPS, DEFAULT_COLOR_MAP

VIEWS = ("depth", "measure", "scene", "compare")
LINK = ("photo", "model", "view", "near", "far", "colors", "compare", "also")  # parameters of the address
GONE = "The photo that you had open is gone: photos are kept for a day."
STORED_AS = "semidepth"  # the browser's name for it, and the key that it is written with: nothing in it is secret

# The address of the page carries what is shown, to be sent to somebody; parameters of others stay in it.
ADDRESS = """(kept) => {
  const address = new URL(window.location), link = (kept && kept.link) || {};
  for (const name of LINK) {
    if (name in link) address.searchParams.set(name, link[name]); else address.searchParams.delete(name);
  }
  window.history.replaceState(window.history.state, "", address);
}""".replace("LINK", str(list(LINK)))


@dataclass(frozen=True)
class Kept:
    """Values that a browser or an address asks for; empty and None: what the page starts with.

    Args:
        picture: path of an upload of this server, or of one of the page's photos.
        model: name.
        domain: head that was chosen, or "router".
        view: one of `VIEWS`.
        color_map: of the colours.
        ends: near and far end of the colours that were set by hand.
        fov: horizontal field of view in degrees, as it was typed.
        share: of the depth over the photo, per cent.
        points: (column, row) of the upright picture.
        compared: models to compare, and the photo; None: what the view starts with.
        also: further colours to compare them in.
    """

    picture: str | None = None
    model: str = ""
    domain: str = ROUTER
    view: str = VIEWS[0]
    color_map: str = DEFAULT_COLOR_MAP
    ends: Ends = (None, None)
    fov: str = ""
    share: float = 0.0
    points: tuple[Point, ...] = ()
    compared: tuple[str, ...] | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeepingAsked(Asked):
    """The values that are kept: those of the tab and of what is compared, the open view, and `ready`.

    Args:
        view: name of the view that is open.
        compared: see [`Kept`], as for `also`.
        also: further colours.
        ready: whether the page has been set to what was kept.
    """

    view: str
    compared: list[str]
    also: list[str]
    ready: bool


class KeepingUpdates(TypedDict, total=False):
    """Updates of what the browser keeps."""

    kept: dict[str, Any]


def build() -> dict[str, Any]:
    """Makes the parts that nobody sees."""
    return {"kept": gr.BrowserState({}, storage_key=STORED_AS, secret=STORED_AS), "ready": gr.State(False)}


def keep(photos: list[Path], models: Models, asked: KeepingAsked) -> KeepingUpdates:
    """Hands the browser what is shown, once the page shows what the browser had kept before.

    Args:
        photos: of the page.
        models: of this Space.
        asked: values of the tab's parts.
    """
    if not asked.ready:
        return {}
    by_hand = asked.before is not None and asked.legend != asked.before.ends
    ends = dict(zip(("near", "far"), asked.legend, strict=True)) if by_hand else {}
    values = {
        "picture": asked.picture, "model": asked.model, "domain": asked.domain, "view": asked.view,
        "color_map": asked.color_map, "fov": asked.fov, "share": asked.share or 0.0,
        "points": [list(point) for point in asked.points], "ends": ends or None, "compared": asked.compared,
        "also": asked.also,
    }  # fmt: skip
    photo = next((path.stem for path in photos if str(path) == asked.picture), None)
    cards = [models.card(name) for name in models.names]
    link: dict[str, Any] = {
        "model": asked.model if asked.model != models.names[0] else None,
        "view": asked.view if asked.view != VIEWS[0] else None,
        "colors": asked.color_map if asked.color_map != DEFAULT_COLOR_MAP else None,
        **ends,
        "compare": (_linked(asked.compared) or None) if asked.compared != first_choice(cards) else None,
        "also": _linked(asked.also) if asked.also else None,
    }
    link = {name: value for name, value in link.items() if value is not None}
    if photo and (link or photo != photos[0].stem):
        link["photo"] = photo
    return {"kept": values | {"link": link}}


def read_kept(kept: Any, photos: list[Path], models: Models) -> Kept:
    """Reads what a browser had kept.

    What does not hold any longer is left out, such as a photo that was deleted after a day, or a model that is not
    offered now.

    Args:
        kept: as it came.
        photos: of the page.
        models: of this Space.
    """
    if not isinstance(kept, dict):
        return Kept()
    model = kept["model"] if kept.get("model") in models.names else ""
    heads = models.card(model).domains if model and models.card(model).choosable else ()
    readers: dict[str, Callable[[Any], Any]] = {
        "view": one_of(VIEWS), "color_map": one_of(list(COLOR_MAPS)), "domain": one_of([ROUTER, *heads]), "fov": _fov,
        "share": _share, "points": _points, "ends": ends_of, "picture": partial(_picture, photos),
        "compared": some_of([PHOTO, *models.names]), "also": some_of(list(COLOR_MAPS)),
    }  # fmt: skip
    found: dict[str, Any] = {"model": model}
    for name, read in readers.items():
        try:
            found |= {} if kept.get(name) is None else {name: read(kept[name])}
        except Refusal:
            continue
    if "picture" not in found:  # these were the other photo's
        found = {name: value for name, value in found.items() if name not in ("domain", "ends", "fov", "points")}
    elif not model or "domain" not in found:  # a range means nothing for another model or head
        found.pop("ends", None)
    return Kept(**found)


def read_address(address: Mapping[str, str], kept: Kept, photos: list[Path], models: Models) -> tuple[Kept, list[str]]:
    """Reads the page's address, whose parameters go before what the browser had kept.

    Args:
        address: parameters by name; only those of `LINK` count.
        kept: by the browser.
        photos: of the page.
        models: of this Space.

    Returns:
        What is asked for, and a sentence for each parameter that is wrong.
    """
    wrong: list[str] = []

    def given(name: str, read: Callable[[str], Any]) -> Any:
        try:
            return read(address[name]) if address.get(name) else None
        except Refusal as refusal:
            wrong.append(refusal.message)
            return None

    if photo := given("photo", one_of([path.stem for path in photos], "The photo in this page's address")):
        picture = str(next(path for path in photos if path.stem == photo))
        if picture != kept.picture:
            kept = replace(kept, picture=picture, domain=ROUTER, ends=(None, None), fov="", points=())
    if (model := given("model", one_of(models.names, "The model in this page's address"))) and model != kept.model:
        kept = replace(kept, model=model, domain=ROUTER, ends=(None, None))
    if view := given("view", one_of(VIEWS, "The view in this page's address")):
        kept = replace(kept, view=view)
    if colors := given("colors", one_of(list(COLOR_MAPS), "The colours in this page's address")):
        kept = replace(kept, color_map=colors)
    compared = some_of(["photo", *models.names], "The models to compare in this page's address")
    if (names := given("compare", lambda text: compared(text.split(",")))) is not None:
        kept = replace(kept, compared=tuple(PHOTO if name == "photo" else name for name in names))
    also = some_of(list(COLOR_MAPS), "The colours to compare in this page's address")
    if (also_in := given("also", lambda text: also(text.split(",")))) is not None:
        kept = replace(kept, also=also_in)
    near, far = (given(end, partial(number_of, what=f"{end} end in this page's address")) for end in ("near", "far"))
    return (kept if near is None and far is None else replace(kept, ends=(near, far))), wrong


def one_of(known: Sequence[str], name: str = "") -> Callable[[Any], str]:
    """Makes a function that takes one of the known words, and raises Refusal for anything else.

    Args:
        known: words.
        name: of the value.
    """
    return lambda sent: str(word(sent, name, known))


def some_of(known: Sequence[str], name: str = "") -> Callable[[Any], tuple[str, ...]]:
    """Makes a function that takes a list of known words, and raises Refusal for anything else.

    Args:
        known: words.
        name: of the value.
    """

    def read(sent: Any) -> tuple[str, ...]:
        one = one_of(known, name)
        return tuple(one(each) for each in (sent if isinstance(sent, list) else [sent]))

    return read


def _linked(names: list[str]) -> str:
    return ",".join("photo" if name == PHOTO else name for name in names)


def _picture(photos: list[Path], sent: Any) -> str:
    """Path of a photo of the page, or of an upload that is still there; nothing else of the server can be had.

    Raises:
        Refusal: it is neither.
    """
    path = word(sent, "photo")
    if path in map(str, photos):
        return str(path)
    uploads, found = Path(get_upload_folder()).resolve(), Path(path or "").resolve()
    if found.parent.parent != uploads or found.parent.name == "results" or not found.is_file():
        raise Refusal(GONE)
    return str(path)


def _fov(sent: Any) -> str:
    text = word(sent, "Field of view") or ""
    number_of(text, "field of view")
    return text


def _share(sent: Any) -> float:
    return number(sent, "Depth over the photo", 0, 100) or 0.0


def _points(sent: Any) -> tuple[Point, ...]:
    return tuple(pixels(sent, "points")) if sent != [] else ()
