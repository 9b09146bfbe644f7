"""One student in torch, onnxruntime and OpenVINO, and stock Depth Anything with the same weights, side by side.

    python benchmarks/runtimes.py                            # ViT-S, 518 x 518, batch 1, float32 and bfloat16
    python benchmarks/runtimes.py --rounds 3 --batch 1 4 --size 448 --dtype float32

Random weights, so nothing is downloaded. Ours are loaded as `semidepth.load_model(..., runtime=...)` gives them; the
export is checked when it is made, and all outputs are compared once more before anything is timed. The peer is the
stock class of transformers called plainly. All use as many threads as torch does (OMP_NUM_THREADS). onnxruntime has no
bfloat16 on a CPU. Times are medians over rounds that alternate between all; `low` and `high` are the smallest and
largest ratio to stock within a round; above 1 is faster than stock.
"""

import copy
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, set_seed

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.modeling import DepthStudentConfig, DepthStudentForDepthEstimation
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.preprocessing import Preprocessing

# Largest difference from stock in float32 over the range of its output: the order of sums, or 8 bits of mantissa.
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
RUNTIMES = {"float32": ("torch", "onnx", "openvino"), "bfloat16": ("torch", "openvino")}
Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """Options of this program."""

    rounds: int = option(7, help="timed, after one to warm up")
    batch: tuple[int, ...] = option((1,), help="images in a batch; lines for each")
    size: int = option(518, help="side of the images, pixels; a multiple of 14")
    dtype: tuple[Literal["float32", "bfloat16"], ...] = option(("float32", "bfloat16"), help="lines for each")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("rounds", "batch", "size"):
            check_at_least(self, name, 1)
        if self.size % 14:
            raise ValueError(f"--size is {self.size}; give a multiple of 14.")


def make_models(folder: Path) -> DepthAnythingForDepthEstimation:
    """Returns the stock class with random weights of ViT-S size, and saves the student with the same."""
    set_seed(0)
    config = DepthAnythingConfig()
    student = DepthStudentForDepthEstimation(DepthStudentConfig(backbone_config=copy.deepcopy(config.backbone_config)))
    student.eval().save_pretrained(folder)
    Preprocessing(size=518, multiple=14).to_image_processor().save_pretrained(folder)
    stock = DepthAnythingForDepthEstimation(config).eval()
    stock.load_state_dict(student.state_dict())
    return stock


def contestants(stock: DepthAnythingForDepthEstimation, folder: Path, dtype: str) -> dict[str, Call]:
    """Returns what is compared in a precision: name -> function of normalised pixels."""
    kind = getattr(torch, dtype)
    plain = copy.deepcopy(stock).to(kind)
    found: dict[str, Call] = {"stock": lambda pixels: plain(pixel_values=pixels.to(kind)).predicted_depth.float()}
    for runtime in RUNTIMES[dtype]:
        model = load_depth_model(folder, dtype=kind, runtime=runtime)  # type: ignore[arg-type]
        found[runtime] = lambda pixels, model=model: model.predict(pixels).values  # type: ignore[misc]
    return found


def seconds(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@torch.inference_mode()
def run(options: RuntimeOptions) -> None:
    """Compares and times all, and prints the table and the results."""
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SEMIDEPTH_CACHE"] = scratch
        stock = make_models(Path(scratch, "student"))
        print(f"| dtype ({torch.get_num_threads()} threads) | batch | | s | times stock | low | high | difference |")
        print("|---|---|---|---|---|---|---|---|")
        for dtype in options.dtype:
            calls = contestants(stock, Path(scratch, "student"), dtype)
            for batch in options.batch:
                pixels = torch.randn(batch, 3, options.size, options.size)
                expected = stock(pixel_values=pixels).predicted_depth
                results += compare(calls, pixels, expected, dtype, options.rounds)
    for line in results:
        print(line)


def compare(calls: dict[str, Call], pixels: Tensor, expected: Tensor, dtype: str, rounds: int) -> list[str]:
    """Prints a line for each; returns the RESULT lines."""
    span = (expected.max() - expected.min()).item()
    differences = {name: ((call(pixels) - expected).abs().max() / span).item() for name, call in calls.items()}
    timed = [{name: seconds(lambda call=call: call(pixels)) for name, call in calls.items()} for _ in range(rounds)]
    results = []
    for name, difference in differences.items():
        took = statistics.median(times[name] for times in timed)
        each = sorted(times["stock"] / times[name] for times in timed)
        middle, low, high = statistics.median(each), each[0], each[-1]
        ratios = f"{middle:.2f} | {low:.2f} | {high:.2f}"
        print(f"| {dtype} | {len(pixels)} | {name} | {took:.3f} | {ratios} | {difference:.1e} |")
        agrees = str(difference <= TOLERANCE[dtype]).lower()
        if name != "stock":
            results.append(
                f"RESULT runtimes {dtype} batch={len(pixels)} {name} ratio={middle:.2f} low={low:.2f} high={high:.2f} "
                f"agrees={agrees}"
            )
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/runtimes.py", RuntimeOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
