"""Sets of four parts for `seeded_faults`, each a file or a folder: all of them right, or the third one wrong."""

from collections.abc import Callable, Sequence

import numpy as np
from parts.clean_sets import MATERIALS, Case
from parts.labeled_sets import Pair, Stored, store

PARTS = ("a", "b", "c", "d")
WRONG = "c"
IN_PART = 8
FORMS = ("parquet lists", "npy beside", "tar", "folders")

Change = Callable[[Sequence[Pair]], list[Pair]]


def _divided(case: Case, change: Change | None = None, *, mixed: bool = False) -> str:
    """Writes four parts of eight samples, of one material or, mixed, of several; the third one is changed."""
    case.folder.mkdir(parents=True)
    every = case.pool.draw(case.rng, MATERIALS[case.number % len(MATERIALS)], IN_PART * len(PARTS))
    for number, part in enumerate(PARTS):
        pairs = every[number * IN_PART : (number + 1) * IN_PART]
        if mixed:
            pairs = case.pool.draw(case.rng, MATERIALS[(case.number + number) % len(MATERIALS)], IN_PART)
        if change is not None and part == WRONG:
            pairs = change(pairs)
        samples = [Stored(image, np.ascontiguousarray(depth)) for image, depth in pairs]
        store(case.folder / part, samples, FORMS[case.number % len(FORMS)])
    return str(case.folder)


def clean_parts(case: Case) -> str:
    return _divided(case)


def clean_mixed_parts(case: Case) -> str:
    return _divided(case, mixed=True)


def part_in_millimetres(case: Case) -> str:
    return _divided(case, lambda pairs: [(image, depth * 1000) for image, depth in pairs])


def part_inverted(case: Case) -> str:
    return _divided(case, lambda pairs: [(image, np.where(np.isinf(depth), 0, 1 / depth)) for image, depth in pairs])


def part_mirrored(case: Case) -> str:
    return _divided(case, lambda pairs: [(image, depth[:, ::-1]) for image, depth in pairs])


def part_of_others(case: Case) -> str:
    return _divided(case, lambda pairs: [(image, pairs[number - 1][1]) for number, (image, _) in enumerate(pairs)])


def part_constant(case: Case) -> str:
    return _divided(case, lambda pairs: [(image, np.full_like(depth, 3.0)) for image, depth in pairs])
