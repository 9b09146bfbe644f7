"""The demo at its smallest: every file, table and picture that it promises; its arithmetic on made-up scores."""

import json

import numpy as np
import pytest
from PIL import Image
from transformers import AutoModelForDepthEstimation

from semidepth.training.demo import DemoArguments, main, run_demo, summarize, to_table, verdict


def test_it_makes_everything_that_it_promises(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.zeros((50, 70, 3), np.uint8)).save(photos / "p.jpg")
    out = tmp_path / "demo"
    text = run_demo(
        DemoArguments(
            output_dir=str(out), seeds=[0, 3], photos=[str(photos)], labeled_scenes=4, encoder_steps=2, teacher_steps=2,
            student_steps=2, batch_size=2, test_scenes=4, cpu=True,
        )
    )  # fmt: skip
    assert "| student |" in text
    assert f'pipeline("depth-estimation", model="{out / "student"}", trust_remote_code=True)' in text
    results = json.loads((out / "results.json").read_text())
    assert [run["seed"] for run in results["scores"]] == [0, 3]
    assert set(results["scores"][0]["models"]) == {"teacher", "labeled_only", "student"}
    assert len(results["scores"][0]["models"]["student"]) == 4
    assert Image.open(out / "gallery.png").width > 4 * 150
    assert (out / "table.md").read_text().strip() in text
    assert (out / "photos/p_color.png").is_file()
    assert (out / "seed_3/student/model.safetensors").is_file()
    for name in ("teacher", "student"):
        AutoModelForDepthEstimation.from_pretrained(out / name)


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


def test_wrong_values_get_one_sentence(capsys):
    for argv, words in (
        (["--seeds", "1", "1"], "different numbers"),
        (["--student_steps", "0"], "--student_steps is 0"),
        (["--photos", "/no/photos"], "matches no image"),
    ):
        with pytest.raises(SystemExit):
            main(argv)
        assert words in capsys.readouterr().err
