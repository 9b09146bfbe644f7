"""Stock folders: plain transformers loads them in a fresh process, with the same numbers and no code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from processes import WITHOUT_SEMIDEPTH
from safetensors import safe_open
from transformers import AutoImageProcessor, set_seed

from semidepth.modeling import DepthStudentConfig, DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.publishing.cli import PublishOptions, files_of_model
from semidepth.publishing.exports.stock import to_stock
from semidepth.publishing.info import model_info

SCRIPT = (
    WITHOUT_SEMIDEPTH
    + """
import numpy as np, torch
from transformers import AutoImageProcessor, AutoModelForDepthEstimation
for folder in sys.argv[1:]:
    AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForDepthEstimation.from_pretrained(folder, trust_remote_code=False, dtype=torch.float32).eval()
    with torch.no_grad():
        found = model(torch.from_numpy(np.load(folder + ".pixels.npy"))).predicted_depth
    np.save(folder + ".found.npy", found.numpy())
    print(type(model).__module__, type(model).__name__)
"""
)


def save(model, folder: Path) -> Path:
    tiny.save_model(model, folder)
    return folder


def student(kind: str = "dinov2", **fields) -> DepthStudentForDepthEstimation:
    set_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(kind), **tiny.DECODER)
    return DepthStudentForDepthEstimation(DepthStudentConfig(**(config.to_dict() | fields))).eval()


def run_elsewhere(folders: list[Path], pixels: torch.Tensor, scratch: Path) -> tuple[list[str], list[torch.Tensor]]:
    """The classes that a fresh process without semidepth loads, and their predictions."""
    for folder in folders:
        np.save(f"{folder}.pixels.npy", pixels.numpy())
    environment = os.environ | {"HF_MODULES_CACHE": str(scratch / "modules"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", SCRIPT, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=scratch, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split("\n")[:-1], [torch.from_numpy(np.load(f"{folder}.found.npy")) for folder in folders]


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_half_precision_stays(tmp_path):
    to_stock(save(student().to(torch.bfloat16), tmp_path / "student"), tmp_path / "stock")
    with safe_open(tmp_path / "stock" / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert json.loads((tmp_path / "stock" / "config.json").read_text())["dtype"] == "bfloat16"


@torch.no_grad()
def test_plain_transformers_predicts_the_same_in_a_fresh_process(tmp_path):
    models = {
        "relative": student(),
        "metric": student(depth_estimation_type="metric", max_depth=20.0),
        "zoe": RoutedDepthForDepthEstimation.from_zoedepth(tiny.zoedepth(1)),
        "zoe_of_two": RoutedDepthForDepthEstimation.from_zoedepth(tiny.zoedepth(2)),
    }
    folders = {name: save(model, tmp_path / name) for name, model in models.items()}
    (folders["relative"] / "student.yaml").write_text("seed: 0\n")
    assert (folders["relative"] / "modeling_depth_student.py").is_file()  # neither is to come along
    targets = {name: tmp_path / "stock" / name for name in models}
    for name, folder in folders.items():
        to_stock(folder, targets[name])
    assert files_of(tmp_path / "stock") == sorted(models)
    for name, target in targets.items():
        assert files_of(target) == ["config.json", "model.safetensors", "preprocessor_config.json"]
        assert "auto_map" not in (target / "config.json").read_text()
        processors = [AutoImageProcessor.from_pretrained(place).to_dict() for place in (folders[name], target)]
        assert processors[0] == processors[1]
    assert json.loads((targets["relative"] / "config.json").read_text())["model_type"] == "depth_anything"

    pixels = tiny.pixels(1, 64, 96)  # stock ZoeDepth votes over a batch, so one image
    classes, found = run_elsewhere(list(targets.values()), pixels, tmp_path)
    names = [line.split()[1] for line in classes]
    assert names == ["DepthAnythingForDepthEstimation"] * 2 + ["ZoeDepthForDepthEstimation"] * 2
    assert all(line.startswith("transformers.models.") for line in classes)
    for model, depth in zip(models.values(), found, strict=True):
        expected = model(pixels).predicted_depth
        assert (depth - expected).abs().max() <= 1e-5 * expected.max()


def test_what_no_stock_class_holds_is_refused_and_leaves_nothing(tmp_path):
    metric = RoutedDepthForDepthEstimation.from_student(student(), [{"name": "indoor"}, {"name": "outdoor"}])
    folder = save(metric, tmp_path / "metric")
    with pytest.raises(ValueError, match=r"core is a depth student, .*; publish it with its code, .*head stock\.$"):
        to_stock(folder, tmp_path / "stock")
    for kind in ("dinov2_with_registers", "dinov3_vit"):
        folder = save(student(kind), tmp_path / kind)
        with pytest.raises(ValueError, match=r"no encoder with register tokens; publish the model with its own code"):
            to_stock(folder, tmp_path / "stock")
    bare = tmp_path / "bare"
    student().save_pretrained(bare)
    with pytest.raises(ValueError, match="has no image processor that loads"):
        to_stock(bare, tmp_path / "stock")
    assert files_of(tmp_path) == ["bare", "dinov2_with_registers", "dinov3_vit", "metric"]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    folder, target = save(student(), tmp_path / "student"), tmp_path / "stock"
    target.mkdir()
    to_stock(folder, target)  # an empty one may be there
    before = files_of(target)
    with pytest.raises(ValueError, match="not an empty folder; give a new one"):
        to_stock(folder, target)
    assert files_of(target) == before


@pytest.mark.parametrize("heads", [1, 2])
def test_a_stock_zoedepth_is_published_with_a_card_of_its_own(tmp_path, heads):
    folder = save(RoutedDepthForDepthEstimation.from_zoedepth(tiny.zoedepth(heads)), tmp_path / "zoe")
    (folder / "metric.yaml").write_text("train: [nyu=rooms/]\nrouter_loss_weight: 100.0\ncore_lr_factor: 0.02\n")
    room = tmp_path / "room"
    room.mkdir()
    options = PublishOptions(folder=folder, repo="org/zoe", stock=True, dry_run=True)
    files = {file.path: file.source for file in files_of_model(folder, options, room)}
    assert {"README.md", "config.json", "metric.yaml", "model.safetensors", "preprocessor_config.json"} == set(files)
    card = files["README.md"].read_text()
    assert "trust_remote_code" not in card
    assert "from semidepth" not in card
    assert "| nyu | 0.001 to 10 m |" in card
    assert ("| kitti | 0.001 to 80 m |" in card) == ("bin_configurations" in card) == (heads == 2)
    assert "loads like it, without custom code" in card
    assert "ZoeDepth's training (arXiv 2302.12288)" in card
    assert "the encoder is BEiT, 4 layers, 32 wide" in card
    info = model_info(room / "stock")
    assert [domain["max_depth_m"] for domain in info["domains"]] == [10.0, 80.0][:heads]
    assert [domain["name"] for domain in info["domains"]] == ["nyu", "kitti"][:heads]


def test_a_damaged_head_of_zoedepth_is_one_sentence(tmp_path):
    tiny.zoedepth_config(1).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["bin_configurations"][0]["max_depth"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json is damaged .*max_depth"):
        model_info(tmp_path)
