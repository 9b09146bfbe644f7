"""The folder of a score run: scores of each image as soon as they are made, and what a killed run needs to resume.

    options.json         the tasks of the run; a run with other tasks is refused
    images/K.jsonl       scores made by process K, one line per batch; a torn last line is cut off
    results.json, table.md, per_image.parquet, examples.png    written at the end

A batch is one line, which is written whole or not at all. So a resumed run forms the same batches as an uninterrupted
one, and its scores are equal to the last bit (with another number of processes or batch size: up to rounding).
"""

import json
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from semidepth.common.files import write_whole
from semidepth.common.locks import hold_folder
from semidepth.evaluation.data import SCORE_RUN_FILE, Place
from semidepth.evaluation.tasks import ImageScores, Task

RESULTS, TABLE = "results.json", "table.md"
OPTIONS, IMAGES = SCORE_RUN_FILE, "images"
TaskKey = tuple[str, str, str]  # model, data, mode
# Differences between two runs that their values do not explain.
DIFFERENCES = {
    "revision": "other weights of it",
    "images": "another number of images in it",
    "files": "other files (another folder, or they were changed since)",
}


def key_of(task: Task) -> TaskKey:
    """Key that tells a task from the others of a run."""
    return task.model, task.data.name, task.mode


def identity_of(task: Task) -> dict[str, Any]:
    """Properties of a task that must not change while a run is resumed, as a JSON file gives them back."""
    identity = {
        "model": task.model, "revision": task.revision, "data": task.data.name, "images": task.data.total,
        "files": task.data.files, "mode": task.mode, "kind": task.kind,
    }  # fmt: skip
    return json.loads(json.dumps(identity | task.settings()))


@dataclass
class ScoredImages:
    """Scored images of a task, and who has finished.

    Args:
        images: scored images by their places.
        ended: number of processes -> those of them that finished their share.
    """

    images: dict[Place, ImageScores] = field(default_factory=dict)
    ended: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def complete(self) -> bool:
        """True where all processes of a run have finished their share."""
        return any(len(which) == processes for processes, which in self.ended.items())

    def in_order(self) -> list[ImageScores]:
        """Scored images in the order of their places."""
        return [self.images[place] for place in sorted(self.images)]


class ScoreFolder:
    """One process's access to the folder.

    Args:
        path: of the folder; None keeps scores in memory.
        tasks: of the run.
        process: index of this process.
        processes: number of processes.
    """

    def __init__(self, path: Path | None, tasks: Sequence[Task], process: int, processes: int) -> None:
        self.path = path
        self.process = process
        self.processes = processes
        self.identity = [identity_of(task) for task in tasks]
        self.lines: list[dict[str, Any]] = []  # of this process, without a folder

    def check(self, *, overwrite: bool) -> None:
        """Makes the folder and checks its content.

        Args:
            overwrite: accept the results of another score run.

        Raises:
            ValueError: it holds results of another run or of something else, or cannot be written to.
        """
        if self.path is None:
            return
        try:
            self._check(self.path, overwrite)
            (self.path / IMAGES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def _check(self, path: Path, overwrite: bool) -> None:
        try:
            found = json.loads((path / OPTIONS).read_text())
        except FileNotFoundError:
            foreign = next((name for name in (RESULTS, TABLE) if (path / name).exists()), None)
            if foreign is not None:
                raise ValueError(
                    f"--output {path} has a {foreign} and no {OPTIONS}, so something else wrote it; give another "
                    "folder."
                ) from None
            return
        except ValueError as error:
            if overwrite:
                return
            raise ValueError(f"{path / OPTIONS} is damaged ({error}); replace it with --overwrite.") from error
        if not isinstance(found, dict) or not isinstance(found.get("tasks"), list):
            raise ValueError(f"--output {path} has an {OPTIONS} that something else wrote; give another folder.")
        difference = None if overwrite else _difference(found["tasks"], self.identity)
        if difference is not None:
            raise ValueError(
                f"--output {self.path} was begun with {difference}; give another folder, or --overwrite to replace it."
            )

    def begin(self, *, overwrite: bool) -> None:
        """Prepares a checked folder; called by the main process while the others wait.

        Raises:
            ValueError: another run scores into it, or it cannot be written to.
        """
        if self.path is None:
            return
        hold_folder("output", self.path)
        try:
            self._begin(self.path, overwrite)
        except OSError as error:
            raise self._unusable(error) from error

    def _begin(self, path: Path, overwrite: bool) -> None:
        if overwrite and (path / OPTIONS).exists():
            (path / RESULTS).unlink(missing_ok=True)
            for file in self._files():
                file.unlink()
        for file in self._files():
            content = file.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):  # torn by a kill
                with file.open("r+b") as opened:
                    opened.truncate(whole)
        write_whole(path / OPTIONS, (json.dumps({"tasks": self.identity}, indent=2) + "\n").encode())

    def _unusable(self, error: OSError) -> ValueError:
        return ValueError(f"--output {self.path} cannot be used ({error}); give a folder that can be written to.")

    @property
    def finished(self) -> bool:
        """True where the results of this run exist."""
        return self.path is not None and (self.path / RESULTS).is_file()

    def add(self, key: TaskKey, images: Sequence[ImageScores]) -> None:
        """Saves the scores of a batch; they are on disk when this returns."""
        self._write({"task": key, "images": [_to_line(image) for image in images]})

    def end(self, key: TaskKey) -> None:
        """Saves that this process has finished its share of a task."""
        self._write({"task": key, "ended": self.process, "processes": self.processes})

    def progress(self, others: Sequence[dict[str, Any]] = ()) -> dict[TaskKey, ScoredImages]:
        """Scored images of all tasks.

        Args:
            others: lines of all processes, where there is no folder to read them from.

        Raises:
            ValueError: a file of scores is damaged before its last line.
        """
        found: dict[TaskKey, ScoredImages] = defaultdict(ScoredImages)
        lines = list(others) or self.lines if self.path is None else self._read()
        for line in lines:
            progress = found[tuple(line["task"])]
            if "ended" in line:
                progress.ended[line["processes"]].add(line["ended"])
            for each in line.get("images", ()):
                image = _from_line(each)
                progress.images[image.place] = image
        return found

    def _write(self, line: dict[str, Any]) -> None:
        if self.path is None:
            self.lines.append(line)
            return
        with (self.path / IMAGES / f"{self.process}.jsonl").open("a") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> list[dict[str, Any]]:
        lines = []
        for file in self._files():
            # Another process may be writing the last line, which has no end yet.
            for number, line in enumerate(file.read_text().split("\n")[:-1], 1):
                try:
                    lines.append(json.loads(line))
                except ValueError as error:
                    raise ValueError(
                        f"line {number} of {file} is damaged; delete the file and its images are scored again."
                    ) from error
        return lines

    def _files(self) -> list[Path]:
        assert self.path is not None
        return sorted((self.path / IMAGES).glob("*.jsonl"))


def _to_line(image: ImageScores) -> dict[str, Any]:
    """Scores as plain values; NaN, which JSON lacks, becomes null."""
    rows = [
        [head, space, {name: None if math.isnan(value) else value for name, value in values.items()}]
        for (head, space), values in image.rows.items()
    ]
    return asdict(image) | {"place": list(image.place), "rows": rows}


def _from_line(line: dict[str, Any]) -> ImageScores:
    rows = {
        (head, space): {name: math.nan if value is None else value for name, value in values.items()}
        for head, space, values in line["rows"]
    }
    place = (int(line["place"][0]), int(line["place"][1]))
    return ImageScores(place, line["origin"], line["domain"], line["chosen"], rows)


def _difference(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> str | None:
    """The first difference between the tasks of two runs, in a few words; None where there is none."""
    for name in ("model", "data", "mode"):
        theirs, ours = (list(dict.fromkeys(task.get(name) for task in tasks)) for tasks in (before, now))
        if ours != theirs:
            return f"--{name} {' '.join(map(str, theirs))} and this is {' '.join(map(str, ours))}"
    if len(before) != len(now):
        return "other tasks"
    for old, new in zip(before, now, strict=True):
        for name, value in new.items():
            if old.get(name) != value:
                detail = DIFFERENCES.get(name, f"{name} {_short(old.get(name))} and not {_short(value)}")
                return f"{new['model']} on {new['data']} with {detail}"
    return None


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
