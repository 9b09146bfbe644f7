"""Values that handlers of the tab for pictures take, and the names of the parts that they update."""

from dataclasses import dataclass
from typing import Any, TypedDict

from read_outs import Point

from page.compare_view import CompareUpdates


@dataclass(frozen=True)
class Before:
    """The result that is shown.

    Args:
        path: of the picture.
        metric: whether in metres.
        ends: of the range, as long as nobody moves them.
    """

    path: str
    metric: bool
    ends: tuple[float, float]


@dataclass(frozen=True)
class Asked:
    """The values of the tab's parts, each under its part's name.

    Args:
        picture: path of the uploaded file; None without one.
        model: name.
        domain: head that is chosen, or "router".
        color_map: name.
        near: end of the colours, metres or per cent; None for an emptied field.
        far: likewise.
        fov: horizontal field of view in degrees, as it was typed.
        under: what is clicked in, photo or depth.
        points: clicked ones, (column, row) of the upright picture, at most two.
        before: the result that is shown.
    """

    picture: str | None
    model: str
    domain: str
    color_map: str
    near: float | None
    far: float | None
    fov: str
    under: str
    points: list[Point]
    before: Before | None


class ReadUpdates(TypedDict, total=False):
    """Updates of the parts to measure in: read-out, marked picture, points."""

    told: str
    marked: Any
    points: list[Point]


class ColorUpdates(TypedDict, total=False):
    """Updates of the parts that the colours change."""

    slider: Any
    legend: str
    marked: Any
    near: Any
    far: Any


class ResultUpdates(ReadUpdates, ColorUpdates, CompareUpdates, total=False):
    """Updates of all parts that show a result."""

    empty: Any
    results: Any
    router: Any
    found: str
    fov: Any
    png16: Any
    before: Before | None


class VisibleUpdates(TypedDict):
    """Updates of the parts that belong to one model's result."""

    legend: Any
    near: Any
    far: Any
    downloads: Any
