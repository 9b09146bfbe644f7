"""Who is next: long work is done for one visitor at a time, and the others are told how many are before them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from refusal import Refusal


class WaitingLine:
    """First come, first served.

    Args:
        longest: how many may wait; each holds a thread of the server's.
        what: they wait with, for the sentence that says that the line is full.
    """

    def __init__(self, longest: int, what: str) -> None:
        self.longest = longest
        self.what = what
        self.ends_at: float | None = None  # when the first will be done, as `time.monotonic` has it; None: not known
        self._places: list[object] = []
        self._moved = threading.Condition()

    @contextmanager
    def place(self) -> Iterator[Callable[[float], int]]:
        """A place at the line's end, given up when the block ends however it does.

        Yields:
            A function that says how many are before this place; it returns when that changes, or after so many seconds.

        Raises:
            Refusal: too many wait already.
        """
        me = object()
        with self._moved:
            if len(self._places) > self.longest:
                raise Refusal(f"{self.longest} {self.what} are waiting already; come back in some minutes.", "Busy")
            self._places.append(me)

        def before(wait_s: float) -> int:
            with self._moved:
                ahead = self._places.index(me)
                if ahead:
                    self._moved.wait_for(lambda: self._places.index(me) < ahead, wait_s)
                return self._places.index(me)

        try:
            yield before
        finally:
            with self._moved:
                if self._places[0] is me:
                    self.ends_at = None
                self._places.remove(me)
                self._moved.notify_all()
