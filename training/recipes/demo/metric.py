"""Metric models of the demo: one with routed heads and one with a single head for both domains, scored in metres."""

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
from semidepth.training.options.run import NO_VALIDATION
from semidepth.training.recipes.demo.encoders import Schedule
from semidepth.training.recipes.demo.scores import score_into, with_spread
from semidepth.training.recipes.demo.stages import Stages
from semidepth.training.recipes.metric.training import train_metric

# Folder of each model -> its name in tables. The last row of a table is the routed model, given each image's domain.
METRIC_MODELS = {"metric_single_head": "one head for both", "metric": "a head per domain, routed"}
DOMAIN_GIVEN = "the same, domain given"
METRICS = ("abs_rel", "delta1", "rmse")
# Model -> held-out set -> metric -> value.
MetricResults = dict[str, dict[str, dict[str, float]]]


def train_metric_models(folder: Path, schedule: Schedule, stages: Stages, *, seed: int, cpu: bool) -> None:
    """Trains a routed model and one with a single head, on the same student, data and steps.

    Args:
        folder: folder of the demo's models.
        schedule: of the demo, for the number of updates and the rates.
        stages: to which the times are added.
        seed: random seed for weights, data order and augmentation.
        cpu: true to use the CPU even if there is a GPU.
    """
    preset = read_preset("metric_scenes", MetricOptions) | schedule.metric
    shared: dict[str, Any] = preset | {
        "student": str(folder / "student"),
        "steps": schedule.metric_steps,
        "validation": NO_VALIDATION,
        "seed": seed,
        "resume": False,
        "cpu": cpu,
    }
    single = {
        "train": tuple(f"both={source.partition('=')[2]}" for source in preset["train"]),
        "domains": ("both?max_depth_m=80",),
    }
    for name, own in (("metric", {}), ("metric_single_head", single)):
        with stages.stage(f"metres with {METRIC_MODELS[name]}, {schedule.metric_steps} steps"):
            train_metric(MetricOptions(**(shared | own | {"output_dir": str(folder / name)})))


def score_metric_models(
    folder: Path, sets: dict[str, str], device: str
) -> tuple[MetricResults, Counter[tuple[str, str]]]:
    """Scores the metric models on held-out sets, in metres without alignment.

    Returns:
        Scores by model, set and metric; and the number of images for each pair of true domain and domain that the
        router chose.
    """
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
    """Returns a Markdown table of AbsRel, delta1 and RMSE by model and held-out set, mean ± standard deviation."""
    sets = list(next(iter(runs[0].values())))
    lines = ["| AbsRel ↓ / δ1 ↑ / RMSE ↓ in m | " + " | ".join(sets) + " |", "|---" * (len(sets) + 1) + "|"]
    for title in runs[0]:
        cells = [
            " / ".join(with_spread([run[title][name][metric] for run in runs]) for metric in METRICS) for name in sets
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def router_line(confusion: Counter[tuple[str, str]]) -> str:
    """Returns a line of text with the router's accuracy and its errors."""
    wrong = [f"{count} {own} taken for {chosen}" for (own, chosen), count in confusion.items() if own != chosen]
    return (
        f"the router chose the right domain for {router_accuracy(confusion):.1%} of {confusion.total()} images"
        + (f" ({', '.join(sorted(wrong))})" if wrong else "")
    )  # fmt: skip


def draw_metric_gallery(folder: Path, path: Path, sources: Sequence[str], device: str) -> None:
    """Saves a picture of held-out scenes: image, ground truth, metric depth, both domains and a scale in metres."""
    model = load_depth_model(str(folder / "metric"), device=device)
    rows = []
    for source in parse_sources(sources):
        for sample in evaluation_samples([source], size=model.preprocessing.size):
            metres, chosen = predict_metres(model, sample["image"][None].to(device), None, flip=False)
            notes = ["domain:", sample["domain"], "", "router:", model.domains[chosen[0]]]
            rows.append(metres_row(sample["image"], sample["depth"], [metres[0]], notes))
    save_picture(grid(rows, ["image", "ground truth", "metric depth", "metres"]), path)
