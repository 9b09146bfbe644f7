"""The metric Space as it is published, composed into a folder."""

import os
import shutil
from pathlib import Path

from semidepth.publishing.spaces import space_files

ROOT = Path(__file__).resolve().parent.parent
METRIC = ROOT / "evaluation" / "depth_metrics"
PAGE = ROOT / "spaces" / "depth_metrics"


def compose(folder: Path) -> Path:
    """Composes the Space in a folder, as `semidepth publish --space metrics` does, and returns the folder."""
    folder.mkdir(parents=True)
    files, _ = space_files("metrics", folder)
    for file in files:
        shutil.copy(file.source, folder / file.path)
    return folder


def environment_of(folder: Path) -> dict[str, str]:
    """Environment of a process that keeps its caches in a folder and has no path to the checkout."""
    own = {"HF_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own
