"""Measure the loader's samples per second beside plain `datasets` + Pillow + DataLoader.

    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --photos 'photos/*.parquet' --frames 'frames/*.parquet' --workers 2

Photos are JPEGs without labels, frames are a JPEG and a 16-bit depth PNG: 640 x 480, made here unless `--photos` or
`--frames` name parquet files with the columns `image` (`depth`, `depth_scale`). Either side turns the same files into
batches of random `size` x `size` crops, flipped or not: uint8 RGB and, for frames, depth and disparity in float32.
What the two make of the same picture is compared before anything is timed.

A round times ours, the peer and the raw speed in turn, each warm; shown are medians over rounds. Raw is what our
decoding and resizing alone reach on files that are in memory already, in as many processes as there are workers.
The last lines are for machines: median, lowest and highest ratio of ours to the peer's over all rounds of all numbers
of workers, and the share of the raw speed likewise.
"""

import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars, load_dataset
from parts.frame_files import features_of, square, write_shards
from PIL import Image as Pillow
from PIL import ImageOps
from torch.utils.data import DataLoader, IterableDataset

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.data.decoding import decode_image
from semidepth.data.depth_decoding import DepthCoding, decode_depth
from semidepth.data.preparing import prepare_sample
from semidepth.data.samples import Sample
from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.loading import BatchLoader
from semidepth.data.streaming.plan import StreamPlan

SHUFFLE_BUFFER = 64
PREFETCHED = 2  # batches per worker, torch's default


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """Options of this program."""

    photos: str | None = option(None, help="parquet files of images", metavar="GLOB")
    frames: str | None = option(None, help="parquet files of images and depth", metavar="GLOB")
    only: Literal["photos", "frames"] | None = option(None, help="leave the other one out")
    workers: tuple[int, ...] = option((0, 1, 2), help="loader processes; one line for each")
    size: int = option(518, help="side of the crops, pixels")
    batch: int = option(8, help="images in a batch")
    images: int = option(160, help="timed in each round")
    rounds: int = option(5, help="timed, after one to warm up")
    pause: float = option(0.5, help="seconds between measurements with workers")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("size", "batch", "rounds"):
            check_at_least(self, name, 1)
        check_at_least(self, "images", max(self.batch, *self.workers))
        check_at_least(self, "workers", 0)
        check_at_least(self, "pause", 0)


# The peer


class Plain(IterableDataset):
    """Training crops by `datasets` and Pillow, as one would write it: resize the shorter side, crop, flip."""

    def __init__(self, files: Sequence[str], labeled: bool, size: int, shuffle: bool = True) -> None:
        rows = load_dataset("parquet", data_files=list(files), split="train", streaming=True)
        rows = rows.shuffle(seed=0, buffer_size=SHUFFLE_BUFFER) if shuffle else rows
        self.rows = rows.repeat(None)
        self.labeled = labeled
        self.size = size

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for row in self.rows:
            image = row["image"].convert("RGB")
            scale = self.size / min(image.size)
            sides = [max(self.size, round(side * scale)) for side in image.size]
            left, top = (random.randint(0, side - self.size) for side in sides)
            box = (left, top, left + self.size, top + self.size)
            flip = random.random() < 0.5
            image = image.resize(sides, Pillow.Resampling.BILINEAR).crop(box)
            image = ImageOps.mirror(image) if flip else image
            sample = {"image": torch.from_numpy(np.array(image)).permute(2, 0, 1)}  # (S, S, 3) -> (3, S, S)
            if self.labeled:
                depth = row["depth"].resize(sides, Pillow.Resampling.NEAREST).crop(box)
                depth = ImageOps.mirror(depth) if flip else depth
                metres = np.array(depth, dtype=np.float32) * row["depth_scale"]
                metres[metres == 0] = np.nan
                sample["depth"] = torch.from_numpy(metres)
                sample["disparity"] = 1.0 / sample["depth"]
            yield sample


# Agreement


def check_agreement(folder: Path, rows: Sequence[dict[str, Any]], labeled: bool, size: int) -> str:
    """Give both sides pictures that are square, where there is one crop only, and compare but for the flip.

    Returns what was found; raises ValueError where images differ by more than two grey levels, or depth at all.
    """
    squares = [square(row) for row in rows]
    columns = list(squares[0])
    Dataset.from_list(squares, features=features_of(columns)).to_parquet(folder / "squares.parquet")
    files = [str(folder / "squares.parquet")]
    count = len(rows)
    plan = StreamPlan(parse_sources(files), labeled=labeled, size=size, repeat=True)
    ours = next(iter(BatchLoader(plan, batch_size=count)))
    peer = next(iter(DataLoader(Plain(files, labeled, size, shuffle=False), batch_size=count)))
    worst = 0
    for number in range(count):
        found = {}
        for flip in (False, True):
            image = ours["image"][number].flip(-1) if flip else ours["image"][number]
            found[flip] = int((image.int() - peer["image"][number].int()).abs().max())
        flip = found[True] < found[False]
        worst = max(worst, found[flip])
        for key in ("depth", "disparity") if labeled else ():
            values = ours[key][number].flip(-1) if flip else ours[key][number]
            if not torch.allclose(values, peer[key][number], rtol=1e-6, atol=0.0, equal_nan=True):
                raise ValueError(f"{key} of frame {number} differs from the peer's; the two must agree to be compared")
    if worst > 2:
        raise ValueError(f"images differ from the peer's by {worst} grey levels; the two must agree to be compared")
    return f"images agree to {worst} grey level(s)" + (", depth and disparity to rounding" if labeled else "")


# Timing


def rate_of_batches(batches: Iterator[dict[str, torch.Tensor]], batch: int, images: int, workers: int) -> float:
    """Images per second of a loader that runs on: what it had ready is taken first and not counted."""
    for _ in range(1 + PREFETCHED * workers):
        next(batches)
    began = time.perf_counter()
    for _ in range(images // batch):
        next(batches)
    return images // batch * batch / (time.perf_counter() - began)


def rate_of_decoding(rows: Sequence[dict[str, Any]], size: int, images: int, workers: int) -> float:
    """Images per second of decoding and resizing alone, over all processes."""
    if not workers:
        return images / decode_all(rows, size, images)
    ready, seconds = multiprocessing.Barrier(workers), multiprocessing.SimpleQueue()
    arguments = (rows, size, images // workers, ready, seconds)
    processes = [multiprocessing.Process(target=decode_beside, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    found = [seconds.get() for _ in processes]
    for process in processes:
        process.join()
    return sum(images // workers / each for each in found)


def decode_beside(rows: Sequence[dict[str, Any]], size: int, images: int, ready: Any, seconds: Any) -> None:
    torch.set_num_threads(1)  # as in a worker of the loader
    decode_all(rows, size, 8)
    ready.wait()
    seconds.put(decode_all(rows, size, images))


def decode_all(rows: Sequence[dict[str, Any]], size: int, images: int) -> float:
    """Seconds for so many rows, starting over at the end."""
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    for number in range(images):
        row = rows[number % len(rows)]
        depth = decode_depth(row["depth"]["bytes"], DepthCoding(scale=row["depth_scale"])) if "depth" in row else None
        sample = Sample(image=decode_image(row["image"]["bytes"]), depth=depth, domain="", origin="")
        prepare_sample(sample, size, rng, train=True)
    return time.perf_counter() - began


def compare(folder: Path, rows: Sequence[dict[str, Any]], labeled: bool, args: PipelineOptions) -> tuple[list, list]:
    """Print one line for each number of workers; return the ratios to the peer and the shares of the raw speed."""
    files = sorted(str(path) for path in folder.glob("[0-9].parquet"))
    plan = StreamPlan(parse_sources(files), labeled=labeled, size=args.size, shuffle_buffer=SHUFFLE_BUFFER, repeat=True)
    ratios, shares = [], []
    print("  workers     ours     peer      raw  images/s    ours / peer           ours / raw")
    for workers in args.workers:
        ours = iter(BatchLoader(plan, batch_size=args.batch, num_workers=workers))
        peer = iter(DataLoader(Plain(files, labeled, args.size), batch_size=args.batch, num_workers=workers))
        rounds = []
        for number in range(args.rounds + 1):
            found = []
            for batches in (ours, peer):
                found.append(rate_of_batches(batches, args.batch, args.images, workers))
                time.sleep(args.pause if workers else 0)  # until the workers have filled up what they keep ready
            found.append(rate_of_decoding(rows, args.size, args.images, workers))
            if number:  # the first round warms up
                rounds.append(found)
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        rates = " ".join(f"{rate:8.1f}" for rate in medians)
        ratio, share = [own / other for own, other, _ in rounds], [own / raw for own, _, raw in rounds]
        print(f"  {workers:7} {rates}{'':12}{spread(ratio)}   {spread(share)}")
        ratios, shares = ratios + ratio, shares + share
    return ratios, shares


def rows_needed(*, rounds: int, images: int, batch: int, workers: int) -> int:
    """Rows that no loader comes to the end of: there `datasets` may sleep for 5 s, which no short round should hold."""
    taken = (rounds + 1) * (images + batch * (1 + PREFETCHED * workers))
    return taken + max(1, workers) * (SHUFFLE_BUFFER + batch * PREFETCHED)


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def run(args: PipelineOptions) -> None:
    """Compares and times both sides for photos and frames, and prints the tables and the results."""
    disable_progress_bars()
    torch.set_num_threads(1)  # as in the workers
    results = []
    for kind in ("photos", "frames") if args.only is None else (args.only,):
        with tempfile.TemporaryDirectory() as name:
            labeled = kind == "frames"
            count = rows_needed(rounds=args.rounds, images=args.images, batch=args.batch, workers=max(args.workers))
            rows = write_shards(Path(name), getattr(args, kind), count, labeled)
            sizes = {
                key: np.mean([len(row[key]["bytes"]) for row in rows]) for key in ("image", "depth")[: 1 + labeled]
            }
            means = ", ".join(f"{key} {size / 1000:.0f} kB" for key, size in sizes.items())
            print(f"{kind}: {len(rows)} different rows, on average {means}")
            print(f"  {check_agreement(Path(name), rows[: args.batch], labeled, args.size)}")
            ratios, shares = compare(Path(name), rows, labeled, args)
        low, high = min(ratios), max(ratios)
        line = f"RESULT input_pipeline_{kind} ratio={statistics.median(ratios):.2f} low={low:.2f} high={high:.2f}"
        results.append(f"{line} agrees=true share_of_raw={statistics.median(shares):.2f}")
    print("\n".join(results))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/input_pipeline.py", PipelineOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
