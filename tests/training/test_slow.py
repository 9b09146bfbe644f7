"""Minutes-long: what the default options promise."""

import json

import pytest
import tiny
import torch

from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.training.metric import train_metric
from semidepth.training.options.demo import DemoOptions
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.demo.metric import DOMAIN_GIVEN, METRIC_MODELS
from semidepth.training.recipes.demo.relative import summarize
from semidepth.training.recipes.demo.run import run_demo
from semidepth.training.teacher import train_teacher

pytestmark = pytest.mark.slow


def test_the_student_beats_teacher_and_labeled_only_on_the_shifted_scenes(tmp_path):
    run_demo(
        DemoOptions(
            output_dir=str(tmp_path), seeds=[0, 1, 2], encoder="scenes", teacher_steps=300, student_steps=500,
            metric_steps=300, test_scenes=96, cpu=True,
        )
    )  # fmt: skip
    results = json.loads((tmp_path / "results.json").read_text())
    summary = summarize([run["models"] for run in results["scores"]])
    mean = {model: sum(sets["mean, wild"]["abs_rel"]) / 3 for model, sets in summary.items()}
    assert mean["student"] < mean["teacher"]
    assert mean["student"] < mean["labeled_only"]
    # Heads of their own serve a room better than one for rooms and streets; the router finds most of them.
    rooms = {
        model: sum(run["models"][model]["indoor, wild"]["abs_rel"] for run in results["metric_scores"]) / 3
        for model in results["metric_scores"][0]["models"]
    }
    assert rooms[DOMAIN_GIVEN] < rooms[METRIC_MODELS["metric_single_head"]]
    right = sum(entry["images"] for entry in results["router"] if entry["domain"] == entry["chosen"])
    assert right > 0.9 * sum(entry["images"] for entry in results["router"])


def test_a_compiled_model_trains(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    arguments = TeacherOptions(
        encoder=encoder, output_dir=str(tmp_path / "run"), labeled=["scenes:indoor?count=8"], batch_size=4, steps=30,
        learning_rate=1e-3, warmup_steps=1, num_workers=0, compile=True, cpu=True,
    )  # fmt: skip
    assert train_teacher(arguments)["loss"] < 1


def test_a_compiled_metric_model_trains(tmp_path):
    torch.manual_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    tiny.save_model(DepthStudentForDepthEstimation(config), tmp_path / "student")
    arguments = MetricOptions(
        student=str(tmp_path / "student"), output_dir=str(tmp_path / "run"), batch_size=4, steps=5, num_workers=0,
        train=["indoor=scenes:indoor?count=8", "outdoor=scenes:outdoor?count=8"], compile=True, cpu=True,
        validation=["none"],
    )  # fmt: skip
    assert train_metric(arguments)["silog"] > 0
