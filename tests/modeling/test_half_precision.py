"""Models loaded in half precision, or saved in it: all weights have the dtype that is asked for, and it predicts."""

import copy

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from transformers import pipeline

from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.models import load_depth_model

DOMAINS = [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]


def make(kind, folder):
    """A model whose parts were saved and loaded, so that each nested configuration names a dtype."""
    if kind == "zoedepth":
        return RoutedDepthForDepthEstimation.from_zoedepth(tiny.save_model(tiny.zoedepth(2), folder))
    tiny.save_encoder(folder / "encoder")
    student = DepthStudentForDepthEstimation.from_encoder(str(folder / "encoder"), **tiny.DECODER)
    if kind == "student":
        return student.eval()
    return RoutedDepthForDepthEstimation.from_student(tiny.save_model(student, folder / "student"), DOMAINS).eval()


@pytest.mark.parametrize("kind", ["metric", "zoedepth", "student"])
def test_dtype_asked_for_or_saved_is_the_dtype_of_all_weights(kind, tmp_path):
    model = make(kind, tmp_path)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = tiny.save_model(copy.deepcopy(model), tmp_path / "whole")
    half = tiny.save_model(copy.deepcopy(model).to(torch.bfloat16), tmp_path / "half")
    expected = pipeline("depth-estimation", model=whole)(photo)["predicted_depth"]
    for folder, dtype in ((whole, torch.bfloat16), (whole, torch.float16), (half, "auto"), (half, torch.float32)):
        run = pipeline("depth-estimation", model=folder, dtype=dtype)
        asked = torch.bfloat16 if dtype == "auto" else dtype
        assert {parameter.dtype for parameter in run.model.parameters()} == {asked}
        assert ((run(photo)["predicted_depth"] - expected).abs() / expected).mean() < 0.02


def test_a_metric_model_on_a_student_saved_in_half_precision_is_float32(tmp_path):
    tiny.save_encoder(tmp_path / "encoder")
    student = DepthStudentForDepthEstimation.from_encoder(str(tmp_path / "encoder"), **tiny.DECODER)
    half = tiny.save_model(student.to(torch.bfloat16), tmp_path / "half")
    model = RoutedDepthForDepthEstimation.from_student(half, DOMAINS)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    model.save_pretrained(tmp_path / "metric")
    tiny.save_model(model, tmp_path / "metric")
    loaded = load_depth_model(str(tmp_path / "metric"))
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
