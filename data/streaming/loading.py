"""Loaders of training batches that know where they are, and samples for scoring."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from semidepth.data.preparing import collate, prepare_sample
from semidepth.data.samples import Batch, Sample
from semidepth.data.source_spec import Source, parse_source
from semidepth.data.streaming.shared_batches import SharedBatches
from semidepth.data.streaming.stream import SampleStream, stream_samples


class BatchStream(IterableDataset):
    """Batches of one rank, each with the state of the reader that made it right after its last sample."""

    def __init__(self, stream: SampleStream, *, batch_size: int, size: int, multiple: int, num_workers: int) -> None:
        self.stream = stream
        self.batch_size = batch_size
        self.size = size
        self.multiple = multiple
        self.collate = SharedBatches(collate, num_workers) if num_workers else collate
        self.states: list[dict[str, Any]] = []  # of all readers of the run that this one goes on from
        self.turn = 0  # the worker whose batch comes first

    def __iter__(self) -> Iterator[tuple[Batch, int, dict[str, Any]]]:
        """Batches, the number of the worker, and where its reader is; less than a batch at the end is dropped."""
        info = get_worker_info()
        workers = info.num_workers if info else 1
        # A DataLoader always begins with its worker 0, so that one takes the place of the one whose turn it is.
        worker = ((info.id if info else 0) + self.turn) % workers
        reader = self.stream.reader(worker, workers)
        if self.states:
            reader.restore(self.states, self.stream.rank * workers + worker)
        prepared = (self._prepare(sample) for sample in reader)
        while len(samples := list(islice(prepared, self.batch_size))) == self.batch_size:
            yield self.collate(samples), worker, reader.state()

    def _prepare(self, sample: Sample) -> Sample:
        """Crop and flip are drawn for each meeting with a sample, whoever reads it."""
        rng = np.random.default_rng([self.stream.seed, *sample["meeting"]])
        return prepare_sample(sample, self.size, rng, train=True, multiple=self.multiple)


class BatchLoader:
    """An iterable of [`Batch`]es that knows where it is: batches that its workers made ahead do not count."""

    def __init__(self, batches: BatchStream, num_workers: int) -> None:
        self.batches = batches
        self.num_workers = num_workers
        self._states: dict[int, dict[str, Any]] = {}
        self._turn = 0

    def __iter__(self) -> Iterator[Batch]:
        loader = DataLoader(
            self.batches,
            batch_size=None,  # the stream makes whole batches
            num_workers=self.num_workers,
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # else it draws from the global one, which a resumed run must find as it was
        )
        workers = max(1, self.num_workers)
        for batch, worker, state in loader:
            self._states[worker] = state
            self._turn = (worker + 1) % workers
            yield batch

    def state(self) -> dict[str, Any]:
        """Where the batches handed out so far end, of this rank; plain numbers and small arrays.

        Returns:
            `workers`, `turn` (the worker whose batch comes next) and the state of each worker's reader.
        """
        workers = max(1, self.num_workers)
        states = [self._states.get(worker) or self._first_state(worker, workers) for worker in range(workers)]
        return {"workers": workers, "turn": self._turn, "readers": states}

    def restore(self, states: Sequence[dict[str, Any]]) -> str:
        """Goes on where an earlier run was; called before the first batch.

        Args:
            states: of all its ranks, in order.

        Returns:
            What to tell about it: nothing, if the run goes on exactly.
        """
        stream, workers = self.batches.stream, max(1, self.num_workers)
        readers = [reader for rank in states for reader in rank["readers"]]
        self.batches.states = readers
        if len(states) == stream.world_size and all(rank["workers"] == workers for rank in states):
            self._turn = self.batches.turn = states[stream.rank]["turn"]
            return ""
        if len(readers) == stream.world_size * workers:  # the same readers, on other processes
            return ""
        return (
            f"{len(readers)} readers have become {stream.world_size * workers}: what was left of their passes is dealt "
            "out anew, no sample is lost and none of a pass comes twice"
        )

    def _first_state(self, worker: int, workers: int) -> dict[str, Any]:
        """The state of a reader that has given no batch yet."""
        reader = self.batches.stream.reader(worker, workers)
        if self.batches.states:
            reader.restore(self.batches.states, self.batches.stream.rank * workers + worker)
        return reader.state()


def make_loader(
    sources: Sequence[str | Source],
    *,
    labeled: bool,
    batch_size: int,
    size: int,
    seed: int = 0,
    num_workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    repeat: bool = True,
    shuffle_buffer: int = 1000,
    multiple: int = 1,
    weights: Sequence[float] | None = None,
) -> BatchLoader:
    """A loader of full training batches for one rank.

    It splits the data among ranks and workers itself: do not give it to `accelerator.prepare`, which would
    split it again and lose samples. Each worker makes whole batches of its own; without `repeat` what is left
    of a pass at the end of a worker is less than a batch and is dropped.

    Args:
        sources: parsed, or as written.
        labeled: whether batches carry depth and disparity.
        batch_size: samples in a batch.
        size: side of the square crop, in pixels.
        seed: of order, crops and flips.
        num_workers: processes that decode; 0 decodes in this one.
        rank: of this process.
        world_size: number of processes.
        repeat: go on without end.
        shuffle_buffer: undecoded rows that each worker shuffles among; 0 keeps the order of the files.
        multiple: what `size` must be a multiple of.
        weights: how often each source is met, instead of in proportion to its size.

    Returns:
        An iterable of `Batch`es, which can say where it is and be put back there.

    Raises:
        ValueError: a source or an argument is wrong.
    """
    if batch_size < 1 or num_workers < 0:
        raise ValueError(f"batch_size {batch_size} must be at least 1 and num_workers {num_workers} at least 0")
    if size < 1 or size % multiple:
        raise ValueError(f"size {size} is not a positive multiple of {multiple}; choose one, the patch size divides it")
    stream = stream_samples(
        sources,
        labeled=labeled,
        size=size,
        seed=seed,
        shuffle_buffer=shuffle_buffer,
        repeat=repeat,
        rank=rank,
        world_size=world_size,
        weights=weights,
        at_least=size,
    )
    batches = BatchStream(stream, batch_size=batch_size, size=size, multiple=multiple, num_workers=num_workers)
    return BatchLoader(batches, num_workers)


def evaluation_samples(
    sources: Sequence[str | Source],
    limit: int | None = None,
    *,
    labeled: bool = True,
    size: int | None = None,
) -> Iterator[Sample]:
    """Each sample once, in order, at its own size, for scoring.

    Args:
        sources: parsed, or as written.
        limit: stop after this many samples.
        labeled: whether samples carry depth.
        size: side of the square that scenes are rendered at where their source does not say, in pixels.

    Returns:
        An iterator over decoded samples.

    Raises:
        ValueError: a source is wrong, or has no end and there is no `limit`.
    """
    parsed = [parse_source(source) if isinstance(source, str) else source for source in sources]
    endless = [source.spec for source in parsed if source.endless]
    if endless and limit is None:
        raise ValueError(f"source {endless[0]!r} never ends; give it ?count=N, or give a limit")
    if limit is not None and limit < 1:
        raise ValueError(f"limit {limit} must be at least 1")
    stream = stream_samples(parsed, labeled=labeled, size=size, seed=0, shuffle_buffer=0, repeat=False)
    return islice(iter(stream), limit)


def _as_it_is(item: Any) -> Any:
    return item


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)  # the workers are the parallelism; more threads each would only contend
