"""Several sources as one stream of decoded samples, each sample of a pass to exactly one reader.

A reader is one worker of one rank: number `rank * workers + worker`. How a source is shared out among readers and
shuffled is in `readers`; here the sources of one reader take turns and rows are decoded, last of all.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from semidepth.common.redaction import redact
from semidepth.common.retrying import describe
from semidepth.data.decoding import (
    BrokenSampleError,
    decode_depth,
    decode_image,
    match_depth_to_image,
)
from semidepth.data.reading.http_files import fetch
from semidepth.data.reading.sources import Row, open_source
from semidepth.data.samples import Sample
from semidepth.data.source_spec import Source, is_url, parse_source
from semidepth.data.streaming.mixing import natural_weights, whose_turn
from semidepth.data.streaming.readers import SourceReader

logger = logging.getLogger(__name__)


class SampleStream(IterableDataset):
    """The stream that [`stream_samples`] makes: its arguments, from which each worker makes its reader."""

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
        at_least: int | None = None,
    ) -> None:
        self.sources = tuple(sources)
        self.labeled = labeled
        self.size = size
        self.seed = seed
        self.shuffle_buffer = shuffle_buffer
        self.repeat = repeat
        self.rank = rank
        self.world_size = world_size
        self.weighted = weights is not None
        self.at_least = at_least
        self.weights = natural_weights(self.sources, labeled) if weights is None else list(weights)

    def __iter__(self) -> Iterator[Sample]:
        """Samples of this process's reader; passes from epoch 0 on, or one pass without `repeat`."""
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        return self.reader(number, workers)

    def reader(self, worker: int, workers: int) -> "StreamReader":
        """The reader of one worker of this rank."""
        return StreamReader(self, self.rank * workers + worker, self.world_size * workers)


class StreamReader:
    """One reader's samples, one after the other. `skipped` counts broken ones by source."""

    def __init__(self, stream: SampleStream, reader: int, readers: int) -> None:
        self.skipped: Counter[str] = Counter()
        self._stream = stream
        self._named: set[str] = set()  # broken samples that the log has named
        self._alive: set[int] = set()  # sources that have yielded a good sample
        # A pass over all never ends here, or is not what was asked for: each source starts over on its own.
        self._apart = stream.repeat and (stream.weighted or any(source.endless for source in stream.sources))
        buffered = sum(not source.endless for source in stream.sources)
        buffer = max(1, stream.shuffle_buffer // max(1, buffered)) if stream.shuffle_buffer else 0
        self._sources = [
            SourceReader(
                source, labeled=stream.labeled, size=stream.size, seed=(stream.seed, index), shuffle_buffer=buffer,
                repeat=stream.repeat, reader=reader, readers=readers,
            )
            for index, source in enumerate(stream.sources)
        ]  # fmt: skip
        self._taken = [0] * len(self._sources)
        self._ended = [False] * len(self._sources)

    def __iter__(self) -> "StreamReader":
        return self

    def __next__(self) -> Sample:
        """The next good sample, from the source whose turn it is.

        Raises:
            ValueError: a source holds no usable sample.
        """
        while True:
            turn = whose_turn(self._taken, self._stream.weights, self._ended)
            if turn is None:
                if not self._stream.repeat:
                    raise StopIteration
                self._taken, self._ended = [0] * len(self._sources), [False] * len(self._sources)
                for source in self._sources:
                    source.start_pass(source.epoch + 1)
                continue
            self._taken[turn] += 1
            sample = self._next_of(turn)
            while sample is None and self._apart:
                self._sources[turn].start_pass(self._sources[turn].epoch + 1)
                sample = self._next_of(turn)
            if sample is not None:
                return sample
            self._ended[turn] = True

    def state(self) -> dict[str, Any]:
        """Where this reader is: for [`restore`] of a reader of the same sources."""
        return {
            "taken": list(self._taken),
            "ended": list(self._ended),
            "sources": [source.state() for source in self._sources],
        }

    def restore(self, states: Sequence[dict[str, Any]], reader: int) -> None:
        """Goes on where the readers of an earlier run were, exactly if there were as many of them.

        Args:
            states: of all readers of that run, in order.
            reader: the number of this one.
        """
        for index, source in enumerate(self._sources):
            source.restore([state["sources"][index] for state in states])
        if len(states) == self._sources[0].readers:
            self._taken, self._ended = list(states[reader]["taken"]), list(states[reader]["ended"])

    def _next_of(self, index: int) -> Sample | None:
        """The next good sample of one source, broken ones skipped; None at the end of its pass."""
        source, reader = self._stream.sources[index], self._sources[index]
        while (item := next(reader)) is not None:
            reference, row = item
            sample = self._decode_or_skip(row, source, (index, reader.epoch, *reference))
            if sample is not None:
                self._alive.add(index)
                return sample
        if index not in self._alive:
            self._require_a_good_sample(index)
        return None

    def _decode_or_skip(self, row: Row, source: Source, meeting: tuple[int, int, int, int]) -> Sample | None:
        try:
            sample = decode_row(row, source, self._stream.labeled, at_least=self._stream.at_least)
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
        sample["meeting"] = meeting
        return sample

    def _require_a_good_sample(self, index: int) -> None:
        """Look through a whole source once this reader's share of it held nothing good."""
        source, labeled = self._stream.sources[index], self._stream.labeled
        opened = open_source(source, labeled=labeled, size=self._stream.size)
        broken = 0
        cause = ""
        for shard in range(opened.num_shards):
            for _, row in opened.rows(shard):
                try:
                    decode_row(row, source, labeled)
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
    at_least: int | None = None,
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
        at_least: large images without labels may be decoded smaller, their shorter side no less than this.

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
        at_least=None if labeled else at_least,
    )


def decode_row(row: Row, source: Source, labeled: bool, at_least: int | None = None) -> Sample:
    """Decode one row.

    Args:
        row: from `open_source`.
        source: where it comes from: its options say how depth is stored.
        labeled: whether to decode depth.
        at_least: a large image may be decoded smaller, its shorter side no less than this.

    Returns:
        The sample; depth has the image's height and width.

    Raises:
        BrokenSampleError: image or depth is missing or cannot be used.
    """
    origin = row["origin"]
    image = decode_image(present(row["image"], "image", origin), name=origin, at_least=at_least)
    depth = None
    if labeled:
        depth = decode_depth(
            present(row["depth"], "depth", origin),
            scale=source.depth_scale if source.depth_scale is not None else row["depth_scale"],
            kind=source.kind,
            min_depth_m=source.min_depth_m,
            max_depth_m=source.max_depth_m,
            shift=row["depth_shift"] or 0.0,
            name=f"{origin} (depth)",
        )
        if torch.isnan(depth).all():
            raise BrokenSampleError(f"{origin} has no pixel of known depth")
        # A pseudo label covers its image by construction, at the teacher's size: multiples of its patch.
        depth = match_depth_to_image(depth, image, origin, stretch=row["depth_shift"] is not None)
    return Sample(image=image, depth=depth, domain=row["domain"], origin=origin)


def present(value: Any, what: str, origin: str) -> Any:
    """A row's image or depth, read first if it is the URL of a file."""
    if value is None:
        raise BrokenSampleError(f"{origin} has no {what}")
    if isinstance(value, str) and is_url(value):
        try:
            return fetch(value)
        except Exception as error:  # each file system has its own kinds
            raise BrokenSampleError(f"{origin} cannot be fetched from {redact(value)} ({describe(error)})") from error
    return value
