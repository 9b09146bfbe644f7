"""Clean labeled sets for `seeded_faults`, in the ways that users store them; a report should find nothing wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from parts.labeled_sets import FORMS, Pair, Pool, Stored, millimetres, store

MATERIALS = ("indoor", "photos", "outdoor")
STORED_AS = {3: (0, True), 6: (1, False), 8: (-1, False)}  # quarter turns of the pixels by EXIF orientation


@dataclass(frozen=True)
class Case:
    """One set: what it is made of, how many, where, and how it is stored."""

    rng: np.random.Generator
    pool: Pool
    number: int
    folder: Path

    def pairs(self, materials: Sequence[str] = MATERIALS, *, square: bool = False) -> list[Pair]:
        """Pairs of the material whose turn it is."""
        count = int(self.rng.integers(8, 17))
        return self.pool.draw(self.rng, materials[self.number % len(materials)], count, square=square)

    def write(self, samples: Sequence[Stored], options: str = "", forms: Sequence[str] = FORMS) -> str:
        """The source's text, after the set was written in the form whose turn it is."""
        location = store(self.folder, samples, forms[self.number % len(forms)])
        return f"{location}?{options}" if options else location

    def write_metres(self, pairs: Sequence[Pair], options: str = "") -> str:
        """As [`write`], in metres or in millimetres with the scale and the code of the sky."""
        form = FORMS[self.number % len(FORMS)]
        if self.number % 2 or form == "parquet lists":
            return self.write([Stored(image, depth) for image, depth in pairs], options)
        more = "depth_scale=0.001&sky=65535" + (f"&{options}" if options else "")
        return self.write([Stored(image, millimetres(depth)) for image, depth in pairs], more)


def clean_metres(case: Case) -> str:
    return case.write_metres(case.pairs())


def clean_disparity(case: Case) -> str:
    samples = [Stored(image, np.where(np.isinf(depth), 0, 1 / depth)) for image, depth in case.pairs()]
    return case.write(samples, "kind=disparity")


def clean_relative(case: Case) -> str:
    samples = []
    for image, depth in case.pairs():
        inverse = 1 / depth
        low, high = inverse.min(), inverse.max()
        samples.append(Stored(image, np.rint((inverse - low) / (high - low) * 65535).astype(np.uint16)))
    return case.write(samples, "kind=disparity&invariant=affine&zero=value", ("png beside", "folders", "tar"))


def clean_sensor(case: Case) -> str:
    """Holes beside jumps and noise that grows with the square of depth, as of a structured-light camera."""
    pairs = []
    for image, depth in case.pairs(("indoor", "photos")):
        noisy = depth + case.rng.normal(0, 0.002, depth.shape) * depth**2
        step = np.abs(np.diff(np.log(depth), axis=1, prepend=np.log(depth[:, :1]))) > 0.1
        hole = step | np.roll(step, 2, 1) | np.roll(step, -2, 1) | ~(noisy > 0.1)
        pairs.append((image, np.where(hole, np.nan, noisy).astype(np.float32)))
    return case.write_metres(pairs)


def clean_sparse(case: Case) -> str:
    """A lidar's rows: 5 % of the pixels, no sky."""
    pairs = []
    for image, depth in case.pairs():
        seen = np.zeros(depth.shape, bool)
        seen[::4] = case.rng.random(seen[::4].shape) < 0.2
        pairs.append((image, np.where(seen & np.isfinite(depth), depth, np.nan).astype(np.float32)))
    return case.write_metres(pairs)


def turned(pairs: Sequence[Pair], orientations: Sequence[int], label_turned: bool) -> list[Stored]:
    """Photos stored as a camera held otherwise stores them; their labels as the pixels, or upright."""
    samples = []
    for number, (image, depth) in enumerate(pairs):
        orientation = orientations[number % len(orientations)]
        quarters, half = STORED_AS.get(orientation, (0, False))
        pixels = np.rot90(image, 2 if half else quarters)
        label = np.rot90(depth, 2 if half else quarters) if label_turned else depth
        samples.append(Stored(np.ascontiguousarray(pixels), np.ascontiguousarray(label), orientation))
    return samples


def clean_turned(case: Case) -> str:
    samples = turned(case.pairs(), (1, 6, 3, 8), True)
    return case.write(samples, "label_frame=stored")


def clean_with_notes(case: Case) -> str:
    spec = case.write_metres(case.pairs())
    for name in ("README.md", "license.txt", "split.csv", ".DS_Store"):
        (case.folder / name).write_text("notes")
    return spec


def clean_scenes(case: Case) -> str:
    domain = MATERIALS[case.number % 2 * 2]
    return f"scenes:{domain}?count=64&seed={case.number}&start={case.number * 64}"


def clean_range(case: Case) -> str:
    """Metres up to a range that cuts off what is far."""
    return case.write_metres(case.pairs(), "max_depth_m=20")


CLEAN: tuple[Callable[[Case], str], ...] = (
    clean_metres, clean_metres, clean_metres, clean_disparity, clean_relative, clean_sensor, clean_sparse, clean_turned,
    clean_with_notes, clean_scenes, clean_range, clean_sensor,
)  # fmt: skip
