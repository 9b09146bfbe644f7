"""Cost of a training step of the student: FLOP per image, images per second, and the projected cost of a sweep.

    python benchmarks/student_step.py                                   # FLOP of S, B, L and the projection alone
    python benchmarks/student_step.py --measure --mixed_precision bf16  # and steps of --encoder on this device
    python benchmarks/student_step.py --teacher none                    # with pseudo labels that were made before
    python benchmarks/student_step.py --images_per_s 400                # a sweep at a speed that a log shows

Random weights at the published sizes (DINOv2 S, B, L with Depth Anything's decoders), so nothing is downloaded. FLOP
are counted by torch without computing (matrix products and convolutions; a multiplication and an addition are two). The
step that is timed is `training/student.py`'s own: teacher, perturbation, frozen encoder, student, backward pass, AdamW.

What is projected rests on assumptions, each an option: the share of the peak that is reached, how well it scales, and
the price. A sweep shows every unlabeled image once, and 1 labeled image for 2 unlabeled ones.
"""

import copy
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import Dinov2Config, set_seed
from transformers.initialization import no_init_weights

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least, check_positive
from semidepth.common.options import option
from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.prediction.models import DepthModel
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.engine.loop import to_device, train_step
from semidepth.training.engine.optimization import relative_optimizer
from semidepth.training.options.student import StudentOptions
from semidepth.training.recipes.student import student_losses

PATCH = 14
SHAPES = {"small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}  # width, layers, heads
UNLABELED_PER_LABELED = 2


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """Options of this program."""

    encoder: Literal["small", "base", "large"] = option("small", help="the student that is timed")
    teacher: Literal["small", "base", "large", "none"] = option("large", help="none: with pseudo labels")
    size: int = option(518, help="side of the crop, pixels")
    measure: bool = option(False, help="time steps on this device")
    device: Literal["cpu", "cuda"] = option("cuda" if torch.cuda.is_available() else "cpu", help="that computes")
    mixed_precision: Literal["no", "bf16"] = option("no", help="number format of the forward pass")
    batch: int = option(1, help="labeled images of a step; twice as many unlabeled ones")
    steps: int = option(3, help="that are timed")
    images_per_s: float | None = option(None, help="labeled and unlabeled, of one process's log")
    images: float = option(62e6, help="unlabeled images of the sweep")
    gpus: tuple[int, ...] = option((1, 8, 64), help="numbers of GPUs; a line for each")
    peak: float = option(989e12, help="FLOP/s; 989e12: H100 SXM, bf16, dense")
    share: float = option(0.35, help="of the peak that is reached (assumption)")
    scaling: float = option(0.9, help="of several GPUs against one (assumption)")
    price: float = option(3.0, help="dollars per GPU hour (assumption)")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in ("size", "batch", "steps", "gpus"):
            check_at_least(self, name, 1)
        for name in ("images", "peak", "share", "scaling", "images_per_s"):
            check_positive(self, name)
        check_at_least(self, "price", 0)


def make_model(shape: str) -> DepthStudentForDepthEstimation:
    """An encoder and decoder of the published size, random weights, on torch's default device."""
    width, layers, heads = SHAPES[shape]
    encoder = Dinov2Config(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, patch_size=PATCH, image_size=518
    )
    return DepthStudentForDepthEstimation(DepthStudentForDepthEstimation.config_for_encoder(encoder))


def count_flop(shape: str, size_px: int) -> dict[str, float]:
    """FLOP per image: `forward` and `training` (forward and backward) of the whole model, `encoder` forward alone."""
    found = {}
    with FakeTensorMode(), no_init_weights():  # sizes alone, nothing is computed
        model = make_model(shape)
        model.set_attn_implementation("eager")  # as products that the counter knows
        pixels = torch.empty(1, 3, size_px, size_px)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.backbone(pixels)
        found["encoder"] = float(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(pixels)
        found["forward"] = float(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter:
            model(pixels).predicted_depth.mean().backward()
        found["training"] = float(counter.get_total_flops())
    return found


def measure(options: StepOptions) -> list[float]:
    """Seconds of each of --steps updates after one to warm up, on this device."""
    accelerator = Accelerator(cpu=options.device == "cpu", mixed_precision=options.mixed_precision)
    set_seed(0)
    model: nn.Module = make_model(options.encoder).to(accelerator.device)
    frozen = copy.deepcopy(model.backbone).eval().requires_grad_(False)
    preprocessing = Preprocessing(size=options.size, multiple=PATCH)
    teacher = None
    if options.teacher != "none":
        labels = make_model(options.teacher).to(accelerator.device).eval().requires_grad_(False)
        teacher = DepthModel(labels, preprocessing, "disparity")
    arguments = StudentOptions(batch_size=options.batch)
    optimizer, scheduler = relative_optimizer(model, 1000, options=arguments)
    model, prepared = accelerator.prepare(model.train(), optimizer)
    batch = random_batch(options.batch, options.size)
    generator = torch.Generator().manual_seed(0)

    def compute(model: nn.Module, batch: Any) -> Any:
        return student_losses(
            model, batch, teacher=teacher, frozen_encoder=frozen, preprocessing=preprocessing, generator=generator,
            options=arguments,
        )  # fmt: skip

    times = []
    for _ in range(options.steps + 1):
        began = time.perf_counter()
        on_device = to_device(batch, accelerator.device)
        losses, _ = train_step(accelerator, model, prepared, scheduler, on_device, compute, arguments.max_grad_norm)
        losses.total.item()  # waits for the device
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return times[1:]


def random_batch(labeled: int, size_px: int) -> dict[str, Any]:
    """A batch as the loaders give it, of noise."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, 3, size_px, size_px), dtype=torch.uint8, generator=generator)

    unlabeled = labeled * UNLABELED_PER_LABELED
    return {
        name: {
            "image": images(count),
            "disparity": torch.rand(count, size_px, size_px, generator=generator),
            "origin": [name] * count,
            "labels": ["dense"] * count,
        }
        for name, count in (("labeled", labeled), ("unlabeled", unlabeled))
    }


def flop_of_group(student: dict[str, float], teacher_flop: float) -> float:
    """FLOP of one labeled image with its unlabeled ones; the frozen encoder is as large as the student's."""
    unlabeled = teacher_flop + student["encoder"] + student["training"]
    return student["training"] + UNLABELED_PER_LABELED * unlabeled


def print_projection(images_per_s: float, what: str, options: StepOptions) -> None:
    """Hours and price of a sweep for each number of GPUs, from images (labeled and unlabeled) per second of one."""
    shown = options.images * (1 + 1 / UNLABELED_PER_LABELED)
    for gpus in options.gpus:
        scaling = 1.0 if gpus == 1 else options.scaling
        hours = shown / (images_per_s * gpus * scaling) / 3600
        print(
            f"| {what} | {images_per_s:.4g} | {gpus} | {hours:,.1f} "
            f"| {hours * gpus:,.0f} | {hours * gpus * options.price:,.0f} |"
        )


def print_measured(times: list[float], group: float, options: StepOptions) -> None:
    """Images and FLOP per second of the timed steps."""
    middle = statistics.median(times)
    images = (1 + UNLABELED_PER_LABELED) * options.batch
    print(
        f"\n{options.encoder} on {options.device}, {options.mixed_precision}, {torch.get_num_threads()} threads, batch "
        f"{options.batch} + {images - options.batch}: {middle:.2f} s per step ({min(times):.2f} to {max(times):.2f}), "
        f"{group * options.batch / middle / 1e9:,.0f} GFLOP/s"
    )
    speed, low, high = (images / seconds for seconds in (middle, max(times), min(times)))
    print(f"RESULT student_step images_per_s={speed:.3f} low={low:.3f} high={high:.3f}")


def run(options: StepOptions) -> None:
    """Counts FLOP, times steps where --measure is given, and prints the tables and the result."""
    flop = {shape: count_flop(shape, options.size) for shape in SHAPES}
    teacher = 0.0 if options.teacher == "none" else flop[options.teacher]["forward"]
    print(f"GFLOP per image at {options.size} px; a group is 1 labeled and {UNLABELED_PER_LABELED} unlabeled images")
    print("| size | encoder forward | forward | forward + backward | group as student |\n|---|---|---|---|---|")
    for shape, values in flop.items():
        cells = [values["encoder"], values["forward"], values["training"], flop_of_group(values, teacher)]
        print(f"| {shape} | " + " | ".join(f"{value / 1e9:,.0f}" for value in cells) + " |")

    group, images_per_group = flop_of_group(flop[options.encoder], teacher), 1 + UNLABELED_PER_LABELED
    print("\n| step | images/s of one | GPUs | hours | GPU hours | price, $ |\n|---|---|---|---|---|---|")
    for shape, values in flop.items():
        assumed = options.peak * options.share / flop_of_group(values, teacher) * images_per_group
        print_projection(assumed, f"{shape}, assumed {options.share:.0%} of {options.peak / 1e12:.0f} TFLOP/s", options)
    if options.images_per_s is not None:
        print_projection(options.images_per_s, f"{options.encoder}, as given", options)
    if options.measure:
        print_measured(measure(options), group, options)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/student_step.py", StepOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
