"""Values that come in through the API, which may be anything: each is what it should be, or refused in one sentence.

None always means "not given".
"""

import math
from collections.abc import Sequence
from typing import Any

from refusal import Refusal

LONGEST_WORD = 200
MOST_SHOWN = 60  # letters of a wrong value


def number(value: Any, name: str, low: float, high: float) -> float | None:
    """A number between two others.

    Args:
        value: what came.
        name: of the parameter.
        low: the least.
        high: the most.

    Raises:
        Refusal: it is none.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:  # NaN is not
        raise Refusal(f"{name} is {shown(value)}; give a number between {low:g} and {high:g}.")
    return float(value)


def word(value: Any, name: str, known: Sequence[str] = ()) -> str | None:
    """A word.

    Args:
        value: what came.
        name: of the parameter.
        known: those that there are; empty where others look at that.

    Raises:
        Refusal: it is none, or unknown.
    """
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > LONGEST_WORD or (known and value not in known):
        raise Refusal(f"{name} is {shown(value)}; give {'one of ' + ', '.join(known) if known else 'a word'}.")
    return value


def words(value: Any, name: str) -> list[str]:
    """A list of words.

    Raises:
        Refusal: it is none.
    """
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Refusal(f"{name} is {shown(value)}; give a list of names, of which /models lists them all.")
    return value


def yes_or_no(value: Any, name: str, default: bool) -> bool:
    """True or false.

    Raises:
        Refusal: it is neither.
    """
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Refusal(f"{name} is {shown(value)}; give true or false.")
    return value


def pixels(value: Any, name: str) -> list[tuple[int, int]]:
    """One or two points.

    Raises:
        Refusal: it is not a list of one or two pairs of numbers.
    """
    if isinstance(value, list) and len(value) not in (1, 2):
        raise Refusal(f"There are {len(value)} points; give one or two, such as [[10, 20]].")
    if not isinstance(value, list) or not all(_is_pair(point) for point in value):
        raise Refusal(f"{name} is {shown(value)}; give a list of one or two pairs of pixels, such as [[10, 20]].")
    return [(math.floor(x), math.floor(y)) for x, y in value]


def _is_pair(point: Any) -> bool:
    """Whether something is two finite numbers, of a size that some picture has."""
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(each, int | float) and not isinstance(each, bool) and abs(each) < 1e9 for each in point)
    )


def shown(value: Any) -> str:
    """A value as it came, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python does not print whole numbers of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"
