"""Training batches that can be resumed, and samples for scoring."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from semidepth.data.preparing import collate, prepare_sample
from semidepth.data.samples import Batch, Sample
from semidepth.data.source_spec import Source
from semidepth.data.streaming.plan import StreamPlan
from semidepth.data.streaming.shared_batches import SharedBatches
from semidepth.data.streaming.stream import SampleStream, StreamReader


class BatchStream(IterableDataset):
    """Batches of one process, each with the position of its reader right after the batch's last sample."""

    def __init__(self, plan: StreamPlan, *, batch_size: int, size: int, multiple: int, num_workers: int) -> None:
        self.stream = SampleStream(plan)
        self.batch_size = batch_size
        self.size = size
        self.multiple = multiple
        self.collate: Callable[[Any], Any] = SharedBatches(collate, num_workers) if num_workers else collate
        self.states: list[dict[str, Any]] = []  # of all readers of the run that is resumed
        self.turn = 0  # the worker whose batch comes first

    def __iter__(self) -> Iterator[tuple[Batch, int, dict[str, Any]]]:
        """Batches, the number of the worker, and its reader's state; an incomplete last batch is dropped."""
        info = get_worker_info()
        workers = info.num_workers if info else 1
        # A DataLoader always begins with its worker 0, so that one takes the place of the one whose turn it is.
        worker = ((info.id if info else 0) + self.turn) % workers
        reader = self.reader(worker, workers)
        prepared = iter(self.prepared(reader))
        while len(samples := list(islice(prepared, self.batch_size))) == self.batch_size:
            yield self.collate(samples), worker, reader.state()

    def reader(self, worker: int, workers: int) -> StreamReader:
        """The reader of one worker, at the position of the run that is resumed if there is one."""
        reader = self.stream.reader(worker, workers)
        if self.states:
            reader.restore(self.states, self.stream.plan.rank * workers + worker)
        return reader

    def prepared(self, reader: StreamReader) -> Iterator[Any]:
        """The reader's samples, cropped and flipped."""
        plan = self.stream.plan
        for sample in reader:
            yield prepare_sample(
                sample, self.size, self.rng_of(sample), train=True, multiple=self.multiple,
                smallest_crop=plan.smallest_crop, flip_probability=plan.flip_probability,
            )  # fmt: skip

    def rng_of(self, sample: Sample) -> np.random.Generator:
        """Draws a sample's crop and flip; depends on the seed and the meeting alone, not on the reader."""
        return np.random.default_rng([self.stream.plan.seed, *sample["meeting"]])


class BatchLoader:
    """An iterable of full training [`Batch`]es of one process, which can resume where an earlier run was stopped.

    It shares the data among processes and workers itself: do not give it to `accelerator.prepare`, which would split
    it again and lose samples. Each worker makes whole batches of its own; without `repeat` the samples that are left
    at the end of a worker's pass are fewer than a batch and are dropped. Batches that workers made ahead do not count
    as read.

    Args:
        plan: sources and how they are read; its `size` is the side of the square crop.
        batch_size: samples in a batch.
        multiple: what the crop's side must be a multiple of, in pixels.
        num_workers: processes that decode; 0 decodes in this one.
        stream: what makes the batches.

    Raises:
        ValueError: a source or an argument is wrong.
    """

    def __init__(
        self,
        plan: StreamPlan,
        *,
        batch_size: int,
        multiple: int = 1,
        num_workers: int = 0,
        stream: type[BatchStream] = BatchStream,
    ) -> None:
        if batch_size < 1 or num_workers < 0:
            raise ValueError(f"batch_size {batch_size} must be at least 1 and num_workers {num_workers} at least 0")
        if plan.size is None or plan.size < 1 or plan.size % multiple:
            raise ValueError(
                f"size {plan.size} is not a positive multiple of {multiple}; choose one, the patch size divides it"
            )
        size = plan.size
        # A crop that is drawn smaller has as many pixels left.
        plan = replace(plan, at_least=math.ceil(size / plan.smallest_crop))
        self.batches = stream(plan, batch_size=batch_size, size=size, multiple=multiple, num_workers=num_workers)
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
        """The position after the batches handed out so far, of this process; plain numbers and small arrays.

        Returns:
            `workers`, `turn` (the worker whose batch comes next) and the state of each worker's reader.
        """
        workers = max(1, self.num_workers)
        states = [self._states.get(worker) or self._first_state(worker, workers) for worker in range(workers)]
        return {"workers": workers, "turn": self._turn, "readers": states}

    def restore(self, states: Sequence[dict[str, Any]]) -> str:
        """Resumes at the position of an earlier run; called before the first batch.

        Args:
            states: of all its processes, in order.

        Returns:
            A sentence for the log where readers differ in number; empty if the run resumes exactly.
        """
        plan, workers = self.batches.stream.plan, max(1, self.num_workers)
        readers = [reader for rank in states for reader in rank["readers"]]
        self.batches.states = readers
        if len(states) == plan.world_size and all(rank["workers"] == workers for rank in states):
            self._turn = self.batches.turn = states[plan.rank]["turn"]
            return ""
        if len(readers) == plan.world_size * workers:  # the same readers, on other processes
            return ""
        return (
            f"{len(readers)} readers have become {plan.world_size * workers}: what was left of their passes is dealt "
            "out anew, no sample is lost and none of a pass comes twice"
        )

    def _first_state(self, worker: int, workers: int) -> dict[str, Any]:
        """The state of a reader that has given no batch yet."""
        return self.batches.reader(worker, workers).state()


def evaluation_samples(
    sources: Sequence[Source], limit: int | None = None, *, labeled: bool = True, size: int | None = None
) -> Iterator[Sample]:
    """Each sample once, in order, at its own size, for scoring.

    Args:
        sources: parsed.
        limit: stop after this many samples.
        labeled: whether samples carry depth.
        size: side of the square that scenes are rendered at where their source does not say, in pixels.

    Returns:
        An iterator over decoded samples.

    Raises:
        ValueError: a source is wrong, or has no end and there is no `limit`.
    """
    require_end(sources, limit)
    return islice(iter(SampleStream(StreamPlan(tuple(sources), labeled=labeled, size=size))), limit)


def require_end(sources: Sequence[Source], limit: int | None) -> None:
    """Raises ValueError for a source without an end where there is no limit, or for a limit below 1."""
    endless = [source.spec for source in sources if source.endless]
    if endless and limit is None:
        raise ValueError(f"source {endless[0]!r} never ends; give it ?count=N, or give a limit")
    if limit is not None and limit < 1:
        raise ValueError(f"limit {limit} must be at least 1")


def _as_it_is(item: Any) -> Any:
    return item


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)  # the workers are the parallelism; more threads each would only contend
