"""Original weights of Depth Anything and ZoeDepth are converted to models that predict what the original code does.

The expected numbers were printed by the code of the original repositories (DepthAnything/Depth-Anything-V2,
isl-org/ZoeDepth with isl-org/MiDaS and timm 0.6.12) with the same weights and pixels: three pixels of the map (first, a
middle one, last) and its mean.
"""

import pickle
from datetime import date

import pytest
import tiny
import torch
from original_layouts import depth_anything, fill, picture, zoedepth
from safetensors.torch import save_file
from transformers import ZoeDepthConfig

from semidepth.common.options import parse_options
from semidepth.modeling import RoutedDepthForDepthEstimation
from semidepth.prediction.checkpoints import refuse_pickled, router_names
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.originals.cli import main
from semidepth.prediction.originals.convert import convert
from semidepth.prediction.originals.depth_anything import config_for
from semidepth.prediction.originals.options import ConvertOptions


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Depth Anything's layout in 12 layers."""
    return fill(depth_anything())


def check(values, expected):
    height, width = values.shape
    found = [values[0, 0], values[height // 2, width // 3], values[-1, -1], values.mean()]
    assert torch.stack(found).tolist() == pytest.approx(expected, rel=3e-6)


@pytest.mark.parametrize(
    ("name", "shapes", "kind", "expected"),
    [
        ("depth_anything_vits14.pth", {}, "disparity", [0.739293, 0.648584, 0.713301, 0.752929]),
        ("depth_anything_v2_vits.pth", {}, "disparity", [0.737497, 0.6651, 0.716334, 0.758241]),
        ("depth_anything_v2_metric_hypersim_vits.pth", {}, "depth", [13.528966, 13.208103, 13.435985, 13.579758]),
        (
            "depth_anything_v2_vitg.pth",
            {"layers": 40, "swiglu": True},
            "disparity",
            [0.742821, 0.652985, 0.714147, 0.753536],
        ),
    ],
)
def test_depth_anything_predicts_what_the_original_code_does(name, shapes, kind, expected, tmp_path):
    torch.save(fill(depth_anything(**shapes)), tmp_path / name)
    convert(tmp_path / name, tmp_path / "model")
    model = load_depth_model(str(tmp_path / "model"))
    assert model.kind == kind
    assert (model.preprocessing.size, model.preprocessing.multiple) == (56, 14)
    with torch.inference_mode():
        check(model.model(pixel_values=picture(56, 56)).predicted_depth[0], expected)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("N", [1.012326, 1.011877, 1.015715, 1.012106]),
        ("K", [41.084091, 41.088825, 41.08387, 41.088211]),
        ("NK", [0.981683, 0.981827, 0.982714, 0.981857]),
    ],
)
def test_zoedepth_predicts_what_the_original_code_does(kind, expected, tmp_path):
    weights = {f"module.{name}": value for name, value in fill(zoedepth(kind)).items()}
    torch.save({"model": weights, "optimizer": None, "epoch": 5}, tmp_path / f"ZoeD_M12_{kind}.pt")
    assert f"ZoeD_{kind}" in convert(tmp_path / f"ZoeD_M12_{kind}.pt", tmp_path / "model")
    model = load_depth_model(str(tmp_path / "model"))
    assert model.kind == "depth"
    with torch.inference_mode():
        check(model.model(pixel_values=picture(64, 96)).predicted_depth[0], expected)
        if kind == "NK":  # and as the model that is trained here
            ours = RoutedDepthForDepthEstimation.from_zoedepth(model.model).eval()
            check(ours(pixel_values=picture(64, 96)).predicted_depth[0], expected)


def test_the_command_converts_safetensors_in_folders_that_name_the_version(small, tmp_path, capsys):
    folder = tmp_path / "depth_anything_vits14"
    folder.mkdir()
    save_file(small, folder / "model.safetensors")
    assert main([str(folder / "model.safetensors"), str(tmp_path / "model")]) == 0
    assert "V1" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json", "model.safetensors", "preprocessor_config.json"
    ]  # fmt: skip
    assert load_depth_model(str(tmp_path / "model")).model.config.backbone_config.out_indices == [9, 10, 11, 12]


@pytest.mark.parametrize(("version", "layers"), [("v1", [21, 22, 23, 24]), ("v2", [5, 12, 18, 24])])
def test_the_version_decides_what_the_decoder_reads(version, layers):
    config = config_for(fill(depth_anything(layers=24)), version, None)
    assert config.backbone_config.out_indices == layers


def test_a_single_head_needs_no_name():
    assert router_names(ZoeDepthConfig()) == []


def without(weights, name):
    return {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ("content", "name", "options", "cause"),
    [
        (lambda w: w, "weights.pth", {}, "--version"),
        (lambda w: w, "depth_anything_v2_metric_mine.pth", {}, "--max_depth_m"),
        (lambda w: {"model": w, "previous_best": {"d1": 0.9}}, "latest.pth", {"version": "v2"}, "--max_depth_m"),
        (lambda w: w, "weights.pth", {"version": "v2", "max_depth_m": 0.5}, "whole metres"),
        (lambda w: without(w, "pretrained.blocks.3.norm1.bias"), "x.pth", {"version": "v2"}, "norm1.bias"),
        (lambda w: without(w, "pretrained.pos_embed"), "x.pth", {"version": "v2"}, "lacks.*pretrained.pos_embed"),
        (lambda w: w | {"pretrained.odd": torch.ones(1)}, "x.pth", {"version": "v2"}, "'pretrained.odd'"),
        (
            lambda w: w | {"pretrained.blocks.3.norm1.bias": torch.ones(3)},
            "x.pth",
            {"version": "v2"},
            "shapes that do not belong together",
        ),
        (lambda w: {"layer.weight": torch.ones(1)}, "x.pth", {}, "'layer.weight'.*Depth Anything.*ZoeDepth"),
        (lambda w: {"core.core.pretrained.cls_token": torch.ones(1)}, "x.pt", {}, "V2"),
        (lambda w: {"epoch": 3}, "x.pth", {}, "no weights"),
        (lambda w: [torch.ones(1)], "x.pth", {}, "no weights"),
        (lambda w: w | {"made": date(2024, 1, 1)}, "x.pth", {}, "more than tensors"),
    ],
)
def test_other_files_are_refused_in_a_sentence(content, name, options, cause, small, tmp_path):
    torch.save(content(dict(small)), tmp_path / name)
    with pytest.raises(ValueError, match=cause) as refused:
        convert(tmp_path / name, tmp_path / "model", **options)
    assert "\n" not in str(refused.value)
    assert str(tmp_path / name) in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", pickle.dumps({"a": 1})[:9]])
def test_damaged_files_are_refused_in_a_sentence(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as refused:
        convert(tmp_path / name, tmp_path / "model")
    assert "\n" not in str(refused.value)


def test_options_are_checked_before_the_file_is_read(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    for words, named in (
        (["none.pth", str(tmp_path / "new")], "none.pth"),
        ([str(tmp_path / "x.pth"), str(tmp_path / "full")], "full"),
        ([str(tmp_path / "x.pth"), str(tmp_path / "new"), "--version", "v3"], "--version"),
        ([str(tmp_path / "x.pth"), str(tmp_path / "new"), "--max_depth_m", "0"], "--max_depth_m"),
    ):
        with pytest.raises(ValueError, match=named):
            parse_options(ConvertOptions, words)


@pytest.mark.parametrize("place", ["file", "folder", "folder with a configuration"])
@pytest.mark.parametrize("kind", ["Depth Anything", "ZoeDepth"])
def test_the_refusal_of_original_names_in_safetensors_names_the_command(place, kind, small, tmp_path):
    weights = small if kind == "Depth Anything" else {f"module.{k}": v for k, v in fill(zoedepth("N")).items()}
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    if place == "folder with a configuration":
        tiny.stock_config().save_pretrained(folder)
    with pytest.raises(ValueError, match=r"convert-checkpoint .*model\.safetensors") as refused:
        load_depth_model(str(folder / "model.safetensors" if place == "file" else folder))
    assert "\n" not in str(refused.value)


def test_a_pickled_model_s_refusal_names_the_command(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"x")
    with pytest.raises(ValueError, match="semidepth convert-checkpoint"):
        refuse_pickled(str(tmp_path / "x.pth"))
