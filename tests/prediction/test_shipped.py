"""The model that comes with the package: found by its names, refused where it is not whole, heads put on their core."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from shipped_model import save_runs, score_row, ship, take

import semidepth
from semidepth.evaluation.plan import check_model
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.checkpoints import revision_of
from semidepth.prediction.cli import main
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.shipped.errors import in_words, typical_errors
from semidepth.prediction.shipped.folder import METRIC_NAME, NAME, find_model
from semidepth.prediction.shipped.heads import join_heads, split_heads
from semidepth.training.options.metric import MetricOptions
from semidepth.training.recipes.metric.models import check_student
from semidepth.training.recipes.start import check_start, load_whole


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return save_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    student, metric = runs
    return ship(student, tmp_path_factory.mktemp("made") / NAME, "--heads", str(metric))


@pytest.fixture
def shipped(made, monkeypatch):
    take(monkeypatch, made)
    return made


@pytest.fixture
def relative_alone(made, monkeypatch, tmp_path):
    shutil.copytree(made, tmp_path / NAME, ignore=shutil.ignore_patterns("metres"))
    record = json.loads((made / "weights.json").read_text())
    (tmp_path / NAME / "weights.json").write_text(json.dumps({"model.safetensors": record["model.safetensors"]}))
    take(monkeypatch, tmp_path / NAME)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def rounded(folder):
    """The model of a run, its weights as they are after a trip through bfloat16; its buffers as they were."""
    found = load_depth_model(str(folder))
    for weight in found.model.parameters():
        weight.copy_(weight.bfloat16().float())
    return found


def test_without_a_name_it_is_the_relative_one_and_heads_have_a_name_of_their_own(shipped, runs):
    assert semidepth.load_model().kind == "disparity"
    model = semidepth.load_model(METRIC_NAME)
    assert (model.kind, model.domains) == ("depth", ["indoor", "outdoor"])
    expected, state = rounded(runs[1]).model.state_dict(), model.model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert all(tensor.dtype == torch.float32 for tensor in state.values())


def test_without_heads_it_is_the_relative_one(relative_alone, photo):
    assert semidepth.load_model().kind == "disparity"
    assert semidepth.predict(photo).unit == "inverse depth"
    with pytest.raises(ValueError, match=f"'{METRIC_NAME}' does not come with this installation"):
        semidepth.load_model(METRIC_NAME)


def test_by_its_name_it_is_the_relative_one(shipped, runs, photo):
    depth = semidepth.predict(photo, NAME)
    assert depth.unit == "inverse depth"
    assert np.array_equal(depth.values, semidepth.predict(photo, rounded(runs[0])).values)
    assert check_model(NAME, None) == "disparity"
    assert check_model(METRIC_NAME, None) == "depth"
    assert revision_of(NAME) != revision_of(METRIC_NAME)
    assert semidepth.load_model(NAME).model.config._name_or_path == NAME


def test_heads_predict_what_the_whole_metric_model_does(runs, tmp_path, photo):
    student, metric = runs
    shutil.copytree(student, tmp_path / "core")
    split_heads(metric, tmp_path / "core", tmp_path / "core" / "heads")
    names = load_file(tmp_path / "core" / "heads" / "heads.safetensors").keys()
    assert names
    assert not [name for name in names if name.startswith("core.")]
    joined, whole = (semidepth.predict(photo, folder) for folder in (tmp_path / "core" / "heads", metric))
    assert np.array_equal(joined.values, whole.values)
    assert joined.domain == whole.domain
    join_heads(tmp_path / "core" / "heads", tmp_path / "joined")
    again = RoutedDepthForDepthEstimation.from_pretrained(tmp_path / "joined", use_safetensors=True)
    before = load_depth_model(str(metric)).model.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in again.state_dict().items())
    assert (tmp_path / "joined" / "modeling_routed_depth.py").is_file()


def test_heads_of_another_core_are_refused(runs, tmp_path):
    student, metric = runs
    shutil.copytree(student, tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    weights["head.conv1.bias"] += 1
    save_file(weights, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights, such as head\.conv1\.bias.*--freeze_core"):
        split_heads(metric, tmp_path / "other", tmp_path / "heads")
    with pytest.raises(ValueError, match="no heads on a core"):
        split_heads(student, student, tmp_path / "heads")
    assert not (tmp_path / "heads").exists()


def test_heads_without_their_core_are_refused(shipped, tmp_path):
    shutil.copytree(shipped / "metres", tmp_path / "metres")
    with pytest.raises(ValueError, match="their core is missing"):
        load_depth_model(str(tmp_path / "metres"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.unlink(), r"model\.safetensors are missing.*git checkout"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), r"are cut: 1000 of \d+ bytes.*install semidepth"),
        (lambda path: path.write_bytes(bytes([*path.read_bytes()[:-1], 255])), "are damaged: their sha256"),
        (lambda path: (path.parent / "weights.json").unlink(), "no model comes with this installation"),
        (lambda path: (path.parent / "weights.json").write_text("{"), "is damaged"),
    ],
)
def test_weights_that_are_not_whole_get_one_sentence(made, monkeypatch, tmp_path, photo, capsys, damage, told):
    shutil.copytree(made, tmp_path / NAME)
    take(monkeypatch, tmp_path / NAME)
    damage(tmp_path / NAME / "model.safetensors")
    assert main([str(photo), "--output", str(tmp_path / "depth"), "--device", "cpu"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(told, line)


def test_a_folder_of_the_same_name_is_told_apart(shipped, runs, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs[0], NAME)
    assert find_model(f"./{NAME}") == f"./{NAME}"
    assert find_model(NAME) == str(shipped)
    assert f"write ./{NAME} for the folder here" in caplog.text


def test_the_command_predicts_inverse_depth_and_metres_with_their_error_when_asked(shipped, photo, monkeypatch, capsys):
    monkeypatch.chdir(photo.parent)
    assert main(["photo.png", "--device", "cpu", "--metres"]) == 0
    told = capsys.readouterr().out
    domain = semidepth.predict(photo, METRIC_NAME).domain
    share = {"indoor": 14, "outdoor": 25}[domain]  # (3 * .125 + .2) / 4 by its scores, .25 by its validation
    assert f"into depth (metres, about ± {share} % ({domain}))" in told
    assert np.array_equal(np.load("depth/photo_depth.npy"), semidepth.predict(photo, METRIC_NAME).values)
    assert main(["photo.png", "--device", "cpu", "--output", "other", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["unit"], told["abs_rel"]) == (NAME, "inverse depth", {})
    assert main(["photo.png", "--metres", "--model", "other"]) == 2
    assert "--metres is for the model that comes with semidepth" in capsys.readouterr().err
    record = json.loads((photo.parent / "depth" / "predictions.jsonl").read_text().splitlines()[0])
    assert METRIC_NAME in json.dumps(record)
    assert str(shipped) not in json.dumps(record)


def test_training_takes_it_by_its_names(shipped):
    options = MetricOptions(train=("indoor=scenes:indoor?count=2", "outdoor=scenes:outdoor?count=2"), student=NAME)
    assert check_student(NAME, options).model_type == "depth_student"
    assert check_start(METRIC_NAME).model_type == "routed_depth"
    for cls, name in ((DepthStudentForDepthEstimation, NAME), (RoutedDepthForDepthEstimation, METRIC_NAME)):
        state, own = load_whole(cls, name, "--start").state_dict(), semidepth.load_model(name).model.state_dict()
        assert state.keys() == own.keys()
        assert all(torch.equal(state[key], own[key]) for key in own)


def test_errors_are_those_that_the_folder_records(tmp_path):
    assert typical_errors(tmp_path) == {}
    (tmp_path / "results.json").write_text(
        json.dumps({"indoor/abs_rel": 0.5, "indoor/domain_given/abs_rel": 0.4, "outdoor/abs_rel": 0.25, "steps": 3})
    )
    assert typical_errors(tmp_path) == {"indoor": 0.5, "outdoor": 0.25}
    relative = score_row("indoor", 0.01, 9) | {"mode": "relative"}
    given = score_row("indoor", 0.02, 9) | {"head": "domain given"}
    rows = [relative, given, score_row("indoor", 0.1, 1), score_row("indoor", 0.2, 3), score_row("", 0.9, 9)]
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "results.json").write_text(json.dumps({"scores": rows}))
    assert typical_errors(tmp_path) == {"indoor": pytest.approx(0.175), "outdoor": 0.25}
    assert in_words({"indoor": 0.124, "outdoor": 0.3}) == "about ± 12 % (indoor), ± 30 % (outdoor)"
    assert in_words({}) == ""
