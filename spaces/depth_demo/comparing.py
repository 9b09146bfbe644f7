"""Several models on the same picture."""

from pathlib import Path

from asked import shown
from coloring import depth_shown, shown_size, value_range
from PIL import Image
from predictor import ModelCard
from refusal import Refusal
from work import ROUTER, DepthWork, Seen

MOST_MODELS = 6


def compare_models(
    work: DepthWork, path: str | None, names: list[str], head: str | None, color_map: str
) -> list[tuple[Image.Image, str, Seen]]:
    """A picture's depth by each of several models; metres are all shown in one range of colours.

    Args:
        work: of this Space.
        path: of the uploaded file.
        names: of the models.
        head: whose to use of models that have it, or "router".
        color_map: of the colours.

    Returns:
        For each model its depth in colours, what is to be said of it, and all that is known.

    Raises:
        Refusal: no model was chosen, or too many; none has that head; or the picture cannot be read.
    """
    if not 1 <= len(names) <= MOST_MODELS:
        raise Refusal(f"Choose between one and {MOST_MODELS} models; there are {len(names)}.", title="Compare")
    having = [name for name in names if name in work.models.cards and has_head(work.models.card(name), head)]
    if (head or ROUTER) != ROUTER and not having:
        raise Refusal(f"None of these models has a head called {shown(head)}.", title="Compare")
    seen = [work.see(path, name, head if name in having else None) for name in names]
    ranges = [value_range(each.prediction) for each in seen]
    metres = [limits for limits, each in zip(ranges, seen, strict=True) if each.prediction.metric]
    found = []
    for each, own in zip(seen, ranges, strict=True):
        metric = each.prediction.metric
        limits = (min(low for low, _ in metres), max(high for _, high in metres)) if metric else own
        picture = depth_shown(each.prediction, limits, color_map, shown_size(each.image))
        found.append((picture, caption(work, each, limits), each))
    return found


def has_head(card: ModelCard, head: str | None) -> bool:
    """Whether it can be asked for."""
    return card.choosable and head in card.domains


def caption(work: DepthWork, seen: Seen, limits: tuple[float, float]) -> str:
    """A model's name, its head, and what the colours mean."""
    prediction = seen.prediction
    head = f" · {prediction.domain}" if prediction.domain else ""
    means = f"{limits[0]:.1f} m to {limits[1]:.1f} m" if prediction.metric else "near to far"
    return f"{Path(work.models.card(prediction.model).name).name}{head} · {means}"
