"""Relative models of the demo: teacher, labeled-only model and student, scored on both styles of scenes."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semidepth.data.scenes.render import STYLES
from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.pictures import grid, relative_row, save_picture
from semidepth.prediction.models import load_depth_model
from semidepth.training.options.demo import DemoOptions
from semidepth.training.options.presets import read_preset
from semidepth.training.options.run import NO_VALIDATION
from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.demo.encoders import Encoder
from semidepth.training.recipes.demo.scores import score_into, with_spread
from semidepth.training.recipes.demo.stages import Stages
from semidepth.training.recipes.student import train_on_all
from semidepth.training.recipes.teacher import train_teacher

LABELED_STYLE, SHIFTED_STYLE = STYLES[0], STYLES[1]
DOMAINS = ("indoor", "outdoor")
# Folder of each model -> its name in tables.
MODELS = {"teacher": "teacher", "labeled_only": "labeled only", "student": "student"}
METRICS = ("abs_rel", "delta1")
GALLERY_SCENES = 2


def test_sources(count: int) -> dict[str, str]:
    """Returns the held-out sets by name: rooms and streets of the labeled and of the other style."""
    return {
        f"{domain}, {style}": f"scenes:{domain}?style={style}&split=test&count={count}"
        for style in STYLES
        for domain in DOMAINS
    }


def train_models(options: DemoOptions, encoder: Encoder, folder: Path, seed: int, stages: Stages) -> None:
    """Trains teacher, labeled-only model and student; each is saved in a folder of its own below `folder`."""
    schedule = encoder.schedule
    shared: dict[str, Any] = {
        "encoder": encoder.name,
        "size": schedule.size,
        "labeled": tuple(f"scenes:{domain}?style={LABELED_STYLE}&count={options.labeled_scenes}" for domain in DOMAINS),
        "validation": NO_VALIDATION,
        "batch_size": schedule.batch_size,
        "seed": seed,
        "resume": False,
        "cpu": options.cpu,
    } | schedule.relative
    preset = read_preset("teacher_scenes", TeacherOptions) | shared
    for name, steps in (("teacher", schedule.teacher_steps), ("labeled_only", schedule.student_steps)):
        with stages.stage(f"{MODELS[name]}, {steps} steps on labeled scenes"):
            train_teacher(TeacherOptions(**(preset | {"output_dir": str(folder / name), "steps": steps})))
    preset = read_preset("student_scenes", StudentOptions) | shared | schedule.student
    student = {
        "output_dir": str(folder / "student"),
        "teacher": str(folder / "teacher"),
        "steps": schedule.student_steps,
    }
    with stages.stage(f"student, {schedule.student_steps} steps on labeled and unlabeled scenes"):
        train_on_all(StudentOptions(**(preset | student)))


def score_models(folder: Path, count: int, device: str) -> dict[str, dict[str, dict[str, float]]]:
    """Scores the relative models in depth space: model -> held-out set -> mean of each metric.

    The scores are also saved in `scores/` in each model's folder.
    """
    results: dict[str, dict[str, dict[str, float]]] = {}
    sets = test_sources(count)
    for name in MODELS:
        found = {
            entry["data"]: entry["metrics"]
            for entry in score_into(folder / name, list(sets.values()), device)["scores"]
            if entry["space"] == "depth"
        }
        results[name] = {set_name: found[source] for set_name, source in sets.items()}
    return results


def summarize(
    runs: Sequence[dict[str, dict[str, dict[str, float]]]],
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Returns the scores of all seeds: model -> set, or mean over a style's sets -> metric -> value of each seed."""
    summary: dict[str, dict[str, dict[str, list[float]]]] = {}
    for model in MODELS:
        rows = {name: [[run[model][name][m] for run in runs] for m in METRICS] for name in runs[0][model]}
        for style in STYLES:
            parts = [values for name, values in rows.items() if name.endswith(f", {style}")]
            rows[f"mean, {style}"] = [
                [statistics.fmean(seed) for seed in zip(*(part[index] for part in parts), strict=True)]
                for index in range(len(METRICS))
            ]
        summary[model] = {name: dict(zip(METRICS, values, strict=True)) for name, values in rows.items()}
    return summary


def to_table(summary: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Returns a Markdown table of AbsRel and delta1 by model and held-out set, mean ± standard deviation over seeds."""
    sets = list(next(iter(summary.values())))
    lines = ["| AbsRel ↓ / δ1 ↑ | " + " | ".join(sets) + " |", "|---" * (len(sets) + 1) + "|"]
    for model, title in MODELS.items():
        cells = [" / ".join(with_spread(summary[model][name][metric]) for metric in METRICS) for name in sets]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(summary: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Returns two lines that compare the student with the other two models on the style without labels."""
    shifted = f"mean, {SHIFTED_STYLE}"
    student = summary["student"][shifted]["abs_rel"]
    lines = []
    for other in ("teacher", "labeled_only"):
        gains = [1 - mine / theirs for mine, theirs in zip(student, summary[other][shifted]["abs_rel"], strict=True)]
        word = "lower" if statistics.fmean(gains) > 0 else "higher"
        wins = sum(gain > 0 for gain in gains)
        lines.append(
            f"{SHIFTED_STYLE} scenes: the student's AbsRel is {abs(statistics.fmean(gains)):.1%} {word} than the "
            f"{MODELS[other]} model's (better in {wins} of {len(gains)} seeds)"
        )
    return "\n".join(lines)


def draw_gallery(folder: Path, path: Path, device: str) -> None:
    """Saves a picture of held-out scenes of every domain and style: image, ground truth, teacher and student."""
    models = [load_depth_model(str(folder / name), device=device) for name in ("teacher", "student")]
    rows = []
    for source in parse_sources(test_sources(GALLERY_SCENES).values()):
        for sample in evaluation_samples([source], size=models[0].preprocessing.size):
            image = sample["image"][None].to(device)
            predictions = [model.predict_disparity(image)[0] for model in models]
            rows.append(relative_row(sample["image"], sample["depth"], predictions))
    save_picture(grid(rows, ["image", "ground truth", "teacher", "student"]), path)
