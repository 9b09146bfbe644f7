"""Samples into batches: resize, crop and flip that keep labels exact, disparity from depth, full batches."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info
from torchvision.transforms.v2 import functional as transforms

from semidepth.training.data.shared_batches import SharedBatches
from semidepth.training.data.source_spec import Source, parse_source
from semidepth.training.data.streaming import Sample, SampleStream, stream_samples


class Batch(TypedDict, total=False):
    """What the loader yields.

    `image` is (B, 3, S, S) uint8 RGB. With labels, `depth` is (B, S, S) float32 in metres (NaN unknown, inf
    sky) and `disparity` is its inverse in 1/m, larger is nearer (NaN unknown, 0 sky). `domain` and `origin`
    are lists.
    """

    image: Tensor
    depth: Tensor
    disparity: Tensor
    domain: list[str]
    origin: list[str]


def prepare_sample(
    sample: Sample, size: int, rng: np.random.Generator | None, *, train: bool, multiple: int = 1
) -> Sample:
    """Bring one sample to the model's input size.

    For training: a random square as large as the shorter side is resized to `size` x `size` and flipped left to
    right with probability 0.5; nothing else is done to it. That is the papers' resize of the shorter side and crop,
    but no pixel is resized that the crop leaves out. For evaluation: the image alone is resized, its shorter side to
    `size` and both sides to the nearest multiple; depth keeps its own size, to be scored there.

    Images are resized bilinearly with antialiasing and stay uint8; depth by nearest neighbour, so that no
    value is made up between two others and NaN and inf stay what they are.

    Args:
        sample: decoded.
        size: side in pixels, a multiple of `multiple`.
        rng: draws crop and flip; needed for training only.
        train: which of the two.
        multiple: what both sides must be a multiple of: the encoder's patch size.

    Returns:
        A new sample.

    Raises:
        ValueError: `size` is no multiple, or training without `rng`.
    """
    if size < 1 or size % multiple:
        raise ValueError(f"size {size} is not a positive multiple of {multiple}; choose one, the patch size divides it")
    image, depth = sample["image"], sample["depth"]
    height, width = image.shape[-2:]
    side = min(height, width)
    if not train:
        scale = size / side
        sides = [max(multiple, round(length * scale / multiple) * multiple) for length in (height, width)]
        return {**sample, "image": _resize_image(image, sides)}
    if rng is None:
        raise ValueError("training draws a crop and a flip, but rng is None; give a numpy Generator")
    top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
    flip = bool(rng.random() < 0.5)
    window = (slice(top, top + side), slice(left, left + side))
    image = _resize_image(image[:, *window], (size, size))  # (3, H, W) -> (3, S, S)
    image = image.flip(-1) if flip else image
    if depth is not None:
        depth = _resize_nearest(depth[window], (size, size), flip)  # (H, W) -> (S, S)
    return {**sample, "image": image, "depth": depth}


def to_disparity(depth: Tensor) -> Tensor:
    """Inverse depth.

    Args:
        depth: any shape, metres, larger is farther; NaN unknown, inf sky.

    Returns:
        The same shape, 1/m, larger is nearer; NaN unknown, 0 sky.
    """
    return 1.0 / depth


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack prepared samples.

    Args:
        samples: all of one size, all with depth or all without.

    Returns:
        The batch; `depth` and `disparity` only with labels. `image` lies in memory as (B, S, S, 3).
    """
    # default_collate, because in a worker it stacks into shared memory, from where the main process takes the batch
    # as it is. Images keep the order (H, W, 3) of memory that decoding and resizing give them: to turn them would
    # take longer than to stack them.
    pixels = default_collate([sample["image"].permute(1, 2, 0) for sample in samples])
    batch = Batch(
        image=pixels.permute(0, 3, 1, 2),  # (B, S, S, 3) -> (B, 3, S, S)
        domain=[sample["domain"] for sample in samples],
        origin=[sample["origin"] for sample in samples],
    )
    depths = [sample["depth"] for sample in samples if sample["depth"] is not None]
    if depths:
        batch["depth"] = default_collate(depths)
        batch["disparity"] = default_collate([to_disparity(depth) for depth in depths])
    return batch


class PreparedStream(IterableDataset):
    """A sample stream at training size; the n-th sample of a reader always gets the same crop and flip."""

    def __init__(self, stream: SampleStream, size: int, seed: int, multiple: int) -> None:
        self.stream = stream
        self.size = size
        self.seed = seed
        self.multiple = multiple

    def __iter__(self) -> Iterator[Sample]:
        """Prepared samples of this process's reader."""
        worker = get_worker_info()
        reader = (self.stream.rank, worker.id if worker else 0)
        for ordinal, sample in enumerate(self.stream):
            rng = np.random.default_rng([self.seed, *reader, ordinal])
            yield prepare_sample(sample, self.size, rng, train=True, multiple=self.multiple)


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
) -> DataLoader:
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
        A DataLoader of `Batch`es.

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
    )
    return DataLoader(
        PreparedStream(stream, size, seed, multiple),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=SharedBatches(collate, num_workers) if num_workers else collate,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_start_worker,
        persistent_workers=num_workers > 0,
    )


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


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)  # the workers are the parallelism; more threads each would only contend


def _resize_image(image: Tensor, sides: Sequence[int]) -> Tensor:
    if tuple(image.shape[-2:]) == tuple(sides):
        return image
    # Of three orders of memory, torchvision resizes whole (H, W, 3) pixels two to three times as fast as the others.
    image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    return transforms.resize(image, list(sides), antialias=True)


def _resize_nearest(depth: Tensor, sides: Sequence[int], flip: bool = False) -> Tensor:
    """Each new pixel takes the old pixel that covers its middle; also mirrored left to right."""
    rows, columns = (
        (2 * torch.arange(new) + 1) * old // (2 * new) for new, old in zip(sides, depth.shape, strict=True)
    )
    return depth.index_select(0, rows).index_select(1, columns.flip(0) if flip else columns)
