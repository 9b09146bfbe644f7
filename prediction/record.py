"""What each result was made from and by: `predictions.jsonl` in the output folder, and what became of each input.

A line for each result file:

    {"file": "sub/x_depth.npy", "source": "/photos/sub/x.jpg", "bytes": 81234, "mtime_ns": 17…, "sha256": "…",
     "model": "outputs/demo/student", "weights": "…", "options": {"domain": null}}

A result is another run's own if source, weights and options are the same. A source is the same where path, size and
time are; else, as after a move or a copy, where its content is. Light to import.
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
class Source:
    """One input file as it is now.

    Args:
        source: its resolved path.
        bytes: its size.
        mtime_ns: when it was changed.
        sha256: of its content; "" until it was read.
    """

    source: str
    bytes: int
    mtime_ns: int
    sha256: str = ""

    @classmethod
    def of(cls, file: Path) -> "Source":
        """Looks at a file without reading it; raises OSError if it is not there."""
        state = file.stat()
        return cls(str(file.resolve()), state.st_size, state.st_mtime_ns)

    def digest(self) -> str:
        """`sha256`, for which the file is read if it was not yet."""
        if not self.sha256:
            with Path(self.source).open("rb") as opened:
                self.sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        return self.sha256

    def is_that_of(self, entry: dict[str, Any]) -> bool:
        """Whether a line of the record was made from it."""
        if entry["bytes"] != self.bytes:
            return False
        if (entry["source"], entry["mtime_ns"]) == (self.source, self.mtime_ns):
            self.sha256 = self.sha256 or entry["sha256"]
            return True
        return bool(entry["sha256"] == self.digest())


@dataclass(frozen=True)
class Maker:
    """What makes results.

    Args:
        model: its name, for people.
        weights: a digest of all that its predictions depend on.
    """

    model: str
    weights: str


class Record:
    """The record of one output folder; lines are appended whole, from any thread.

    Args:
        folder: the output folder, which need not be there yet.

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
        if not self._made and file.exists() and not file.read_bytes().startswith((b'{"file": ', b"\n")):
            raise ValueError(f"{file} is no record of predictions; give another --output, or move that file away.")

    def objection(self, path: Path, source: Source, maker: Maker, options: dict[str, Any]) -> str | None:
        """Why a result that is there may not be kept as this source's; None if it may."""
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

    def names_of(self, source: Source, ends: Iterable[str]) -> list[Path]:
        """Names of a source's results that earlier runs made and that are there, without these ends."""
        keys = [key for key in self._of_source.get(source.source, []) if (self.folder / key).exists()]
        return [Path(key.removesuffix(end)) for key in keys for end in ends if key.endswith(end)]

    @contextmanager
    def making(self, path: Path, source: Source, maker: Maker, options: dict[str, Any]) -> Iterator[None]:
        """Around the writing of a result.

        The line comes first, so that no result of a run that is killed is ever without one. Where an older result is
        replaced it comes last: killed in between, the older line belongs to the newer file, which is then not kept.
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
    """Result's path in the folder -> its last line; torn lines, and those of something else, are passed over."""
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
