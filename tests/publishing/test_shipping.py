"""Folders that are shipped: what is in them, and that plain transformers and stock classes run them."""

import hashlib
import json
import shutil

import pytest
import tiny
import torch
from huggingface_hub import metadata_load
from PIL import Image
from safetensors.torch import load_file
from shipped_model import save_runs, ship, take
from transformers import pipeline

import semidepth
from semidepth.publishing import cli, info
from semidepth.publishing.exports.stock import to_stock
from semidepth.publishing.shipping import tell_difference


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return save_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    student, metric = runs
    target = tmp_path_factory.mktemp("made") / "semidepth-small"
    return ship(student, target, "--heads", str(metric), "--license", "apache-2.0")


def test_it_holds_what_goes_to_the_hub_and_the_sums_of_its_weights(made):
    names = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert names == {
        "README.md", "config.json", "preprocessor_config.json", "model.safetensors", "student.yaml", "results.json",
        "affine_invariant.py", "configuration_depth_student.py", "dpt_decoder.py", "modeling_depth_student.py",
        "weights.json", "metres/config.json", "metres/preprocessor_config.json", "metres/heads.safetensors",
        "metres/metric.yaml", "metres/results.json", "metres/scores/results.json",
    }  # fmt: skip
    record = json.loads((made / "weights.json").read_text())
    assert set(record) == {"model.safetensors", "metres/heads.safetensors"}
    for name, told in record.items():
        content = (made / name).read_bytes()
        assert told == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_weights_are_rounded_once_and_scales_stay(runs, made):
    student, metric = runs
    before, after = (load_file(folder / "model.safetensors") for folder in (student, made))
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], before[name].bfloat16()) for name in before)
    heads = load_file(made / "metres" / "heads.safetensors")
    whole = load_file(metric / "model.safetensors")
    assert torch.equal(heads["core_scales"], whole["core_scales"])
    assert heads["core_scales"].dtype == torch.float32
    assert {tensor.dtype for name, tensor in heads.items() if name != "core_scales"} == {torch.bfloat16}
    for place in ("", "metres"):
        assert json.loads((made / place / "config.json").read_text())["dtype"] == "float32"
    assert 0 < tell_difference(student, made, "student") < 0.05


def test_the_card_tells_how_to_load_it_and_how_far_off_metres_are(made):
    card = (made / "README.md").read_text()
    assert metadata_load(made / "README.md")["license"] == "apache-2.0"
    assert 'semidepth.predict("photo.jpg", "semidepth-small")' in card
    assert 'semidepth.predict("photo.jpg", "semidepth-small-metric")' in card
    assert "about ± 14 % (indoor), ± 25 % (outdoor)" in card
    assert str(made.parent) not in card


def test_plain_transformers_and_stock_depth_anything_run_it(made, tmp_path):
    photo = Image.effect_noise((70, 50), 80).convert("RGB")
    found = pipeline("depth-estimation", model=str(made), trust_remote_code=True)(photo)
    assert found["predicted_depth"].shape == (50, 70)
    to_stock(made, tmp_path / "stock")  # which compares the predictions
    stock = pipeline("depth-estimation", model=str(tmp_path / "stock"))
    assert stock.model.dtype == torch.float32
    assert stock(photo)["predicted_depth"].shape == (50, 70)


def test_info_says_what_comes_with_the_package(made, monkeypatch, capsys):
    take(monkeypatch, made)
    assert info.main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["semidepth-small", "semidepth-small-metric"]
    relative, metric = told.values()
    assert (relative["unit"], metric["unit"]) == ("inverse depth", "m")
    assert relative["license"] == metric["license"] == "apache-2.0"
    assert relative["parameters"] == sum(weight.numel() for weight in tiny.stock_model().parameters())
    assert metric["parameters"] > relative["parameters"]
    assert metric["abs_rel"] == {"indoor": pytest.approx(0.14375), "outdoor": 0.25}
    assert info.main([]) == 0
    text = capsys.readouterr().out
    assert f"semidepth-small, in {made}" in text
    assert "± 14 % (indoor)" in text
    assert info.main(["semidepth-small"]) == 0
    assert "relative: inverse depth" in capsys.readouterr().out


def test_the_metric_model_is_published_whole(made, monkeypatch, tmp_path):
    take(monkeypatch, made)
    assert cli.main(["semidepth-small-metric", "--to_folder", str(tmp_path / "whole")]) == 0
    photo = Image.effect_noise((70, 50), 80).convert("RGB")
    found = pipeline("depth-estimation", model=str(tmp_path / "whole"), trust_remote_code=True, dtype=torch.float32)
    expected = semidepth.predict(photo, "semidepth-small-metric").values
    # The pipeline lets an overshoot of the bicubic resizing stand.
    assert found(photo)["predicted_depth"].numpy() == pytest.approx(expected, rel=5e-3)


def test_what_cannot_be_is_said_in_one_sentence(runs, made, tmp_path, refused):
    student, metric = runs
    assert "is there and not empty" in refused(cli.main, student, "--to_folder", made)
    assert "--to_folder sends nothing" in refused(cli.main, student, "--to_folder", tmp_path / "x", "--dry_run")
    assert "--dtype" in refused(cli.main, "--space", "demo", "--dry_run", "--dtype", "bfloat16")
    shutil.copytree(metric, tmp_path / "metric")
    told = refused(cli.main, student, "--to_folder", tmp_path / "x", "--heads", student)
    assert "no heads on a core" in told
    assert not (tmp_path / "x").exists()
