"""What is scored, behind one interface: labeled sources and benchmark sets, shared out among processes image by image.

Each image has a place (shard, number) that stays its own whoever reads it: by it a resumed run knows what is done, and
a picture finds its image again.
"""

import hashlib
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.reading.image_folders import image_files
from semidepth.data.reading.rows import decode_row
from semidepth.data.reading.sources import (
    OpenedSource,
    count_samples,
    open_source,
)
from semidepth.data.samples import Sample
from semidepth.data.source_spec import Source, local_files, parse_source
from semidepth.data.streaming.readers import plan_pass
from semidepth.evaluation.benchmarks import (
    BenchmarkSet,
    PointPairs,
    PointPairSet,
    open_benchmark,
)

logger = logging.getLogger(__name__)

Place = tuple[int, int]  # shard, number in it
Item = Sample | PointPairs
Read = Callable[[], Item]


class ScoredData(ABC):
    """One set of labeled images.

    Args of its kinds give `name` (as asked for), `total` (images, None where that is not known beforehand), `files`
    (what tells its files from others, "" where that is not known) and `ordinal` (whether the labels are pairs of
    points).
    """

    name: str
    total: int | None
    files: str
    ordinal: bool = False

    @abstractmethod
    def share(
        self, process: int, processes: int, done: Collection[Place], size: int | None
    ) -> Iterator[tuple[Place, Read]]:
        """One process's images that are not done yet, in an order that depends on nothing else.

        Args:
            process: number of this one.
            processes: that share the set; each image goes to exactly one.
            done: places that are left out.
            size: side of the square that scenes are rendered at where their source does not say, in pixels.
        """

    @abstractmethod
    def read(self, place: Place, size: int | None) -> Item:
        """The image of a place again."""


@dataclass(frozen=True)
class SourceData(ScoredData):
    """A labeled source, or its first images.

    Args:
        name: as written.
        source: parsed, with the number of images that are asked for.
        total: images in it.
        files: digest of them.
    """

    name: str
    source: Source
    total: int | None
    files: str = ""

    def share(
        self, process: int, processes: int, done: Collection[Place], size: int | None
    ) -> Iterator[tuple[Place, Read]]:
        opened = open_source(self.source, labeled=True, size=size)
        plan = plan_pass(opened.num_shards, epoch=0, reader=process, readers=processes, seed=None, rotate=False)
        for shard, start, step in plan:
            while (shard, start) in done:  # what is done is not even read, in the usual case that it comes first
                start += step
            for number, row in opened.rows(shard, start, step):
                if (shard, number) not in done:
                    yield (shard, number), partial(decode_row, row, self.source, True)

    def read(self, place: Place, size: int | None) -> Sample:
        opened: OpenedSource = open_source(self.source, labeled=True, size=size)
        _, row = next(opened.rows(place[0], place[1]))
        return decode_row(row, self.source, True)


@dataclass(frozen=True)
class BenchmarkData(ScoredData):
    """A benchmark set, or its first images.

    Args:
        name: of the benchmark.
        benchmark: opened.
        total: images of it that are asked for.
        files: digest of its folder.
    """

    name: str
    benchmark: BenchmarkSet | PointPairSet
    total: int
    files: str = ""

    @property
    def ordinal(self) -> bool:  # type: ignore[override]
        return isinstance(self.benchmark, PointPairSet)

    def share(
        self, process: int, processes: int, done: Collection[Place], size: int | None
    ) -> Iterator[tuple[Place, Read]]:
        for number in range(process, self.total, processes):
            if (0, number) not in done:
                yield (0, number), partial(self.benchmark.read, number)

    def read(self, place: Place, size: int | None) -> Item:
        return self.benchmark.read(place[1])


def source_data(spec: str, limit: int | None) -> SourceData:
    """Opens a labeled source.

    Args:
        spec: as written.
        limit: no more than its first so many images.

    Raises:
        ValueError: it is wrong, has no labels or no image, or never ends and there is no limit.
    """
    source = parse_source(spec)
    if source.endless and limit is None:
        raise ValueError(f"{spec!r} never ends; add count=96 to it, or give --limit.")
    if limit is not None:
        source = replace(source, count=min(limit, source.count or limit))
    total = count_samples(source, labeled=True)
    if open_source(source, labeled=True).num_shards == 0 or total == 0:
        raise ValueError(f"source {spec!r} is empty; name one with labeled images.")
    return SourceData(spec, source, total, source_fingerprint(source))


def benchmark_data(name: str, root: str, limit: int | None) -> BenchmarkData:
    """Opens a benchmark set.

    Args:
        name: of the benchmark.
        root: its folder.
        limit: no more than its first so many images.

    Raises:
        ValueError: it cannot be opened, or has no image.
    """
    benchmark = open_benchmark(name, root)
    if len(benchmark) == 0:
        raise ValueError(f"the benchmark {name!r} has no image below its --root; give the set's own folder.")
    return BenchmarkData(name, benchmark, min(len(benchmark), limit or len(benchmark)), folder_fingerprint(root))


def read_ahead(items: Iterator[tuple[Place, Read]], ahead: int) -> Iterator[tuple[Place, Item | None]]:
    """Images in order, read in a thread of their own while the model is busy; None where one is broken, which is told.

    Args:
        items: of [`ScoredData.share`].
        ahead: images read before they are needed.
    """
    end = object()

    def read_next() -> Any:
        found = next(items, None)
        if found is None:
            return end
        place, read = found
        try:
            return place, read()
        except BrokenSampleError as error:
            logger.warning("left out a broken image: %s", error)
            return place, None

    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(read_next) for _ in range(ahead)]
        while True:
            found = waiting.pop(0).result()
            if found is end:
                return
            waiting.append(pool.submit(read_next))
            yield found


MOST_FILES = 4000  # so that a set of millions of files, or one on a slow disk, is no wait


SCORE_FILE = "options.json"  # marks a score run's folder, which may lie below a set and grows


def source_fingerprint(source: Source) -> str:
    """A digest of a local source's files and of their labels'; "" for scenes, and for what is read over a network."""
    if source.format == "scenes" or source.remote:
        return ""
    if source.location.startswith("file://"):
        return fingerprint([Path(source.location.removeprefix("file://"))])
    if source.format == "images":
        pairs = image_files(source, True)
        return fingerprint(Path(name) for pair in pairs for name in pair if name is not None)
    return fingerprint(local_files(source))


def folder_fingerprint(root: str | Path) -> str:
    """A digest of a benchmark's folder."""
    return fingerprint(_walk(Path(root)))


def fingerprint(files: Iterable[Path]) -> str:
    """A digest of the first files' resolved paths, sizes and times of change.

    Args:
        files: in a fixed order; no more than `MOST_FILES` are looked at.
    """
    digest = hashlib.sha256()
    for file in islice(files, MOST_FILES):
        found = file.stat() if file.exists() else None
        state = None if found is None else (found.st_size, found.st_mtime_ns)
        digest.update(f"{file.resolve()}\0{state}\n".encode(errors="surrogateescape"))
    return f"sha256:{digest.hexdigest()[:16]}"


def _walk(root: Path) -> Iterator[Path]:
    """A folder's files in a fixed order, without hidden ones and those of score runs."""
    if not root.is_dir():
        yield root
    for folder, subfolders, names in os.walk(root):  # Path.walk needs Python 3.12
        if SCORE_FILE in names:
            subfolders.clear()
            continue
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
