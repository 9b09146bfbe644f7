"""Compare the conventions of published evaluation code on the same predictions.

    python benchmarks/metric_conventions.py
    python benchmarks/metric_conventions.py --model outputs/demo/student --data 'scenes:indoor?split=test&count=96'

Without `--model` the predictions are the ground truth, distorted: blurred, its range compressed, with a ripple. Every
row is computed in numpy (parts/conventions.py) from the published definition; the first row of each table is ours, and
is checked against `semidepth.evaluation.depth_metrics`. Prints the tables of docs/metrics.md.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from parts.conventions import METRIC, RELATIVE, Pair, Scores, known, metres, ours, pooled
from torch.nn import functional as F

from semidepth.common.commands import Command
from semidepth.common.option_checks import check_positive
from semidepth.common.options import option
from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.data import depth_label
from semidepth.evaluation.depth_metrics.boundary_metrics import THRESHOLDS, boundary_scores
from semidepth.evaluation.depth_metrics.formulas import metres_scores, relative_scores
from semidepth.prediction.models import load_depth_model

COLUMNS = ("abs_rel", "delta1", "rmse", "silog")


@dataclass(frozen=True, kw_only=True)
class ConventionOptions:
    """Options of this program."""

    data: tuple[str, ...] = option(("scenes:indoor?split=test&count=24",), help="labeled sources")
    model: str | None = option(None, help="folder or Hub id; default: the ground truth, distorted")
    max_depth_m: float = option(5.0, help="cap, metres")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        check_positive(self, "max_depth_m")


def distorted(depth: torch.Tensor) -> torch.Tensor:
    """A stand-in for a prediction: (H, W) inverse depth, larger is nearer, sky at 0."""
    disparity = (1 / depth).nan_to_num(0.0)
    blurred = F.avg_pool2d(disparity[None, None], 7, stride=1, padding=3, count_include_pad=False)[0, 0]
    ripple = torch.sin(torch.arange(depth.shape[1]) / 9)[None] * torch.sin(torch.arange(depth.shape[0]) / 7)[:, None]
    return 30 * blurred.pow(0.8) * (1 + 0.12 * ripple)


def read_pairs(args: ConventionOptions) -> Iterator[Pair]:
    """Predictions and ground truth of every image."""
    model = load_depth_model(args.model, device="cpu") if args.model else None
    for sample in evaluation_samples(parse_sources(args.data), size=model.preprocessing.size if model else 192):
        depth = depth_label(sample)
        predicted = model.predict_disparity(sample["image"][None])[0] if model else distorted(depth)
        yield predicted.double().numpy(), depth.double().numpy()


def show(title: str, rows: dict[str, Scores]) -> None:
    """Prints a table with each row's distance to the first."""
    first = next(iter(rows.values()))
    print(f"\n| {title} | " + " | ".join(COLUMNS) + " | AbsRel against ours |\n|" + "---|" * (2 + len(COLUMNS)))
    for name, scores in rows.items():
        change = f"{100 * (scores['abs_rel'] / first['abs_rel'] - 1):+.2f} %" if scores is not first else ""
        print(f"| {name} | " + " | ".join(f"{scores[column]:.4f}" for column in COLUMNS) + f" | {change} |")


def means(pairs: list[Pair], cap: float, score: Callable[[Pair, float], Scores]) -> Scores:
    each = [score(pair, cap) for pair in pairs]
    return {name: math.fsum(scores[name] for scores in each) / len(each) for name in each[0]}


def boundaries(pairs: list[Pair], cap: float) -> dict[str, float]:
    """Boundary F1 by the published code, by the paper's equation, and with weights that follow t itself."""
    found: dict[str, list[float]] = {"ours, as Depth Pro's code: mean of four directions": []}
    found |= {"the equation's sum over all pairs": [], "weights that grow as t, 5 to 25": []}
    names = list(found)
    for pair in pairs:
        valid = known(pair[1], cap)
        x, y = np.ones_like(pair[1]), np.where(valid, pair[1], 1.0)
        x[valid] = ours(pair, cap)[0]
        by_threshold = np.array([directional(x, y, valid, threshold) for threshold in THRESHOLDS])
        thresholds = np.array(THRESHOLDS)
        found[names[0]].append(float(by_threshold[:, 0] @ thresholds / thresholds.sum()))
        found[names[1]].append(float(by_threshold[:, 1] @ thresholds / thresholds.sum()))
        found[names[2]].append(float(by_threshold[:, 0] @ (thresholds - 1) / (thresholds - 1).sum()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def directional(x: np.ndarray, y: np.ndarray, valid: np.ndarray, threshold: float) -> tuple[float, float]:
    """F1 of mean precision and recall over four directions, and of pooled counts."""
    counts = []
    for a, b, both in ((x, y, valid), (x.T, y.T, valid.T)):
        fine = both[:, 1:] & both[:, :-1]
        for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:, 1:], np.s_[:, :-1])):
            ours_, theirs = ((values[far] / values[near] > threshold) & fine for values in (a, b))
            counts.append((np.sum(ours_ & theirs), np.sum(ours_), np.sum(theirs)))
    hits, predicted, labeled = np.array(counts, float).T
    pairs = [(np.mean(hits / np.maximum(predicted, 1)), np.mean(hits / np.maximum(labeled, 1)))]
    pairs += [(hits.sum() / max(predicted.sum(), 1), hits.sum() / max(labeled.sum(), 1))]
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in pairs]
    return f1[0], f1[1]


def largest_difference(pairs: list[Pair], cap: float, relative: Scores, metric: Scores, boundary: float) -> float:
    """Largest difference between this file's first rows and the package's functions."""
    package: dict[str, list[float]] = {}
    for pair in pairs:
        p, y = (torch.from_numpy(values)[None] for values in pair)
        scores = {f"relative {k}": v for k, v in relative_scores(p, y, max_depth_m=cap).items()}
        predicted = torch.from_numpy(metres(pair, cap))[None]
        scores |= {f"metric {k}": v for k, v in metres_scores(predicted, y, max_depth_m=cap).items()}
        valid = torch.from_numpy(known(pair[1], cap))
        x = torch.ones_like(y[0])
        x[valid] = torch.from_numpy(ours(pair, cap)[0])
        scores["boundary"] = boundary_scores(x[None], y, valid[None])["boundary_f1"]
        for name, value in scores.items():
            package.setdefault(name, []).append(value.item())
    theirs = {f"relative {k}": relative[k] for k in COLUMNS} | {f"metric {k}": metric[k] for k in COLUMNS}
    theirs["boundary"] = boundary
    return max(abs(value - float(np.mean(package[name]))) for name, value in theirs.items())


def run(args: ConventionOptions) -> None:
    """Scores all images by every convention, and prints the tables and the result."""
    cap = args.max_depth_m
    pairs = list(read_pairs(args))
    print(f"{len(pairs)} images of {', '.join(args.data)}, {args.model or 'distorted ground truth'}, cap {cap:g} m")
    relative = {name: means(pairs, cap, score) for name, score in RELATIVE.items()}
    relative["all pixels at once, not the mean over images"] = pooled(pairs, cap, ours)
    show("relative depth", relative)
    bad = relative["MiDaS, DPT (float32, strict range)"]["bad_per_cent"]
    first = relative[next(iter(RELATIVE))]
    print(f"\nMiDaS prints {bad:.2f} where ours says delta1 = {first['delta1']:.4f}: the failing share, in per cent.")
    metric = {name: means(pairs, cap, score) for name, score in METRIC.items()}
    show("metres", metric)
    print("\n| boundary F1 | |\n|---|---|")
    sharp = boundaries(pairs, cap)
    for name, value in sharp.items():
        print(f"| {name} | {value:.4f} |")
    worst = largest_difference(pairs, cap, first, metric[next(iter(METRIC))], next(iter(sharp.values())))
    agrees = str(worst < 1e-6).lower()
    print(f"RESULT metric_conventions images={len(pairs)} largest_difference={worst:.1e} agrees={agrees}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/metric_conventions.py", ConventionOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
