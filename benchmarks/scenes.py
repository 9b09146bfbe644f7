"""Measure how many built-in scenes are rendered per second.

    python benchmarks/scenes.py
    python benchmarks/scenes.py --threads 1 --sizes 96
    python benchmarks/scenes.py --device cuda --batch 64

Prints the median over repeats with the slowest and the fastest one. The last line is for machines: the mean
of the two domains' medians (lows, highs) at the first size. Every repeat draws new scenes, in styles drawn at
random.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.data.scenes.render import DOMAINS, STYLES, render_scenes


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """Options of this program."""

    sizes: tuple[int, ...] = option((96, 518), help="sides of the pictures, pixels")
    batch: int = option(32, help="pictures per call; at most 16 above 128 pixels")
    images: int = option(320, help="pictures per repeat at 96 pixels, fewer above")
    repeats: int = option(5, help="timed, after one to warm up")
    style: str = option("any", help=f"{', '.join(STYLES)} or any: one drawn for each scene")
    device: str = option("cpu", help="device of torch that renders")
    threads: int | None = option(None, help="torch's threads on the CPU")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("sizes", "batch", "images", "repeats", "threads"):
            check_at_least(self, name, 1)
        if self.style not in (*STYLES, "any"):
            raise ValueError(f"--style is {self.style!r}; choose one of {', '.join(STYLES)}, any.")


def rates(domain: str, size: int, args: SceneOptions) -> list[float]:
    """Pictures per second of each repeat, slowest first."""
    found = []
    batch = args.batch if size <= 128 else min(args.batch, 16)
    batches = max(1, round(args.images * (96 / size) ** 2 / batch))
    for repeat in range(args.repeats + 1):
        start = time.perf_counter()
        for number in range(batches):
            first = (repeat * batches + number) * batch
            scenes = range(first, first + batch)
            picture = render_scenes(domain, scenes, style=args.style, height=size, width=size, device=args.device)
        picture.image[-1, 0, 0, 0].item()  # waits for the device
        if repeat:  # the first one warms up
            found.append(batches * batch / (time.perf_counter() - start))
    return sorted(found)


def run(args: SceneOptions) -> None:
    """Renders, and prints one line for each size and domain and the result."""
    if args.threads:
        torch.set_num_threads(args.threads)
    where = f"{torch.get_num_threads()} threads" if args.device == "cpu" else torch.cuda.get_device_name(args.device)
    print(f"torch {torch.__version__}, {where}, batch {args.batch}, style {args.style}")
    summaries = []
    for size in args.sizes:
        found = [rates(domain, size, args) for domain in DOMAINS]
        for domain, values in zip(DOMAINS, found, strict=True):
            low, high = values[0], values[-1]
            print(f"{domain:8} {size} px: {statistics.median(values):8.1f} images/s ({low:.1f} to {high:.1f})")
        middle = statistics.mean(statistics.median(values) for values in found)
        summaries.append((size, middle, *(statistics.mean(values[end] for values in found) for end in (0, -1))))
    size, middle, low, high = summaries[0]
    spread = f"low={low:.1f} high={high:.1f}"
    print(f"RESULT scenes images_per_s={middle:.1f} {spread} size={size} batch={args.batch}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/scenes.py", SceneOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
