"""Record of the input, model and options of each result: `predictions.jsonl` in the output folder.

A line for each result file:

    {"file": "sub/x_depth.npy", "source": "/photos/sub/x.jpg", "bytes": 81234, "mtime_ns": 17…, "sha256": "…",
     "model": "outputs/demo/student", "weights": "…", "options": {"domain": null}}

A result is kept by another run if source, weights and options are equal. Sources are equal if path, size and time are,
or else, as after a move or a copy, if their contents are. Light to import.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RECORD = "predictions.jsonl"


@dataclass
class FileState:
    """State of an input file.

    Args:
        source: its resolved path.
        bytes: its size.
        mtime_ns: time of its last change.
        sha256: digest of its content; "" until it was read.
    """

    source: str
    bytes: int
    mtime_ns: int
    sha256: str = ""

    @classmethod
    def of(cls, file: Path) -> "FileState":
        """State of a file, which is not read; raises OSError if it is not there."""
        state = file.stat()
        return cls(str(file.resolve()), state.st_size, state.st_mtime_ns)

    def digest(self) -> str:
        """Digest of the content; reads the file unless `sha256` is known."""
        if not self.sha256:
            with Path(self.source).open("rb") as opened:
                self.sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        return self.sha256

    def is_that_of(self, entry: dict[str, Any]) -> bool:
        """True if a line of the record is about this source."""
        if entry["bytes"] != self.bytes:
            return False
        if (entry["source"], entry["mtime_ns"]) == (self.source, self.mtime_ns):
            self.sha256 = self.sha256 or entry["sha256"]
            return True
        return bool(entry["sha256"] == self.digest())


@dataclass(frozen=True)
class Maker:
    """Model that makes results.

    Args:
        model: its name, for people.
        weights: digest of everything that its predictions depend on.
    """

    model: str
    weights: str

    @classmethod
    def of(cls, module: Any, seen: list[Any]) -> "Maker":
        """Returns a model by its name, with a digest of its weights and of what else its predictions depend on.

        It takes half a second per gigabyte.

        Args:
            module: the model, one of transformers'.
            seen: what is not in its weights, as JSON has it.
        """
        from semidepth.prediction.runtimes.cached import digest_with  # which needs torch

        name = getattr(module.config, "_name_or_path", "") or type(module).__name__
        return cls(name, digest_with(module, seen)[:16])


class PredictionRecord:
    """Record of one output folder; lines are appended whole, from any thread.

    Args:
        folder: the output folder, which may be missing still.

    Raises:
        ValueError: there is a file of that name that is something else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._made = read_record(folder)
        self._of_source: dict[str, list[str]] = {}
        for key, line in self._made.items():
            self._of_source.setdefault(str(line["source"]), []).append(key)
        file = folder / RECORD
        foreign = file.exists() and not file.is_file()  # a pipe, which reading would not end of
        if foreign or (not self._made and file.exists() and not file.read_bytes().startswith((b'{"file": ', b"\n"))):
            raise ValueError(f"{file} is no record of predictions; give another --output, or move that file away.")

    def objection(self, path: Path, source: FileState, maker: Maker, options: dict[str, Any]) -> str | None:
        """Reason why an existing result may not be kept for a source; None if it may."""
        entry = self._made.get(self._key(path))
        if entry is None:
            return f"{path} is there and {RECORD} does not say what it was made from"
        if not source.is_that_of(entry):
            same = entry["source"] == source.source
            return f"{path} is there and was made from {'an earlier state of ' if same else ''}{entry['source']}"
        if entry["weights"] != maker.weights:
            same = entry["model"] == maker.model
            return f"{path} is there and was made by {'an earlier state of ' if same else ''}{entry['model']}"
        before = entry["options"]
        if before != options:
            other = ", ".join(f"{name} {before.get(name)}" for name in options if before.get(name) != options[name])
            return f"{path} is there and was made with other options ({other})"
        if (entry["source"], entry["mtime_ns"]) != (source.source, source.mtime_ns):
            self._append(entry | asdict(source))  # so that the next run need not read it
        return None

    def names_of(self, source: FileState, ends: Iterable[str]) -> list[Path]:
        """Names, without these ends, of a source's existing results of earlier runs."""
        keys = [key for key in self._of_source.get(source.source, []) if (self.folder / key).exists()]
        return [Path(key.removesuffix(end)) for key in keys for end in ends if key.endswith(end)]

    @contextmanager
    def making(self, path: Path, source: FileState, maker: Maker, options: dict[str, Any]) -> Iterator[None]:
        """Context for writing a result, which adds its line to the record.

        The line of a new result is written first, so that a killed run leaves no result without one. The line of a
        replaced result is written last: if the run is killed before, the old line does not match, and the next run
        does not keep the file.
        """
        replaced = path.exists()
        source.digest()
        line = {"file": self._key(path), **asdict(source), **asdict(maker), "options": options}
        if not replaced:
            self._append(line)
        yield
        if replaced:
            self._append(line)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _append(self, line: dict[str, Any]) -> None:
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / RECORD).open("a+b") as opened:
                end = opened.seek(0, os.SEEK_END)
                opened.seek(max(end - 1, 0))
                torn = opened.read(1) not in (b"\n", b"")
                opened.write(b"\n" * torn + json.dumps(line).encode() + b"\n")
            self._made[str(line["file"])] = line


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """Path of each result in the folder -> its last line; incomplete and foreign lines are skipped."""
    made: dict[str, dict[str, Any]] = {}
    file = folder / RECORD
    if not file.is_file():
        return made
    wanted = {"file", "source", "bytes", "mtime_ns", "sha256", "model", "weights", "options"}
    for text in file.read_bytes().splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # a run was killed while it wrote, or the disk was full
            continue
        if isinstance(line, dict) and wanted <= line.keys() and isinstance(line["options"], dict):
            made[str(line["file"])] = line
    return made
