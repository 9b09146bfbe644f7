"""Measure how many built-in scenes are rendered per second.

    python benchmarks/scenes.py
    python benchmarks/scenes.py --threads 1 --sizes 96
    python benchmarks/scenes.py --device cuda --batch 64

Prints the median over repeats with the slowest and the fastest one. The last line is for machines: the mean
of the two domains' medians (lows, highs) at the first size. Every repeat draws new scenes, in styles drawn at
random.
"""

import argparse
import statistics
import time

import torch

from semidepth.data.scenes.render import DOMAINS, STYLES, render_scenes


def rates(domain: str, size: int, args: argparse.Namespace) -> list[float]:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 518])
    parser.add_argument("--batch", type=int, default=32, help="pictures per call; at most 16 above 128 pixels")
    parser.add_argument("--images", type=int, default=320, help="pictures per repeat at 96 pixels, fewer above")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--style", choices=(*STYLES, "any"), default="any")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="torch's threads on the CPU")
    args = parser.parse_args()
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


if __name__ == "__main__":
    main()
