"""Batches in shared memory that is used again: the same batches, none overwritten while anything of it is left."""

import multiprocessing
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from semidepth.data.preparing import collate
from semidepth.data.samples import Sample
from semidepth.data.streaming.shared_batches import BLOCKS, SharedBatches

SIDE = 6


def sample(number: int, labeled: bool = True, side: int = SIDE) -> Sample:
    """Pixels and depth that tell the number, with NaN and sky."""
    image = torch.full((3, side, side), number % 256, dtype=torch.uint8)
    depth = torch.full((side, side), number + 1.0) if labeled else None
    if depth is not None:
        depth[0], depth[1] = torch.nan, torch.inf
    return Sample(image=image, depth=depth, domain="d", origin=str(number))


class Numbers(IterableDataset):
    """Each worker's own numbers without end."""

    def __init__(self, labeled: bool = True, grow: bool = False) -> None:
        self.labeled = labeled
        self.grow = grow

    def __iter__(self) -> Iterator[Sample]:
        number = get_worker_info().id * 100_000
        while True:
            yield sample(number, self.labeled, SIDE + number // 4 % 2 if self.grow else SIDE)
            number += 1


def loader_of(workers: int = 1, batch: int = 4, **options: bool) -> DataLoader:
    pool = SharedBatches(collate, workers)
    return DataLoader(Numbers(**options), batch_size=batch, num_workers=workers, collate_fn=pool)


def assert_same(batch: dict, expected: dict) -> None:
    assert set(batch) == set(expected)
    assert (batch["origin"], batch["domain"]) == (expected["origin"], expected["domain"])
    for key in batch.keys() & {"image", "depth", "disparity"}:
        assert batch[key].dtype == expected[key].dtype
        np.testing.assert_array_equal(batch[key].numpy(), expected[key].numpy())


def expected_batch(batch: dict, **options: bool) -> dict:
    """What `collate` itself makes of the samples that a batch says it holds."""
    return collate([sample(int(origin), **options) for origin in batch["origin"]])


@pytest.mark.parametrize("labeled", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_those_of_collate_and_memory_is_used_again(labeled, workers):
    places = set()
    for batch in islice(loader_of(workers, labeled=labeled), 60):
        assert_same(batch, expected_batch(batch, labeled=labeled))
        places.add(batch["image"].data_ptr())
    assert workers <= len(places) <= workers * BLOCKS


def test_batches_that_are_kept_do_not_change():
    kept = list(islice(loader_of(workers=2), 40))  # far more than there are blocks
    for batch in kept:
        assert_same(batch, expected_batch(batch))
    assert len({batch["depth"].data_ptr() for batch in kept}) == 40


@pytest.mark.parametrize("part", ["view", "numpy", "clone"])
def test_a_block_is_used_again_when_the_last_part_of_its_batch_is_gone(part):
    loader = loader_of()
    batches = iter(loader)
    whole = next(batches)["disparity"]
    place, row = whole.data_ptr(), whole[2, 3:4]
    row = {"view": row, "numpy": row.numpy(), "clone": row.clone()}[part]
    del whole
    places = {batch["disparity"].data_ptr() for batch in islice(batches, 40)}
    assert float(row[0, 0]) == pytest.approx(1 / 3)  # of sample 2, as it was
    assert (place in places) == (part == "clone")


def test_batches_of_changing_sizes():
    for batch in islice(loader_of(grow=True), 30):
        side = batch["image"].shape[-1]
        assert side == SIDE + int(batch["origin"][0]) // 4 % 2
        assert_same(batch, expected_batch(batch, side=side))


def test_a_fork_does_not_free_blocks():
    loader = loader_of()
    batches = iter(loader)
    held = [next(batches)]
    for _ in range(3):
        process = multiprocessing.get_context("fork").Process(target=held.clear)
        process.start()
        process.join()
        assert process.exitcode == 0
    expected = expected_batch(held[0])
    for _ in range(20):
        next(batches)
    assert_same(held[0], expected)


def test_in_the_main_process_and_for_odd_samples_collate_does_it():
    pool = SharedBatches(collate, 1)
    samples = [sample(number) for number in range(3)]
    assert_same(pool(samples), collate(samples))
    loader = DataLoader([sample(0), sample(1, side=SIDE + 1)], batch_size=2, num_workers=1, collate_fn=pool)
    with pytest.raises(RuntimeError, match="equal size"):
        next(iter(loader))


def test_a_second_pass_goes_on_with_the_same_blocks():
    pool = SharedBatches(collate, 1)
    samples = [sample(number) for number in range(12)]
    for persistent in (False, True):
        loader = DataLoader(samples, batch_size=4, num_workers=1, collate_fn=pool, persistent_workers=persistent)
        for _ in range(4):
            for number, batch in enumerate(loader):
                assert_same(batch, collate(samples[4 * number : 4 * number + 4]))
    assert len(pool.blocks) <= BLOCKS
