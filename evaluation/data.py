"""Labeled sources and benchmark sets behind one interface, shared among processes image by image.

Each image has a place (shard, number) that does not depend on the process that reads it. A resumed run skips places
that are done, and a picture of an image reads its place again.
"""

import hashlib
import logging
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.reading.image_folders import image_files
from semidepth.data.reading.rows import decode_row
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.samples import Sample
from semidepth.data.source_spec import Source, local_files, parse_source
from semidepth.data.streaming.readers import plan_pass
from semidepth.evaluation.benchmarks import open_benchmark
from semidepth.evaluation.benchmarks.base import BenchmarkSet, PointPairs, PointPairSet
from semidepth.evaluation.source_report.benchmark_sets import tell_set
from semidepth.evaluation.source_report.report import tell_sources
from semidepth.prediction.batching import at_once

logger = logging.getLogger(__name__)

Place = tuple[int, int]  # shard, number in it
Item = Sample | PointPairs
Read = Callable[[], Item]

# Marks the folder of a score run, which may lie inside a data set and grows while it is scored.
SCORE_RUN_FILE = "options.json"
# Files that a fingerprint looks at: one of millions of files on a slow disk would take minutes.
MOST_FILES = 4000


class ScoredData(ABC):
    """A set of labeled images.

    Subclasses have `name` (as asked for), `total` (number of images, None where it is not known before they are read),
    `files` (fingerprint of the files, "" where it is not known), `ordinal` (labels are pairs of points), `protocol`
    (name of the set's own protocol for metres, None without one) and `relative_max_depth_m` (its own depth cap for
    relative scores, None without one).
    """

    name: str
    total: int | None
    files: str
    ordinal: bool = False
    protocol: str | None = None
    relative_max_depth_m: float | None = None

    @abstractmethod
    def share(
        self, process: int, processes: int, done: Collection[Place], size: int | None
    ) -> Iterator[tuple[Place, Read]]:
        """Yields this process's images that are not done yet, always in the same order.

        Args:
            process: index of this process.
            processes: number of processes that share the set; each image goes to exactly one.
            done: places to skip.
            size: side of rendered scenes where their source gives none, pixels.
        """

    @abstractmethod
    def read(self, place: Place, size: int | None) -> Item:
        """Reads the image of a place again."""


@dataclass(frozen=True)
class SourceData(ScoredData):
    """A labeled source, or its first images.

    Args:
        name: as written.
        source: parsed, with the number of images that are asked for.
        total: number of images.
        files: fingerprint of them.
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
            while (shard, start) in done:  # done images usually come first, and are then not even read
                start += step
            for number, row in opened.rows(shard, start, step):
                if (shard, number) not in done:
                    yield (shard, number), partial(decode_row, row, self.source, True)

    def read(self, place: Place, size: int | None) -> Sample:
        opened = open_source(self.source, labeled=True, size=size)
        _, row = next(opened.rows(place[0], place[1]))
        return decode_row(row, self.source, True)


@dataclass(frozen=True)
class BenchmarkData(ScoredData):
    """A benchmark set, or its first images.

    Args:
        name: of the benchmark.
        benchmark: opened.
        total: number of images that are asked for.
        files: fingerprint of its folder.
        ordinal: labels are pairs of points.
        protocol: name of its protocol for metres.
        relative_max_depth_m: its depth cap for relative scores, metres.
    """

    name: str
    benchmark: BenchmarkSet | PointPairSet
    total: int
    files: str
    ordinal: bool
    protocol: str | None
    relative_max_depth_m: float | None

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
        limit: use only its first images, at most this many.

    Raises:
        ValueError: it is wrong, has no labels or no image, or is endless without a limit.
    """
    source = parse_source(spec)
    if source.endless and limit is None:
        raise ValueError(f"{spec!r} never ends; add count=96 to it, or give --limit.")
    if limit is not None:
        source = replace(source, count=min(limit, source.count or limit))
    total = count_samples(source, labeled=True)
    if open_source(source, labeled=True).num_shards == 0 or total == 0:
        raise ValueError(f"source {spec!r} is empty; name one with labeled images.")
    tell_sources([source], labeled=True)
    return SourceData(spec, source, total, source_fingerprint(source))


def benchmark_data(name: str, root: str, limit: int | None) -> BenchmarkData:
    """Opens a benchmark set.

    Args:
        name: of the benchmark.
        root: its folder.
        limit: use only its first images, at most this many.

    Raises:
        ValueError: it cannot be opened, or has no image.
    """
    benchmark = open_benchmark(name, root)
    if len(benchmark) == 0:
        raise ValueError(f"the benchmark {name!r} has no image below its --root; give the set's own folder.")
    total = min(len(benchmark), limit or len(benchmark))
    tell_set(benchmark, root, total)
    return BenchmarkData(
        name=name,
        benchmark=benchmark,
        total=total,
        files=folder_fingerprint(root),
        ordinal=benchmark.ordinal,
        protocol=benchmark.protocol,
        relative_max_depth_m=benchmark.relative_max_depth_m,
    )


def read_ahead(items: Iterator[tuple[Place, Read]], ahead: int) -> Iterator[tuple[Place, Item | None]]:
    """Reads images in a background thread and yields them in order; a broken one is logged and yielded as None.

    Args:
        items: of [`ScoredData.share`].
        ahead: number of images read before they are needed; of large ones fewer.
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
            logger.warning("skipped a broken image: %s", error)
            return place, None

    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[Any]] = deque([pool.submit(read_next)])  # one, until it is known how large images are
        while True:
            found = waiting.popleft().result()
            if found is end:
                return
            item = found[1]
            room = ahead if item is None else min(ahead, at_once(item["image"][0].numel()))
            while len(waiting) < room:
                waiting.append(pool.submit(read_next))
            yield found


def depth_label(sample: Sample) -> Tensor:
    """Label of a sample, (H, W) metres; raises ValueError where it has none."""
    if sample["depth"] is None:
        raise ValueError(f"{sample['origin']} has no depth label; score a labeled source.")
    return sample["depth"]


def source_fingerprint(source: Source, *, labeled: bool = True) -> str:
    """Fingerprint of a local source's images and labels; "" for scenes, and for what is read over a network.

    Args:
        source: parsed.
        labeled: whether it is used with labels.
    """
    if source.format == "scenes" or source.remote:
        return ""
    if source.location.startswith("file://"):
        return fingerprint([Path(source.location.removeprefix("file://"))])
    if source.format == "images":
        pairs = image_files(source, labeled)
        return fingerprint(Path(name) for pair in pairs for name in pair if name is not None)
    return fingerprint(local_files(source))


def folder_fingerprint(root: str | Path) -> str:
    """Fingerprint of all files of a folder, except hidden ones and those of score runs."""
    return fingerprint(_walk(Path(root)))


def fingerprint(files: Iterable[Path]) -> str:
    """Digest of the files' resolved paths, sizes and modification times.

    Args:
        files: in a fixed order; only the first `MOST_FILES` are used.
    """
    digest = hashlib.sha256()
    for file in islice(files, MOST_FILES):
        found = file.stat() if file.exists() else None
        state = None if found is None else (found.st_size, found.st_mtime_ns)
        digest.update(f"{file.resolve()}\0{state}\n".encode(errors="surrogateescape"))
    return f"sha256:{digest.hexdigest()[:16]}"


def _walk(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        yield root
    for folder, subfolders, names in os.walk(root):  # Path.walk needs Python 3.12
        if SCORE_RUN_FILE in names:
            subfolders.clear()
            continue
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
