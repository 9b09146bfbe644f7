"""Metric heads against stock ZoeDepth's: same weights, same features, side by side in one run.

    python benchmarks/metric_head.py                       # 384 x 512, one domain and two, batch 1 and 4
    python benchmarks/metric_head.py --rounds 3 --batch 1

Random weights of the published size, so nothing is downloaded; the core (encoder and decoder) is left out, its maps
are random. Outputs and gradients are compared before anything is timed. Times are medians over rounds that alternate
between the two, `low` and `high` the smallest and largest ratio of a round; above 1 ours is faster. Memory is what a
training step of the heads adds at its peak: on a GPU by torch's count, on a CPU by the process' resident size, each
step in a process of its own.
"""

import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import psutil
import torch
from parts.timing import timed
from torch import Tensor, nn
from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation, set_seed

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.modeling import RoutedDepthForDepthEstimation
from semidepth.modeling.depth_cores import CoreFeatures

HEIGHT, WIDTH = 384, 512
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """Options of this program."""

    rounds: int = option(5, help="timed, after one to warm up")
    batch: tuple[int, ...] = option((1, 4), help="images in a batch; lines for each")
    domains: tuple[Literal[1, 2], ...] = option((1, 2), help="heads of the model; lines for each")
    device: str = option("cuda" if torch.cuda.is_available() else "cpu", help="device of torch that computes")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        check_at_least(self, "rounds", 1)
        check_at_least(self, "batch", 1)


def make_pair(domains: int, device: torch.device) -> tuple[nn.Module, RoutedDepthForDepthEstimation]:
    """Stock's metric head and ours with the same random weights; the sizes are the published ones, the encoder tiny."""
    set_seed(0)
    entries = [
        {"name": "nyu", "n_bins": 64, "min_depth": 1e-3, "max_depth": 10.0},
        {"name": "kitti", "n_bins": 64, "min_depth": 1e-3, "max_depth": 80.0},
    ]
    backbone = BeitConfig(
        image_size=64, num_hidden_layers=4, hidden_size=32, intermediate_size=64, num_attention_heads=2,
        use_relative_position_bias=True, reshape_hidden_states=False, out_indices=[1, 2, 3, 4],
    )  # fmt: skip
    config = ZoeDepthConfig(
        backbone_config=backbone, bin_configurations=entries[:domains], num_patch_transformer_layers=4,
        patch_transformer_hidden_size=128, patch_transformer_intermediate_size=1024,
        patch_transformer_num_attention_heads=4,
    )  # fmt: skip
    stock = ZoeDepthForDepthEstimation(config).to(device).eval()
    for module in stock.metric_head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    ours = RoutedDepthForDepthEstimation.from_zoedepth(stock).to(device)
    return stock.metric_head, ours


def make_features(batch: int, device: torch.device) -> CoreFeatures:
    """Random maps of the sizes that a 384 x 512 image gives; equal for every image, so that both pick one head."""
    generator = torch.Generator().manual_seed(0)

    def draw(channels: int, height: int, width: int) -> Tensor:
        return torch.randn(1, channels, height, width, generator=generator).repeat(batch, 1, 1, 1).to(device)

    return CoreFeatures(
        activation=draw(32, HEIGHT, WIDTH).relu(),
        bottleneck=draw(256, HEIGHT // 32, WIDTH // 32),
        blocks=[draw(256, HEIGHT // scale, WIDTH // scale) for scale in (16, 8, 4, 2)],
        relative=draw(1, HEIGHT, WIDTH)[:, 0].abs(),
    )


def run_stock(head: nn.Module, core: CoreFeatures) -> Tensor:
    """(B, H, W) metres."""
    return head(core.activation, core.bottleneck, core.blocks, core.relative)[0].squeeze(1)


def run_ours(model: RoutedDepthForDepthEstimation, core: CoreFeatures) -> Tensor:
    """(B, H, W) metres, the router's work included."""
    return model.metres(core)[0]


def trainable(core: CoreFeatures) -> CoreFeatures:
    """The same maps as leaves with a gradient, as the core's outputs have in training."""
    return replace(
        core,
        activation=core.activation.clone().requires_grad_(),
        bottleneck=core.bottleneck.clone().requires_grad_(),
        blocks=[block.clone().requires_grad_() for block in core.blocks],
        relative=core.relative.clone().requires_grad_(),
    )


def disagreement(stock: nn.Module, ours: RoutedDepthForDepthEstimation, core: CoreFeatures) -> float:
    """Largest difference over largest value, of the metres and of the gradient at the activation."""
    found = []
    for run, head in ((run_stock, stock), (run_ours, ours)):
        leaves = trainable(core)
        depth = run(head, leaves)  # type: ignore[operator]
        (gradient,) = torch.autograd.grad(depth.square().mean(), leaves.activation)
        found.append((depth.detach(), gradient))
    pairs = zip(*found, strict=True)
    return max(((mine - theirs).abs().max() / theirs.abs().max()).item() for theirs, mine in pairs)


def peak_of_a_step(which: str, domains: int, batch: int, device_name: str, answer) -> None:  # pragma: no cover
    """Runs in a process of its own: MiB that forward and backward add at their peak."""
    device = torch.device(device_name)
    torch.set_num_threads(1)
    stock, ours = make_pair(domains, device)
    core = trainable(make_features(batch, device))
    run = (lambda: run_stock(stock, core)) if which == "stock" else (lambda: run_ours(ours, core))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run().square().mean().backward()
        answer.put((torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    process, done, sizes = psutil.Process(), threading.Event(), []

    def watch() -> None:
        while not done.is_set():
            sizes.append(process.memory_info().rss)
            time.sleep(0.001)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    run().square().mean().backward()
    done.set()
    watcher.join()
    answer.put((max(sizes) - before) / 2**20)


def peak_mib(which: str, domains: int, batch: int, device: torch.device) -> float:
    """MiB that a training step of one of the two adds."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=peak_of_a_step, args=(which, domains, batch, str(device), answer))
    process.start()
    value = answer.get(timeout=600)
    process.join()
    return value


def run(options: HeadOptions) -> None:
    """Compares and times both heads, and prints the table and the results."""
    device = torch.device(options.device)
    ratios: dict[str, list[tuple[float, float, float]]] = {"forward": [], "training": [], "memory": []}
    agrees = True
    print("| heads | batch | what | stock | ours | ratio | low | high | difference |")
    print("|---|---|---|---|---|---|---|---|---|")
    for domains in options.domains:
        stock, ours = make_pair(domains, device)
        for batch in options.batch:
            core = make_features(batch, device)
            difference = disagreement(stock, ours, core)
            agrees = agrees and difference <= TOLERANCE

            def forward(run, head, core=core):
                with torch.inference_mode():
                    run(head, core)

            leaves = trainable(core)

            def training(run, head, leaves=leaves):
                run(head, leaves).square().mean().backward()

            for name, call in (("forward", forward), ("training", training)):
                call(run_stock, stock)
                call(run_ours, ours)  # warm
                pairs = [
                    (timed(lambda: call(run_stock, stock), device), timed(lambda: call(run_ours, ours), device))  # noqa: B023
                    for _ in range(options.rounds)
                ]
                theirs_s, ours_s = (statistics.median(times) for times in zip(*pairs, strict=True))
                each = [theirs / mine for theirs, mine in pairs]
                ratios[name].append((theirs_s / ours_s, min(each), max(each)))
                print(
                    f"| {domains} | {batch} | {name} | {theirs_s:.3f} s | {ours_s:.3f} s | {theirs_s / ours_s:.2f} "
                    f"| {min(each):.2f} | {max(each):.2f} | {difference:.1e} |",
                    flush=True,
                )
            theirs_mib, ours_mib = (peak_mib(which, domains, batch, device) for which in ("stock", "ours"))
            ratio = theirs_mib / max(ours_mib, 1)
            ratios["memory"].append((ratio, ratio, ratio))
            print(
                f"| {domains} | {batch} | memory | {theirs_mib:.0f} MiB | {ours_mib:.0f} MiB | {ratio:.2f} | | | |",
                flush=True,
            )
    for name, rows in ratios.items():
        middle = statistics.geometric_mean(row[0] for row in rows)
        low, high = min(row[1] for row in rows), max(row[2] for row in rows)
        print(
            f"RESULT metric_head_{name} ratio={middle:.2f} low={low:.2f} high={high:.2f} agrees={str(agrees).lower()}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/metric_head.py", HeadOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
