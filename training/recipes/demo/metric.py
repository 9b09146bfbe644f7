"""The metric part of the demo: heads and router on the student, beside one head for both domains, scored in metres."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.metres import predict_metres, router_accuracy
from semidepth.evaluation.pictures import grid, metres_row, save_picture
from semidepth.prediction.models import load_depth_model
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.presets import read_preset
from semidepth.training.recipes.demo.scores import score_into, with_spread
from semidepth.training.recipes.metric.training import train_metric

logger = logging.getLogger(__name__)

# Folder of each model -> its name in tables. The last row is the first model, told each image's domain.
METRIC_MODELS = {"metric_single_head": "one head for both", "metric": "a head per domain, routed"}
DOMAIN_GIVEN = "the same, domain given"
METRICS = ("abs_rel", "delta1", "rmse")
# Model -> held-out set -> metric -> value.
MetricResults = dict[str, dict[str, dict[str, float]]]


def train_metric_models(folder: Path, *, steps: int, seed: int, cpu: bool) -> None:
    """Trains a routed model and one with a single head, on the same student, data and steps.

    Args:
        folder: of the demo's models.
        steps: updates of each.
        seed: of weights, order and augmentation.
        cpu: use the CPU even where there is a GPU.
    """
    preset = read_preset("metric_scenes", MetricOptions)
    shared: dict[str, Any] = preset | {
        "student": str(folder / "student"),
        "steps": steps,
        "validation": (),
        "seed": seed,
        "resume": False,
        "cpu": cpu,
    }
    single = {
        "train": tuple(f"both={source.partition('=')[2]}" for source in preset["train"]),
        "domains": ("both?max_depth_m=80",),
    }
    for name, own in (("metric", {}), ("metric_single_head", single)):
        logger.info("training the metric model with %s: %d steps", METRIC_MODELS[name], steps)
        train_metric(MetricOptions(**(shared | own | {"output_dir": str(folder / name)})))


def score_metric_models(
    folder: Path, sets: dict[str, str], device: str
) -> tuple[MetricResults, Counter[tuple[str, str]]]:
    """Scores in metres, without alignment, on held-out sets; and which domain the router took each image for."""
    results: MetricResults = {title: {} for title in (*METRIC_MODELS.values(), DOMAIN_GIVEN)}
    confusion: Counter[tuple[str, str]] = Counter()
    names = {source: set_name for set_name, source in sets.items()}
    for name, title in METRIC_MODELS.items():
        found = score_into(folder / name, list(sets.values()), device, protocol=("none",), flip=False)
        for entry in found["scores"]:
            row = DOMAIN_GIVEN if entry["head"] == "domain given" else title
            results[row][names[entry["data"]]] = entry["metrics"]
        for router in found["routers"]:
            confusion.update({(each["domain"], each["chosen"]): each["images"] for each in router["confusion"]})
    return results, confusion


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
    for source in parse_sources(sources):
        for sample in evaluation_samples([source], size=model.preprocessing.size):
            metres, chosen = predict_metres(model, sample["image"][None].to(device), None, flip=False)
            notes = ["domain:", sample["domain"], "", "router:", model.domains[chosen[0]]]
            rows.append(metres_row(sample["image"], sample["depth"], [metres[0]], notes))
    save_picture(grid(rows, ["image", "ground truth", "metric depth", "metres"]), path)
