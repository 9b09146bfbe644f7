"""Several sources as one stream of decoded samples; each sample of a pass goes to exactly one reader.

A reader is one worker of one process: number `rank * workers + worker`. `readers` shares a source among readers and
shuffles it. Here the sources of one reader take turns, and rows are decoded last of all.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.reading.rows import Row, decode_row
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.samples import Sample
from semidepth.data.source_spec import Source
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.readers import SourceReader

logger = logging.getLogger(__name__)


class SampleStream(IterableDataset):
    """Samples of a plan's sources, for a loop or for a torch DataLoader with any number of workers.

    The plan and the number of workers decide which samples a reader gets and in which order.
    """

    def __init__(self, plan: StreamPlan) -> None:
        self.plan = plan
        self.weights = natural_weights(plan.sources, plan.labeled) if plan.weights is None else list(plan.weights)

    def __iter__(self) -> Iterator[Sample]:
        """Samples of this process's reader; passes from epoch 0 on, or one pass without `repeat`."""
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        return self.reader(number, workers)

    def reader(self, worker: int, workers: int) -> "StreamReader":
        """The reader of one worker of this process."""
        plan = self.plan
        return StreamReader(plan, self.weights, plan.rank * workers + worker, plan.world_size * workers)


class StreamReader:
    """One reader's samples, one after the other.

    Args:
        plan: of the stream.
        weights: how often each source is read, relative to the others.
        reader: number of this reader, from 0.
        readers: number of readers that share the sources.

    `skipped` counts broken samples by source.
    """

    def __init__(self, plan: StreamPlan, weights: Sequence[float], reader: int, readers: int) -> None:
        self.skipped: Counter[str] = Counter()
        self._plan = plan
        self._weights = weights
        self._named: set[str] = set()  # broken samples that the log has named
        self._alive: set[int] = set()  # sources that have yielded a good sample
        self._sources = [SourceReader(plan, index, reader, readers) for index in range(len(plan.sources))]
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
            turn = whose_turn(self._taken, self._weights, self._ended)
            if turn is None:
                if not self._plan.repeat:
                    raise StopIteration
                self._taken, self._ended = [0] * len(self._sources), [False] * len(self._sources)
                for source in self._sources:
                    source.start_pass(source.epoch + 1)
                continue
            self._taken[turn] += 1
            sample = self._next_of(turn)
            while sample is None and self._plan.restarts_each:
                self._sources[turn].start_pass(self._sources[turn].epoch + 1)
                sample = self._next_of(turn)
            if sample is not None:
                return sample
            self._ended[turn] = True

    def state(self) -> dict[str, Any]:
        """The position of this reader, for [`restore`] of a reader of the same sources."""
        return {
            "taken": list(self._taken),
            "ended": list(self._ended),
            "sources": [source.state() for source in self._sources],
        }

    def restore(self, states: Sequence[dict[str, Any]], reader: int) -> None:
        """Resumes at the positions of an earlier run, exactly if it had as many readers.

        Args:
            states: of all readers of that run, in order.
            reader: number of this one.
        """
        for index, source in enumerate(self._sources):
            source.restore([state["sources"][index] for state in states])
        if len(states) == self._sources[0].readers:
            self._taken, self._ended = list(states[reader]["taken"]), list(states[reader]["ended"])

    def _next_of(self, index: int) -> Sample | None:
        """The next good sample of one source, broken ones skipped; None at the end of its pass."""
        source, reader = self._plan.sources[index], self._sources[index]
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
            sample = decode_row(row, source, self._plan.labeled, at_least=self._plan.at_least)
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
        """Reads a whole source after this reader's share of it held nothing good; raises if all of it is broken."""
        source, labeled = self._plan.sources[index], self._plan.labeled
        opened = open_source(source, labeled=labeled, size=self._plan.size)
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


def natural_weights(sources: Sequence[Source], labeled: bool) -> list[float]:
    """Weights in proportion to the sizes of sources where all are known, else equal weights."""
    counts = [count_samples(source, labeled=labeled) for source in sources]
    return [float(count) for count in counts if count] if all(counts) else [1.0] * len(counts)


def whose_turn(taken: Sequence[int], weights: Sequence[float], ended: Sequence[bool]) -> int | None:
    """The source to take the next item from, so that all are read evenly in proportion to their weights.

    Args:
        taken: items that each source has given.
        weights: how often each is read, relative to the others; equal weights take turns.
        ended: sources that have nothing left.

    Returns:
        Its number; None if all have ended.
    """
    left = [number for number, over in enumerate(ended) if not over]
    return min(left, key=lambda number: (taken[number] + 0.5) / weights[number], default=None)
