"""The metric part of the demo: heads and router on the student, beside one head for both domains, scored in metres."""

import logging
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from semidepth.training.data.loading import evaluation_samples
from semidepth.training.engine.arguments import PRESETS, read_yaml
from semidepth.training.engine.depth_models import load_depth_model
from semidepth.training.engine.metric_arguments import MetricArguments
from semidepth.training.engine.metric_pictures import metric_row
from semidepth.training.engine.metric_scoring import predict_metres, router_accuracy, score_metric
from semidepth.training.engine.pictures import grid, save_picture
from semidepth.training.objectives import find_protocol

logger = logging.getLogger(__name__)

# Folder of each model -> its name in tables. The last row is the first model, told each image's domain.
METRIC_MODELS = {"metric_single_head": "one head for both", "metric": "a head per domain, routed"}
DOMAIN_GIVEN = "the same, domain given"
METRICS = ("abs_rel", "delta1", "rmse")
# Model -> held-out set -> metric -> value.
MetricResults = dict[str, dict[str, dict[str, float]]]


def train_metric_models(
    folder: Path, train_metric: Callable[[MetricArguments], Any], *, steps: int, seed: int, cpu: bool
) -> None:
    """Trains a routed model and one with a single head, on the same student, data and steps.

    Args:
        folder: of the demo's models.
        train_metric: the metric command.
        steps: updates of each.
        seed: of weights, order and augmentation.
        cpu: use the CPU even where there is a GPU.
    """
    preset = read_yaml(PRESETS / "metric_scenes.yaml", MetricArguments)
    shared: dict[str, Any] = preset | {
        "student": str(folder / "student"),
        "steps": steps,
        "validation": [],
        "seed": seed,
        "resume": False,
        "cpu": cpu,
    }
    single = {
        "train": [f"both={source.partition('=')[2]}" for source in preset["train"]],
        "domains": ["both?max_depth_m=80"],
    }
    for name, own in (("metric", {}), ("metric_single_head", single)):
        logger.info("training the metric model with %s: %d steps", METRIC_MODELS[name], steps)
        arguments = MetricArguments(**(shared | own | {"output_dir": str(folder / name)}))
        arguments.validate()
        train_metric(arguments)


def score_metric_models(folder: Path, sets: dict[str, str], device: str) -> tuple[MetricResults, Counter]:
    """Scores in metres, without alignment, on held-out sets; and which domain the router took each image for."""
    results: MetricResults = {DOMAIN_GIVEN: {}}
    confusion: Counter[tuple[str, str]] = Counter()
    for name, title in METRIC_MODELS.items():
        model = load_depth_model(str(folder / name), device=device)
        results[title] = {}
        for set_name, source in sets.items():
            samples = evaluation_samples([source], size=model.preprocessing.size)
            scores = score_metric(
                model, samples, device=torch.device(device), protocol=find_protocol("none"), flip=False, batch_size=32
            )
            results[title][set_name] = scores.routed.mean()
            if scores.confusion:
                results[DOMAIN_GIVEN][set_name] = scores.given.mean()
                confusion += scores.confusion
    return {title: results[title] for title in (*METRIC_MODELS.values(), DOMAIN_GIVEN)}, confusion


def metric_table(runs: Sequence[MetricResults]) -> str:
    """AbsRel / delta1 / RMSE of each model on each held-out set, as Markdown; mean ± standard deviation over seeds."""
    sets = list(next(iter(runs[0].values())))
    lines = ["| AbsRel ↓ / δ1 ↑ / RMSE ↓ in m | " + " | ".join(sets) + " |", "|---" * (len(sets) + 1) + "|"]
    for title in runs[0]:
        cells = [
            " / ".join(with_spread([run[title][name][metric] for run in runs]) for metric in METRICS) for name in sets
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def router_line(confusion: Counter[tuple[str, str]]) -> str:
    """How often the router was right, in one line."""
    wrong = [f"{count} {own} taken for {chosen}" for (own, chosen), count in confusion.items() if own != chosen]
    return (
        f"the router chose the right domain for {router_accuracy(confusion):.1%} of {confusion.total()} images"
        + (f" ({', '.join(sorted(wrong))})" if wrong else "")
    )  # fmt: skip


def draw_metric_gallery(folder: Path, path: Path, sources: Sequence[str], device: str) -> None:
    """Image, ground truth and metric depth of held-out scenes, with their domain and a scale bar in metres."""
    model = load_depth_model(str(folder / "metric"), device=device)
    rows = []
    for source in sources:
        for sample in evaluation_samples([source], size=model.preprocessing.size):
            metres, chosen = predict_metres(model, sample["image"][None].to(device), None, flip=False)
            notes = ["domain:", sample["domain"], "", "router:", model.domains[chosen[0]]]
            rows.append(metric_row(sample["image"], sample["depth"], [metres[0]], notes))
    save_picture(grid(rows, ["image", "ground truth", "metric depth", "metres"]), path)


def with_spread(values: Sequence[float]) -> str:
    """Mean, and standard deviation where there are several."""
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean}±{statistics.stdev(values):.3f}"
