"""4M as an ordinary depth model, with and without the package; tokenizers and encoder are in its one folder."""

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
from transformers import AutoModel, AutoModelForDepthEstimation, DPTImageProcessor

from semidepth.modeling import (
    DepthStudentConfig,
    DepthStudentForDepthEstimation,
    FourMConfig,
    FourMForAnyToAny,
    FourMForDepthEstimation,
    ModalityTokenizer,
    ModalityTokenizerConfig,
)
from semidepth.prediction.models import load_depth_model

SIZES = {"hidden_size": 32, "encoder_layers": 1, "decoder_layers": 1, "num_attention_heads": 2, "image_size": 64}


def student():
    torch.manual_seed(3)
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    return DepthStudentForDepthEstimation(DepthStudentConfig(**fields)).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    core = student()
    patch = core.config.backbone_config.patch_size
    torch.manual_seed(0)
    tokenizer = ModalityTokenizer(
        ModalityTokenizerConfig(image_size=32, patch_size=8, hidden_size=8, num_hidden_layers=1, levels=[4, 4])
    )
    model = FourMForAnyToAny.from_tokenizers(
        [{"name": "rgb", "kind": "features", "image_size": 4 * patch}, {"name": "tok_depth"}],
        {"tok_depth": tokenizer}, core.backbone, **SIZES,
    ).eval()  # fmt: skip
    place = tmp_path_factory.mktemp("four_m") / "model"
    model.save_pretrained(place)
    side = 4 * patch
    DPTImageProcessor(size={"height": side, "width": side}, keep_aspect_ratio=False).save_pretrained(place)
    return place


def pixels(model):
    side = model.config.modality("rgb").image_size
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_features_are_what_the_student_sees(folder):
    model, core = FourMForAnyToAny.from_pretrained(folder), student()
    seen = pixels(model)
    assert torch.allclose(model.encode_features(seen), core(seen, output_features=True).features, atol=1e-6)
    targets = {"tok_depth": torch.zeros(2, 4, 4, dtype=torch.long)}
    kept = model({"rgb": model.encode_features(seen)}, None, targets).loss
    assert torch.equal(kept, model({"rgb": seen}, None, targets).loss)


def test_frozen_parts_do_not_train(folder):
    model = FourMForAnyToAny.from_pretrained(folder).train()
    assert not model.feature_encoder.training
    assert not model.tokenizers["tok_depth"].training
    trained = {name.split(".")[0] for name, weights in model.named_parameters() if weights.requires_grad}
    assert not trained & {"feature_encoder", "tokenizers"}


@torch.no_grad()
def test_depth_is_what_generate_gives(folder):
    depth = AutoModelForDepthEstimation.from_pretrained(folder).eval()
    assert isinstance(depth, FourMForDepthEstimation)
    whole = AutoModel.from_pretrained(folder).eval()
    assert type(whole) is FourMForAnyToAny
    made = whole.generate({"rgb": pixels(whole)}, ["tok_depth"])["tok_depth"].values
    assert torch.equal(depth(pixels(depth)).predicted_depth, made.clamp(max=100.0))


def test_labels_train_the_depth_model(folder):
    model = FourMForDepthEstimation.from_pretrained(folder).train()
    labels = torch.full((2, 32, 32), 3.0)
    labels[1, :8] = torch.nan
    output = model(pixels(model), labels=labels)
    assert torch.equal(model(pixels(model), labels=labels, return_dict=False)[0], output.loss)
    tokens = model.tokenize({"tok_depth": labels})["tok_depth"]
    assert (tokens[1, 0] == -100).all()
    by_hand = FourMForAnyToAny.forward(model, {"rgb": pixels(model)}, None, {"tok_depth": tokens}).loss
    assert torch.equal(output.loss, by_hand)
    output.loss.backward()
    assert model.encoder_embeddings["rgb"].proj.weight.grad.abs().sum() > 0


def test_a_model_without_depth_is_no_depth_model(tmp_path):
    with pytest.raises(ValueError, match="no depth model"):
        FourMForDepthEstimation(FourMConfig(**SIZES))


def test_the_package_predicts_metres_with_it(folder):
    model = load_depth_model(str(folder))
    assert model.kind == "depth"
    images = torch.randint(0, 256, (1, 3, 60, 100), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    metres, _ = model.forward(images)
    assert metres.shape == (1, 60, 100)
    assert metres.isfinite().all()
    assert metres.min() > 0


SCRIPT = (
    WITHOUT_SEMIDEPTH
    + """
import json, torch
from transformers import AutoModel, AutoModelForDepthEstimation, pipeline
folder, photo = sys.argv[1:]
results = {}
for auto in (AutoModel, AutoModelForDepthEstimation):
    model = auto.from_pretrained(folder, trust_remote_code=True).eval()
    assert "transformers_modules" in type(model).__module__
    side = model.config.modality("rgb").image_size
    seen = torch.ones(1, 3, side, side)
    with torch.no_grad():
        made = model.generate({"rgb": seen}, ["tok_depth"])["tok_depth"].values
    results[auto.__name__] = made.double().sum().item()
pipe = pipeline("depth-estimation", model=folder, trust_remote_code=True)
results["pipeline"] = list(pipe(photo)["predicted_depth"].shape)
json.dump(results, sys.stdout)
"""
)


def test_the_folder_runs_without_the_package(folder, tmp_path):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)).save(photo)
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), str(photo)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout)
    model = FourMForAnyToAny.from_pretrained(folder).eval()
    side = model.config.modality("rgb").image_size
    expected = model.generate({"rgb": torch.ones(1, 3, side, side)}, ["tok_depth"])["tok_depth"].values
    for auto in ("AutoModel", "AutoModelForDepthEstimation"):
        assert results[auto] == pytest.approx(expected.double().sum().item(), rel=1e-5)
    assert results["pipeline"] == [60, 100]


@torch.no_grad()
def test_half_precision_is_near(folder):
    half = AutoModelForDepthEstimation.from_pretrained(folder, dtype=torch.bfloat16).eval()
    exact = AutoModelForDepthEstimation.from_pretrained(folder).eval()
    found = half(pixels(half).bfloat16()).predicted_depth
    assert found.dtype == torch.float32
    wanted = exact(pixels(exact)).predicted_depth
    assert ((found / wanted).log().abs() < 0.05).float().mean() > 0.95  # at the edge of sky it is one or the other
