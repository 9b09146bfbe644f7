"""Reading over a network: what failed is asked for again after growing waits, from where it was.

The libraries below retry, too, but each in its own way: at fixed waits, for some errors only, or from the start. So
their own retries are kept short and this one decides.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

ATTEMPTS = 12  # in a row without a single row read: about six minutes
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
STALLED_S = 30.0  # without a byte from the server

# Asking again does not help: nothing there, not allowed, or a package that is missing here.
_FINAL = (FileNotFoundError, PermissionError, ImportError, NotImplementedError)
_FINAL_STATUS = frozenset({400, 401, 403, 404, 405, 410, 416})


def retry(call: Callable[[], Item], name: str) -> Item:
    """Calls until it succeeds.

    Args:
        call: what to do, safe to repeat.
        name: of the file or source, for the log.

    Returns:
        What the call returned.

    Raises:
        Exception: the call's own, at once where asking again cannot help, else after `ATTEMPTS`.
    """
    failures = 0
    while True:
        try:
            return call()
        except Exception as error:  # the network, the server, the parser of a body that ended early: each its own kind
            failures += 1
            _wait_or_raise(error, failures, name)


def read_on(read: Callable[[int], Iterator[tuple[int, Item]]], start: int, name: str) -> Iterator[tuple[int, Item]]:
    """Reads numbered items to the end, opening again after the last good one where reading fails.

    Args:
        read: gives an iterator over (number, item) from a number on.
        start: first number.
        name: of the file or source, for the log.

    Returns:
        An iterator over all items, each once.

    Raises:
        Exception: the reader's own, at once where asking again cannot help, else after `ATTEMPTS` without an item.
    """
    failures, position = 0, start
    while True:
        try:
            for number, item in read(position):
                position, failures = number + 1, 0
                yield number, item
            return
        except Exception as error:
            failures += 1
            _wait_or_raise(error, failures, f"{name} at row {position}")


def http_options() -> dict[str, Any]:
    """fsspec's options for http(s): give up on a server that does not answer or stops sending; it is asked again."""
    from aiohttp import ClientTimeout

    return {"client_kwargs": {"timeout": ClientTimeout(total=None, sock_connect=STALLED_S, sock_read=STALLED_S)}}


def _wait_or_raise(error: Exception, failures: int, name: str) -> None:
    if failures >= ATTEMPTS or _is_final(error):
        raise error
    # Half of the wait is drawn, so that a thousand readers do not come back all at once.
    wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (failures - 1)) * random.Random().uniform(0.5, 1.0)
    logger.warning(
        "reading %s failed (%s: %s); attempt %d of %d in %.1f s",
        name, type(error).__name__, " ".join(str(error).split())[:200], failures + 1, ATTEMPTS, wait_s,
    )  # fmt: skip
    time.sleep(wait_s)


def _is_final(error: BaseException) -> bool:
    """Whether an error, or what caused it, will be the same next time."""
    if isinstance(error, _FINAL):
        return True
    response = getattr(error, "response", None)
    if getattr(error, "status", getattr(response, "status_code", None)) in _FINAL_STATUS:
        return True
    return error.__cause__ is not None and _is_final(error.__cause__)
