"""Depth of many images at nearly the speed of the model alone.

Threads decode and resize ahead of the model. It sees batches of one size each: photos have many sizes, but once they
have the model's size only a few are left. Pixels are resized as stock image processors do it: 8 bits, bicubic.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.data.decoding import BrokenSampleError
from semidepth.data.samples import to_disparity
from semidepth.prediction.batching import (
    AHEAD,
    groups_of_one_size,
    to_device,
    to_host,
)
from semidepth.prediction.models import DepthModel

ENLARGED = "bicubic"  # how maps come to their images' size; part of what results are known by
Unit = Literal["m", "inverse depth"]
T = TypeVar("T")
Decoded = tuple[T, tuple[int, int], Tensor]  # an item, its image's height and width, and its pixels for the model


@dataclass(frozen=True)
class Prediction(Generic[T]):
    """What the model said of one item.

    Args:
        item: as it was given.
        values: (h, w) float32 on the CPU, metres or inverse depth, at the model's size.
        size: height and width of the image.
        domain: whose head a routed model took.
    """

    item: T
    values: Tensor
    size: tuple[int, int]
    domain: str | None

    def full_size(self) -> np.ndarray:
        """(H, W) float32, at the image's size, as `pipeline("depth-estimation")` has it, within the map's own range.

        Bicubic, as the stock processor's `post_process_depth_estimation`, which overshoots at edges: a wall 8 m behind
        a cup may put the cup's rim at -0.1 m. Scores are computed another way, which follows the papers.
        """
        if tuple(self.values.shape) == self.size:
            return self.values.numpy()
        large = F.interpolate(self.values[None, None], size=self.size, mode=ENLARGED, align_corners=False)
        return large[0, 0].clamp_(self.values.min(), self.values.max()).numpy()  # (1, 1, h, w) -> (H, W)


@dataclass(frozen=True)
class Unreadable(Generic[T]):
    """An item that could not be decoded, and why."""

    item: T
    reason: str


@dataclass
class _Batch(Generic[T]):
    """Items under way on the device: `values` and `domains` are on the host once `finished` (None: they are)."""

    items: list[tuple[T, tuple[int, int]]]
    values: Tensor
    domains: Tensor | None
    finished: torch.cuda.Event | None


class Predictor:
    """A model with threads around it.

    Args:
        model: on its device.
        batch_size: images of one size in a forward pass.
        threads: that decode.
        domain: of all images, instead of what a router would choose.

    Raises:
        ValueError: the model has no such domain.
    """

    def __init__(self, model: DepthModel, *, batch_size: int = 4, threads: int = 2, domain: str | None = None) -> None:
        check_domain(model, domain)
        self.model = model
        self.batch_size = batch_size
        self.threads = threads
        self.device = next(model.model.parameters()).device
        self.domain = domain
        self.unit: Unit = "m" if model.kind == "depth" else "inverse depth"

    def run(self, items: Iterable[T], decode: Callable[[T], Tensor]) -> Iterator[Prediction[T] | Unreadable[T]]:
        """Predicts all items. Memory holds a few batches, however many there are.

        Args:
            items: anything that `decode` understands.
            decode: an item's image as (3, H, W) uint8; called in threads.

        Yields:
            One result per item: in order where all images have one size, else grouped by size.
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

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """One batch on the device.

        Args:
            images: (B, 3, h, w) uint8 of the model's size, on the device.

        Returns:
            (B, h, w) float32, metres or inverse depth; and (B,) the number of each image's domain, or None.
        """
        given = {} if self.domain is None else {"domain_labels": [self.model.domains.index(self.domain)] * len(images)}
        values, output = self.model.forward(images, **given)
        return values, output.domain if self.model.domains else None

    def _decoded(self, items: Iterable[T], decode: Callable[[T], Tensor]) -> Iterator[Decoded[T] | Unreadable[T]]:
        """Items in order with their size and prepared pixels, decoded ahead."""

        def work(item: T) -> Decoded[T] | Unreadable[T]:
            try:
                image = decode(item)
            except (BrokenSampleError, OSError) as error:
                return Unreadable(item, str(error))
            return item, (image.shape[1], image.shape[2]), self.model.preprocessing.resize(image)

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
        values, domains = self.forward(to_device([pixels for *_, pixels in group], self.device))
        (values, *numbers), finished = to_host([values] if domains is None else [values, domains])
        return _Batch([(item, size) for item, size, _ in group], values, numbers[0] if numbers else None, finished)

    def _finished(self, batch: _Batch[T]) -> Iterator[Prediction[T]]:
        if batch.finished is not None:
            batch.finished.synchronize()
        names = [None] * len(batch.items) if batch.domains is None else batch.domains.tolist()
        for (item, size), values, number in zip(batch.items, batch.values, names, strict=True):
            yield Prediction(item, values, size, None if number is None else self.model.domains[number])


def check_domain(model: DepthModel, domain: str | None) -> None:
    """Raises ValueError if a model has no head for a domain."""
    if domain is not None and domain not in model.domains:
        has = f"has {', '.join(model.domains)}" if model.domains else "has no domains"
        raise ValueError(f"--domain is {domain!r} and the model {has}; leave it out to let the model choose.")


def disparity_of(values: np.ndarray, unit: Unit) -> np.ndarray:
    """Inverse depth of a map in either unit, as [`to_disparity`] has it."""
    return to_disparity(torch.from_numpy(np.ascontiguousarray(values))).numpy() if unit == "m" else values
