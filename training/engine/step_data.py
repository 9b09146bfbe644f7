"""Batches of a run, and the position in the data that its checkpoints save and restore."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from semidepth.common.console import CommandError
from semidepth.data.streaming.loading import BatchLoader

Batch = dict[str, Any]


class StepData:
    """Endless iterator over the micro-batches of one process.

    Args:
        loaders: loaders by name.
        generator: random generator on the CPU for what is drawn per batch, such as the strong perturbation; the caller
            seeds it.
        by_name: true for batches that are a dict with one batch of each loader, so that their ratio is exact; false for
            the batches of the only loader.
    """

    def __init__(
        self, loaders: Mapping[str, BatchLoader], generator: torch.Generator, *, by_name: bool = False
    ) -> None:
        if len(loaders) > 1 and not by_name:
            raise ValueError(f"batches of {len(loaders)} loaders are told apart by name; give by_name=True.")
        self.loaders = dict(loaders)
        self.generator = generator
        self.by_name = by_name
        self._iterators: dict[str, Iterator[Any]] = {}

    def __next__(self) -> Batch:
        """Returns the next batch.

        Raises:
            CommandError: if a stream ends, which happens only when no sample of its sources is usable.
        """
        if not self._iterators:
            self._iterators = {name: iter(loader) for name, loader in self.loaders.items()}
        try:
            batches = {name: next(iterator) for name, iterator in self._iterators.items()}
        except StopIteration:
            raise CommandError(
                "the data stream ended before training did: its sources have no usable samples; check their files."
            ) from None
        return batches if self.by_name else next(iter(batches.values()))

    def state(self) -> dict[str, Any]:
        """Returns the position of each loader, as lists, numbers and small arrays."""
        return {name: loader.state() for name, loader in self.loaders.items()}

    def restore(self, states: list[dict[str, Any]]) -> str:
        """Restores positions from the states of all ranks of an earlier run; returns text for a warning, or ""."""
        found = {loader.restore([state[name] for state in states]) for name, loader in self.loaders.items()}
        return "; ".join(sorted(text for text in found if text))
