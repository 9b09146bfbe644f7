"""Pseudo-label sets on disk: parquet files with the original images and inverse depth.

A set is a folder, local or remote (anything that fsspec writes to: `hf://datasets/org/name`, `s3://bucket/name`):

    pseudo_labels.json        its record: teacher, revision, sources; files are only added to a set with the same record
    data/labels-SS-UUUUU-KKKKK.parquet
                              rows [K * part_size, (K + 1) * part_size) of unit U of source S

Sources and part size decide what a file holds, not the number of processes, so any run of the same command can resume.
"""

import io
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, groupby
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, Value

from semidepth.common.files import sync
from semidepth.common.locks import hold_folder, release_folder
from semidepth.common.retrying import retry
from semidepth.data.reading.parquet_files import is_whole_parquet
from semidepth.data.reading.rows import Row
from semidepth.data.reading.sources import OpenedSource, count_samples, open_source
from semidepth.data.reading.tables import unopened
from semidepth.data.source_spec import Source

logger = logging.getLogger(__name__)

RECORD = "pseudo_labels.json"
FEATURES = Features({
    "image": Image(),
    "disparity": Image(),
    "depth_scale": Value("float64"),
    "depth_shift": Value("float64"),
    "reliability": Value("float32"),
    "teacher": Value("string"),
    "teacher_revision": Value("string"),
    "domain": Value("string"),
    "origin": Value("string"),
})  # fmt: skip


@dataclass(frozen=True)
class LabelRecord:
    """The inputs of a pseudo-label set; two sets with the same record hold the same labels.

    `shards` and `images` (None: not known beforehand) of the sources tell whether they are what they were. A set may be
    shown to everybody: teacher and sources have their local paths cut to the last part, and `made_from` is a digest of
    them as they were given. `reliability_from` names the earlier checkpoints of the teacher that the reliability was
    measured with, or the sets whose labels were fused.
    """

    teacher: str
    teacher_revision: str
    reliability_from: list[str]
    sources: list[str]
    made_from: str
    shards: list[int]
    images: list[int | None]
    part_size: int
    label_size: int


def parts_to_make(
    sources: Sequence[Source], part_size: int, *, process: int, processes: int, finished: set[str]
) -> Iterator[tuple[str, Iterator[Row]]]:
    """The parts that one process labels, with their undecoded rows.

    A unit is a file of a table, which has as many parts as it needs, or about `part_size` images of a folder or scenes,
    which are one part. With as many units as processes or more, a process makes whole units, else parts in turn.

    Args:
        sources: with an end.
        part_size: rows in a part, at most.
        process: from 0.
        processes: that share the work.
        finished: names of parts that are there; they are passed over.

    Returns:
        Names and rows; the rows of one part have to be read before the next is asked for.
    """
    units = [unit for index, source in enumerate(sources) for unit in _units(index, source, part_size)]
    by_units = len(units) >= processes
    for number, (prefix, opened, shards) in enumerate(units):
        if opened.source.format in ("images", "scenes"):
            name = f"{prefix}-00000.parquet"
            if number % processes == process and name not in finished:
                yield name, (row for shard in shards for _, row in opened.rows(shard))
            continue
        if by_units and number % processes != process:
            continue
        names = (f"{prefix}-{part:05d}.parquet" for part in count())
        start = next(part for part, name in enumerate(names) if name not in finished) * part_size
        for part, rows in groupby(opened.rows(shards[0], start), lambda row: row[0] // part_size):
            name = f"{prefix}-{part:05d}.parquet"
            own = by_units or (number + part) % processes == process
            if own and name not in finished:
                yield name, (row for _, row in rows)


def _units(index: int, source: Source, part_size: int) -> Iterator[tuple[str, OpenedSource, range]]:
    opened = open_source(source, labeled=False)
    together = 1
    if source.format in ("images", "scenes"):
        together = max(1, part_size * opened.num_shards // max(1, count_samples(source) or 1))
    for unit, first in enumerate(range(0, opened.num_shards, together)):
        yield f"{name_of_source(index)}-{unit:05d}", opened, range(first, min(first + together, opened.num_shards))


class LabelFolder:
    """A pseudo-label set that is being written; subclasses hold labels of other kinds.

    Args:
        location: folder or fsspec URL.

    Attributes:
        record_name: of the file with the record.
        features: of the rows.
        what: the labels, in errors.
    """

    record_name = RECORD
    features = FEATURES
    what = "pseudo labels"

    def __init__(self, location: str) -> None:
        self.location = location
        self.fs, self.path = fsspec.core.url_to_fs(location)
        self._local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))

    def check(self, record: LabelRecord) -> None:
        """Raises ValueError if the folder holds a set with another record."""
        place = f"{self.path}/{self.record_name}"
        if not self.fs.exists(place):
            return
        before = json.loads(self.fs.cat_file(place))
        now = asdict(record)
        differing = [name for name in now if before.get(name) != now[name]]
        if differing:
            was, new = (", ".join(f"{name}={values.get(name)}" for name in differing) for values in (before, now))
            raise ValueError(f"{self.location} holds {self.what} with {was}, not {new}; give another --output.")

    def begin(self, record: LabelRecord) -> None:
        """Writes the record if it is missing; only the main process calls it.

        Raises:
            ValueError: another run writes into the folder.
        """
        if self._local:
            hold_folder("output", Path(self.path))
        if not self.fs.exists(f"{self.path}/{self.record_name}"):
            self._write("README.md", self.readme(record).encode())
            self._write(self.record_name, (json.dumps(asdict(record), indent=2) + "\n").encode())

    def release(self) -> None:
        """Lets another run write into the folder."""
        if self._local:
            release_folder(Path(self.path))

    def finished(self) -> set[str]:
        """Names of the parts that are finished; of a local folder those that are damaged are told and left out."""
        folder = f"{self.path}/data"
        self.fs.invalidate_cache()
        if not self.fs.exists(folder):
            return set()
        names = {path.rsplit("/", 1)[-1] for path in self.fs.ls(folder, detail=False) if path.endswith(".parquet")}
        for name in sorted(names) if self._local else ():
            if not is_whole_parquet(Path(folder) / name):
                logger.warning("%s/%s is damaged (no beginning or end of parquet); it is made anew", folder, name)
                names.remove(name)
        return names

    def write_part(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Writes one part; an interrupted write leaves no file of that name."""
        columns = {key: [row[key] for row in rows] for key in self.features}
        buffer = io.BytesIO()
        # Few rows to a group: readers can begin in the middle.
        pq.write_table(
            pa.Table.from_pydict(columns, schema=self.features.arrow_schema), buffer, row_group_size=100,
            compression="NONE", write_page_checksum=True,
        )  # fmt: skip
        self._write(f"data/{name}", buffer.getvalue())

    def readme(self, record: LabelRecord) -> str:
        """Returns the text of the set's README.md."""
        return _readme(record)

    def _write(self, name: str, content: bytes) -> None:
        target = f"{self.path}/{name}"
        if not self._local:  # object stores and the Hub show a file only when it is whole
            retry(lambda: self.fs.pipe_file(target, content), f"{self.location}/{name}")
            return
        self.fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        self.fs.pipe_file(f"{target}.unfinished", content)
        sync(Path(f"{target}.unfinished"))  # or a power cut could leave an empty file of the name
        self.fs.mv(f"{target}.unfinished", target)


def is_pseudo_label_set(source: Source) -> bool:
    """True for a set in the layout above; raises ValueError as [`read_record`]."""
    return read_record(source) is not None


def read_record(source: Source) -> dict[str, Any] | None:
    """The record of a set in the layout above: it lies at the source's location or up to two folders above.

    Args:
        source: tables, local or remote; anything else has none.

    Returns:
        The fields of [`LabelRecord`]; None for a source that is no such set.

    Raises:
        ValueError: the location cannot be reached, or the record cannot be read.
    """
    if source.format not in ("parquet", "hub"):
        return None
    place = source.location
    if source.format == "hub":
        place = f"hf://datasets/{place}{f'@{source.revision}' if source.revision else ''}"
    folders = [place]  # a folder, folder/data, or folder/data/*.parquet
    if source.format != "hub":
        folders += [place.rpartition("/")[0], place.rpartition("/")[0].rpartition("/")[0]]
    try:
        files, _ = fsspec.core.url_to_fs(place)
        for record in (f"{folder}/{RECORD}" for folder in folders if folder):
            if retry(partial(files.exists, record), record):
                return dict(json.loads(retry(partial(files.cat_file, record), record)))
    except Exception as error:  # the Hub, a store, a missing package: each has its own kinds of error
        raise ValueError(unopened(source, error)) from error
    return None


def read_reliability(location: str) -> dict[int, np.ndarray]:
    """Reliability of every row of a set, by the source that its images came from.

    Args:
        location: of the set.

    Returns:
        Number of each source that gave images -> (rows,) float32 in (0, 1], larger is more reliable, NaN where it was
        not measured; sources in their order.
    """
    folder = LabelFolder(location)
    found: dict[int, list[np.ndarray]] = {}
    for name in sorted(folder.finished()):
        source = int(name.split("-")[1])  # labels-SS-UUUUU-KKKKK.parquet
        with folder.fs.open(f"{folder.path}/data/{name}", "rb") as file:
            rows = pq.read_table(file, columns=["reliability"])["reliability"].to_numpy()
        found.setdefault(source, []).append(rows)
    whole = {source: np.concatenate(parts) for source, parts in found.items()}
    return {source: rows for source, rows in whole.items() if len(rows)}


def name_of_source(index: int) -> str:
    """The `split` of a set that holds the labels of one source, by its number from 0: its files' names begin so."""
    return f"labels-{index:02d}"


def _readme(record: LabelRecord) -> str:
    """The front matter by which `datasets` and the Hub find the files."""
    return f"""---
configs:
- config_name: default
  data_files: data/*.parquet
task_categories:
- depth-estimation
---
Pseudo labels of `{record.teacher}` (revision `{record.teacher_revision}`).

`disparity` is a picture of inverse depth, larger is nearer, no unit: stored number * `depth_scale` + `depth_shift`, NaN
is unknown. `reliability` is 1 where the teacher's earlier checkpoints agree with it, or several teachers with each
other, and less where they do not.
Images are as they were found. Train from it with `semidepth train student --pseudo_labels`.
"""
