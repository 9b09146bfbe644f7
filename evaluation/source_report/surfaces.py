"""Tell by the surfaces in labels which way depth runs, and whether there are any.

On a plane inverse depth is linear in the pixels' places, and depth is not: between two pixels of a slanted plane the
one in the middle has the harmonic mean of their depths. If inverse depth was stored and is read as depth, it has the
arithmetic mean; if depth was taken from a largest depth, it lies beyond that.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

STEPS = (0.04, 0.08)  # of the longer side, from the middle pixel to either other
SLANTED = (0.12, 0.8)  # |a - c| / ((a + c) / 2) of the triples that are looked at
LEAST_TRIPLES = 300
LEAST_STEPS = 1000
EXCHANGED, LEAST_ROUGH = 3, 0.01
BENT = 0.5  # half way between the harmonic and the arithmetic mean


def bend(depth: Tensor) -> float | None:
    """Median place of middle pixels between the harmonic (0) and the arithmetic mean (1) of their two neighbours.

    Args:
        depth: (h, w) metres, NaN unknown, inf sky.

    Returns:
        About 0 for depth; about 1 or more where it runs the wrong way; None where surfaces do not tell.
    """
    metres = depth.numpy().astype(np.float64)
    metres = np.where(np.isfinite(metres), metres, np.nan)
    found = []
    for share in STEPS:
        step = max(2, round(max(metres.shape) * share))
        for values in (metres, metres.T):
            if values.shape[0] <= 2 * step:
                continue
            first, middle, last = values[: -2 * step], values[step:-step], values[2 * step :]
            with np.errstate(all="ignore"):
                mean, harmonic = (first + last) / 2, 2 / (1 / first + 1 / last)
                slant = np.abs(first - last) / mean
                place = (middle - harmonic) / (mean - harmonic)
                # Smooth in between: a jump has the middle at one of its ends.
                inner = np.minimum(np.abs(middle - first), np.abs(last - middle)) / np.abs(first - last)
            use = (slant > SLANTED[0]) & (slant < SLANTED[1]) & (inner > 0.25)
            use &= (middle - first) * (last - middle) > 0
            found.append(place[use])
    places = np.concatenate(found) if found else np.zeros(0)
    return float(np.median(places)) if places.size >= LEAST_TRIPLES else None


def nearer_below(depth: Tensor) -> float | None:
    """Logarithm of the median depth in the middle third over that in the lowest sixth: more than 0 on usual ground.

    Args:
        depth: (h, w) metres, NaN unknown, inf sky.
    """
    metres = depth.numpy()
    rows = len(metres)
    middle, low = metres[rows // 3 : 2 * rows // 3], metres[-max(1, rows // 6) :]
    middle, low = middle[np.isfinite(middle)], low[np.isfinite(low)]
    if not (middle.size and low.size):
        return None
    return float(np.log(np.median(middle) / np.median(low)))


def roughness(values: np.ndarray) -> float | None:
    """Mean difference of the logarithms of neighbours in a row, each 1 at most: some hundredths on surfaces.

    Args:
        values: (h, w), larger than 0 where known.
    """
    with np.errstate(all="ignore"):
        logs = np.log(values.astype(np.float64))
        steps = np.abs(np.diff(np.where(np.isfinite(logs), logs, np.nan), axis=-1))
    steps = steps[np.isfinite(steps)]
    return float(steps.clip(max=1).mean()) if steps.size >= LEAST_STEPS else None


def bytes_look_exchanged(stored: np.ndarray) -> bool:
    """True for 16-bit numbers (h, w) that are far smoother with their two bytes exchanged."""
    if stored.dtype.itemsize != 2 or not np.issubdtype(stored.dtype, np.integer):
        return False
    rough, exchanged = roughness(stored), roughness(stored.byteswap())
    return rough is not None and exchanged is not None and rough > EXCHANGED * max(exchanged, LEAST_ROUGH)


def runs_the_wrong_way(depths: Sequence[Tensor]) -> bool:
    """True where labels look as if near and far were exchanged: by their surfaces, and by the ground below.

    Args:
        depths: (h, w) metres each.
    """
    bends = [place for depth in depths if (place := bend(depth)) is not None]
    grounds = [ground for depth in depths if (ground := nearer_below(depth)) is not None]
    if len(grounds) < 3:
        return False
    farther = np.mean(np.array(grounds) < 0)  # share of pictures in which the ground comes out far
    bent = float(np.median(bends)) if len(bends) >= 3 else None
    if bent is None:
        return bool(farther > 0.85)
    return bool((bent > BENT and farther > 0.4) or (bent > 0.8 and farther > 0.25))
