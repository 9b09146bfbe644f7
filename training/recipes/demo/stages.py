"""Times of the demo's stages."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


class Stages:
    """The stages of a run and what each took, in order.

    Attributes:
        taken: (stage, seconds) of those that are over.
    """

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.taken: list[tuple[str, float]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Tells what begins, and adds its time once it is over."""
        began = time.perf_counter()
        logger.info("%.1f minutes: %s", (began - self.began) / 60, name)
        yield
        self.taken.append((name, time.perf_counter() - began))

    def total_s(self) -> float:
        """Returns the seconds since the first stage began."""
        return time.perf_counter() - self.began

    def text(self) -> str:
        """Returns a line with all times."""
        parts = [f"{name} {taken:.0f} s" for name, taken in self.taken]
        return f"{self.total_s() / 60:.1f} minutes: {'; '.join(parts)}"
