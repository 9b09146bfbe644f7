"""Student against stock Depth Anything: same weights, same images, side by side in one run.

    python benchmarks/student_inference.py                       # ViT-S, 518 x 518, float32 and bfloat16, batch 1 and 4
    python benchmarks/student_inference.py --dtype bfloat16 --attention eager
    python benchmarks/student_inference.py --rounds 3 --batch 1 --compile

Random weights, so nothing is downloaded. Outputs are compared before anything is timed. The peer is the stock class
called plainly, as its documentation does. Times are medians over rounds that alternate between the two, `low` and
`high` the smallest and largest ratio of a round; above 1 the student is faster. The last columns are the student's
seconds in encoder, neck and head.
"""

import copy
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from parts.timing import timed
from torch import nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, set_seed

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.modeling import DepthStudentConfig, DepthStudentForDepthEstimation

SIZE_PX = 518
# Largest difference over largest value: float32 differs by the order of sums, bfloat16 by its 8 bits of mantissa
# (the stock class rounds its output to them).
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}


@dataclass(frozen=True, kw_only=True)
class InferenceOptions:
    """Options of this program."""

    rounds: int = option(7, help="timed, after one to warm up")
    batch: tuple[int, ...] = option((1, 4), help="images in a batch; a line for each")
    dtype: tuple[Literal["float32", "bfloat16"], ...] = option(("float32", "bfloat16"), help="lines for each")
    device: str = option("cuda" if torch.cuda.is_available() else "cpu", help="device of torch that computes")
    attention: str = option("sdpa", help="attn_implementation of the student")
    compile: bool = option(False, help="torch.compile the student")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        check_at_least(self, "rounds", 1)
        check_at_least(self, "batch", 1)


def make_pair(device: torch.device) -> tuple[nn.Module, nn.Module]:
    """The student and the stock class with the same random weights, ViT-S size."""
    set_seed(0)
    config = DepthAnythingConfig()
    own = DepthStudentConfig(backbone_config=copy.deepcopy(config.backbone_config))  # --attention is ours alone
    student = DepthStudentForDepthEstimation(own).to(device)
    student.eval()
    stock = DepthAnythingForDepthEstimation(config).to(device).eval()
    stock.load_state_dict(student.state_dict())
    return student, stock


def run_once(model: nn.Module, pixels: torch.Tensor, device: torch.device) -> float:
    """Seconds of one forward pass."""
    return timed(lambda: model(pixel_values=pixels), device)


def disagreement(student: nn.Module, stock: nn.Module, pixels: torch.Tensor) -> float:
    """Largest difference of the two outputs over the largest stock value."""
    ours = student(pixel_values=pixels).predicted_depth.float()
    theirs = stock(pixel_values=pixels).predicted_depth.float()
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def breakdown(student: nn.Module, pixels: torch.Tensor, device: torch.device, rounds: int) -> dict[str, float]:
    """Median seconds of encoder, neck and head of the student."""
    height, width = (side // patch for side, patch in zip(pixels.shape[-2:], student.head.patch_size, strict=True))
    features = student.backbone(pixels).feature_maps
    fused = student.neck(features, height, width)
    parts: dict[str, Callable[[], object]] = {
        "encoder": lambda: student.backbone(pixels),
        "neck": lambda: student.neck(features, height, width),
        "head": lambda: student.head(fused, height, width),
    }
    return {name: statistics.median(timed(part, device) for _ in range(rounds)) for name, part in parts.items()}


@torch.inference_mode()
def run(options: InferenceOptions) -> None:
    """Compares and times both models, and prints the table and the result."""
    device = torch.device(options.device)
    base_student, base_stock = make_pair(device)
    base_student.set_attn_implementation(options.attention)
    ratios, agrees = [], True
    print("| dtype | batch | stock s | student s | ratio | low | high | difference | encoder | neck | head |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for dtype in (getattr(torch, name) for name in options.dtype):
        student, stock = copy.deepcopy(base_student).to(dtype), copy.deepcopy(base_stock).to(dtype)
        bare = student
        if options.compile:
            student = torch.compile(student)
        for batch in options.batch:
            pixels = torch.randn(batch, 3, SIZE_PX, SIZE_PX, dtype=dtype, device=device)
            difference = disagreement(student, stock, pixels)  # warms both up, too
            agrees = agrees and difference <= TOLERANCE[dtype]
            pairs = [
                (run_once(stock, pixels, device), run_once(student, pixels, device)) for _ in range(options.rounds)
            ]
            stock_s, student_s = (statistics.median(times) for times in zip(*pairs, strict=True))
            each = [theirs / ours for theirs, ours in pairs]
            ratios.append((stock_s / student_s, min(each), max(each)))
            parts = breakdown(bare, pixels, device, max(3, options.rounds // 2))
            shares = " | ".join(f"{seconds:.3f}" for seconds in parts.values())
            print(
                f"| {str(dtype).removeprefix('torch.')} | {batch} | {stock_s:.3f} | {student_s:.3f} "
                f"| {ratios[-1][0]:.2f} | {min(each):.2f} | {max(each):.2f} | {difference:.1e} | {shares} |"
            )
    middle = statistics.geometric_mean(ratio for ratio, _, _ in ratios)
    low, high = min(low for _, low, _ in ratios), max(high for _, _, high in ratios)
    print(f"RESULT student_inference ratio={middle:.2f} low={low:.2f} high={high:.2f} agrees={str(agrees).lower()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/student_inference.py", InferenceOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
