"""Where result files lie until they are fetched: each in a folder of its own, gone an hour after it was written to."""

import shutil
import tempfile
import time
from pathlib import Path

KEPT_S = 3600
_ROOT = Path(tempfile.mkdtemp(prefix="depth-demo-"))


def new_folder() -> Path:
    """An empty folder that nobody else writes to; old ones are removed on the way."""
    for old in _ROOT.iterdir():
        if time.time() - _last_touched(old) > KEPT_S:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=_ROOT))


def _last_touched(folder: Path) -> float:
    """When a folder or a file in it was written last: a long clip's grows for hours. Never, if it is gone by now."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:  # another visitor's request has just removed it
        return time.time()


def safe_stem(path: str | Path) -> str:
    """A file's name without its ending, short and plain, to name results after."""
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(path).stem)
    return stem[:60].strip("_") or "picture"
