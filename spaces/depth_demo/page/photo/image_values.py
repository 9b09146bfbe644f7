"""Values that handlers of the tab for photos take, and the names of the parts that they update."""

from dataclasses import dataclass, field
from typing import Any, TypedDict

from results.coloring import colors_of
from results.read_outs import Point

from page.photo.compare_view import CompareUpdates
from page.photo.legend_bar import Ends, ends_of
from page.photo.scene_view import SceneUpdates
from page.photo.strip import number_of
from page.wiring import Latest, head_of


@dataclass(frozen=True)
class Before:
    """The result that is shown.

    Args:
        path: of the picture.
        model: its name.
        domain: head that somebody has chosen, or "router".
        metric: whether in metres.
        ends: of the range, as long as nobody moves them.
        order: number of the order that it answers.
    """

    path: str
    model: str
    domain: str
    metric: bool
    ends: tuple[float, float]
    order: int


@dataclass(frozen=True)
class Asked:
    """The values of the tab's parts, each under its part's name.

    Args:
        picture: path of the uploaded file; None without one.
        model: name.
        domain: head that somebody has chosen, or "router".
        place: head that is marked, the chosen one or the router's.
        color_map: of the colours.
        legend: near and far end of the colours, metres or per cent; None without a result.
        fov: horizontal field of view in degrees, as it was typed.
        share: of the depth over the photo to click in, per cent.
        places: points as they were typed.
        points: clicked ones, (column, row) of the upright picture, at most two.
        before: the result that is shown.
        order: number of the last order to predict.
        latest: the same and its picture, up to date while a handler is at work.
    """

    picture: str | None
    model: str
    domain: str
    place: str = field(metadata={"read": head_of})
    color_map: str = field(metadata={"read": colors_of})
    legend: Ends = field(metadata={"read": ends_of})
    fov: str
    share: float | None
    places: str
    points: list[Point]
    before: Before | None
    order: int
    latest: Latest = field(default_factory=Latest, kw_only=True)


@dataclass(frozen=True)
class StripAsked:
    """The number of the strip's photo that was clicked."""

    strip: int = field(metadata={"read": number_of})


class PictureUpdates(TypedDict):
    """Another picture."""

    picture: str


class ReadUpdates(TypedDict, total=False):
    """Updates of the parts to measure in: read-out, marked picture, handles, points."""

    told: str
    marked: Any
    marks: Any
    places: str
    points: list[Point]


class ColorUpdates(TypedDict, total=False):
    """Updates of the pictures that the colours change."""

    depth: Any
    marked: Any


class TrustUpdates(TypedDict):
    """Updates of the line that says what is recorded of a model, and of its card."""

    trust: str
    card: str


class ResultUpdates(ReadUpdates, ColorUpdates, CompareUpdates, SceneUpdates, total=False):
    """Updates of all parts that show a result."""

    empty: Any
    results: Any
    place: Any
    found: str
    photo: Any
    legend: Any
    fov: Any
    png16: Any
    before: Before | None


class OrderUpdates(ResultUpdates, total=False):
    """Updates of all parts as a picture is to be predicted."""

    domain: str
    order: int


class ViewUpdates(TypedDict):
    """The view that is open, and the parts that belong to one model's colours."""

    view: str
    legend: Any
    color_map: Any
