"""Faults that are put into labeled sets on purpose: how many the source report names, and what it says of clean sets.

    python benchmarks/seeded_faults.py             # 65 faults of 13 kinds, 60 clean sets, of scenes and composed photos
    python benchmarks/seeded_faults.py --each 1    # one of each kind

A fault counts as named if one of the findings that stand for its kind is among those of the report; in a clean set any
finding is a false alarm. Sets have 8 to 16 samples, in folders, parquet files and tars.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from seeded_sets import FORMS, Pair, Pool, Stored, millimetres, store

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.data.source_spec import parse_source
from semidepth.evaluation.source_report.report import report_on

MATERIALS = ("indoor", "photos", "outdoor")
STORED_AS = {3: (0, True), 6: (1, False), 8: (-1, False)}  # quarter turns of the pixels by EXIF orientation


@dataclass(frozen=True, kw_only=True)
class FaultOptions:
    """Options of this program."""

    each: int = option(5, help="sets of each kind")
    seed: int = option(0, help="random seed of the sets")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        check_at_least(self, "each", 1)
        check_at_least(self, "seed", 0)


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


# Clean sets


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


# Faults


def fault_millimetres(case: Case) -> str:
    pairs = case.pairs()
    if case.number % 2:
        return case.write([Stored(image, depth * 1000) for image, depth in pairs])
    return case.write([Stored(image, millimetres(depth)) for image, depth in pairs], "depth_scale=1&sky=65535")


def fault_other_unit(case: Case) -> str:
    pairs = case.pairs()
    if case.number % 2:  # divided by its own largest depth
        return case.write([Stored(image, depth / depth[np.isfinite(depth)].max()) for image, depth in pairs])
    return case.write([Stored(image, depth / 1000) for image, depth in pairs])  # the scale applied twice


def fault_inverted(case: Case) -> str:
    pairs = case.pairs()
    way = case.number % 3
    if way == 0:  # metres read as inverse metres
        return case.write_metres(pairs, "kind=disparity")
    if way == 1:  # inverse metres read as metres
        return case.write([Stored(image, np.where(np.isinf(depth), 0, 1 / depth)) for image, depth in pairs])
    samples = []
    for image, depth in pairs:  # white is near: measured from the farthest
        finite = np.where(np.isinf(depth), depth[np.isfinite(depth)].max(), depth)
        samples.append(Stored(image, finite.max() - finite + 0.1))
    return case.write(samples)


def fault_mirrored(case: Case) -> str:
    return case.write_metres([(image, depth[:, ::-1]) for image, depth in case.pairs()])


def fault_upside_down(case: Case) -> str:
    turn = (lambda depth: depth[::-1]) if case.number % 2 else (lambda depth: depth[::-1, ::-1])
    return case.write_metres([(image, turn(depth)) for image, depth in case.pairs()])


def fault_turned(case: Case) -> str:
    if case.number % 2:
        return case.write_metres([(image, np.rot90(depth)) for image, depth in case.pairs(square=True)])
    samples = turned(case.pairs(square=True), (3, 1), False)  # written from upright pictures, read as stored
    return case.write(samples)


def fault_other_pairs(case: Case) -> str:
    pairs = case.pairs()
    return case.write_metres([(image, pairs[number - 1][1]) for number, (image, _) in enumerate(pairs)])


def fault_moved(case: Case) -> str:
    axis, share = case.number % 2, case.rng.uniform(0.03, 0.08) * (-1) ** (case.number // 2)
    return case.write_metres(
        [(image, np.roll(depth, round(share * depth.shape[axis]), axis)) for image, depth in case.pairs()]
    )


def fault_constant(case: Case) -> str:
    pairs = case.pairs()
    if case.number % 2:
        return case.write_metres([(image, pairs[0][1]) for image, _ in pairs])
    wrong = max(2, len(pairs) // 4)
    flat = [(image, np.full_like(depth, 3.0)) for image, depth in pairs[:wrong]]
    return case.write_metres(flat + pairs[wrong:])


def fault_far_end(case: Case) -> str:
    far = (5.0, 10.0, 8.0)[case.number % 3]
    pairs = case.pairs(("outdoor", "photos"))
    return case.write_metres([(image, np.minimum(depth, far)) for image, depth in pairs])


def fault_sky_indoors(case: Case) -> str:
    samples = []
    for image, depth in case.pairs(("indoor", "photos")):
        hole = np.isinf(depth)
        for _ in range(6):  # where a sensor got no answer
            row, column = (int(case.rng.integers(0, length * 3 // 4)) for length in depth.shape)
            hole[row : row + depth.shape[0] // 4, column : column + depth.shape[1] // 6] = True
        samples.append(Stored(image, np.where(hole, 0, millimetres(depth)).astype(np.uint16)))
    return case.write(samples, "depth_scale=0.001&zero=sky&domain=indoor", ("png beside", "folders", "tar"))


def fault_left_out(case: Case) -> str:
    pairs = case.pairs()
    spec = case.write([Stored(image, depth) for image, depth in pairs], forms=("npy beside", "folders"))
    way = case.number % 5
    photos, labels = sorted(case.folder.rglob("*.jpg")), sorted(case.folder.rglob("*.npy"))
    if way == 0:  # labels of some photos are missing
        for label in labels[: len(labels) // 3]:
            label.unlink()
    elif way == 1:  # photos in a format that is not read
        for photo in photos[:3]:
            photo.rename(photo.with_suffix(".dng"))
    elif way == 2:  # labels that are called otherwise
        for label in labels[:4]:
            label.rename(label.with_name(label.name.replace(label.stem, f"{label.stem}_x")))
    elif way == 3:  # another kind of file in the same folder
        (case.folder / "more.zip").write_bytes(b"PK\x03\x04")
    else:  # a link to nothing
        (case.folder / "z.jpg").symlink_to(case.folder / "gone.jpg")
    return spec


def fault_no_depth(case: Case) -> str:
    way = case.number % 3
    samples = []
    for image, depth in case.pairs():
        label = np.where(np.isinf(depth), np.nan, depth).astype(np.float32)
        if way == 0:  # flipped bits
            bits = label.view(np.uint32).copy()
            bits.flat[case.rng.integers(0, bits.size, 5)] ^= np.uint32(1 << 30)
            label = bits.view(np.float32)
        elif way == 1:  # 16 bits in the wrong order
            samples.append(Stored(image, millimetres(depth).byteswap()))
            continue
        else:  # a code that is not named
            label = np.where(case.rng.random(label.shape) < 0.1, np.float32(-1), label)
        samples.append(Stored(image, label))
    return case.write(samples, "depth_scale=0.001" if way == 1 else "", ("npy beside", "png beside", "folders", "tar"))


FAULTS: dict[str, tuple[Callable[[Case], str], tuple[str, ...]]] = {
    "millimetres": (fault_millimetres, ("unit",)),
    "another unit": (fault_other_unit, ("unit",)),
    "inverted": (fault_inverted, ("direction",)),
    "mirrored": (fault_mirrored, ("edges",)),
    "upside down": (fault_upside_down, ("edges",)),
    "turned": (fault_turned, ("edges",)),
    "another's label": (fault_other_pairs, ("edges",)),
    "moved": (fault_moved, ("edges",)),
    "constant": (fault_constant, ("constant labels", "equal labels")),
    "far end": (fault_far_end, ("far end",)),
    "sky indoors": (fault_sky_indoors, ("sky indoors",)),
    "left out": (fault_left_out, ("files left out",)),
    "no depth": (fault_no_depth, ("no sane depth",)),
}


def run(options: FaultOptions) -> None:
    """Makes the sets, reports on them, and prints what was named."""
    pool, named, alarms = Pool(), 0, 0
    with tempfile.TemporaryDirectory() as temporary:

        def report(make: Callable[[Case], str], kind: int, number: int) -> tuple[str, ...]:
            rng = np.random.default_rng([options.seed, kind, number])
            case = Case(rng, pool, number, Path(temporary) / f"{kind}-{number}")
            return tuple(finding.name for finding in report_on(parse_source(make(case)), labeled=True).findings)

        print("| fault | named | as |\n|---|---|---|")
        for kind, (name, (make, expected)) in enumerate(FAULTS.items()):
            found = [report(make, kind, number) for number in range(options.each)]
            hits = sum(bool({*names} & {*expected}) for names in found)
            named += hits
            told = ", ".join(sorted({each for names in found for each in names}))
            print(f"| {name} | {hits} of {options.each} | {told} |", flush=True)
        for kind, make in enumerate(CLEAN, start=len(FAULTS)):
            for number in range(options.each):
                if names := report(make, kind, number):
                    alarms += 1
                    print(f"| {make.__name__} {number} | false alarm | {', '.join(names)} |", flush=True)
    faults, clean = len(FAULTS) * options.each, len(CLEAN) * options.each
    print(f"RESULT seeded_faults named={named}/{faults} share={named / faults:.3f} clean={clean} false_alarms={alarms}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/seeded_faults.py", FaultOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
