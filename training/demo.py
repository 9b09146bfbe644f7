"""The main job end to end on rendered scenes: encoder, teacher, labeled-only model, student, metres, scores, pictures.

    make demo                                              # one seed, minutes on 2 CPU cores, no network
    python training/demo.py --seeds 0 1 2                  # mean and spread over seeds
    python training/demo.py --encoder facebook/dinov2-small --photos my_photos/

A few rooms and streets of one style have labels. The teacher learns from them; so does a second model for as many
steps as the student; the student also sees unlabeled scenes of every style. All three are scored on held-out scenes of
the labeled style and of the other one, which only the student (and the encoder) has seen. Then metric heads and a
router are trained on the student, beside one head for both domains, and scored in metres.
"""

import json
import logging
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from semidepth.common.console import set_up_logging
from semidepth.common.files import write_whole
from semidepth.data.scenes.render import STYLES
from semidepth.data.source_spec import parse_sources
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.cli import score
from semidepth.evaluation.pictures import grid, prediction_row, save_picture
from semidepth.prediction.files import predict_files
from semidepth.prediction.inputs import find_inputs
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.options import ResultOptions
from semidepth.training.arguments.files import PRESETS, read_yaml
from semidepth.training.arguments.run import BUILT_IN_ENCODER, TeacherArguments, parse_arguments
from semidepth.training.arguments.student import StudentArguments
from semidepth.training.encoder import EncoderArguments, pretrain_encoder
from semidepth.training.metric import train_metric
from semidepth.training.recipes.demo_metric import (
    draw_metric_gallery,
    metric_table,
    router_line,
    score_into,
    score_metric_models,
    train_metric_models,
    with_spread,
)
from semidepth.training.student import train_student
from semidepth.training.teacher import train_teacher

logger = logging.getLogger(__name__)

LABELED_STYLE, SHIFTED_STYLE = STYLES[0], STYLES[1]
DOMAINS = ("indoor", "outdoor")
# Folder of each model -> its name in tables.
MODELS = {"teacher": "teacher", "labeled_only": "labeled only", "student": "student"}
METRICS = ("abs_rel", "delta1")
GALLERY_SCENES = 2


@dataclass
class DemoArguments:
    """Options of the demo."""

    output_dir: str = field(default="outputs/demo", metadata={"help": "Folder for models, scores and pictures."})
    seeds: list[int] = field(
        default_factory=lambda: [0],
        metadata={"help": "One run for each: weights, order, augmentation; encoder and scenes stay."},
    )
    photos: list[str] = field(
        default_factory=list,
        metadata={"help": "Photos to predict: files, folders, globs. Default: the ones that gradio carries."},
    )
    encoder: str = field(
        default=BUILT_IN_ENCODER,
        metadata={"help": "Pretrained encoder; 'scenes' pre-trains the built-in stand-in."},
    )
    size: int | None = field(
        default=None, metadata={"help": "Side of the scenes in pixels. Default: the encoder's own image_size."}
    )
    labeled_scenes: int = field(default=64, metadata={"help": "Labeled rooms, and as many labeled streets."})
    encoder_steps: int = field(default=700, metadata={"help": "Updates of the built-in encoder."})
    teacher_steps: int = field(default=300, metadata={"help": "Updates of the teacher."})
    student_steps: int = field(default=500, metadata={"help": "Updates of the student and of the labeled-only one."})
    metric_steps: int = field(default=300, metadata={"help": "Updates of each metric model; 0: none."})
    batch_size: int = field(
        default=8, metadata={"help": "Labeled images per step; the student sees twice as many more."}
    )
    test_scenes: int = field(default=96, metadata={"help": "Held-out scenes for each domain and style."})
    cpu: bool = field(default=False, metadata={"help": "Use the CPU even where there is a GPU."})

    def validate(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name in (
            "labeled_scenes", "encoder_steps", "teacher_steps", "student_steps", "batch_size", "test_scenes"
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; give at least 1.")
        if self.metric_steps < 0:
            raise ValueError(f"--metric_steps is {self.metric_steps}; give at least 0.")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"--seeds is {self.seeds}; give one or more different numbers, at least 0.")
        if self.photos:
            find_inputs(self.photos, videos=False)


def test_sources(count: int) -> dict[str, str]:
    """Held-out sets by name: rooms and streets of the labeled and of the other style."""
    return {
        f"{domain}, {style}": f"scenes:{domain}?style={style}&split=test&count={count}"
        for style in STYLES
        for domain in DOMAINS
    }


def train_models(arguments: DemoArguments, encoder: str, folder: Path, seed: int) -> None:
    """Trains teacher, labeled-only student and student into folders below `folder`."""
    shared: dict[str, Any] = {
        "encoder": encoder,
        "size": arguments.size,
        "labeled": [f"scenes:{domain}?style={LABELED_STYLE}&count={arguments.labeled_scenes}" for domain in DOMAINS],
        "validation": [],
        "batch_size": arguments.batch_size,
        "seed": seed,
        "resume": False,
        "cpu": arguments.cpu,
    }
    preset = read_yaml(PRESETS / "teacher_scenes.yaml", TeacherArguments) | shared
    for name, steps in (("teacher", arguments.teacher_steps), ("labeled_only", arguments.student_steps)):
        logger.info("training the %s model: %d steps on labeled scenes", MODELS[name], steps)
        train_teacher(TeacherArguments(**(preset | {"output_dir": str(folder / name), "steps": steps})))
    logger.info("training the student: %d steps on labeled and unlabeled scenes", arguments.student_steps)
    preset = read_yaml(PRESETS / "student_scenes.yaml", StudentArguments) | shared
    student = {
        "output_dir": str(folder / "student"),
        "teacher": str(folder / "teacher"),
        "steps": arguments.student_steps,
    }
    train_student(StudentArguments(**(preset | student)))


def score_models(folder: Path, count: int, device: str) -> dict[str, dict[str, dict[str, float]]]:
    """Model -> held-out set -> means of all metrics, in depth space; each model's folder keeps them in `scores/`."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    sets = test_sources(count)
    for name in MODELS:
        found = {
            entry["data"]: entry["metrics"]
            for entry in score_into(score, folder / name, list(sets.values()), device)["scores"]
            if entry["space"] == "depth"
        }
        results[name] = {set_name: found[source] for set_name, source in sets.items()}
    return results


def summarize(
    runs: Sequence[dict[str, dict[str, dict[str, float]]]],
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Model -> set (or mean of a style's sets) -> metric -> value of each seed."""
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
    """AbsRel / delta1 of each model on each held-out set, as Markdown; mean ± standard deviation over seeds."""
    sets = list(next(iter(summary.values())))
    lines = ["| AbsRel ↓ / δ1 ↑ | " + " | ".join(sets) + " |", "|---" * (len(sets) + 1) + "|"]
    for model, title in MODELS.items():
        cells = [" / ".join(with_spread(summary[model][name][metric]) for metric in METRICS) for name in sets]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(summary: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Whether the student beats the other two on the style without labels, in one line each."""
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
    """Image, ground truth, teacher and student for a few held-out scenes of every domain and style."""
    models = [load_depth_model(str(folder / name), device=device) for name in ("teacher", "student")]
    rows = []
    for source in parse_sources(test_sources(GALLERY_SCENES).values()):
        for sample in evaluation_samples([source], size=models[0].preprocessing.size):
            image = sample["image"][None].to(device)
            predictions = [model.predict_disparity(image)[0] for model in models]
            rows.append(prediction_row(sample["image"], sample["depth"], predictions))
    save_picture(grid(rows, ["image", "ground truth", "teacher", "student"]), path)


def find_photos(arguments: DemoArguments) -> list[tuple[Path, Path]]:
    """The photos that were asked for, else the ones inside the gradio package, else none."""
    if arguments.photos:
        return find_inputs(arguments.photos, videos=False)
    spec = find_spec("gradio")
    folder = Path(spec.origin).parent / "media_assets" / "images" if spec and spec.origin else None
    return find_inputs([str(folder)], videos=False) if folder is not None and folder.is_dir() else []


def run_demo(arguments: DemoArguments) -> str:
    """Runs everything; returns the text that the command ends with."""
    began = time.perf_counter()
    output = Path(arguments.output_dir)
    device = "cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu"
    encoder = arguments.encoder
    if encoder == BUILT_IN_ENCODER:
        logger.info("pre-training the built-in encoder, a stand-in for DINOv2 (--encoder names a real one)")
        encoder_arguments = EncoderArguments(
            output_dir=str(output / "encoder"), steps=arguments.encoder_steps, cpu=arguments.cpu
        )
        encoder = str(pretrain_encoder(encoder_arguments))
    runs, metric_runs, confusion = [], [], Counter[tuple[str, str]]()
    for number, seed in enumerate(arguments.seeds):
        folder = output if number == 0 else output / f"seed_{seed}"
        train_models(arguments, encoder, folder, seed)
        runs.append(score_models(folder, arguments.test_scenes, device))
        if arguments.metric_steps:
            train_metric_models(folder, train_metric, steps=arguments.metric_steps, seed=seed, cpu=arguments.cpu)
            metres, seen = score_metric_models(folder, score, test_sources(arguments.test_scenes), device)
            metric_runs.append(metres)
            confusion += seen
    summary = summarize(runs)
    table = to_table(summary)
    draw_gallery(output, output / "gallery.png", device)
    report = predict_files(
        load_depth_model(str(output / "student"), device=device),
        find_photos(arguments),
        output / "photos",
        ResultOptions(overwrite=True),
    )
    for file, failure in report.broken.items():
        logger.warning("%s: %s: %s", failure.what, file, failure.reason)
    if metric_runs:
        draw_metric_gallery(output, output / "gallery_metric.png", list(test_sources(1).values()), device)
    minutes = (time.perf_counter() - began) / 60
    results = {
        "seeds": arguments.seeds,
        "options": vars(arguments),
        "minutes": round(minutes, 1),
        "scores": [{"seed": seed, "models": run} for seed, run in zip(arguments.seeds, runs, strict=True)],
        "metric_scores": [
            {"seed": seed, "models": run} for seed, run in zip(arguments.seeds, metric_runs, strict=False)
        ],
        "router": [{"domain": own, "chosen": chosen, "images": count} for (own, chosen), count in confusion.items()],
    }
    write_whole(output / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    metric_text = f"{metric_table(metric_runs)}\n\n{router_line(confusion)}\n" if metric_runs else ""
    write_whole(output / "table.md", f"{table}\n\n{metric_text}".encode())
    title = f"{arguments.test_scenes} held-out scenes each; {minutes:.1f} minutes; models and pictures in {output}/"
    return "\n".join(["", title, "", table, "", verdict(summary), "", *closing_lines(output, metric_text)])


def closing_lines(output: Path, metric_text: str) -> list[str]:
    """The table in metres where there is one, and how the models that were trained are used."""
    return [
        "In metres, without alignment, on the same scenes:" if metric_text else "",
        "",
        metric_text,
        "Use the student anywhere, with plain transformers:",
        "",
        "    from transformers import pipeline",
        f'    depth = pipeline("depth-estimation", model="{output / "student"}", trust_remote_code=True)',
        '    depth("photo.jpg")["depth"].save("depth.png")',
        f"and for metres: {output / 'metric'}" if metric_text else "",
    ]


def main(argv: list[str] | None = None) -> None:
    """Command line; see the top of the file."""
    arguments = parse_arguments(DemoArguments, argv, description=__doc__ or "")
    set_up_logging()
    try:
        print(run_demo(arguments))
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
