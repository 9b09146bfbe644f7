"""A saved mask model: in half precision, in transformers' pipeline, and in a process that cannot import semidepth."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from processes import WITHOUT_SEMIDEPTH
from test_prompted_mask_sam import stock_sam
from transformers import AutoImageProcessor, AutoModel, AutoModelForMaskGeneration, pipeline, set_seed

from semidepth.modeling import (
    DepthStudentConfig,
    DepthStudentForDepthEstimation,
    PromptedMaskForMaskGeneration,
    RoutedDepthForDepthEstimation,
)
from semidepth.prediction.preprocessing import Preprocessing, preprocessing_of
from semidepth.training.engine.saving import save_model

SMALL = {"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32}
PREPROCESSING = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


def mask_model(core: str) -> PromptedMaskForMaskGeneration:
    if core == "sam":
        return PromptedMaskForMaskGeneration.from_sam(stock_sam()).eval()
    set_seed(0)
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**fields)).eval()
    if core == "student":
        return PromptedMaskForMaskGeneration.from_student(student, **SMALL).eval()
    domains = [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]
    return PromptedMaskForMaskGeneration.from_metric(
        RoutedDepthForDepthEstimation.from_student(student, domains), **SMALL
    ).eval()


@pytest.fixture
def photo(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((100, 60)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def saved(core, tmp_path):
    """The model, and the folder that it is saved in as training does."""
    model, folder = mask_model(core), tmp_path / core
    preprocessing = Preprocessing(size=64, multiple=8) if core == "sam" else PREPROCESSING
    folder.mkdir()
    save_model(model, preprocessing, folder)
    return model, folder


def test_the_saved_processor_says_how_images_are_prepared(tmp_path):
    model, folder = saved("student", tmp_path)
    assert preprocessing_of(str(folder), model.config) == PREPROCESSING


@pytest.mark.parametrize("core", ["student", "metric", "sam"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(core, dtype, tmp_path):
    model, folder = saved(core, tmp_path)
    half = AutoModelForMaskGeneration.from_pretrained(folder, dtype=dtype).eval()
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    pixels = tiny.pixels(1, 64, 64)
    points = torch.tensor([[[[20.3, 30.0]], [[50.0, 11.7]]]])
    with torch.no_grad():
        expected = model(pixels, input_points=points)
        found = half(pixels.to(dtype), input_points=points)
    assert found.pred_masks.dtype == found.iou_scores.dtype == torch.float32
    spread = expected.pred_masks.std()
    assert (found.pred_masks - expected.pred_masks).abs().mean() < 0.1 * spread
    assert half.prompt_encoder.shared_embedding.positional_embedding is half.shared_image_embedding.positional_embedding


def test_saved_in_half_precision_and_loaded_in_full(tmp_path):
    model = mask_model("metric").to(torch.bfloat16)
    model.save_pretrained(tmp_path / "half")
    loaded = AutoModel.from_pretrained(tmp_path / "half", dtype=torch.float32)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert {each.dtype for each in AutoModel.from_pretrained(tmp_path / "half").parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("core", ["student", "sam"])
def test_the_pipelines_masks_are_the_models(core, tmp_path, photo):
    model, folder = saved(core, tmp_path)
    everything = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "points_per_crop": 3, "points_per_batch": 4}
    found = pipeline("mask-generation", model=str(folder))(str(photo), **everything)
    processor = AutoImageProcessor.from_pretrained(folder)
    inputs = processor(images=Image.open(photo), return_tensors="pt")
    # The middles of a grid of 3 x 3 on the photo, which fills the upper part of the square that the model sees.
    height, width = inputs["reshaped_input_sizes"][0].tolist()
    x, y = np.meshgrid((np.arange(3) + 0.5) / 3 * width, (np.arange(3) + 0.5) / 3 * height)
    points = torch.from_numpy(np.stack([x.ravel(), y.ravel()], -1))[None, :, None]
    with torch.no_grad():
        masks = model(inputs["pixel_values"], input_points=points).pred_masks
    masks = processor.post_process_masks(masks, inputs["original_sizes"], inputs["reshaped_input_sizes"])[0]
    candidates = {mask.numpy().tobytes() for mask in masks.flatten(0, 1)}
    assert masks.shape == (9, 3, 60, 100)
    assert len(found["masks"]) >= 2
    assert all(np.asarray(mask).astype(bool).tobytes() in candidates for mask in found["masks"])
    assert pipeline("mask-generation", model=str(folder))(str(photo), pred_iou_thresh=99.0)["masks"] == []


SCRIPT = (
    WITHOUT_SEMIDEPTH
    + """
import json, torch
from transformers import AutoModel, AutoModelForMaskGeneration, pipeline
folder, photo, depth = sys.argv[1:]
pixels = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
prompts = {"input_points": torch.tensor([[[[20.0, 30.0]]]]), "input_boxes": torch.tensor([[[5.0, 6.0, 40.0, 50.0]]])}
results = {}
for auto in (AutoModel, AutoModelForMaskGeneration):
    model = auto.from_pretrained(folder, trust_remote_code=True).eval()
    assert "transformers_modules" in type(model).__module__
    with torch.no_grad():
        output = model(pixels, **prompts, output_depth=depth == "depth")
    sums = [output.pred_masks, output.iou_scores, *([output.predicted_depth] if depth == "depth" else [])]
    results[auto.__name__] = [each.double().sum().item() for each in sums]
pipe = pipeline("mask-generation", model=folder, trust_remote_code=True, dtype=torch.bfloat16)
found = pipe(photo, pred_iou_thresh=0.0, stability_score_thresh=0.0, points_per_crop=2)
results["masks"] = [list(mask.shape) for mask in found["masks"]]
model.save_pretrained(folder + "_again")
json.dump(results, sys.stdout)
"""
)


@pytest.mark.parametrize("core", ["metric", "sam"])
def test_it_runs_without_the_package(core, tmp_path, photo):
    model, folder = saved(core, tmp_path)
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    depth = "none" if core == "sam" else "depth"
    command = [sys.executable, "-c", SCRIPT, str(folder), str(photo), depth]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout)
    pixels = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    prompts = {
        "input_points": torch.tensor([[[[20.0, 30.0]]]]),
        "input_boxes": torch.tensor([[[5.0, 6.0, 40.0, 50.0]]]),
    }
    with torch.no_grad():
        output = model(pixels, **prompts, output_depth=core != "sam")
    sums = [output.pred_masks, output.iou_scores, *([output.predicted_depth] if core != "sam" else [])]
    expected = [each.double().sum().item() for each in sums]
    for auto in ("AutoModel", "AutoModelForMaskGeneration"):
        assert results[auto] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert results["masks"]
    assert all(shape == [60, 100] for shape in results["masks"])
    # Saved once more from there, it still has its code.
    assert {path.name for path in folder.glob("*.py")} == {
        path.name for path in folder.with_name(f"{core}_again").glob("*.py")
    }
