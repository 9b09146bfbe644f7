"""Updates of the tab for photos: what a prediction shows, in which words, and what stays of the one before."""

import re
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image
from predictor import ImageDepth, ModelCard
from refusal import Refusal
from results.coloring import clickable_size, depth_shown, far_most, half_text, range_text, shown_size
from results.hints import hint
from results.read_outs import HINTS, notes_of, number_of, points_text, read_out, with_points
from work import ROUTER, Seen

from page.photo.compare_view import nothing_compared
from page.photo.image_values import Asked, Before, ColorUpdates, ReadUpdates, ResultUpdates
from page.photo.legend_bar import own_range

CLOSE_CALL = 0.7  # the router is less sure than this
PLACES = {"indoor": "Indoors", "outdoor": "Outdoors"}


def nothing(why: str) -> ResultUpdates:
    """Takes the result away.

    Args:
        why: HTML in its place.
    """
    return {
        "empty": gr.update(value=why, visible=True), "results": gr.update(visible=False), "photo": None, "depth": None,
        "legend": None, "place": gr.update(visible=False), "found": "", "told": "", "marked": None, "marks": None,
        "points": [], "places": "", "fov": "", "before": None, **nothing_compared(),
    }  # fmt: skip


def measured(seen: Seen, limits: tuple[float, float], asked: Asked) -> ReadUpdates:
    """Tells what is known of the points, and draws them into the picture to click in.

    A wrong field of view is told in the read-out's place: it is used again with every click.
    """
    points = [(int(x), int(y)) for x, y in asked.points]
    told, notes = HINTS[seen.prediction.metric], None
    if points:
        try:
            found = read_out(seen, points, number_of(asked.fov, "field of view"))
            told, notes = found["text"], notes_of(found)
        except Refusal as refusal:
            told = refusal.message
    marked = with_points(underlay(seen, limits, asked), points, seen.picture.size, notes)
    marks = {"points": [list(point) for point in points], "size": list(seen.picture.size)}
    return {"told": told, "marked": marked, "marks": marks, "points": points, "places": points_text(points)}


def underlay(seen: Seen, limits: tuple[float, float], asked: Asked) -> Image.Image:
    """Returns the picture to click in, without points: the photo, the depth, or a mixture of the two."""
    size = clickable_size(seen.image)
    photo, share = seen.image.resize(size), min(max(asked.share or 0.0, 0.0), 100.0) / 100
    if not share:
        return photo
    return Image.blend(photo, depth_shown(seen.prediction, limits, asked.color_map, size), share)


def colored(seen: Seen, limits: tuple[float, float], color_map: str) -> ColorUpdates:
    """Shows the depth in colours."""
    return {"depth": depth_shown(seen.prediction, limits, color_map, shown_size(seen.image))}


def kept_ends(asked: Asked, before: Before | None, prediction: ImageDepth) -> tuple[float, float] | None:
    """Returns near and far end as they were set by hand; None where they were not, or mean nothing for this result.

    Args:
        asked: values of the tab's parts.
        before: result of the same picture that was shown; None without one.
        prediction: the new result.
    """
    near, far = asked.legend
    if before is None or near is None or far is None:
        return None
    by_hand = before.metric == prediction.metric and before.ends != (near, far)
    return (near, far) if by_hand and 0 <= near < far <= far_most(prediction) else None


def before_of(asked: Asked, prediction: ImageDepth) -> Before:
    """Returns what is remembered of a result.

    Args:
        asked: values of the tab's parts, those that it was asked for with.
        prediction: of the picture.
    """
    ends = own_range(prediction)
    return Before(str(asked.picture), asked.model, asked.domain, prediction.metric, ends, asked.order)


def place_choice(prediction: ImageDepth, card: ModelCard, chosen: str) -> Any:
    """Shows the router's percentages as a choice of the head; hidden for models without a router.

    Args:
        prediction: of the picture.
        card: of the model.
        chosen: head that somebody has chosen, or "router".
    """
    shares = prediction.domains
    if not shares:
        return gr.update(visible=False)
    choices = [(f"{place_name(name)} · {min(max(share, 0.01), 0.99):.0%}", name) for name, share in shares.items()]
    label = "Taken" if chosen == ROUTER else "Taken, as you say"
    if chosen == ROUTER and max(shares.values()) < CLOSE_CALL:
        label = "Taken: a close call"
    return gr.update(choices=choices, value=prediction.domain, label=label, visible=True, interactive=card.choosable)


def place_name(head: str) -> str:
    """Returns a head's name for people."""
    return PLACES.get(head, head.capitalize())


def heading(path: str, label: str, seen: Seen) -> str:
    """Says in Markdown what is shown: photo, model and range, and whether the picture is unlike a photo."""
    name = re.sub(r"([^\w .-]|_)", r"\\\1", Path(path).name)
    unusual = hint(seen.image)
    told = f"**{name}** · {label} · {range_text(seen.prediction)}{half_text(seen)}"
    return f"{told}\n\n*{unusual}*" if unusual else told
