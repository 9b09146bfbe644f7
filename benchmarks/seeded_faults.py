"""Faults that are put into labeled sets on purpose: how many the source report names, and what it says of clean sets.

    python benchmarks/seeded_faults.py             # 90 faults of 18 kinds, 70 clean sets, of scenes and composed photos
    python benchmarks/seeded_faults.py --each 1    # one of each kind

A fault counts as named if one of the findings that stand for its kind is among those of the report, and if it names the
part where only one of four files or folders is wrong; in a clean set any finding is a false alarm. Sets have 8 to 16
samples, those of four parts 32, in folders, parquet files and tars.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from parts.clean_sets import CLEAN, Case, turned
from parts.divided_sets import (
    WRONG,
    clean_mixed_parts,
    clean_parts,
    part_constant,
    part_in_millimetres,
    part_inverted,
    part_mirrored,
    part_of_others,
)
from parts.labeled_sets import Pool, Stored, millimetres

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.data.source_spec import parse_source
from semidepth.evaluation.source_report.findings import Finding
from semidepth.evaluation.source_report.report import report_on


@dataclass(frozen=True, kw_only=True)
class FaultOptions:
    """Options of this program."""

    each: int = option(5, help="sets of each kind")
    seed: int = option(0, help="random seed of the sets")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        check_at_least(self, "each", 1)
        check_at_least(self, "seed", 0)


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
PART_FAULTS: dict[str, tuple[Callable[[Case], str], tuple[str, ...]]] = {
    "a part in millimetres": (part_in_millimetres, ("unit",)),
    "a part inverted": (part_inverted, ("direction",)),
    "a part mirrored": (part_mirrored, ("edges",)),
    "a part of others' labels": (part_of_others, ("edges",)),
    "a part constant": (part_constant, ("constant labels",)),
}


def run(options: FaultOptions) -> None:
    """Makes the sets, reports on them, and prints what was named."""
    pool, named, alarms = Pool(), 0, 0
    clean = (*CLEAN, clean_parts, clean_mixed_parts)
    with tempfile.TemporaryDirectory() as temporary:

        def report(make: Callable[[Case], str], kind: int, number: int) -> tuple[Finding, ...]:
            rng = np.random.default_rng([options.seed, kind, number])
            case = Case(rng, pool, number, Path(temporary) / f"{kind}-{number}")
            return report_on(parse_source(make(case)), labeled=True).findings

        print("| fault | named | as |\n|---|---|---|")
        for kind, (name, (make, expected)) in enumerate((FAULTS | PART_FAULTS).items()):
            found = [report(make, kind, number) for number in range(options.each)]
            part = WRONG if name in PART_FAULTS else ""
            hits = sum(
                any(each.name in expected and each.part.partition("/")[0] == part for each in findings)
                for findings in found
            )
            named += hits
            told = ", ".join(
                sorted({each.name + f" in {each.part}" * bool(each.part) for all_ in found for each in all_})
            )
            print(f"| {name} | {hits} of {options.each} | {told} |", flush=True)
        for kind, make in enumerate(clean, start=len(FAULTS) + len(PART_FAULTS)):
            for number in range(options.each):
                if findings := report(make, kind, number):
                    alarms += 1
                    told = ", ".join(each.name for each in findings)
                    print(f"| {make.__name__} {number} | false alarm | {told} |", flush=True)
    faults, sets = (len(FAULTS) + len(PART_FAULTS)) * options.each, len(clean) * options.each
    print(f"RESULT seeded_faults named={named}/{faults} share={named / faults:.3f} clean={sets} false_alarms={alarms}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/seeded_faults.py", FaultOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
