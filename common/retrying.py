"""Retry reads over a network after growing waits, and resume where they stopped.

The libraries below retry in their own ways: at fixed waits, for some errors only, or from the start. Their retries are
kept short and this module decides. Final errors are raised at once: not found, not allowed, or given up by a deeper
layer.
"""

import email.utils
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from tarfile import TarError
from typing import TypeVar

from huggingface_hub.errors import OfflineModeIsEnabled

from semidepth.common.console import CommandError
from semidepth.common.redaction import redact

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

ATTEMPTS = 12  # in a row without a single row or byte read: about six minutes
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
LONGEST_WISH_S = 300.0  # that a server may ask for with Retry-After
STALLED_S = 30.0  # without a byte from the server


class GivenUpError(CommandError):
    """A file that could not be read in all attempts, or is not allowed; the message names it and the cause.

    No OSError: aiohttp and `datasets` would take it for a lost connection.
    """


# Asking again does not help: nothing there, not allowed, a package that is missing, a file that is itself broken (a
# body that ended early is an error of the network's own, never one of these), or a mistake in the code.
_FINAL = (
    FileNotFoundError, PermissionError, OfflineModeIsEnabled, ImportError, NotImplementedError, GivenUpError,
    ValueError, TarError, TypeError, AttributeError, NameError,
)  # fmt: skip
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


def retry(call: Callable[[], Item], name: str, attempts: int | None = None) -> Item:
    """Calls until it succeeds.

    Args:
        call: what to do, safe to repeat.
        name: of the file or source, for the log.
        attempts: the most that are made; by default `ATTEMPTS`.

    Returns:
        What the call returned.

    Raises:
        GivenUpError: the call failed every time.
        Exception: the call's own, at once where asking again cannot help.
    """
    failures = 0
    while True:
        try:
            return call()
        except Exception as error:  # the network, the server, the parser of a body that ended early: each its own kind
            failures += 1
            time.sleep(wait_or_raise(error, failures, name, attempts))


def read_on(read: Callable[[int], Iterator[tuple[int, Item]]], start: int, name: str) -> Iterator[tuple[int, Item]]:
    """Reads numbered items to the end, opening again after the last good one where reading fails.

    Args:
        read: gives an iterator over (number, item) from a number on.
        start: first number.
        name: of the file or source, for the log.

    Returns:
        An iterator over all items, each once.

    Raises:
        GivenUpError: reading failed `ATTEMPTS` times without an item.
        Exception: the reader's own, at once where asking again cannot help.
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
            time.sleep(wait_or_raise(error, failures, f"{name} at row {position}"))


def wait_or_raise(
    error: Exception, failures: int, name: str, attempts: int | None = None, wish_s: float = 0.0
) -> float:
    """Seconds to wait after a failure, which is logged; raises if waiting is of no use.

    Args:
        error: what happened.
        failures: how often in a row, this one included.
        name: of the file or source, for the log.
        attempts: the most that are made; by default `ATTEMPTS`.
        wish_s: what the server asked for, in seconds; it is waited for up to `LONGEST_WISH_S`.

    Returns:
        Seconds.

    Raises:
        GivenUpError: failed too often.
        Exception: `error`, where it is final.
    """
    if is_final(error):
        raise error
    attempts = ATTEMPTS if attempts is None else attempts
    cause = describe(error)
    if failures >= attempts:
        raise GivenUpError(f"{redact(name)} was tried {failures} times in a row, at last with {cause}") from error
    # Half of the wait is drawn, so that a thousand readers do not come back all at once.
    wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (failures - 1)) * random.Random().uniform(0.5, 1.0)
    wait_s = max(wait_s, min(wish_s, LONGEST_WISH_S))
    logger.warning(
        "access to %s failed (%s); attempt %d of %d in %.1f s", redact(name), cause, failures + 1, attempts, wait_s
    )
    return wait_s


def passing(status: int) -> bool:
    """True for an HTTP status worth a retry, such as 429 or 503."""
    return status in _PASSING_STATUS


def wished_wait(headers: Mapping[str, str]) -> float:
    """The seconds that a server asks to wait for with `Retry-After`, which holds seconds or a date; 0 without it."""
    text = headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def describe(error: BaseException) -> str:
    """An error in one line: its kind, its words without secrets, and what caused it where it does not say."""
    # "Server Disconnected" is what `datasets` says of anything.
    while str(error) in ("", "Server Disconnected") and error.__cause__ is not None:
        error = error.__cause__
    words = " ".join(redact(str(error)).split())
    if words and type(error) in (ValueError, GivenUpError):  # sentences of their own
        return words[:400]
    return f"{type(error).__name__}: {words[:300]}" if words else type(error).__name__


def is_final(error: BaseException) -> bool:
    """True for an error that a retry cannot help, by itself or by its cause."""
    if "(OfflineModeIsEnabled)" in str(error):  # `datasets` makes a ConnectionError of it
        return True
    response = getattr(error, "response", None)
    status = getattr(error, "status", None) or getattr(response, "status_code", None)
    if isinstance(status, int):
        return not passing(status)
    if isinstance(error, _FINAL):
        if isinstance(error, FileNotFoundError):  # also said of a server that is only down
            lost = error.__cause__ is not None and not is_final(error.__cause__)
            return not lost and "LocalEntryNotFoundError" not in str(error)  # the Hub's word for no connection
        return True
    return error.__cause__ is not None and is_final(error.__cause__)
