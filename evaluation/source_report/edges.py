"""Compare the edges of labels with those of their pictures, as they lie and turned, mirrored or moved.

A jump of depth mostly is an edge of the picture, too. At the jumps of a label the picture's gradient is ranked among
all of its gradients: 0.5 on average by chance, more where the label fits. A label that fits better mirrored or moved
than as it lies does so in most pictures alike, which a paired comparison shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

JUMP = 0.06  # of the logarithm of depth between two pixels
MOST_EDGES = 0.06  # of all pixels: of a label with more jumps the largest
LEAST_EDGES = 60  # pixels
MOVES = (0.02, 0.04, 0.06, 0.08)  # of the width or height
LEAST_GAIN, LEAST_SURE = 0.04, 3.5

Turn = Callable[[np.ndarray], np.ndarray]
Edges = tuple[np.ndarray, np.ndarray]

MIRRORED: dict[str, Turn] = {
    "mirrored left to right": lambda mask: mask[:, ::-1],
    "upside down (mirrored top to bottom)": lambda mask: mask[::-1],
    "turned by 180 degrees": lambda mask: mask[::-1, ::-1],
}
QUARTERS: dict[str, Turn] = {
    "turned by 90 degrees to the left": lambda mask: np.rot90(mask, -1),
    "turned by 90 degrees to the right": lambda mask: np.rot90(mask, 1),
    "with rows and columns exchanged": lambda mask: mask.T,
}


@dataclass(frozen=True)
class EdgeFit:
    """Fit of labels to the edges of their pictures.

    Args:
        fit: mean rank of the pictures' gradients at the labels' jumps, 0 to 1; 0.5 by chance.
        by_chance: the same with the labels of other pictures.
        unsure: standard error of the difference of the two.
        samples: number of pictures that tell.
        better: how labels lie if not as they should, None where nothing fits clearly better.
    """

    fit: float
    by_chance: float
    unsure: float
    samples: int
    better: str | None


def measure(image: Tensor, depth: Tensor) -> Edges | None:
    """Measures one picture for [`edge_fit`].

    Args:
        image: (3, h, w) uint8.
        depth: (h, w) metres, NaN unknown, inf sky.

    Returns:
        (h, w) ranks of the picture's gradients, 0 to 1, and where the label has jumps; None where it has too few.
    """
    ranks, mask = _ranks(image), jumps(depth)
    return None if ranks is None or mask.sum() < LEAST_EDGES else (ranks, mask)


def edge_fit(pictures: Sequence[Edges | None]) -> EdgeFit | None:
    """Compares labels with their pictures, each as [`measure`] has it; None where fewer than four have enough jumps."""
    told = [each for each in pictures if each is not None]
    if len(told) < 4:
        return None
    own = np.array([ranks[mask].mean() for ranks, mask in told])
    chance = np.array([_by_chance(told, number) for number in range(len(told))])
    better, best = None, 0.0
    for name, turn in _other_ways().items():
        other = np.array([_mean_at(ranks, _as(turn(mask), ranks.shape)) for ranks, mask in told])
        gain = other - own
        gain = gain[np.isfinite(gain)]
        if len(gain) < 4:
            continue
        mean, unsure = gain.mean(), gain.std(ddof=1) / np.sqrt(len(gain)) + 1e-3
        if mean > max(best, LEAST_GAIN) and mean > LEAST_SURE * unsure:
            better, best = name, mean
    difference = own - chance
    unsure = difference.std(ddof=1) / np.sqrt(len(difference))
    return EdgeFit(float(own.mean()), float(chance.mean()), float(unsure), len(told), better)


def _other_ways() -> dict[str, Turn]:
    ways = MIRRORED | QUARTERS
    for share in MOVES:
        for axis, words in ((1, ("right", "left")), (0, ("down", "up"))):
            for sign, word in zip((1, -1), words, strict=True):
                # What is moved back fits: the label lies on the other side.
                ways[f"moved {word} by about {share:.0%}"] = _move(axis, -sign * share)
    return ways


def _move(axis: int, share: float) -> Turn:
    def move(mask: np.ndarray) -> np.ndarray:
        pixels = round(mask.shape[axis] * share)
        moved = np.roll(mask, pixels, axis)
        edge = [slice(None), slice(None)]
        edge[axis] = slice(0, pixels) if pixels > 0 else slice(pixels, None)
        moved[tuple(edge)] = False
        return moved

    return move


def _by_chance(told: Sequence[tuple[np.ndarray, np.ndarray]], number: int) -> float:
    """Mean rank of one picture's gradients at the jumps of the labels of up to four others."""
    ranks = told[number][0]
    others = [told[(number + step) % len(told)][1] for step in range(1, min(5, len(told)))]
    return float(np.nanmean([_mean_at(ranks, _as(mask, ranks.shape)) for mask in others]))


def _mean_at(ranks: np.ndarray, mask: np.ndarray) -> float:
    return float(ranks[mask].mean()) if mask.any() else np.nan


def _as(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A mask in another shape, by the nearest pixel."""
    if mask.shape == shape:
        return mask
    rows, columns = ((np.arange(new) * old) // new for new, old in zip(shape, mask.shape, strict=True))
    return mask[rows][:, columns]


def _ranks(image: Tensor) -> np.ndarray | None:
    """(h, w) rank of the largest gradient within a pixel of each, from 0 to 1; None of a picture of one colour."""
    pixels = image.numpy().astype(np.float32)
    gradient = np.zeros(pixels.shape[1:], np.float32)
    across, down = (np.abs(np.diff(pixels, axis=axis)).max(0) for axis in (2, 1))
    for part, values in (
        ((slice(None), slice(1, None)), across), ((slice(None), slice(None, -1)), across),
        ((slice(1, None), slice(None)), down), ((slice(None, -1), slice(None)), down),
    ):  # fmt: skip
        gradient[part] = np.maximum(gradient[part], values)
    if not gradient.any():
        return None
    ranks = (mean_ranks(torch.from_numpy(gradient)) - 0.5) / gradient.size
    return ranks.numpy().astype(np.float32)


def mean_ranks(values: Tensor) -> Tensor:
    """Rank of each value, as `scipy.stats.rankdata` has it; SciPy is there only with some extras.

    Args:
        values: of any shape, finite.

    Returns:
        float64 of the same shape, from 1 on; equal values share the mean of their ranks.
    """
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0).double() - (counts - 1).double() / 2)[place]


def jumps(depth: Tensor) -> np.ndarray:
    """(h, w) bool: pixels beside a jump of depth or the edge of the sky; unknown pixels have none."""
    metres = depth.numpy().astype(np.float64)
    known = np.isfinite(metres)
    far = metres[known].max() if known.any() else 1.0
    with np.errstate(all="ignore"):
        logs = np.log(np.where(np.isinf(metres), 2 * far, metres))
    jump = np.zeros(metres.shape)
    for axis in (0, 1):
        step = np.abs(np.diff(logs, axis=axis))
        step = np.where(np.isfinite(step), step, 0)
        first = [slice(None), slice(None)]
        second = [slice(None), slice(None)]
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        for part in (tuple(first), tuple(second)):
            jump[part] = np.maximum(jump[part], step)
    least = max(JUMP, float(np.quantile(jump, 1 - MOST_EDGES)))
    return jump >= least
