"""A saved folder in a process that cannot import semidepth: plain transformers must run it."""

import json
import os
import subprocess
import sys

import numpy as np
import tiny
import torch
from PIL import Image
from processes import WITHOUT_SEMIDEPTH

from semidepth.modeling import DepthStudentConfig, DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.preprocessing import Preprocessing

SCRIPT = (
    WITHOUT_SEMIDEPTH
    + """
import json, torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoModelForDepthEstimation, pipeline
folder, photo = sys.argv[1:]
processor = AutoImageProcessor.from_pretrained(folder)
inputs = processor(images=Image.open(photo), return_tensors="pt")
results = {"pixels": list(inputs["pixel_values"].shape)}
for auto in (AutoModel, AutoModelForDepthEstimation):
    for dtype in (torch.float32, torch.bfloat16):
        model = auto.from_pretrained(folder, trust_remote_code=True, dtype=dtype).eval()
        assert model.dtype == dtype and "transformers_modules" in type(model).__module__
        with torch.no_grad():
            predicted = model(inputs["pixel_values"].to(dtype)).predicted_depth
        results[f"{auto.__name__} {dtype}"] = [str(predicted.dtype), predicted.double().sum().item()]
for dtype in (torch.float32, torch.bfloat16):
    pipe = pipeline("depth-estimation", model=folder, trust_remote_code=True, dtype=dtype)
    output = pipe(photo)
    results[f"pipeline {dtype}"] = [list(output["predicted_depth"].shape), list(output["depth"].size)]
json.dump(results, sys.stdout)
"""
)


def test_saved_folder_runs_without_the_package(tmp_path):
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**fields)).eval()
    folder, photo = tmp_path / "student", tmp_path / "photo.png"
    student.save_pretrained(folder)
    preprocessing = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH)
    preprocessing.to_image_processor().save_pretrained(folder)
    noise = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photo)

    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), str(photo)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout)

    assert results["pixels"] == [1, 3, 48, 80]
    with torch.no_grad():
        from transformers import AutoImageProcessor

        inputs = AutoImageProcessor.from_pretrained(folder)(images=Image.open(photo), return_tensors="pt")
        expected = student(inputs["pixel_values"]).predicted_depth.double().sum().item()
    for auto in ("AutoModel", "AutoModelForDepthEstimation"):
        dtype, total = results[f"{auto} torch.float32"]
        assert dtype == "torch.float32"
        assert abs(total - expected) < 1e-5 * abs(expected)
        dtype, total = results[f"{auto} torch.bfloat16"]
        assert dtype == "torch.float32"
        assert abs(total - expected) < 0.05 * abs(expected)
    for dtype in ("float32", "bfloat16"):
        assert results[f"pipeline torch.{dtype}"] == [[60, 100], [100, 60]]


METRIC_SCRIPT = (
    SCRIPT.split("processor = ")[0]
    + """
results = {}
for auto in (AutoModel, AutoModelForDepthEstimation):
    model = auto.from_pretrained(folder, trust_remote_code=True).eval()
    assert "transformers_modules" in type(model).__module__
    with torch.no_grad():
        results[auto.__name__] = model(torch.ones(1, 3, 48, 48)).predicted_depth.double().sum().item()
pipe = pipeline("depth-estimation", model=folder, trust_remote_code=True, dtype=torch.bfloat16)
results["pipeline"] = list(pipe(photo)["predicted_depth"].shape)
json.dump(results, sys.stdout)
"""
)


def test_a_routed_metric_folder_runs_without_the_package(tmp_path):
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**fields))
    domains = [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]
    routed = RoutedDepthForDepthEstimation.from_student(student, domains, bin_embedding_dim=16).eval()
    folder, photo = tmp_path / "metric", tmp_path / "photo.png"
    tiny.save_model(routed, folder)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)).save(photo)
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", METRIC_SCRIPT, str(folder), str(photo)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout)
    with torch.no_grad():
        expected = routed(torch.ones(1, 3, 48, 48)).predicted_depth.double().sum().item()
    for auto in ("AutoModel", "AutoModelForDepthEstimation"):
        assert abs(results[auto] - expected) < 1e-5 * expected
    assert results["pipeline"] == [60, 100]
