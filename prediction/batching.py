"""Batches of images of one size, and copies to and from the device that do not wait for it."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

# Batches decoded ahead of the model; also the most whose images wait for others of their size.
AHEAD = 4
# Of images that are held at their full size: 0.2 GB of pixels, and as much again for each map of numbers beside them.
MOST_PIXELS = 64_000_000


def at_once(pixels: int) -> int:
    """Number of images of so many pixels that may be held at their full size at once; at least 1."""
    return max(1, MOST_PIXELS // max(1, pixels))


def batches_of_one_size(items: Iterable[T], batch_size: int, image_of: Callable[[T], Tensor]) -> Iterator[list[T]]:
    """Batches of consecutive items whose images have one size; they keep their order.

    Args:
        items: in order.
        batch_size: largest number of items in a batch; a batch of several has `MOST_PIXELS` at most, too.
        image_of: gives the image (C, H, W) of an item.
    """
    batch: list[T] = []
    for item in items:
        if batch:
            first = image_of(batch[0])
            most = min(batch_size, at_once(first[0].numel()))
            if len(batch) >= most or first.shape != image_of(item).shape:
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
    """Batches of items of one size, in the order in which they fill up; if too many wait, the oldest goes unfilled.

    Args:
        items: of mixed sizes.
        batch_size: largest number of items in a batch; at most [`AHEAD`] times as many wait for others of their size.
        size_of: gives what must be equal in a batch.
        section_of: gives the section of an item; no item waits beyond the end of its section.
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
    """Images (C, H, W) of one size as a batch (B, C, H, W) on the device, copied without waiting."""
    batch = torch.stack(list(images))
    return batch.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else batch.to(device)


def to_host(results: Sequence[Tensor]) -> tuple[list[Tensor], torch.cuda.Event | None]:
    """Copies results from one device to the host without waiting.

    Returns:
        The copies, and an event to `synchronize()` with before they are read; None if they can be read now.
    """
    if all(result.device.type != "cuda" for result in results):
        return [result.cpu() for result in results], None
    copies = [torch.empty(result.shape, dtype=result.dtype, pin_memory=True) for result in results]
    for copy, result in zip(copies, results, strict=True):
        copy.copy_(result, non_blocking=True)
    finished = torch.cuda.Event()
    finished.record()
    return copies, finished
