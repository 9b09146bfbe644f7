"""The demo's recipe: encoder, teacher, labeled-only model, student and metric models, their scores and pictures."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from semidepth.common.files import write_whole
from semidepth.common.locks import folder_held
from semidepth.evaluation.photos import EXAMPLES, draw_photos
from semidepth.prediction.files import predict_files
from semidepth.prediction.inputs import find_inputs
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.options import ResultOptions
from semidepth.training.options.demo import DemoOptions
from semidepth.training.recipes.demo.encoders import find_encoder
from semidepth.training.recipes.demo.metric import (
    draw_metric_gallery,
    metric_table,
    router_line,
    score_metric_models,
    train_metric_models,
)
from semidepth.training.recipes.demo.relative import (
    draw_gallery,
    score_models,
    summarize,
    test_sources,
    to_table,
    train_models,
    verdict,
)
from semidepth.training.recipes.demo.stages import Stages

logger = logging.getLogger(__name__)


def run_demo(options: DemoOptions) -> str:
    """Trains and scores all models, saves scores and pictures, and returns the report to print.

    Raises:
        ValueError: another run writes into the folder.
    """
    with folder_held("output_dir", Path(options.output_dir)):
        return _run_held(options)


def _run_held(options: DemoOptions) -> str:
    """Does the work of [`run_demo`]."""
    output, stages = Path(options.output_dir), Stages()
    device = "cuda" if torch.cuda.is_available() and not options.cpu else "cpu"
    photos = find_inputs(options.photos or sorted(map(str, EXAMPLES.glob("*.jpg"))), videos=False)
    with stages.stage("photos by the model that comes with semidepth"):
        shown = draw_photos([photo for photo, _ in photos], output / "photos.png", device)
    logger.info("%s", shown)
    with stages.stage("encoder"):
        encoder = find_encoder(options, output / "encoder")
    logger.info("the encoder is %s", encoder.told)
    runs, metric_runs, confusion = [], [], Counter[tuple[str, str]]()
    for number, seed in enumerate(options.seeds):
        folder = output if number == 0 else output / f"seed_{seed}"
        train_models(options, encoder, folder, seed, stages)
        with stages.stage("scores"):
            runs.append(score_models(folder, options.test_scenes, device))
        if encoder.schedule.metric_steps:
            train_metric_models(folder, encoder.schedule, stages, seed=seed, cpu=options.cpu)
            with stages.stage("scores in metres"):
                metres, seen = score_metric_models(folder, test_sources(options.test_scenes), device)
            metric_runs.append(metres)
            confusion += seen
    with stages.stage("pictures"):
        draw_pictures(output, [photo for photo, _ in photos], device, metres=bool(metric_runs))
    results = {
        "seeds": options.seeds,
        "options": asdict(options),
        "encoder": encoder.told,
        "schedule": asdict(encoder.schedule),
        "minutes": round(stages.total_s() / 60, 1),
        "stages_s": [{"stage": name, "seconds": round(taken, 1)} for name, taken in stages.taken],
        "scores": [{"seed": seed, "models": run} for seed, run in zip(options.seeds, runs, strict=True)],
        "metric_scores": [{"seed": seed, "models": run} for seed, run in zip(options.seeds, metric_runs, strict=False)],
        "router": [{"domain": own, "chosen": chosen, "images": count} for (own, chosen), count in confusion.items()],
    }
    write_whole(output / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    summary = summarize(runs)
    table = to_table(summary)
    metric_text = f"{metric_table(metric_runs)}\n\n{router_line(confusion)}\n" if metric_runs else ""
    write_whole(output / "table.md", f"{table}\n\n{metric_text}".encode())
    title = (
        f"The encoder is {encoder.told}. {options.test_scenes} held-out scenes each; models and pictures in {output}/"
    )
    parts = [shown, title, table, verdict(summary), stages.text()]
    return "\n\n".join(["", *parts, "\n".join(closing_lines(output, metric_text))])


def draw_pictures(output: Path, photos: Sequence[Path], device: str, *, metres: bool) -> None:
    """Saves galleries of held-out scenes, and the student's depth of photos in the folder `photos`."""
    draw_gallery(output, output / "gallery.png", device)
    student = load_depth_model(str(output / "student"), device=device)
    inputs = find_inputs([str(photo) for photo in photos], videos=False)
    report = predict_files(student, inputs, output / "photos", ResultOptions(overwrite=True))
    for file, failure in report.broken.items():
        logger.warning("%s: %s: %s", failure.what, file, failure.reason)
    if metres:
        draw_metric_gallery(output, output / "gallery_metric.png", list(test_sources(1).values()), device)


def closing_lines(output: Path, metric_text: str) -> list[str]:
    """Returns the last lines of the report: the table in metres, if any, and how to use the trained models."""
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
