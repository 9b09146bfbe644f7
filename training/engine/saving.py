"""Saving a trained model and the results of its run."""

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from semidepth.common.files import sync, write_whole
from semidepth.prediction.preprocessing import Preprocessing


def save_model(model: PreTrainedModel, preprocessing: Preprocessing, folder: Path) -> None:
    """Saves weights, configuration, remote code and the matching stock image processor into a folder.

    All files are written to a temporary folder and then moved, weights last: a folder with weights is complete.
    """
    partial = folder / "model.unfinished"
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    preprocessing.to_image_processor().save_pretrained(partial)
    for path in partial.iterdir():
        sync(path)
    for path in sorted(partial.iterdir(), key=lambda path: path.suffix == ".safetensors"):
        path.replace(folder / path.name)
    partial.rmdir()


def save_results(output_dir: Path, results: dict[str, Any]) -> None:
    """Writes `results.json`; a killed run leaves either the whole file or none."""
    write_whole(output_dir / "results.json", (json.dumps(results, indent=2) + "\n").encode())
