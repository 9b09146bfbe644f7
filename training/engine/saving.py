"""Saving a trained model, the weights of its best validation, and the results of its run."""

import json
import logging
import math
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from semidepth.common.files import checksum, sync, write_whole
from semidepth.prediction.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

Rank = Callable[[Mapping[str, float]], float]


def save_model(model: PreTrainedModel, preprocessing: Preprocessing, folder: Path) -> None:
    """Saves weights, configuration, remote code and the matching stock image processor into a folder.

    All files are written to a temporary folder and then moved, weights last: a folder with weights is complete.
    """
    partial = folder / "model.unfinished"
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    masks = model.config.model_type == "prompted_mask"
    processor: Any = preprocessing.to_sam_image_processor() if masks else preprocessing.to_image_processor()
    if model.config.model_type == "four_m":  # its grids are square: pictures are squeezed
        processor.keep_aspect_ratio = False
    processor.save_pretrained(partial)
    _move_into(folder, partial)


def copy_model(source: Path, folder: Path, *, leave: Collection[str] = ()) -> None:
    """Copies a saved model into a folder, in the place of the one there; in the way of [`save_model`].

    Args:
        source: the saved model.
        folder: the folder.
        leave: names of files that are not copied.
    """
    partial = folder / "model.unfinished"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*leave))
    _move_into(folder, partial)


def _move_into(folder: Path, partial: Path) -> None:
    for path in partial.iterdir():
        sync(path)
    for path in sorted(partial.iterdir(), key=lambda path: path.suffix == ".safetensors"):
        path.replace(folder / path.name)
    partial.rmdir()


def save_results(output_dir: Path, results: dict[str, Any]) -> None:
    """Writes `results.json`; a killed run leaves either the whole file or none."""
    write_whole(output_dir / "results.json", (json.dumps(results, indent=2) + "\n").encode())


class BestWeights:
    """Keeps the weights of a run's best validation in `best/` of its output folder, over all parts of a resumed run.

    A validation comes before the checkpoint of its step, so a run that is killed and started again repeats what the
    record does not have: it ends with the same weights as one that was never killed.

    Args:
        output_dir: the run's output folder.
        rank: validation scores -> one number, lower is better; NaN where they say nothing. None: the last weights are
            kept, and nothing is done here.
        resumed: step that the run goes on from; a record of a later step is of a part that is done anew.
        writes: true in the process that saves models.
    """

    def __init__(self, output_dir: Path, rank: Rank | None, *, resumed: int, writes: bool) -> None:
        self._output_dir = output_dir
        self._folder = output_dir / "best"
        self._record = self._folder / "best.json"
        self._rank = rank
        self._writes = writes
        self.step: int | None = None
        self.scores: dict[str, float] = {}
        found = self._read() if rank is not None else None
        if found is not None and 0 < found["step"] <= resumed:
            self.step, self.scores = found["step"], found["scores"]

    def _read(self) -> dict[str, Any] | None:
        """Reads the record of an earlier part of the run; None where there is none, or where anything is damaged."""
        if not self._record.is_file():
            return None
        try:
            found: dict[str, Any] = json.loads(self._record.read_text())
            scores = {name: float(value) for name, value in found["scores"].items()}
            found = {"step": int(found["step"]), "scores": scores, "crc32": dict(found.get("crc32", {}))}
            damaged = [name for name, value in found["crc32"].items() if checksum(self._folder / name) != value]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            damaged = [self._record.name]
        if damaged:
            logger.warning(
                "the best weights so far, in %s, are damaged (content has changed: %s) and not used; the best of the "
                "validations from here on are kept",
                self._folder, ", ".join(damaged),
            )  # fmt: skip
        return None if damaged else found

    def offer(self, step: int, scores: Mapping[str, float], save: Callable[[Path], None]) -> None:
        """Takes the weights of a step if they are the best so far.

        Args:
            step: number of updates done.
            scores: of the validation.
            save: writes the model into a folder.
        """
        if self._rank is None:
            return
        rank = self._rank(scores)
        if math.isnan(rank) or (self.step is not None and rank >= self._rank(self.scores)):
            return
        self.step, self.scores = step, dict(scores)
        if self._writes:
            self._record.unlink(missing_ok=True)  # it must not speak of weights that are being replaced
            self._folder.mkdir(parents=True, exist_ok=True)
            save(self._folder)
            checksums = {path.name: checksum(path) for path in sorted(self._folder.iterdir()) if path.is_file()}
            record = {"step": step, "scores": self.scores, "crc32": checksums}
            write_whole(self._record, json.dumps(record).encode())

    def finish(self, last: Mapping[str, float], steps: int) -> dict[str, Any]:
        """Makes the best weights the run's result.

        Args:
            last: scores of the last step.
            steps: number of the last step.

        Returns:
            Their scores and `kept_step`, for the run's results; nothing where no validation said anything.
        """
        if self._rank is None or self.step is None:
            return {}
        if self.step < steps and self._writes:
            copy_model(self._folder, self._output_dir, leave=(self._record.name,))
        logger.info(
            "kept the weights of step %d of %d: mean AbsRel %.4f; the last step has %.4f",
            self.step, steps, self._rank(self.scores), self._rank(last),
        )  # fmt: skip
        return self.scores | {"kept_step": self.step}
