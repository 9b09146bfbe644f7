"""The folder of a score run: each image's scores as soon as they are made, and how a killed run goes on.

    options.json         what is scored and how; another run than this one is refused
    images/K.jsonl       scores made by process K, a line for each batch; a torn last line is cut off
    results.json, table.md, per_image.parquet, examples.png    written last, when all is done

Lines are whole or not there, and a batch is one line, so that a run that goes on forms the batches that it would have
formed, and its scores are equal to the last bit (with another number of processes or another batch size: up to
rounding).
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
from semidepth.evaluation.data import SCORE_FILE, Place
from semidepth.evaluation.options import Task

RESULTS, TABLE = "results.json", "table.md"
OPTIONS, IMAGES = SCORE_FILE, "images"
TaskKey = tuple[str, str, str]


@dataclass(frozen=True)
class ImageScores:
    """What one image came to in one task.

    Args:
        place: of the image in its set.
        origin: names it.
        domain: its own, "" where that is not known.
        chosen: the head that the router chose, "" without a choice.
        rows: (head, space) -> metric -> value; NaN for an image without a scored pixel.
    """

    place: Place
    origin: str
    domain: str
    chosen: str
    rows: dict[tuple[str, str], dict[str, float]]


@dataclass
class Progress:
    """How far a task is.

    Args:
        images: scored ones, by their places.
        ended: number of processes -> those of them that came to the end of their share.
    """

    images: dict[Place, ImageScores] = field(default_factory=dict)
    ended: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def complete(self) -> bool:
        """Whether every process of some run came to its end."""
        return any(len(which) == processes for processes, which in self.ended.items())

    def in_order(self) -> list[ImageScores]:
        """The images by their places."""
        return [self.images[place] for place in sorted(self.images)]


class ScoreFolder:
    """One process's side of the folder.

    Args:
        path: of the folder; None keeps everything in memory.
        tasks: of the run.
        process: number of this process.
        processes: how many there are.
    """

    def __init__(self, path: Path | None, tasks: Sequence[Task], process: int, processes: int) -> None:
        self.path = path
        self.process = process
        self.processes = processes
        self.identity = _plain({"tasks": [task.identity() for task in tasks]})
        self.lines: list[dict[str, Any]] = []  # of this process, this time

    def check(self, *, overwrite: bool) -> None:
        """Makes the folder, and looks at what is in it.

        Args:
            overwrite: whether it may hold another run; results that are none of ours it may never hold.

        Raises:
            ValueError: it holds such, or cannot be written to.
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
            raise ValueError(f"{path / OPTIONS} is damaged ({error}); start anew with --overwrite.") from error
        if not isinstance(found, dict) or "tasks" not in found:
            raise ValueError(f"--output {path} has an {OPTIONS} that something else wrote; give another folder.")
        if found != self.identity and not overwrite:
            raise ValueError(
                f"--output {self.path} was begun with {_difference(found, self.identity)}; give another folder, or "
                "--overwrite to start anew."
            )

    def begin(self, *, overwrite: bool) -> None:
        """Makes a checked folder ready to go on; for the main process alone, while the others wait."""
        if self.path is None:
            return
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
        write_whole(path / OPTIONS, (json.dumps(self.identity, indent=2) + "\n").encode())

    def _unusable(self, error: OSError) -> ValueError:
        return ValueError(f"--output {self.path} cannot be used ({error}); give a folder that can be written to.")

    @property
    def finished(self) -> bool:
        """Whether the results of this very run are there."""
        return self.path is not None and (self.path / RESULTS).is_file()

    def add(self, task: Task, images: Sequence[ImageScores]) -> None:
        """Keeps the scores of a batch, on disk before this returns."""
        self._write({"task": task.key, "images": [_to_line(image) for image in images]})

    def end(self, task: Task) -> None:
        """Notes that this process's share of a task is done."""
        self._write({"task": task.key, "ended": self.process, "processes": self.processes})

    def progress(self, others: Sequence[dict[str, Any]] = ()) -> dict[TaskKey, Progress]:
        """How far all tasks are.

        Args:
            others: lines of other processes, where there is no folder to read them from.

        Raises:
            ValueError: a file of scores is damaged elsewhere than at its end.
        """
        found: dict[TaskKey, Progress] = defaultdict(Progress)
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
            # What follows the last line's end is being written by another process right now.
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
    """Plain values; NaN, which JSON lacks, becomes null."""
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


def _plain(value: Any) -> Any:
    """A value as it comes back from a JSON file."""
    return json.loads(json.dumps(value))


def _difference(found: Any, wanted: dict[str, Any]) -> str:
    """What tells one run from another, in a few words."""
    before, now = ((value.get("tasks") or []) if isinstance(value, dict) else [] for value in (found, wanted))
    for name in ("model", "data", "mode"):
        ours, theirs = (list(dict.fromkeys(task.get(name) for task in tasks)) for tasks in (now, before))
        if ours != theirs:
            return f"--{name} {' '.join(map(str, theirs))} and this is {' '.join(map(str, ours))}"
    for old, new in zip(before, now, strict=False):
        for name in new:
            if old.get(name) != new[name]:
                what = {
                    "revision": "other weights of it",
                    "images": "another number of images in it",
                    "files": "other files (another folder, or they were changed since)",
                }
                detail = what.get(name, f"{name} {_short(old.get(name))} and not {_short(new[name])}")
                return f"{new['model']} on {new['data']} with {detail}"
    return "other options"


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
