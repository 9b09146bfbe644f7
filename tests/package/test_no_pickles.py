"""Nothing is unpickled: files that would run code when they are read are refused, by every command and loader."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from semidepth.evaluation import cli as score
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction import cli as predict
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.originals.convert import convert
from semidepth.publishing import cli as publish
from semidepth.training import (
    metric,
    pseudo_label,
    student,
    teacher,
)

COMMANDS = {
    "teacher --encoder": lambda name, out: teacher.main(["--encoder", name, *training(out)]),
    "student --encoder": lambda name, out: student.main(
        ["--encoder", name, "--teacher", sound_model(out), "--unlabeled", "scenes:indoor?count=2", *training(out)]
    ),
    "student --teacher": lambda name, out: student.main(
        ["--teacher", name, "--unlabeled", "scenes:indoor?count=2", *training(out)]
    ),
    "metric --student": lambda name, out: metric.main(
        [
            "--student",
            name,
            "--train",
            "indoor=scenes:indoor?count=2",
            "--output_dir",
            str(out / "run"),
            "--cpu",
            "true",
        ]
    ),
    "pseudo_label --teacher": lambda name, out: pseudo_label.main(
        ["--teacher", name, "--unlabeled", "scenes:indoor?count=2", "--output", str(out / "labels"), "--cpu", "true"]
    ),
    "predict --model": lambda name, out: predict.main([str(photo(out)), "--model", name, "--output", str(out / "p")]),
    "score --model": lambda name, out: score.main(["--model", name, "--data", "scenes:indoor?count=1"]),
    "publish": lambda name, out: publish.main([name, "--repo", "org/name", "--dry_run"]),
}


class Payload:
    """Leaves a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def training(out: Path) -> list[str]:
    return ["--labeled", "scenes:indoor?count=2", "--steps", "1", "--output_dir", str(out / "run"), "--cpu", "true"]


def photo(out: Path) -> Path:
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(out / "a.png")
    return out / "a.png"


def evil_folder(root: Path, form: str, encoder: bool = False) -> tuple[str, Path]:
    """A model with pickled weights in one of the forms that loaders know; and the file that reading them leaves."""
    marker, folder = root / "executed", root / form
    tiny.save_model((tiny.encoder_config() if encoder else tiny.stock_config()), folder)
    name = str(folder)
    if form == "bin":
        torch.save(Payload(marker), folder / "pytorch_model.bin")
    elif form == "shards":
        torch.save(Payload(marker), folder / "pytorch_model-00001-of-00001.bin")
        index = {"metadata": {}, "weight_map": {"head.conv1.weight": "pytorch_model-00001-of-00001.bin"}}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    elif form == "misnamed":
        torch.save(Payload(marker), folder / "model.safetensors")
    elif form == "named by the configuration":
        torch.save(Payload(marker), folder / "weights.bin")
        config = json.loads((folder / "config.json").read_text()) | {"transformers_weights": "weights.bin"}
        (folder / "config.json").write_text(json.dumps(config))
    else:  # a file by itself: .pt, .ckpt, .bin
        torch.save(Payload(marker), folder / f"weights{form}")
        name = str(folder / f"weights{form}")
    return name, marker


FORMS = ["bin", "shards", "misnamed", "named by the configuration", ".pt", ".ckpt", ".pth", ".bin"]


def test_the_payload_would_run(tmp_path):
    name, marker = evil_folder(tmp_path, ".pt")
    torch.load(name, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_unpickles(command, form, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, marker = evil_folder(tmp_path, form, encoder=command.endswith("--encoder"))
    try:
        status = COMMANDS[command](name, tmp_path)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert not marker.exists()
    told = capsys.readouterr().err
    assert "error: " in told
    assert not list(tmp_path.glob("run/checkpoint*"))
    if form not in ("misnamed", "named by the configuration") and command != "publish":
        assert f"{Path(name).name}' has pickled weights (" in told
        assert "semidepth convert-checkpoint" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_code_of_a_model_unasked(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, marker = tmp_path / "strange", tmp_path / "executed"
    folder.mkdir()
    classes = {"AutoConfig": "strange.Config", "AutoModel": "strange.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "strange", "auto_map": classes}))
    (folder / "strange.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    (folder / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # transformers may ask
    assert COMMANDS[command](str(folder), tmp_path) == 2
    assert not marker.exists()
    told = capsys.readouterr().err
    assert "error: " in told
    if command != "publish":  # which reads text alone
        assert "brings code of its own" in told
        assert "--trust_remote_code" in told


def test_conversion_of_original_weights_runs_no_code(tmp_path):
    name, marker = evil_folder(tmp_path, ".pth")
    with pytest.raises(ValueError, match="more than tensors"):
        convert(Path(name), tmp_path / "model")
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
def test_no_loader_unpickles(form, tmp_path):
    name, marker = evil_folder(tmp_path, form)
    encoder, _ = evil_folder(tmp_path / "encoder", form, encoder=True)
    domains = [{"name": "indoor"}]
    loaders = [
        lambda: load_depth_model(name),
        lambda: DepthStudentForDepthEstimation.from_encoder(encoder, **tiny.DECODER),
        lambda: RoutedDepthForDepthEstimation.from_student(name, domains),
        lambda: RoutedDepthForDepthEstimation.from_zoedepth(name),
    ]
    for load in loaders:
        with pytest.raises(Exception):  # noqa: B017 (each has its own kind; none may run the payload)
            load()
        assert not marker.exists()
        assert not (tmp_path / "encoder" / "executed").exists()


def test_a_pickled_file_beside_sound_weights_is_never_touched(tmp_path):
    marker, folder = tmp_path / "executed", tmp_path / "model"
    tiny.save_model(tiny.stock_model(), folder)
    for name in ("pytorch_model.bin", "optimizer.pt", "training_args.bin"):
        torch.save(Payload(marker), folder / name)
    assert load_depth_model(str(folder)).forward(torch.zeros(1, 3, 48, 48, dtype=torch.uint8))[0].shape == (1, 48, 48)
    assert not marker.exists()


def test_pickled_arrays_are_no_labels(tmp_path, capsys):
    for number in range(2):
        Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(tmp_path / f"{number}.png")
        array = np.array([Payload(tmp_path / "executed")], dtype=object)
        (tmp_path / f"{number}_depth.npy").write_bytes(b"")
        np.save(tmp_path / f"{number}_depth.npy", array, allow_pickle=True)
    assert score.main(["--model", sound_model(tmp_path), "--data", str(tmp_path)]) == 2
    assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()


def sound_model(root: Path) -> str:
    tiny.stock_model().save_pretrained(root / "model")
    return str(root / "model")
