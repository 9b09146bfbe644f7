"""Minutes-long: what the default options promise."""

import json

import pytest
import tiny

from semidepth.training.demo import DemoArguments, run_demo, summarize
from semidepth.training.engine.teacher_arguments import TeacherArguments
from semidepth.training.teacher import train_teacher

pytestmark = pytest.mark.slow


def test_the_student_beats_teacher_and_labeled_only_on_the_shifted_scenes(tmp_path):
    run_demo(DemoArguments(output_dir=str(tmp_path), seeds=[0, 1, 2], cpu=True))
    results = json.loads((tmp_path / "results.json").read_text())
    summary = summarize([run["models"] for run in results["scores"]])
    mean = {model: sum(sets["mean, wild"]["abs_rel"]) / 3 for model, sets in summary.items()}
    assert mean["student"] < mean["teacher"]
    assert mean["student"] < mean["labeled_only"]


def test_a_compiled_model_trains(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    arguments = TeacherArguments(
        encoder=encoder, output_dir=str(tmp_path / "run"), labeled=["scenes:indoor?count=8"], batch_size=4, steps=30,
        learning_rate=1e-3, warmup_steps=1, num_workers=0, compile=True, cpu=True,
    )  # fmt: skip
    assert train_teacher(arguments)["loss"] < 1
