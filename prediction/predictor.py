"""Depth of many images at nearly the speed of the model alone.

Threads decode and preprocess ahead of the model, which sees batches of one size: photos have many sizes, but once they
have the model's size only a few are left.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.samples import to_disparity
from semidepth.prediction.batching import (
    AHEAD,
    groups_of_one_size,
    to_device,
    to_host,
)
from semidepth.prediction.models import DepthModel, ModelOutput

Unit = Literal["m", "inverse depth"]
T = TypeVar("T")
Decoded = tuple[T, tuple[int, int], Tensor]  # an item, its image's height and width, and its pixels for the model


@dataclass(frozen=True)
class Prediction(Generic[T]):
    """Depth of one item.

    Args:
        item: as it was given.
        output: of the model for this image, on the CPU.
        size: height and width of the image.
        model: that predicted.
        domain: name of the head that was used; None for models without heads.
        probabilities: of each head, by the router, in order; empty without a router.
    """

    item: T
    output: ModelOutput
    size: tuple[int, int]
    model: DepthModel
    domain: str | None
    probabilities: dict[str, float] = field(default_factory=dict)

    def full_size(self) -> np.ndarray:
        """(H, W) float32 at the image's size: see [`DepthModel.postprocess`]."""
        return self.model.postprocess(self.output, self.size)[0].numpy()

    def own_size(self) -> np.ndarray:
        """(h, w) float32 at the model's size: the same map, not enlarged."""
        height, width = self.output.values.shape[-2:]
        return self.model.postprocess(self.output, (height, width))[0].numpy()


@dataclass(frozen=True)
class Unreadable(Generic[T]):
    """An item that could not be decoded, with the reason."""

    item: T
    reason: str


@dataclass(frozen=True)
class NotFinite(Unreadable[T]):
    """An item that the model predicts NaN or infinity for, with the reason."""


@dataclass
class _Batch(Generic[T]):
    """Items under way on the device: the tensors are on the host once `finished` (None: they are)."""

    items: list[tuple[T, tuple[int, int]]]
    output: ModelOutput
    finished: torch.cuda.Event | None


class Predictor:
    """Predicts many items with one model.

    Args:
        model: on its device.
        batch_size: images of one size in a forward pass.
        threads: number of decoding threads.
        domain: head to use for all images, instead of the router's choice.

    Raises:
        ValueError: the model has no such domain.
    """

    def __init__(self, model: DepthModel, *, batch_size: int = 4, threads: int = 2, domain: str | None = None) -> None:
        check_domain(model, domain)
        self.model = model
        self.batch_size = batch_size
        self.threads = threads
        self.device = model.device
        self.domain = domain
        self.unit: Unit = "m" if model.kind == "depth" else "inverse depth"

    def run(self, items: Iterable[T], decode: Callable[[T], Tensor]) -> Iterator[Prediction[T] | Unreadable[T]]:
        """Predicts all items. Memory holds a few batches, however many there are.

        Args:
            items: anything that `decode` takes.
            decode: gives an item's image as (3, H, W) uint8; called in threads.

        Yields:
            One result per item: in order if all images have one size, else grouped by size. Items that cannot be read
            or are predicted as NaN or infinity are among them, with the reason.
        """
        launched: deque[_Batch[T]] = deque()
        unreadable: list[Unreadable[T]] = []

        def readable() -> Iterator[Decoded[T]]:
            for entry in self._decoded(items, decode):
                if isinstance(entry, Unreadable):
                    unreadable.append(entry)
                else:
                    yield entry

        for group in groups_of_one_size(readable(), self.batch_size, lambda entry: entry[2].shape):
            yield from unreadable
            unreadable.clear()
            launched.append(self._launch(group))
            # The one before it: while a GPU computes, its predecessor is handed out.
            while len(launched) > (1 if self.device.type == "cuda" else 0):
                yield from self._finished(launched.popleft())
        while launched:
            yield from self._finished(launched.popleft())
        yield from unreadable

    def _decoded(self, items: Iterable[T], decode: Callable[[T], Tensor]) -> Iterator[Decoded[T] | Unreadable[T]]:
        """Items in order with their size and prepared pixels, decoded ahead."""

        def work(item: T) -> Decoded[T] | Unreadable[T]:
            try:
                image = decode(item)
            except (BrokenSampleError, OSError) as error:
                return Unreadable(item, str(error))
            return item, (image.shape[1], image.shape[2]), self.model.preprocess(image[None])[0]

        queue: deque[Future[Decoded[T] | Unreadable[T]]] = deque()
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")
        try:
            for item in items:
                queue.append(pool.submit(work, item))
                if len(queue) > AHEAD * self.batch_size:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        finally:  # also where the caller stops early
            pool.shutdown(wait=True, cancel_futures=True)

    def _launch(self, group: list[Decoded[T]]) -> _Batch[T]:
        """Starts one batch on the device; on a GPU nothing waits for it here."""
        labels = None if self.domain is None else [self.model.domains.index(self.domain)] * len(group)
        output = self.model.predict(to_device([pixels for *_, pixels in group], self.device), labels)
        tensors = output.tensors()
        copies, finished = to_host(list(tensors.values()))
        output = ModelOutput(**dict(zip(tensors, copies, strict=True)))
        return _Batch([(item, size) for item, size, _ in group], output, finished)

    def _finished(self, batch: _Batch[T]) -> Iterator[Prediction[T] | NotFinite[T]]:
        if batch.finished is not None:
            batch.finished.synchronize()
        names = self.model.router_names
        for number, (item, size) in enumerate(batch.items):
            output = batch.output.image(number)
            if not output.values.isfinite().all():
                yield NotFinite(item, "the model's prediction is not finite; this checkpoint is broken, take another")
                continue
            domain = None if output.domain is None else names[int(output.domain[0])]
            chances = [] if output.domain_logits is None else output.domain_logits[0].softmax(-1).tolist()
            probabilities = dict(zip(names, chances, strict=True)) if chances else {}
            yield Prediction(item, output, size, self.model, domain, probabilities)


def check_domain(model: DepthModel, domain: str | None) -> None:
    """Raises ValueError if a model has no head for a domain."""
    if domain is not None and domain not in model.domains:
        has = f"has {', '.join(model.domains)}" if model.domains else "has no domains"
        raise ValueError(f"--domain is {domain!r} and the model {has}; leave it out to let the model choose.")


def disparity_of(values: np.ndarray, unit: Unit) -> np.ndarray:
    """Inverse depth of a map in either unit, as [`to_disparity`] has it."""
    return to_disparity(torch.from_numpy(np.ascontiguousarray(values))).numpy() if unit == "m" else values
