"""Sentences about built-in scenes, and the facts in them.

a room with a table, two chairs and a column; the nearest thing is a chair, 1.5 m away; the largest, a table, is in the
middle

Scores compare facts, not sentences: `read_caption` gives back what `write_caption` was given.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semidepth.data.scenes.things import SKY, things_of

LEAST_AREA = 0.003  # of the picture; what is smaller is not spoken of
MOST_KINDS = 5
BACKGROUND = ("wall", "floor", "ceiling", "road", "pavement")
SIDES = ("on the left", "in the middle", "on the right")

_OPENINGS = {
    "indoor": ("a room", "a picture of a room", "an indoor scene"),
    "outdoor": ("a street", "a picture of a street", "an outdoor scene"),
}
_IRREGULAR = {"shelf": "shelves", "box": "boxes", "person": "people", "furniture": "pieces of furniture"}
_KINDS = sorted({kind for domain in _OPENINGS for kind in things_of(domain).kinds} - set(BACKGROUND))
_SINGULARS = {kind: "piece of furniture" if kind == "furniture" else kind for kind in _KINDS}
_PLURALS = {kind: _IRREGULAR.get(kind, f"{kind}s") for kind in _KINDS}
_COUNTS = {"a": 1, "two": 2, "several": 3}
_SENTENCE = re.compile(
    rf"(?P<opening>{'|'.join(sum(_OPENINGS.values(), ()))}) with (?P<things>.+); "
    r"the nearest thing is a (?P<nearest>[a-z ]+), (?P<metres>[\d.]+) m away; "
    rf"the largest, a (?P<largest>[a-z ]+), is (?P<side>{'|'.join(SIDES)})"
)


@dataclass(frozen=True)
class SceneFacts:
    """Facts that a caption tells.

    Args:
        domain: "indoor" or "outdoor".
        counts: up to five kinds of things, those that cover most first, with their number: 1, 2, or 3 for more.
        nearest: kind of the nearest thing; "" where there is none to speak of, as of the next three.
        metres: its distance, rounded to 0.5 m below 5 m, 1 m below 20 m, 5 m beyond.
        largest: kind of the thing that covers most.
        side: where its middle is, one of `SIDES`.
    """

    domain: str
    counts: tuple[tuple[str, int], ...] = ()
    nearest: str = ""
    metres: float = 0.0
    largest: str = ""
    side: str = ""


def find_facts(domain: str, thing: NDArray[np.uint8], depth: NDArray[np.float32]) -> SceneFacts:
    """Returns the facts that are worth telling of a picture.

    Args:
        domain: of the scene.
        thing: (H, W), numbers of things.
        depth: (H, W), metres.
    """
    kinds = things_of(domain).kinds
    areas = np.bincount(thing.ravel(), minlength=SKY + 1)
    shown = [n for n, kind in enumerate(kinds) if kind not in BACKGROUND and areas[n] >= LEAST_AREA * thing.size]
    if not shown:
        return SceneFacts(domain)
    covered: dict[str, int] = {}
    counts: dict[str, int] = {}
    for number in shown:
        covered[kinds[number]] = covered.get(kinds[number], 0) + int(areas[number])
        counts[kinds[number]] = counts.get(kinds[number], 0) + 1
    first = sorted(covered, key=lambda kind: (-covered[kind], kind))[:MOST_KINDS]
    distance = {number: float(depth[thing == number].min()) for number in shown}
    nearest, largest = min(shown, key=lambda n: distance[n]), max(shown, key=lambda n: (areas[n], -n))
    middle = float((thing == largest).nonzero()[1].mean()) + 0.5
    return SceneFacts(
        domain=domain,
        counts=tuple((kind, min(counts[kind], 3)) for kind in first),
        nearest=kinds[nearest],
        metres=round_distance(distance[nearest]),
        largest=kinds[largest],
        side=SIDES[min(2, int(3 * middle / thing.shape[1]))],
    )


def round_distance(metres: float) -> float:
    """Returns metres rounded to steps of 0.5 below 5, of 1 below 20, of 5 beyond."""
    step = 0.5 if metres < 5 else 1.0 if metres < 20 else 5.0
    return max(0.5, round(metres / step) * step)


def write_caption(facts: SceneFacts, words: int = 0) -> str:
    """Returns a sentence about facts; `words` chooses its opening."""
    openings = _OPENINGS[facts.domain]
    opening = openings[words % len(openings)]
    if not facts.counts:
        return f"{opening} without things"
    amounts = {count: word for word, count in _COUNTS.items()}
    named = [f"{amounts[count]} {_noun(kind, count)}" for kind, count in facts.counts]
    things = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return (
        f"{opening} with {things}; the nearest thing is a {_SINGULARS[facts.nearest]}, {facts.metres:g} m away; "
        f"the largest, a {_SINGULARS[facts.largest]}, is {facts.side}"
    )


def _noun(kind: str, count: int) -> str:
    return _SINGULARS[kind] if count == 1 else _PLURALS[kind]


def read_caption(text: str) -> SceneFacts:
    """Returns the facts in a caption.

    Raises:
        ValueError: it is no sentence of `write_caption`.
    """
    domains = {opening: domain for domain, openings in _OPENINGS.items() for opening in openings}
    empty = text.removesuffix(" without things")
    if empty != text and empty in domains:
        return SceneFacts(domains[empty])
    found = _SENTENCE.fullmatch(text)
    nouns = {_SINGULARS[kind]: kind for kind in _KINDS} | {_PLURALS[kind]: kind for kind in _KINDS}
    try:
        if found is None:
            raise KeyError(text)
        named = [each.partition(" ") for each in re.split(", | and ", found["things"])]
        return SceneFacts(
            domain=domains[found["opening"]],
            counts=tuple((nouns[noun], _COUNTS[amount]) for amount, _, noun in named),
            nearest=nouns[found["nearest"]],
            metres=float(found["metres"]),
            largest=nouns[found["largest"]],
            side=found["side"],
        )
    except (KeyError, ValueError):
        raise ValueError(f"{text!r} is no caption of a built-in scene") from None
