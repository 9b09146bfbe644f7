"""Several sources as one stream of decoded samples, each sample of a pass to exactly one reader.

A reader is one worker of one rank: number `rank * workers + worker`. A source with at least as many shards as
readers is split by shards, else by row number, so that any number of readers works. Rows are shuffled
undecoded and decoded last. The position of a reader is the epoch and, per source, how many rows it has read.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypedDict

import fsspec
import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from semidepth.training.data.decoding import (
    BrokenSampleError,
    decode_depth,
    decode_image,
    match_depth_to_image,
)
from semidepth.training.data.mixing import mix, natural_weights, shuffled
from semidepth.training.data.source_spec import Source, is_url, parse_source
from semidepth.training.data.sources import Row, open_source, rows_of

logger = logging.getLogger(__name__)


class Sample(TypedDict):
    """One decoded sample.

    `image` is (3, H, W) uint8 RGB; `depth` is (H, W) float32 in metres, NaN where unknown and inf for sky, or
    None when unlabeled; `origin` names the sample in logs.
    """

    image: Tensor
    depth: Tensor | None
    domain: str
    origin: str


class SampleStream(IterableDataset):
    """The stream that `stream_samples` makes. `skipped` counts broken samples by source, in this process."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        labeled: bool,
        size: int | None,
        seed: int,
        shuffle_buffer: int,
        repeat: bool,
        rank: int,
        world_size: int,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.sources = tuple(sources)
        self.labeled = labeled
        self.size = size
        self.seed = seed
        self.shuffle_buffer = shuffle_buffer
        self.repeat = repeat
        self.rank = rank
        self.world_size = world_size
        self.skipped: Counter[str] = Counter()
        self._named: set[str] = set()  # broken samples that the log has named
        self._alive: set[int] = set()  # sources that have yielded a good sample
        self.weighted = weights is not None
        self._weights = natural_weights(self.sources, labeled) if weights is None else list(weights)

    def __iter__(self) -> Iterator[Sample]:
        """Samples of this process's reader; passes from epoch 0 on, or one pass without `repeat`."""
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        reader, readers = self.rank * workers + number, self.world_size * workers
        if not self.repeat:
            yield from self._one_pass(0, reader, readers)
        elif self.weighted or any(source.endless for source in self.sources):
            # A pass over all never ends here, or is not what was asked for: each source starts over on its own.
            streams = [self._forever(index, reader, readers) for index in range(len(self.sources))]
            yield from mix(streams, self._weights)
        else:
            epoch = 0
            while True:
                yield from self._one_pass(epoch, reader, readers)
                epoch += 1

    def _one_pass(self, epoch: int, reader: int, readers: int) -> Iterator[Sample]:
        streams = [self._samples(index, epoch, reader, readers) for index in range(len(self.sources))]
        return mix(streams, self._weights)

    def _forever(self, index: int, reader: int, readers: int) -> Iterator[Sample]:
        epoch = 0
        while True:
            yield from self._samples(index, epoch, reader, readers)
            epoch += 1

    def _samples(self, index: int, epoch: int, reader: int, readers: int) -> Iterator[Sample]:
        """One reader's samples of one source in one epoch, decoded, broken ones skipped."""
        source = self.sources[index]
        for row in self._rows(index, epoch, reader, readers):
            sample = self._decode_or_skip(row, source)
            if sample is not None:
                self._alive.add(index)
                yield sample
        if index not in self._alive:
            self._require_a_good_sample(index)

    def _rows(self, index: int, epoch: int, reader: int, readers: int) -> Iterator[Row]:
        """One reader's undecoded rows of one source in one epoch, in the order of decoding."""
        source = self.sources[index]
        shards = open_source(source, labeled=self.labeled, size=self.size).num_shards
        order = list(range(shards))
        if self.shuffle_buffer:
            # Every reader must draw the same order of shards: the reader's number is no part of this seed.
            order = np.random.default_rng([self.seed, index, epoch]).permutation(shards).tolist()
        if self.repeat:
            # A source with fewer samples than readers would leave some readers with nothing for ever.
            reader = (reader + epoch) % readers
        # `count` cuts a table after so many rows in its own order, which holds for the whole table only.
        whole = source.count is not None and source.format not in ("scenes", "images")
        by_shards = shards >= readers and not whole
        chosen = order[reader::readers] if by_shards else (None if whole else order)
        stream = open_source(source, labeled=self.labeled, size=self.size, shards=chosen)
        rows: Iterator[Row] = rows_of(stream)
        if not by_shards:
            rows = islice(rows, reader, None, readers)
        if self.shuffle_buffer and not source.endless:  # endless scenes are all new and drawn at random already
            buffered = sum(not other.endless for other in self.sources)
            rng = np.random.default_rng([self.seed, index, epoch, reader])
            rows = shuffled(rows, max(1, self.shuffle_buffer // buffered), rng)
        return rows

    def _decode_or_skip(self, row: Row, source: Source) -> Sample | None:
        try:
            return decode_row(row, source, self.labeled)
        except BrokenSampleError as error:
            self.skipped[source.spec] += 1
            if row["origin"] not in self._named:  # once, not in every epoch
                self._named.add(row["origin"])
                logger.warning(
                    "skipped broken sample %s of source %s (%d skipped so far by this worker): %s",
                    row["origin"],
                    source.spec,
                    self.skipped.total(),
                    error,
                )
            return None

    def _require_a_good_sample(self, index: int) -> None:
        """Look through a whole source once this reader's share of it held nothing good."""
        source = self.sources[index]
        broken = 0
        cause = ""
        for row in rows_of(open_source(source, labeled=self.labeled, size=self.size)):
            try:
                decode_row(row, source, self.labeled)
            except BrokenSampleError as error:
                broken += 1
                cause = cause or str(error)
            else:
                self._alive.add(index)
                return
        why = f"all {broken} are broken, the first because {cause}" if broken else "it is empty"
        raise ValueError(f"source {source.spec!r} has no usable sample: {why}")


def stream_samples(
    sources: Sequence[str | Source],
    *,
    labeled: bool,
    size: int | None,
    seed: int,
    shuffle_buffer: int,
    repeat: bool,
    rank: int = 0,
    world_size: int = 1,
    weights: Sequence[float] | None = None,
) -> SampleStream:
    """Stream decoded samples from several sources, concatenated without re-sampling unless weights are given.

    A pass has each sample once; sources are interleaved in proportion to their sizes, or in turn where one of
    the sizes is not known. With weights they are interleaved in that proportion, each starting over on its own.
    Which samples a reader gets, and in which order, follows from the arguments and the number of workers.
    `seed` makes the order, and which of endless scenes are met.

    Args:
        sources: parsed, or as written.
        labeled: whether samples carry depth.
        size: side of the square that scenes are rendered at where their source does not say, in pixels.
        seed: of the order.
        shuffle_buffer: undecoded rows to shuffle among, over all sources; 0 keeps the order of the files.
        repeat: start over after each pass, without end, each epoch in a new order.
        rank: of this process.
        world_size: number of processes.
        weights: one positive number per source, how often it is met; only with `repeat`.

    Returns:
        The stream, for a loop or for a torch DataLoader with any number of workers.

    Raises:
        ValueError: no source, a source that is wrong, or an argument out of range.
    """
    if not sources:
        raise ValueError("no source was given; name at least one, e.g. 'scenes:indoor'")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} does not fit a world of {world_size}; it must be from 0 to world_size - 1")
    if shuffle_buffer < 0 or seed < 0:
        raise ValueError(f"shuffle_buffer {shuffle_buffer} and seed {seed} must not be negative")
    if weights is not None and (len(weights) != len(sources) or min(weights) <= 0 or not repeat):
        raise ValueError(
            f"weights {list(weights)} do not fit {len(sources)} sources; give a positive number for each, and repeat"
        )
    return SampleStream(
        [parse_source(source) if isinstance(source, str) else source for source in sources],
        labeled=labeled,
        size=size,
        seed=seed,
        shuffle_buffer=shuffle_buffer,
        repeat=repeat,
        rank=rank,
        world_size=world_size,
        weights=weights,
    )


def decode_row(row: Row, source: Source, labeled: bool) -> Sample:
    """Decode one row.

    Args:
        row: from `open_source`.
        source: where it comes from: its options say how depth is stored.
        labeled: whether to decode depth.

    Returns:
        The sample; depth has the image's height and width.

    Raises:
        BrokenSampleError: image or depth is missing or cannot be used.
    """
    origin = row["origin"]
    image = decode_image(_present(row["image"], "image", origin), name=origin)
    depth = None
    if labeled:
        depth = decode_depth(
            _present(row["depth"], "depth", origin),
            scale=source.depth_scale if source.depth_scale is not None else row["depth_scale"],
            kind=source.kind,
            min_depth_m=source.min_depth_m,
            max_depth_m=source.max_depth_m,
            name=f"{origin} (depth)",
        )
        depth = match_depth_to_image(depth, image, origin)
    return Sample(image=image, depth=depth, domain=row["domain"], origin=origin)


def _present(value: Any, what: str, origin: str) -> Any:
    """A row's image or depth, read first if it is the URL of a file."""
    if value is None:
        raise BrokenSampleError(f"{origin} has no {what}")
    if isinstance(value, str) and is_url(value):
        try:
            with fsspec.open(value, "rb") as file:
                return file.read()
        except OSError as error:
            raise BrokenSampleError(f"{origin} cannot be fetched from {value}: {error}") from error
    return value
