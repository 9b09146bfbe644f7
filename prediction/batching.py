"""Batches of images of one size, and results that come back from the device while it goes on computing."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

# Batches decoded ahead of the model; also the most whose images wait for others of their size.
AHEAD = 4


def batches_of_one_size(items: Iterable[T], batch_size: int, size_of: Callable[[T], Hashable]) -> Iterator[list[T]]:
    """Consecutive items of equal size, at most `batch_size` at a time: their order stays.

    Args:
        items: in order.
        batch_size: at most.
        size_of: what must be equal in a batch.
    """
    batch: list[T] = []
    for item in items:
        if batch and (len(batch) == batch_size or size_of(batch[0]) != size_of(item)):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def groups_of_one_size(
    items: Iterable[T],
    batch_size: int,
    size_of: Callable[[T], Hashable],
    *,
    section_of: Callable[[T], object] = lambda item: None,
) -> Iterator[list[T]]:
    """Batches of one size in the order in which they fill up; where too many wait the longest-waiting goes as it is.

    Args:
        items: of sizes that alternate.
        batch_size: at most; no more than [`AHEAD`] times as many items wait for others of their size.
        size_of: what must be equal in a batch.
        section_of: what an item belongs to: where that ends nothing of it waits for what follows.
    """
    waiting: dict[Hashable, list[T]] = {}
    section: object = None
    for item in items:
        if section_of(item) is not section:
            section = section_of(item)
            yield from waiting.values()
            waiting.clear()
        size = size_of(item)
        waiting.setdefault(size, []).append(item)
        if len(waiting[size]) == batch_size:
            yield waiting.pop(size)
        elif sum(map(len, waiting.values())) > AHEAD * batch_size:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def to_device(images: Sequence[Tensor], device: torch.device) -> Tensor:
    """Images (C, H, W) of one size as a batch (B, C, H, W) on the device; nothing waits for it here."""
    batch = torch.stack(list(images))
    return batch.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else batch.to(device)


def to_host(results: Sequence[Tensor]) -> tuple[list[Tensor], torch.cuda.Event | None]:
    """Copies results of one device to the host; nothing waits for the device here.

    Returns:
        The copies, and the event to `synchronize()` with before they are read; None where they can be read now.
    """
    if all(result.device.type != "cuda" for result in results):
        return [result.cpu() for result in results], None
    copies = [torch.empty(result.shape, dtype=result.dtype, pin_memory=True) for result in results]
    for copy, result in zip(copies, results, strict=True):
        copy.copy_(result, non_blocking=True)
    finished = torch.cuda.Event()
    finished.record()
    return copies, finished
