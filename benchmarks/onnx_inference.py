"""onnxruntime on an exported student against torch on the same student: same images, side by side in one run.

    python benchmarks/onnx_inference.py                     # ViT-S, float32, 518 x 518 and 392 x 518, batch 1
    python benchmarks/onnx_inference.py --rounds 3 --batch 1 4 --opset 20

Random weights, so nothing is downloaded. The export is what `export_onnx` writes, checked by it and once more here
before anything is timed. Both use as many threads as torch does (OMP_NUM_THREADS). Times are medians over rounds that
alternate between the two, `low` and `high` the smallest and largest ratio of a round; above 1 onnxruntime is faster.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import torch
from transformers import DepthAnythingConfig, set_seed

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.modeling import DepthStudentConfig, DepthStudentForDepthEstimation
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.publishing.exports.onnx import OPSET, export_onnx

SIZES_PX = ((518, 518), (392, 518))
# Largest difference over the range of torch's output.
TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class OnnxOptions:
    """Options of this program."""

    rounds: int = option(7, help="timed, after one to warm up")
    batch: tuple[int, ...] = option((1,), help="images in a batch; lines for each")
    opset: int = option(OPSET, help="ONNX operator set of the export")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("rounds", "batch", "opset"):
            check_at_least(self, name, 1)


def make_student(folder: Path) -> DepthStudentForDepthEstimation:
    """A student of ViT-S size with random weights, saved."""
    set_seed(0)
    config = DepthStudentConfig(backbone_config=DepthAnythingConfig().backbone_config)
    student = DepthStudentForDepthEstimation(config).eval()
    student.save_pretrained(folder)
    Preprocessing(size=518, multiple=14).to_image_processor().save_pretrained(folder)
    return student


def seconds(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@torch.inference_mode()
def run(options: OnnxOptions) -> None:
    """Compares and times both runtimes, and prints the table and the result."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as scratch:
        student, file = make_student(Path(scratch, "student")), Path(scratch, "model.onnx")
        took = seconds(lambda: export_onnx(Path(scratch, "student"), file, opset=options.opset))
        weights = Path(scratch, "student", "model.safetensors").stat().st_size
        print(f"export and its check took {took:.0f} s; {file.stat().st_size} bytes, safetensors {weights}")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    ratios, agrees = [], True
    print(f"| pixels ({threads} threads) | batch | torch s | onnxruntime s | ratio | low | high | difference |")
    print("|---|---|---|---|---|---|---|---|")
    for high, wide in SIZES_PX:
        for batch in options.batch:
            pixels = torch.randn(batch, 3, high, wide)
            feed = {"pixel_values": pixels.numpy()}
            expected = student(pixel_values=pixels).predicted_depth  # warms both up, too
            found = torch.from_numpy(session.run(["predicted_depth"], feed)[0])
            difference = ((found - expected).abs().max() / (expected.max() - expected.min())).item()
            agrees = agrees and difference <= TOLERANCE
            pairs = [
                (
                    seconds(lambda x=pixels: student(pixel_values=x)),  # type: ignore[misc]
                    seconds(lambda x=feed: session.run(["predicted_depth"], x)),  # type: ignore[misc]
                )
                for _ in range(options.rounds)
            ]
            torch_s, onnx_s = (statistics.median(times) for times in zip(*pairs, strict=True))
            each = [ours / theirs for ours, theirs in pairs]
            ratios.append((torch_s / onnx_s, min(each), max(each)))
            print(
                f"| {high} x {wide} | {batch} | {torch_s:.3f} | {onnx_s:.3f} | {ratios[-1][0]:.2f} | {min(each):.2f} "
                f"| {max(each):.2f} | {difference:.1e} |"
            )
    middle = statistics.geometric_mean(ratio for ratio, _, _ in ratios)
    lowest, highest = min(low for _, low, _ in ratios), max(high for _, _, high in ratios)
    print(f"RESULT onnx_inference ratio={middle:.2f} low={lowest:.2f} high={highest:.2f} agrees={str(agrees).lower()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/onnx_inference.py", OnnxOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
