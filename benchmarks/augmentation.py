"""Speed of each augmentation beside the loader that feeds it: milliseconds per image, on one thread.

    python benchmarks/augmentation.py                    # pictures that it makes up, of 640 x 480, to 518 px
    python benchmarks/augmentation.py --size 224 --device cuda

The loader is training's: JPEG decoding (and 16-bit PNG depth), crop, resizing, stacking, without further processes. An
augmentation is timed on batches as the loader gives them, at its usual probability. On a CPU the time is that of the
processor, so that other work on the machine does not count; rounds alternate between all of them. The medians are
shown, and the ratio to the loader of photos and of frames with depth.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from datasets.utils.logging import disable_progress_bar
from input_pipeline import rows_needed
from parts.frame_files import write_shards

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.loading import BatchLoader
from semidepth.data.streaming.plan import StreamPlan
from semidepth.training.augmentation.camera import camera_effects
from semidepth.training.augmentation.strong import StrongAugmentation, apply_cutmix, cutmix_masks, distort_colors
from semidepth.training.options.run import CameraEffect


@dataclass(frozen=True, kw_only=True)
class AugmentationOptions:
    """Options of this program."""

    size: int = option(518, help="side of the crop, pixels")
    batch: int = option(8, help="images of a call")
    rounds: int = option(20, help="timed, after one to warm up")
    device: Literal["cpu", "cuda"] = option("cpu", help="device of the augmentations")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("size", "batch", "rounds"):
            check_at_least(self, name, 1)


def open_loader(folder: Path, options: AugmentationOptions, *, labeled: bool, **plan: Any) -> Iterator[dict[str, Any]]:
    """Yields batches of made-up pictures without end, decoded in this process."""
    folder.mkdir(exist_ok=True)
    if not any(folder.iterdir()):
        count = rows_needed(rounds=options.rounds, images=options.batch, batch=options.batch, workers=0)
        write_shards(folder, None, count, labeled)
    sources = parse_sources(sorted(str(path) for path in folder.glob("[0-9].parquet")))
    setting = {"labeled": labeled, "size": options.size, "shuffle_buffer": 64, "repeat": True}
    return iter(BatchLoader(StreamPlan(sources, **(setting | plan)), batch_size=options.batch))


def augmentations(images: torch.Tensor, disparity: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """Returns each augmentation of a batch, at its default strength and probability."""
    generator, strong = torch.Generator().manual_seed(0), StrongAugmentation()

    def cutmix() -> None:
        apply_cutmix(images, cutmix_masks(len(images), *images.shape[-2:], generator, strong, images.device))

    def camera(effect: CameraEffect) -> Callable[[], Any]:
        return lambda: camera_effects(images, disparity, [effect], generator)

    return {
        "colours and Gaussian blur": lambda: distort_colors(images, generator, strong),
        "CutMix": cutmix,
        **{effect: camera(effect) for effect in get_args(CameraEffect)},
    }


def milliseconds(run: Callable[[], Any], images: int, device: torch.device) -> float:
    """Returns the time of one call, per image: the processor's, or the clock's with a GPU."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    began = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - began) / images * 1e3


def compare(folder: Path, options: AugmentationOptions) -> dict[str, float]:
    """Returns the median milliseconds per image of loaders and augmentations."""
    device = torch.device(options.device)
    loaders = {
        "loader, photos": open_loader(folder / "photos", options, labeled=False),
        "loader, photos, crops of 50 %": open_loader(folder / "photos", options, labeled=False, smallest_crop=0.5),
        "loader, frames with depth": open_loader(folder / "frames", options, labeled=True),
        "loader, frames, crops of 50 %": open_loader(folder / "frames", options, labeled=True, smallest_crop=0.5),
    }
    batch = next(loaders["loader, frames with depth"])
    images, disparity = batch["image"].to(device).float() / 255, batch["disparity"].to(device)
    runs = {name: lambda loader=loader: next(loader) for name, loader in loaders.items()}
    runs |= augmentations(images, disparity)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        for name, run in runs.items():
            found = milliseconds(run, options.batch, device)
            if number:  # the first round warms up
                times[name].append(found)
    return {name: statistics.median(each) for name, each in times.items()}


def run(options: AugmentationOptions) -> None:
    """Times loaders and augmentations, and prints the table and the result."""
    torch.set_num_threads(1)
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        found = compare(Path(name), options)
    photos, frames = found["loader, photos"], found["loader, frames with depth"]
    print(f"{options.size} px, {options.device}, one thread, median of {options.rounds} rounds\n")
    print("| | ms per image | of the loader of photos | of frames |\n|---|---|---|---|")
    for label, each in found.items():
        print(f"| {label} | {each:.2f} | {each / photos:.2f} | {each / frames:.2f} |")
    slowest = max((name for name in found if not name.startswith("loader")), key=found.__getitem__)
    print(f"\nRESULT augmentation slowest={slowest.replace(' ', '_')} of_frames={found[slowest] / frames:.2f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/augmentation.py", AugmentationOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
