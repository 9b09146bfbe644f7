"""Where a run's batches come from, and the place in them that goes into its checkpoints."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from semidepth.data.streaming.loading import BatchLoader

Batch = dict[str, Any]


class StepData:
    """The micro-batches of one process.

    Args:
        loaders: by name; with more than one, a batch is a dict of one batch from each, so that their ratio is exact.
        generator: on the CPU; draws what is drawn batch by batch, such as the perturbation. Seeded by its owner.
    """

    def __init__(self, loaders: Mapping[str, BatchLoader], generator: torch.Generator) -> None:
        self.loaders = dict(loaders)
        self.generator = generator
        self._iterators: dict[str, Iterator[Any]] = {}

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
            RuntimeError: a stream that should be endless has ended.
        """
        if not self._iterators:
            self._iterators = {name: iter(loader) for name, loader in self.loaders.items()}
        try:
            batches = {name: next(iterator) for name, iterator in self._iterators.items()}
        except StopIteration:
            raise RuntimeError(
                "the data stream ended before training did; its sources have no usable samples left."
            ) from None
        return batches if len(batches) > 1 else next(iter(batches.values()))

    def state(self) -> dict[str, Any]:
        """The place of each loader; lists, numbers and small arrays."""
        return {name: loader.state() for name, loader in self.loaders.items()}

    def restore(self, states: list[dict[str, Any]]) -> str:
        """Goes on from the states of all ranks of an earlier run; returns what to tell about it, if anything."""
        told = {loader.restore([state[name] for state in states]) for name, loader in self.loaders.items()}
        return "; ".join(sorted(text for text in told if text))
