"""Several models on the same picture, in several colours."""

import html
from collections.abc import Sequence

from PIL import Image
from predictor import ModelCard
from refusal import Refusal, shown
from results.coloring import MAP_NAMES, depth_shown, legend_html, shown_size, value_range
from work import ROUTER, DepthWork, Seen

MOST_MODELS = 6
MOST_PICTURES = 12


def compare_models(
    work: DepthWork, path: str | None, names: list[str], head: str | None, color_maps: Sequence[str]
) -> list[tuple[Image.Image, str, Seen]]:
    """A picture's depth by each of several models; metres are all shown in one range of colours.

    Args:
        work: of this Space.
        path: of the uploaded file.
        names: of the models.
        head: whose to use of models that have it, or "router".
        color_maps: of the colours, one or more.

    Returns:
        For each model, and for each colour map of it, its depth in colours, what is to be said of it, and all that is
        known.

    Raises:
        Refusal: no model was chosen, or too many, or too many pictures come of it; none has that head; or the picture
            cannot be read.
    """
    if not 1 <= len(names) <= MOST_MODELS:
        raise Refusal(f"Choose between one and {MOST_MODELS} models; there are {len(names)}.")
    if len(names) * len(color_maps) > MOST_PICTURES:
        many = f"{len(names)} models in {len(color_maps)} colours are {len(names) * len(color_maps)} pictures"
        raise Refusal(f"{many}, and at most {MOST_PICTURES} are compared; choose fewer models or colours.")
    having = [name for name in names if name in work.models.cards and has_head(work.models.card(name), head)]
    if (head or ROUTER) != ROUTER and not having:
        raise Refusal(f"None of these models has a head called {shown(head)}.")
    seen = [work.see(path, name, head if name in having else None) for name in names]
    shared = shared_range(seen)
    found = []
    for each in seen:
        limits = shared if shared and each.prediction.metric else value_range(each.prediction)
        for color_map in color_maps:
            picture = depth_shown(each.prediction, limits, color_map, shown_size(each.image))
            told = f"{caption(each)} · {MAP_NAMES[color_map]}" if len(color_maps) > 1 else caption(each)
            found.append((picture, told, each))
    return found


def shared_range(seen: list[Seen]) -> tuple[float, float] | None:
    """Common range of colours of all metric models; None if there are none."""
    metres = [value_range(each.prediction) for each in seen if each.prediction.metric]
    return (min(low for low, _ in metres), max(high for _, high in metres)) if metres else None


def compared_legend(seen: list[Seen], *color_maps: str) -> str:
    """Legend of several models' colours, as HTML, with a bar for each colour map."""
    shared = shared_range(seen)
    relative = not all(each.prediction.metric for each in seen)
    if shared is None:
        return legend_html((0.0, 1.0), *color_maps, metric=False) + _note(
            "Each model from its own near to its own far."
        )
    more = "Models without metres have the same colours from their own near to their own far."
    return legend_html(shared, *color_maps, metric=True) + (_note(more) if relative else "")


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def has_head(card: ModelCard, head: str | None) -> bool:
    """True if a model's head can be asked for."""
    return card.choosable and head in card.domains


def caption(seen: Seen) -> str:
    """Name of a model, its head, and its range of metres."""
    prediction = seen.prediction
    head = f" · {prediction.domain}" if prediction.domain else ""
    low, high = value_range(prediction)
    found = f"{low:.1f} to {high:.1f}\N{NO-BREAK SPACE}m" if prediction.metric else "near to far"
    return f"{prediction.model}{head} · {found}"
