"""Benchmark sets in the score command: a small set of the test's own, read as the readers of real ones are."""

import json
import logging
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from semidepth.evaluation import benchmarks
from semidepth.evaluation.benchmarks.base import BenchmarkSet, PointPairs, PointPairSet
from semidepth.evaluation.cli import main
from semidepth.prediction.models import load_depth_model

SIZE = (40, 56)


def sample(number):
    generator = torch.Generator().manual_seed(number)
    image = torch.randint(0, 256, (3, *SIZE), generator=generator, dtype=torch.uint8)
    depth = 1 + 9 * torch.rand(SIZE, generator=generator)
    depth[:5] = torch.nan
    return {"image": image, "depth": depth, "domain": "indoor", "origin": f"room_{number}"}


def pairs(number):
    """Rows 0 and 1 of the image, two points: (0, 0) is nearer than (9, 9), (3, 50) than (30, 2)."""
    return PointPairs(
        image=sample(number)["image"], nearer=np.array([[0, 0], [3, 50]]), farther=np.array([[9, 9], [30, 2]]),
        domain="indoor", origin=f"pair_{number}",
    )  # fmt: skip


def open_rooms(root, name):
    if not root.is_dir():
        raise ValueError(f"--root {root} is not a folder; {name} is expected there.")
    return BenchmarkSet(name, [f"room_{n}" for n in range(5)], sample, "nyu_like", 8.0, "indoor", "")


def open_pairs(root, name):
    return PointPairSet(name, [f"pair_{n}" for n in range(3)], pairs, "")


@pytest.fixture(autouse=True)
def sets(monkeypatch):
    """Two modules beside the readers of real sets, and a protocol without Eigen's crop, which is larger than SIZE."""
    from semidepth.evaluation.depth_metrics.protocols import PROTOCOLS, Protocol

    for name, opener in (("rooms", open_rooms), ("pairs", open_pairs)):
        module = ModuleType(f"{benchmarks.__name__}.{name}")
        module.open_set = opener
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(benchmarks.BENCHMARKS, name, name)
    monkeypatch.setitem(PROTOCOLS, "nyu_like", Protocol("nyu_like", 1e-3, 6.0))


def save(folder, **changes):
    return tiny.save_model(tiny.stock_model(tiny.stock_config(**changes)), folder)


@pytest.fixture
def models(tmp_path):
    metric = save(tmp_path / "metric", depth_estimation_type="metric", max_depth=12)
    return save(tmp_path / "relative"), metric


def run(tmp_path, *argv, out="s"):
    assert main(["--device", "cpu", "--output", str(tmp_path / out), *argv]) == 0
    return json.loads((tmp_path / out / "results.json").read_text())["scores"]


def test_a_benchmark_brings_its_protocol_and_its_cap(tmp_path, models):
    found = run(tmp_path, "--model", *models, "--benchmark", "rooms", "--root", str(tmp_path))
    relative, metric = [[each for each in found if each["model"] == name] for name in models]
    assert {(each["mode"], each["max_depth_m"], each["protocol"]) for each in relative} == {("relative", 8.0, "")}
    [metres] = metric  # a metric model is scored in metres
    assert (metres["mode"], metres["max_depth_m"], metres["protocol"]) == ("metric", 6.0, "nyu_like")
    assert (metres["data"], metres["images"]) == ("rooms", 5)
    model, errors = load_depth_model(models[1]), []
    for number in range(5):
        image, depth = sample(number)["image"][None], sample(number)["depth"].double().numpy()
        predicted = (model.forward(image)[0][0] + model.forward(image.flip(-1))[0][0].flip(-1)).double().numpy() / 2
        with np.errstate(invalid="ignore"):
            counts = (depth >= 1e-3) & (depth <= 6)
        errors.append(np.mean(np.abs(np.clip(predicted, 1e-3, 6) - depth)[counts] / depth[counts]))
    assert metres["metrics"]["abs_rel"] == pytest.approx(np.mean(errors), abs=1e-6)


def test_options_overrule_a_benchmark(tmp_path, models):
    found = run(
        tmp_path, "--model", models[1], "--benchmark", "rooms", "--root", f"rooms={tmp_path}", "--mode", "both",
        "--max_depth_m", "9", "--align", "median", "--space", "disparity", "--limit", "2",
    )  # fmt: skip
    assert [(each["mode"], each["max_depth_m"], each["align"], each["space"], each["images"]) for each in found] == [
        ("relative", 9.0, "median", "disparity", 2),
        ("metric", 9.0, "none", "depth", 2),
    ]


def test_pairs_of_points_are_counted_over_the_set(tmp_path, models, capsys):
    found = run(
        tmp_path, "--model", *models, "--benchmark", "pairs", "rooms",
        "--root", f"pairs={tmp_path}", f"rooms={tmp_path}",
    )  # fmt: skip
    for name in models:
        [entry] = [each for each in found if each["mode"] == "ordinal" and each["model"] == name]
        model, hits = load_depth_model(name), []
        for number in range(3):
            disparity = model.predict_disparity(pairs(number)["image"][None])[0]
            hits += [(disparity[0, 0] > disparity[9, 9]).item(), (disparity[3, 50] > disparity[30, 2]).item()]
        assert entry["metrics"] == {"ordinal_accuracy": np.mean(hits), "pairs": 6}
    assert "Pairs of points:" in capsys.readouterr().out
    assert Image.open(tmp_path / "s/examples.png").height > 12 * 60


def test_a_missing_root_is_told_before_a_model_is_loaded(tmp_path, models, capsys):
    assert main(["--model", models[0], "--benchmark", "rooms", "--root", str(tmp_path / "nothing")]) == 2
    assert "nothing is not a folder; rooms is expected there" in capsys.readouterr().err


def test_metres_are_not_asked_of_a_relative_model(tmp_path, models, capsys):
    assert main(["--model", *models, "--benchmark", "rooms", "--root", str(tmp_path), "--mode", "metric"]) == 2
    assert "relative' predicts inverse depth, which has no unit" in capsys.readouterr().err


def test_sources_have_no_protocol_of_their_own(models, capsys):
    assert main(["--model", models[1], "--data", "scenes:indoor?count=2", "--mode", "metric"]) == 2
    assert "--mode metric needs a --protocol for 'scenes:indoor?count=2'" in capsys.readouterr().err


def test_what_is_in_a_set_is_told_before_it_is_scored(tmp_path, models, caplog):
    caplog.set_level(logging.INFO, logger="semidepth")
    roots = [f"{name}={tmp_path}" for name in ("rooms", "pairs")]
    run(tmp_path, "--model", models[0], "--benchmark", "rooms", "pairs", "--root", *roots, "--limit", "4")
    told = [record.getMessage() for record in caplog.records if "source_report" in record.name]
    assert (
        told[0]
        == f"source rooms={tmp_path}: 4 samples in 1 shard (benchmark, with labels); not read: 1 beyond the limit"
    )
    assert "with depth as the set lays out its files: room_0, room_1, room_2" in told[2]
    assert "labels float32, 56x40, taken for depth in metres" in told[3]
    assert "12.5% of the pixels unknown, 0.0% sky" in told[4]
    assert any("pairs of points" in line and "pair_0" in line for line in told)


def test_a_set_with_the_wrong_files_is_told_with_advice_that_can_be_followed(tmp_path, models, caplog, monkeypatch):
    opened = open_rooms(tmp_path, "rooms")
    wrong = replace(opened, read=lambda number: sample(number) | {"depth": 1000 * sample(number)["depth"]})
    monkeypatch.setattr(sys.modules[f"{benchmarks.__name__}.rooms"], "open_set", lambda root, name: wrong)
    run(tmp_path, "--model", models[0], "--benchmark", "rooms", "--root", str(tmp_path))
    [unit] = [record for record in caplog.records if ", unit: " in record.getMessage()]
    assert unit.levelname == "WARNING"
    assert "looks like millimetres" in unit.getMessage()
    assert unit.getMessage().endswith(f"look whether rooms={tmp_path} has the files that rooms publishes")
    assert "depth_scale=" not in unit.getMessage()
