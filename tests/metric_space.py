"""The metric Space as it is published: the page's folder and the metric's folder side by side."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METRIC = ROOT / "evaluation" / "depth_metrics"
PAGE = ROOT / "spaces" / "depth_metrics"
# Put before a process's own code: no import of semidepth succeeds there, from wherever it might come.
WITHOUT_SEMIDEPTH = """
import sys
class NoSemidepth:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "semidepth":
            raise ImportError("semidepth is not here")
sys.meta_path.insert(0, NoSemidepth())
"""


def compose(folder: Path) -> Path:
    """Copies the Space's files into a folder and returns it."""
    folder.mkdir(parents=True)
    for file in (*PAGE.iterdir(), *METRIC.glob("*.py")):
        if file.is_file() and file.name != "__init__.py":
            shutil.copy(file, folder)
    return folder


def environment_of(folder: Path) -> dict[str, str]:
    """Environment of a process that keeps its caches in a folder and has no path to the checkout."""
    own = {"HF_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own
