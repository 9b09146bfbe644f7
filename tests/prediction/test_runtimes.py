"""A model in onnxruntime or OpenVINO behind the same interface: same maps, one export, speeds measured once."""

import json
import logging

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from semidepth.evaluation import cli as score
from semidepth.prediction import cli
from semidepth.prediction.depth_maps import predict
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.runtimes import cached, choice
from semidepth.prediction.runtimes.cached import digest_of
from semidepth.prediction.runtimes.choice import EngineModel, on_runtime
from semidepth.runtime import load


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """Folder of a model whose weights bfloat16 holds exactly: one export serves both dtypes."""
    return tiny.save_model(tiny.stock_model().bfloat16().float(), tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def kept(tmp_path_factory, model):
    """A cache folder that holds the model's export."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMIDEPTH_CACHE", str(folder))
        load_depth_model(model, runtime="onnx")
    return folder


@pytest.fixture(autouse=True)
def _cache(kept, monkeypatch):
    monkeypatch.setenv("SEMIDEPTH_CACHE", str(kept))


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_maps_are_torchs(model, kept, runtime):
    exact, other = load_depth_model(model), load_depth_model(model, runtime=runtime)
    assert isinstance(other.model, EngineModel)
    assert other.model.engine.library == runtime
    assert digest_of(other) == digest_of(exact)
    assert len(list((kept / "exports").glob("*/model.onnx"))) == 1
    photos = [np.random.default_rng(seed).integers(0, 256, (50, 70, 3), dtype=np.uint8) for seed in range(3)]
    for found, expected in zip(predict(photos, other), predict(photos, exact), strict=True):
        assert np.abs(found.values - expected.values).max() < 1e-4 * np.ptp(expected.values)
    images = torch.rand(2, 3, 60, 90, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(other.forward(images)[0], exact.forward(images)[0], atol=1e-4)


def test_in_bfloat16(model):
    exact = load_depth_model(model).forward(image := torch.rand(1, 3, 48, 48))[0]
    coarse = load_depth_model(model, dtype=torch.bfloat16, runtime="openvino").forward(image)[0]
    assert 0 < (coarse - exact).abs().max() < 0.1 * (exact.max() - exact.min())
    with pytest.raises(ValueError, match="take the runtime 'openvino'"):
        load_depth_model(model, dtype=torch.bfloat16, runtime="onnx")


def test_the_fastest_is_measured_once(model, kept, caplog):
    caplog.set_level(logging.INFO)
    first = load_depth_model(model, runtime="auto")
    ((_, table),) = json.loads((kept / "runtimes.json").read_text()).items()
    ((_, seconds),) = table.items()
    assert seconds.keys() == {"torch", "onnx", "openvino"}
    best = min(seconds, key=lambda name: seconds[name])
    assert f"runtime {best}: {best} {seconds[best]:.3f} s" in caplog.text
    assert getattr(getattr(first.model, "engine", None), "library", "torch") == best
    # What was measured decides, without measuring again.
    for told in ("torch", "onnx", "openvino"):
        whole = json.loads((kept / "runtimes.json").read_text())
        for own in whole.values():
            own.update({key: {name: 1.0 + (name != told) for name in seconds} for key in own})
        (kept / "runtimes.json").write_text(json.dumps(whole))
        again = load_depth_model(model, runtime="auto")
        assert getattr(getattr(again.model, "engine", None), "library", "torch") == told
    (kept / "runtimes.json").write_text("{")
    load_depth_model(model, runtime="auto")
    assert "is damaged" in caplog.text


def test_auto_stays_with_torch_where_there_is_no_export(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = tiny.save_model(tiny.stock_model(), tmp_path / "m")
    stock = load_depth_model(folder)
    stock.model = torch.nn.Linear(1, 1)
    stock.model.config = load_depth_model(folder).model.config
    assert on_runtime(stock, "auto", "it") is stock
    assert "runtime torch: 'it' is a Linear" in caplog.text
    with pytest.raises(ValueError, match="'it' is a Linear"):
        on_runtime(stock, "onnx", "it")
    with pytest.raises(ValueError, match="give one of torch, onnx"):
        load_depth_model(folder, runtime="tensorrt")


def test_predict_keeps_results_of_another_runtime_and_score_uses_it(model, tmp_path, capsys):
    soft = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(soft).resize((90, 60)).save(tmp_path / "a.png")
    words = [str(tmp_path / "a.png"), "--model", model, "--output", str(tmp_path / "out"), "--format", "npy"]
    assert cli.main([*words, "--runtime", "onnx"]) == 0
    assert cli.main(words) == 0
    assert "1 already there" in capsys.readouterr().out
    expected = predict(tmp_path / "a.png", model, device="cpu").values
    assert np.abs(np.load(tmp_path / "out" / "a_depth.npy") - expected).max() < 1e-4 * np.ptp(expected)
    tables = []
    for runtime in ("torch", "openvino"):
        data = ["--model", model, "--data", "scenes:indoor?split=test&count=2", "--device", "cpu"]
        assert score.main([*data, "--runtime", runtime, "--output", str(tmp_path / runtime)]) == 0
        entries = json.loads((tmp_path / runtime / "results.json").read_text())["scores"]
        tables.append([entry["metrics"]["abs_rel"] for entry in entries])
    assert tables[0] == pytest.approx(tables[1], rel=1e-4)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMIDEPTH_CACHE", "~/here")
    assert cached.cache_folder().name == "here"
    monkeypatch.delenv("SEMIDEPTH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cached.cache_folder() == tmp_path / "semidepth"


@pytest.mark.parametrize("content", ["{", "[]", '{"here": {"key": 3}}', '{"here": {"key": {"torch": "fast"}}}', "[1"])
def test_a_damaged_table_of_speeds_is_measured_again(content, tmp_path, caplog):
    (tmp_path / "runtimes.json").write_text(content)
    assert choice._read(tmp_path / "runtimes.json") == {}
    assert "speeds are measured again" in caplog.text


def test_a_damaged_export_in_the_cache_is_made_anew(model, kept, caplog):
    [file] = kept.glob("exports/*/model.onnx")
    whole = file.read_bytes()
    middle = len(whole) // 2  # among the weights, where every byte is one that is read
    file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :])
    with pytest.raises(ValueError, match=r"is damaged \(content has changed: model\.onnx\)"):
        load(file)
    loaded = load_depth_model(model, runtime="onnx")
    assert "is damaged (content has changed: model.onnx); it is made anew" in caplog.text
    pixels = np.zeros((60, 80, 3), np.uint8)
    expected = predict(pixels, model, device="cpu").values
    assert np.abs(predict(pixels, loaded).values - expected).max() < 1e-3 * max(np.ptp(expected), 1e-3)
    assert load(file).unit == "inverse depth"
