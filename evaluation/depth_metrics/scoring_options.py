"""Options of the `evaluate` metric, checked before any image is scored."""

import json
from dataclasses import asdict, dataclass
from math import inf
from numbers import Real
from typing import Any, TypeVar

from .protocols import ALIGNMENTS, SPACES, Align, Protocol, Space, find_protocol

T = TypeVar("T")

MODES = ("metric", "relative")
# Configuration -> the options that it has.
OPTIONS = {
    "default": ("mode", "align", "space", "protocol", "min_depth_m", "max_depth_m"),
    "boundary": ("mode", "align", "protocol", "min_depth_m", "max_depth_m"),
    "boundary_mask": ("mode",),
    "ordinal": ("mode",),
}


@dataclass(frozen=True)
class Options:
    """Checked options, defaults filled in.

    Args:
        mode: kind of the predictions: "metric" (metres) or "relative" (inverse depth, larger is nearer).
        align: "least_squares", "median" or "none".
        space: compare in "depth" or "disparity".
        protocol: name of the crop and depth range.
        min_depth_m: nearest label that is scored, metres.
        max_depth_m: farthest label that is scored, metres; None: no cap for metres, each image's own largest label for
            relative depth.
    """

    mode: str
    align: Align
    space: Space
    protocol: str
    min_depth_m: float
    max_depth_m: float | None

    def text(self) -> str:
        """JSON text, the same in every process for the same options."""
        return json.dumps(asdict(self))


def settle(given: dict[str, Any]) -> Options:
    """Checks the given options and fills in defaults.

    Args:
        given: name -> value; None counts as not given.

    Raises:
        ValueError: for an unknown value or an empty depth range.
    """
    given = {name: value for name, value in given.items() if value is not None}
    mode = _one_of("mode", given.get("mode", "metric"), MODES)
    align = _one_of("align", given.get("align", "none" if mode == "metric" else "least_squares"), ALIGNMENTS)
    space = _one_of("space", given.get("space", "depth"), SPACES)
    protocol = named_protocol(given.get("protocol", "none"))
    least, most = given.get("min_depth_m", protocol.min_depth_m), given.get("max_depth_m", protocol.max_depth_m)
    for name, value in (("min_depth_m", least), ("max_depth_m", most)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise ValueError(f"{name} is {value!r}, expected a number of metres.")
    if not 0 < least < (inf if most is None else most):
        raise ValueError(f"min_depth_m, max_depth_m are {least}, {most}: expected 0 < min < max, in metres.")
    return Options(mode, align, space, protocol.name, float(least), None if most in (None, inf) else float(most))


def check_names(given: dict[str, Any], config: str) -> None:
    """Raises ValueError for an option that a configuration does not have."""
    for name in given:
        if name not in OPTIONS[config]:
            raise ValueError(
                f"the option {name!r} means nothing to the configuration {config!r}; "
                f"it has {', '.join(OPTIONS[config])}."
            )


def check_agreement(given: dict[str, Any], fixed: dict[str, Any], where: str) -> None:
    """Raises ValueError if a given option differs from one that is already fixed.

    Args:
        given: name -> value; None counts as not given.
        fixed: name -> value.
        where: when they were fixed, for the message.
    """
    for name, value in given.items():
        if value is not None and name in fixed and _differ(value, fixed[name]):
            raise ValueError(
                f"{name}={value!r} was asked for, but {where} with {name}={fixed[name]!r}; give options to "
                "evaluate.load, or the same ones to every add, add_batch and compute."
            )


def named_protocol(name: str) -> Protocol:
    """Looks up a protocol; raises ValueError for a name that is not text or not known."""
    if not isinstance(name, str):
        raise ValueError(f"protocol is {name!r}, expected a name such as 'nyu' or 'none'.")
    return find_protocol(name)


def _differ(value: Any, fixed: Any) -> bool:
    return (None if value == inf else value) != (None if fixed == inf else fixed)


def _one_of(name: str, value: Any, choices: tuple[T, ...]) -> T:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}.")
    return value
