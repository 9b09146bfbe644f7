"""`semidepth export`: every target from one command, checked against torch; a file beyond its bound is not left."""

import json
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import tiny
import torch
from PIL import Image

from semidepth import runtime
from semidepth.prediction.depth_maps import predict
from semidepth.prediction.models import load_depth_model
from semidepth.publishing.exports import cli, gate, making
from semidepth.publishing.exports.gate import Gate, refusal
from semidepth.publishing.exports.making import first_right
from semidepth.publishing.exports.targets import ways

FILES = ["model.onnx", "model_fp16.onnx", "model_int8.onnx", "openvino_model.xml", "model.pt2"]
TARGETS = ["onnx", "onnx-fp16", "onnx-int8", "openvino", "torch-export"]
QUICK = ["--scenes", "1", "--rounds", "1"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A folder with a model, a photo and all exports of the model, and what the command printed."""
    folder = tmp_path_factory.mktemp("exported")
    tiny.save_model(tiny.stock_model(), folder / "model")
    soft = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(soft).resize((90, 60), Image.Resampling.BICUBIC).save(folder / "photo.png")
    words = [str(folder / "model"), "--to", *TARGETS, "--output", str(folder / "out")]
    assert cli.main([*words, "--photos", str(folder / "photo.png"), *QUICK]) == 0
    return folder


def test_names_records_and_card(exported):
    made = sorted(path.name for path in (exported / "out").iterdir())
    assert made == sorted([*FILES, "openvino_model.bin", "README.md", *(f"{name}.json" for name in FILES)])
    card = (exported / "out" / "README.md").read_text()
    for name in FILES:
        about = json.loads((exported / "out" / f"{name}.json").read_text())
        assert about["preprocessing"]["size"] == 48
        assert about["output"] == {
            "unit": None, "direction": "larger is nearer", "range": [0.0, None],
            "calibration": "up to a scale and a shift per image",
        }  # fmt: skip
        measured = about["measured"]
        assert (measured["scenes"], measured["photos"]) == (2, 1)
        parts = [name, "openvino_model.bin"] if name.endswith(".xml") else [name]
        assert measured["bytes"] == sum((exported / "out" / part).stat().st_size for part in parts)
        assert measured["seconds"] > 0 < measured["torch_seconds"]
        assert f"| {name} | {measured['how']} |" in card
    assert 'runtime.load("model.onnx")' in card
    assert str(exported) not in card


SHARES = {"model.onnx": 1e-5, "openvino_model.xml": 1e-5, "model_fp16.onnx": 0.01, "model_int8.onnx": 0.05}


@pytest.mark.parametrize(("name", "share"), SHARES.items())
def test_each_file_predicts_what_the_model_does(exported, name, share):
    photo = exported / "photo.png"
    expected = predict(photo, exported / "model", device="cpu").values
    found, unit = runtime.load(exported / "out" / name).predict(photo)
    exact, _ = runtime.load(exported / "out" / "model.onnx").predict(photo)
    assert unit == "inverse depth"
    assert np.abs(found - exact).max() < share * np.ptp(exact)  # whose preprocessing is the same
    assert np.abs(found - expected).mean() < (0.002 + share) * np.ptp(expected)


def test_metadata_is_in_the_files(exported):
    keys = {f"semidepth.{key}" for key in ("kind", "preprocessing", "output", "domains", "opset")}
    for name in ("model.onnx", "model_fp16.onnx", "model_int8.onnx"):
        assert keys <= {entry.key for entry in onnx.load(exported / "out" / name).metadata_props}
    types = [tensor.data_type for tensor in onnx.load(exported / "out" / "model_fp16.onnx").graph.initializer]
    assert types.count(onnx.TensorProto.FLOAT16) > 20
    types = [tensor.data_type for tensor in onnx.load(exported / "out" / "model_int8.onnx").graph.initializer]
    assert types.count(onnx.TensorProto.INT8) >= 4 * 6
    graph = openvino.Core().read_model(exported / "out" / "openvino_model.xml")
    assert keys <= set(graph.get_rt_info(["framework"]).value)
    program = torch.export.load(exported / "out" / "model.pt2", extra_files=(extra := {"semidepth.json": ""}))
    assert json.loads(extra["semidepth.json"])["kind"] == "inverse_depth"
    model = load_depth_model(exported / "model").model
    for size in ((1, 48, 48), (3, 24, 80)):
        pixels = tiny.pixels(*size)
        assert torch.allclose(program.module()(pixels), model(pixel_values=pixels).predicted_depth, atol=1e-4)


def test_a_file_beyond_its_bound_is_refused(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(gate.CHANGE, "int8", 1e-9)
    loaded, base = load_depth_model(exported / "model"), exported / "out" / "model.onnx"
    gates = {None: Gate(loaded, [exported / "photo.png"], 1)}
    row, why = first_right("onnx-int8", made := [*ways("onnx-int8", base, tmp_path, loaded, "m", {})], gates, 1)
    assert row is None
    assert "more than 0.0%" in why
    assert len({way.how for way in made}) == 4  # fewer products in int8 each time


def test_a_refused_file_is_not_left(exported, tmp_path, monkeypatch, capsys):
    def make(loaded, name, options, room):  # whose gate is tested above
        return {}, {"onnx-int8": "AbsRel changes by 3 %"}, {}

    monkeypatch.setattr(making, "make", make)
    assert cli.main([str(exported / "model"), "--to", "onnx-int8", "--output", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()


def test_the_gate_sees_what_is_wrong(exported):
    loaded = load_depth_model(exported / "model")
    measured = Gate(loaded, [exported / "photo.png"], 1)
    right = runtime.load(exported / "out").engine.run
    assert refusal("float32", measured.measure(right)) is None

    def mirrored(pixels):
        return {name: values[..., ::-1] for name, values in right(pixels).items()}

    found = measured.measure(mirrored)
    assert found["abs_rel"] != found["torch_abs_rel"]
    assert "differs from torch by up to" in refusal("float32", found)
    for precision in ("float16", "int8"):
        assert refusal(precision, found) is not None
    nan = measured.measure(lambda pixels: {name: values * np.nan for name, values in right(pixels).items()})
    assert all(refusal(precision, nan) is not None for precision in ("float32", "float16", "int8"))


def test_refusals_before_anything_is_loaded(exported, tmp_path, capsys):
    for words, told in (
        (["--to", "tensorrt"], "--to"),
        (["--output", str(exported / "out")], "not empty"),
        (["--photos", "nowhere.jpg", "--output", str(tmp_path / "new")], "no file nowhere.jpg"),
        (["--opset", "9", "--output", str(tmp_path / "new")], "opset is 9"),
    ):
        assert cli.main([str(exported / "model"), *words]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
