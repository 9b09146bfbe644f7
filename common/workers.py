"""Worker processes that end with the process that started them."""

import os
import signal
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread


def tie_to_parent() -> None:
    """Initializes a worker of a pool: Ctrl-C is for its parent alone, and it ends when its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)  # whatever the worker is in the middle of: nobody asks for it any more
