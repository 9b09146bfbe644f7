"""Options of a source by name, each with the function that converts its text."""

import math
import re
from collections.abc import Callable
from typing import Any, Literal, get_args

from semidepth.data.depth_coding import DepthKind, Invariance, LabelType, Zero
from semidepth.data.orientation import LabelFrame

Part = Literal["train", "held_out"]


def _text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _one_of(*allowed: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return convert


def _yes_or_no(text: str) -> bool:
    return _one_of("yes", "no")(text) == "yes"


def _whole(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            raise ValueError(f"must be a whole number of at least {least}")
        return int(text)

    return convert


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 < value < math.inf):
        raise ValueError("must be a positive number")
    return value


def _angle(text: str) -> float:
    value = _positive(text)
    if value >= 180:
        raise ValueError("must be an angle below 180 degrees")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ValueError("must be a number")
    return value


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_number(each) for each in text.split(","))


_COMMON_OPTIONS: dict[str, Callable[[str], Any]] = {
    "split": _text,
    "domain": _text,
    "min_depth_m": _positive,
    "max_depth_m": _positive,
    "count": _whole(1),
}
SCENE_OPTIONS = _COMMON_OPTIONS | {
    "style": _text,
    "seed": _whole(0),
    "size": _whole(8),
    "start": _whole(0),
    "masks": _one_of("things", "parts", "both"),
}
FILE_OPTIONS = _COMMON_OPTIONS | {
    "config": _text,
    "name": _text,
    "revision": _text,
    "image": _text,
    "depth": _text,
    "images": _text,
    "masks": _text,
    "fov_deg": _angle,
    "map": _text,
    "stretch": _yes_or_no,
    "label_frame": _one_of(*get_args(LabelFrame)),
    "key": _text,
    "kind": _one_of(*get_args(DepthKind)),
    "depth_scale": _positive,
    "depth_shift": _number,
    "invariant": _one_of(*get_args(Invariance)),
    "near": _positive,
    "zero": _one_of(*get_args(Zero)),
    "unknown": _numbers,
    "sky": _numbers,
    "labels": _one_of(*get_args(LabelType)),
    "min_reliability": _positive,
    "max_reliability": _positive,
    "part": _one_of(*get_args(Part)),
}
