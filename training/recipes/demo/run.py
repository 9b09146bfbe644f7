"""The demo's recipe: encoder, teacher, labeled-only model, student and metric models, their scores and pictures."""

import json
import logging
import time
from collections import Counter
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
from semidepth.training.options.encoder import EncoderOptions
from semidepth.training.options.run import BUILT_IN_ENCODER
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
from semidepth.training.recipes.encoder import pretrain_encoder

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
    began = time.perf_counter()
    output = Path(options.output_dir)
    device = "cuda" if torch.cuda.is_available() and not options.cpu else "cpu"
    photos = find_inputs(options.photos or sorted(map(str, EXAMPLES.glob("*.jpg"))), videos=False)
    shown = draw_photos([photo for photo, _ in photos], output / "photos.png", device)
    logger.info("%s", shown)
    encoder = options.encoder
    if encoder == BUILT_IN_ENCODER:
        logger.info("pre-training the built-in encoder, a stand-in for DINOv2 (give a real one with --encoder)")
        encoder_arguments = EncoderOptions(
            output_dir=str(output / "encoder"), steps=options.encoder_steps, cpu=options.cpu
        )
        encoder = str(pretrain_encoder(encoder_arguments))
    runs, metric_runs, confusion = [], [], Counter[tuple[str, str]]()
    for number, seed in enumerate(options.seeds):
        folder = output if number == 0 else output / f"seed_{seed}"
        train_models(options, encoder, folder, seed)
        runs.append(score_models(folder, options.test_scenes, device))
        if options.metric_steps:
            train_metric_models(folder, steps=options.metric_steps, seed=seed, cpu=options.cpu)
            metres, seen = score_metric_models(folder, test_sources(options.test_scenes), device)
            metric_runs.append(metres)
            confusion += seen
    summary = summarize(runs)
    table = to_table(summary)
    draw_gallery(output, output / "gallery.png", device)
    report = predict_files(
        load_depth_model(str(output / "student"), device=device),
        photos,
        output / "photos",
        ResultOptions(overwrite=True),
    )
    for file, failure in report.broken.items():
        logger.warning("%s: %s: %s", failure.what, file, failure.reason)
    if metric_runs:
        draw_metric_gallery(output, output / "gallery_metric.png", list(test_sources(1).values()), device)
    minutes = (time.perf_counter() - began) / 60
    results = {
        "seeds": options.seeds,
        "options": asdict(options),
        "minutes": round(minutes, 1),
        "scores": [{"seed": seed, "models": run} for seed, run in zip(options.seeds, runs, strict=True)],
        "metric_scores": [{"seed": seed, "models": run} for seed, run in zip(options.seeds, metric_runs, strict=False)],
        "router": [{"domain": own, "chosen": chosen, "images": count} for (own, chosen), count in confusion.items()],
    }
    write_whole(output / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    metric_text = f"{metric_table(metric_runs)}\n\n{router_line(confusion)}\n" if metric_runs else ""
    write_whole(output / "table.md", f"{table}\n\n{metric_text}".encode())
    title = f"{options.test_scenes} held-out scenes each; {minutes:.1f} minutes; models and pictures in {output}/"
    return "\n".join(["", shown, "", title, "", table, "", verdict(summary), "", *closing_lines(output, metric_text)])


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
