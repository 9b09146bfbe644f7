"""Errors shown to the visitor in one sentence, and checks of values that came through the API and may be anything.

None always means "not given".
"""

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr

SHOWN_S = 5.0  # so that one message is gone before the next piles up on it
LONGEST_WORD = 200
MOST_SHOWN = 60  # characters of a wrong value


class Refusal(gr.Error):
    """One sentence for the visitor, and nothing in the server's log: the fault is not the server's.

    Args:
        message: what came, what was expected, what to do.
        title: above it where it stands in the place of a result.
    """

    def __init__(self, message: str, title: str = "Not possible") -> None:
        super().__init__(message, duration=SHOWN_S, title=title, print_exception=False)


def number(value: Any, name: str, low: float, high: float) -> float | None:
    """Checks a number.

    Args:
        value: as it came.
        name: of the parameter.
        low: smallest that is taken.
        high: largest that is taken.

    Raises:
        Refusal: it is no number, or out of range.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:  # NaN is not
        raise Refusal(f"{name} is {shown(value)}; give a number between {low:g} and {high:g}.")
    return float(value)


def word(value: Any, name: str, known: Sequence[str] = ()) -> str | None:
    """Checks a word.

    Args:
        value: as it came.
        name: of the parameter.
        known: words that are taken; empty: any.

    Raises:
        Refusal: it is no text, too long, or unknown.
    """
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > LONGEST_WORD or (known and value not in known):
        raise Refusal(f"{name} is {shown(value)}; give {'one of ' + ', '.join(known) if known else 'a word'}.")
    return value


def words(value: Any, name: str) -> list[str]:
    """Checks a list of words.

    Raises:
        Refusal: it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Refusal(f"{name} is {shown(value)}; give a list of names, of which /models lists them all.")
    return value


def yes_or_no(value: Any, name: str, default: bool) -> bool:
    """Checks a truth value.

    Raises:
        Refusal: it is neither true nor false.
    """
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Refusal(f"{name} is {shown(value)}; give true or false.")
    return value


def pixels(value: Any, name: str) -> list[tuple[int, int]]:
    """Checks one or two points, (column, row).

    Raises:
        Refusal: it is not a list of one or two pairs of numbers.
    """
    if isinstance(value, list) and len(value) not in (1, 2):
        raise Refusal(f"There are {len(value)} points; give one or two, such as [[10, 20]].")
    if not isinstance(value, list) or not all(_is_pair(point) for point in value):
        raise Refusal(f"{name} is {shown(value)}; give a list of one or two pairs of pixels, such as [[10, 20]].")
    return [(math.floor(x), math.floor(y)) for x, y in value]


def file_path(value: Any) -> str | None:
    """Takes the path out of an uploaded file's description, which is what a browser and the API send.

    Gradio has checked by then that the path lies in its own folder of uploads. The file is not opened: gradio's own
    components would do that, and tell of a damaged one in a traceback.
    """
    return value.get("path") if isinstance(value, dict) else None


def file_paths(value: Any) -> list[str]:
    """Takes the paths out of a list of uploaded files, as [`file_path`] does; empty where nothing was uploaded."""
    found = [file_path(each) for each in (value if isinstance(value, list) else [value])]
    return [path for path in found if path]


def shown(value: Any) -> str:
    """Writes a value as it came, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python does not print whole numbers of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def _is_pair(point: Any) -> bool:
    """Returns whether this is a pair of finite numbers, of a size that a picture can have."""
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(each, int | float) and not isinstance(each, bool) and abs(each) < 1e9 for each in point)
    )
