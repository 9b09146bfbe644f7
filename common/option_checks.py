"""Checks of numbers among a command's options, for `__post_init__`; None, an optional option's default, passes all."""

from typing import Any


def check_at_least(options: Any, name: str, least: float) -> None:
    """Raises ValueError unless an option, or each of its values, is None or a finite number of at least `least`."""
    given = getattr(options, name)
    for value in given if isinstance(given, tuple) else (given,):
        if value is None:
            continue
        if not value >= least:
            raise ValueError(f"--{name} is {value}; give at least {least}.")
        if value == float("inf"):
            raise ValueError(f"--{name} is {value}; it must be finite.")


def check_positive(options: Any, name: str) -> None:
    """Raises ValueError unless an option is None or a finite number above 0."""
    value = getattr(options, name)
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"--{name} is {value}; give a positive number.")


def check_share(options: Any, name: str, *, least: float) -> None:
    """Raises ValueError unless an option is None or a share from `least` to 1."""
    value = getattr(options, name)
    if value is not None and not least <= value <= 1:
        raise ValueError(f"--{name} is {value}; give a share from {least:g} to 1.")
