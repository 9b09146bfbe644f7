"""No test goes on for ever: one that hangs fails, and the next one runs."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

LIMIT_S = 360.0  # longer than a process that a test waits for may take
LIMITS_S = {"browser": 240.0, "slow": 7200.0, "gpu": 7200.0}
AGAIN_S = 15.0


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Fails what is still going on after so long.

    Chromium goes first: what Playwright waits for fails then by itself. To be torn out of its loop leaves Playwright
    unable to do anything more, so that is what comes next, and again and again where something waits anew.
    """
    stopped, says = False, f"this went on for more than {seconds:g} seconds"

    def stop(*_: object) -> None:
        nonlocal stopped
        browsers = [each for each in psutil.Process().children(recursive=True) if "chrom" in each.name()]
        for browser in browsers:
            browser.kill()
        if stopped or not browsers:
            pytest.fail(says)
        stopped = True

    before = signal.signal(signal.SIGALRM, stop)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    except BaseException as error:
        if stopped:
            error.add_note(says)
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *outer)
    if stopped:
        pytest.fail(says)


def limit_of(item: pytest.Item) -> float:
    """Returns how many seconds each of a test's set-up, call and tear-down may take."""
    return max((LIMITS_S[mark.name] for mark in item.iter_markers() if mark.name in LIMITS_S), default=LIMIT_S)
