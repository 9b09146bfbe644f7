"""Batches of a run, and what its checkpoints save of them: the position in the data and random generators."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
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


def random_state() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Returns the states of all random generators of this process: torch's as tensors, the others fit JSON."""
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    version, state, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 (other libraries draw from it)
    values = {
        "python": [version, list(state), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
    }
    return tensors, values


def restore_random_state(tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
    """Sets the generators to what [`random_state`] returned."""
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
    version, state, gauss = values["python"]
    random.setstate((version, tuple(state), gauss))
    kind, keys, position, has_gauss, cached = values["numpy"]
    np.random.set_state((kind, np.asarray(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
