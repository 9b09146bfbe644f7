"""Random numbers for the built-in scenes: one counter-based stream per image, handed out batch by batch.

Each image owns a row of uniforms that depends on (seed, domain, index) and on nothing else, so an image never
depends on its neighbours in a batch. Layout and appearance read the rows column by column.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Draws:
    """Hands out columns of a table of uniforms in [0, 1), in the order in which they are asked for.

    Args:
        table: (B, K), one row of uniforms per image.
    """

    def __init__(self, table: Array) -> None:
        self._table = table
        self._next = 0

    def uniform(self, low: ArrayLike = 0.0, high: ArrayLike = 1.0, *shape: int) -> Array:
        """Uniform numbers of shape (B, *shape) in [low, high)."""
        count = int(np.prod(shape)) if shape else 1
        columns = self._table[:, self._next : self._next + count]
        if columns.shape[1] < count:
            raise IndexError(f"A scene asked for more than the {self._table.shape[1]} uniforms drawn for it.")
        self._next += count
        start = np.asarray(low, dtype=float)
        return start + (np.asarray(high, dtype=float) - start) * columns.reshape(len(columns), *shape)

    def chance(self, probability: ArrayLike, *shape: int) -> NDArray[np.bool_]:
        """True with the given probability, shape (B, *shape)."""
        return self.uniform(0.0, 1.0, *shape) < np.asarray(probability, dtype=float)

    def integer(self, count: int, *shape: int) -> NDArray[np.int64]:
        """Integers of shape (B, *shape), uniform in 0 ... count - 1."""
        return (self.uniform(0.0, float(count), *shape)).astype(np.int64)

    def sign(self, *shape: int) -> Array:
        """-1 or 1, shape (B, *shape)."""
        return np.where(self.chance(0.5, *shape), 1.0, -1.0)


def uniform_table(seed: int, domain: int, indices: Sequence[int], columns: int) -> Array:
    """One row of uniforms per image, from a Philox counter generator keyed by (seed, domain, index).

    Args:
        seed: not negative.
        domain: number of the domain.
        indices: B image numbers, not negative.
        columns: uniforms per image.

    Returns:
        (B, columns) in [0, 1).
    """
    table = np.empty((len(indices), columns))
    for row, index in zip(table, indices, strict=True):
        bits = np.random.Philox(np.random.SeedSequence((seed, domain, index)))
        np.random.Generator(bits).random(out=row)
    return table
