"""A process that does one push, or the check before the first, for a training that must not be held up by it.

It reads one line of JSON (what to do) from its standard input and writes one (what came of it) to its standard output.
It ends with whoever started it, as soon as that input is closed.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from huggingface_hub.utils import disable_progress_bars

from semidepth.common.retrying import describe
from semidepth.publishing.files import HubFile
from semidepth.publishing.hub import (
    HubDownError,
    Target,
    limit_waiting,
    prepare,
    push,
)


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Does what is asked.

    Args:
        request: `target`, the fields of a Target; `stalled_s`; `prepared`, whether rights and repository were looked
            at before; and for a push `files`, pairs of path and source, and `message`.

    Returns:
        `revision`, `changed` and `url` of a push; or `error`, a sentence, and `passing`, whether to try again later.
    """
    target = Target(**request["target"])
    limit_waiting(request["stalled_s"])
    try:
        if not request.get("prepared"):
            prepare(target, attempts=1)
        if "files" not in request:
            return {}
        files = [HubFile(path, Path(source)) for path, source in request["files"]]
        return vars(push(target, files, request["message"], attempts=1))
    except (ValueError, HubDownError) as error:
        return {"error": str(error), "passing": isinstance(error, HubDownError)}
    except Exception as error:  # whatever it is, the training tells it and goes on
        return {"error": describe(error), "passing": True}


def _end_with_the_starter() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """See the top of the file."""
    disable_progress_bars()
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    answer = json.dumps(work(request))
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()
    os._exit(0)  # a library's thread may still wait for the Hub


if __name__ == "__main__":
    main()
