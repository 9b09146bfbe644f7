"""Pass batches from workers in shared memory that is reused.

A DataLoader passes every batch in new shared memory, which the system has to find, clear and map page by page: for
frames that costs up to half as much as decoding them. Here each worker keeps a few blocks. A block is reused once no
tensor of its batch is left, so batches may be kept as long as needed. While all blocks are in use, further batches are
passed in the DataLoader's own way.
"""

import itertools
import os
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from semidepth.data.samples import Sample

# Of one worker: two that it prepares ahead (the DataLoader's prefetch_factor), the one in use and the one before,
# which a loop lets go of only when it has the next.
BLOCKS = 4

_numbers = itertools.count()
_POOLS: "weakref.WeakValueDictionary[int, SharedBatches]" = weakref.WeakValueDictionary()


class SharedBatches:
    """Collates a DataLoader's samples; use one per loader, as its `collate_fn`.

    Args:
        collate: makes a batch where no block can be used: in the main process, and while all are in use.
        workers: the loader's `num_workers`.
    """

    def __init__(self, collate: Callable[[Sequence[Sample]], Any], workers: int) -> None:
        self.collate = collate
        self.number = next(_numbers)  # messages name the pool by it
        # One flag per block, 1 from filling to release: set by the worker, cleared by the main process.
        self.taken = torch.zeros(workers, BLOCKS, dtype=torch.uint8).share_memory_()
        self.blocks: dict[tuple[int, int], Tensor] = {}  # in a worker its own, in the main process all it has met
        _POOLS[self.number] = self

    def __call__(self, samples: Sequence[Sample]) -> Any:
        """A batch as `collate` makes it, on its way to the main process perhaps in a block."""
        worker = get_worker_info()
        shape = _shape(samples)
        if worker is None or shape is None:
            return self.collate(samples)
        found = self._free_block(worker.id, shape)
        if found is None:
            return self.collate(samples)
        place, is_new = found
        self.taken[place] = 1
        _fill(_views(self.blocks[place], shape), samples)
        keys = ("domain", "origin") if samples[0]["depth"] is None else ("domain", "origin", "labels")
        labels = {key: [sample.get(key) for sample in samples] for key in keys}
        return _Message(self.number, place, shape, self.blocks[place] if is_new else None, labels)

    def _free_block(self, worker: int, shape: tuple[int, ...]) -> tuple[tuple[int, int], bool] | None:
        """Place of a free block, and whether it is new to the main process."""
        size = int(np.prod(shape))
        free = [(worker, block) for block in range(BLOCKS) if not self.taken[worker, block]]
        for place in free:
            if place in self.blocks and self.blocks[place].numel() == size:
                return place, False
        for place in free:
            # A block of another size is let go of: batches of a loader are of one size as a rule.
            self.blocks[place] = torch.empty(size, dtype=torch.uint8).share_memory_()
            return place, True
        return None

    def lend(self, place: tuple[int, int]) -> Tensor:
        """A block as a tensor that frees the block when it and all its views are gone."""
        memory = self.blocks[place].numpy()[:]
        # The tensor's storage holds on to this very array; what is derived from the tensor holds on to the storage.
        weakref.finalize(memory, _release, self.taken, place, os.getpid()).atexit = False
        return torch.from_numpy(memory)


class _Message:
    """Message of a worker; the main process unpickles it as the batch itself."""

    def __init__(self, *content: Any) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]:
        return _open, self.content


def _open(
    pool: int, place: tuple[int, int], shape: tuple[int, ...], block: Tensor | None, labels: dict[str, list[str | None]]
) -> dict[str, Any]:
    owner = _POOLS[pool]
    if block is not None:
        owner.blocks[place] = block
    views = _views(owner.lend(place), shape)
    return {"image": views.pop("pixels").permute(0, 3, 1, 2), **labels, **views}  # (B, S, S, 3) -> (B, 3, S, S)


def _release(taken: Tensor, place: tuple[int, int], process: int) -> None:
    if os.getpid() == process:  # and not a fork of it, which has copies of all tensors
        taken[place] = 0


def _shape(samples: Sequence[Sample]) -> tuple[int, ...] | None:
    """Batch, height, width and bytes per pixel; None for samples that do not stack."""
    images, depths = [sample["image"] for sample in samples], [sample["depth"] for sample in samples]
    sides = images[0].shape[-2:]
    labeled = depths[0] is not None
    for image, depth in zip(images, depths, strict=True):
        if image.shape != (3, *sides) or (depth is not None) != labeled or (depth is not None and depth.shape != sides):
            return None
    return len(images), *sides, 11 if labeled else 3


def _views(block: Tensor, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """The parts of a block: pixels (B, S, S, 3) uint8 and, with labels, depth and disparity (B, S, S) float32."""
    batch, height, width, width_bytes = shape
    count = batch * height * width
    views = {}
    if width_bytes > 3:
        views["depth"], views["disparity"] = block[: 8 * count].view(torch.float32).view(2, batch, height, width)
    return {"pixels": block[-3 * count :].view(batch, height, width, 3), **views}


def _fill(views: dict[str, Tensor], samples: Sequence[Sample]) -> None:
    torch.stack([sample["image"].permute(1, 2, 0) for sample in samples], out=views["pixels"])
    if "depth" in views:
        torch.stack([sample["depth"] for sample in samples if sample["depth"] is not None], out=views["depth"])
        torch.reciprocal(views["depth"], out=views["disparity"])
