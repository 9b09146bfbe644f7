"""The demo at its smallest: every file, table and picture that it promises; its arithmetic on made-up scores."""

import json
from collections import Counter

import numpy as np
import pytest
import tiny
from PIL import Image
from shipped_model import save_runs, ship, take
from transformers import AutoModelForDepthEstimation, pipeline

from semidepth.training.demo import main
from semidepth.training.options.demo import DemoOptions
from semidepth.training.recipes.demo.metric import (
    DOMAIN_GIVEN,
    METRIC_MODELS,
    metric_table,
    router_line,
)
from semidepth.training.recipes.demo.relative import summarize, to_table, verdict
from semidepth.training.recipes.demo.run import run_demo


@pytest.mark.parametrize("seeds", [(3,), pytest.param((0, 3), marks=pytest.mark.slow)])
def test_it_makes_everything_that_it_promises(tmp_path, monkeypatch, seeds):
    student, _ = save_runs(tmp_path / "runs")
    take(monkeypatch, ship(student, tmp_path / "shipped"))
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.zeros((50, 70, 3), np.uint8)).save(photos / "p.jpg")
    out = tmp_path / "demo"
    text = run_demo(
        DemoOptions(
            output_dir=str(out), seeds=seeds, photos=[str(photos)], encoder=tiny.save_encoder(tmp_path / "encoder"),
            size=tiny.SIZE, labeled_scenes=2, teacher_steps=1, student_steps=1, metric_steps=1, batch_size=2,
            test_scenes=2, cpu=True,
        )
    )  # fmt: skip
    assert "| student |" in text
    assert f'pipeline("depth-estimation", model="{out / "student"}", trust_remote_code=True)' in text
    results = json.loads((out / "results.json").read_text())
    assert [run["seed"] for run in results["scores"]] == list(seeds)
    assert set(results["scores"][0]["models"]) == {"teacher", "labeled_only", "student"}
    assert len(results["scores"][0]["models"]["student"]) == 4
    assert Image.open(out / "gallery.png").width > 4 * 150
    assert all(part in text for part in (out / "table.md").read_text().strip().split("\n\n"))
    assert (out / "photos/p_color.png").is_file()
    assert (out / "photos.png").is_file()
    assert all((out / f"seed_{seed}/student/model.safetensors").is_file() for seed in seeds[1:])
    assert f"The encoder is {tmp_path / 'encoder'}" in text
    assert sum(stage["seconds"] for stage in results["stages_s"]) <= 60 * results["minutes"] + 6  # rounded minutes
    assert "| a head per domain, routed |" in text
    assert "the router chose the right domain for" in text
    assert [run["seed"] for run in results["metric_scores"]] == list(seeds)
    assert set(results["metric_scores"][0]["models"]) == {*METRIC_MODELS.values(), DOMAIN_GIVEN}
    assert sum(entry["images"] for entry in results["router"]) == len(seeds) * 4 * 2  # seeds, sets, scenes
    assert Image.open(out / "gallery_metric.png").width > 4 * 150
    for name, heads in (("student", {""}), ("metric", {"router", "domain given"})):
        kept = json.loads((out / name / "scores/results.json").read_text())
        assert {entry["head"] for entry in kept["scores"]} == heads
        assert kept["command"].startswith(f"semidepth score --model {out / name} --data 'scenes:indoor?")
    metric = pipeline("depth-estimation", model=str(out / "metric"), trust_remote_code=True)
    assert metric(str(photos / "p.jpg"))["predicted_depth"].shape == (50, 70)
    for name in ("teacher", "student", "metric"):
        AutoModelForDepthEstimation.from_pretrained(out / name)


def test_metric_tables_are_worked_out_from_the_scores():
    run = {"a": {"indoor": {"abs_rel": 0.25, "delta1": 0.5, "rmse": 1.5}}}
    other = {"a": {"indoor": {"abs_rel": 0.35, "delta1": 0.5, "rmse": 1.5}}}
    assert "| a | 0.250 / 0.500 / 1.500 |" in metric_table([run])
    assert "| a | 0.300±0.071 / 0.500±0.000 / 1.500±0.000 |" in metric_table([run, other])
    line = router_line(Counter({("in", "in"): 3, ("in", "out"): 1}))
    assert "75.0% of 4 images (1 in taken for out)" in line


def scores(teacher, labeled_only, student):
    sets = ["indoor, studio", "outdoor, studio", "indoor, wild", "outdoor, wild"]
    models = {"teacher": teacher, "labeled_only": labeled_only, "student": student}
    return {model: {name: {"abs_rel": v, "delta1": 1 - v} for name in sets} for model, v in models.items()}


def test_the_verdict_is_worked_out_from_the_scores():
    summary = summarize([scores(0.4, 0.5, 0.3), scores(0.4, 0.2, 0.3)])
    assert summary["student"]["mean, wild"] == {"abs_rel": [0.3, 0.3], "delta1": [0.7, 0.7]}
    first, second = verdict(summary).splitlines()
    assert "25.0% lower than the teacher" in first
    assert "better in 2 of 2 seeds" in first
    assert "5.0% higher than the labeled only" in second  # (0.4 - 0.5) / 2
    assert "better in 1 of 2 seeds" in second
    row = next(line for line in to_table(summary).splitlines() if line.startswith("| labeled only"))
    assert "0.350±0.212 / 0.650±0.212" in row


def test_wrong_values_get_one_sentence(refused):
    for argv, words in (
        (["--seeds", "1", "1"], "different numbers"),
        (["--student_steps", "0"], "--student_steps is 0"),
        (["--photos", "/no/photos"], "no such file"),
    ):
        assert words in refused(main, *argv)
