"""Mask models that claim too much, are damaged or not whole, and places where nothing can be written."""

import json
import shutil

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from processes import held_by_another
from safetensors.torch import load_file, save_file
from shipped_model import save_mask_model

import semidepth
from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.prediction.masks.cli import main
from semidepth.prediction.masks.loading import load_mask_predictor


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("masks")
    torch.manual_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    tiny.save_model(DepthStudentForDepthEstimation(config), root / "student")
    return save_mask_model(root / "student", root / "masks")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "masks")


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def cut(photo, folder, output) -> int:
    return main([str(photo), "--point", "30,20", "--depth", "none", "--model", str(folder), "--output", str(output)])


@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 10**7}, {"num_attention_heads": 0}, {"mlp_dim": 10**12}, {"iou_head_depth": 10**7},
        {"num_multimask_outputs": 10**9}, {"hidden_size": "64"},
    ],
)  # fmt: skip
def test_numbers_are_refused_before_anything_is_allocated(folder, photo, fields, tmp_path, capsys):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))
    assert cut(photo, folder, tmp_path / "out") == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"{next(iter(fields))}={next(iter(fields.values()))}" in told
    assert not (tmp_path / "out").exists()


def without_weights(weights):
    weights.pop(next(name for name in weights if not name.startswith("core.")))


def not_finite(weights):
    for name in weights:
        if "iou" in name or "hyper" in name:
            weights[name].fill_(torch.nan)


@pytest.mark.parametrize(
    ("damage", "words"),
    [(without_weights, "lacks 1 of the model's weights"), (not_finite, "not finite"), (None, "could not be loaded")],
)
def test_damage_is_one_sentence(folder, photo, damage, words, tmp_path, capsys):
    file = folder / "model.safetensors"
    if damage is None:
        file.write_bytes(bytes(file.stat().st_size))
    else:
        weights = load_file(file)
        damage(weights)
        save_file(weights, file, metadata={"format": "pt"})
    assert cut(photo, folder, tmp_path / "out") == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: ")
    assert words in told
    assert not (tmp_path / "out").exists()


def test_code_that_a_folder_brings_is_refused_and_not_asked_about(folder, photo, tmp_path, capsys):
    config = json.loads((folder / "config.json").read_text())
    changed = config | {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(changed))
    (folder / "own.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    assert cut(photo, folder, tmp_path / "out") == 2
    assert "brings code of its own" in capsys.readouterr().err
    assert not (folder / "ran").exists()


def test_a_photo_whose_results_would_have_too_long_a_name_is_one_sentence(folder, photo, tmp_path, capsys):
    long = photo.rename(photo.with_name(f"{'x' * 250}.png"))
    assert cut(long, folder, tmp_path / "out") == 2
    assert "name of a file would be too long" in capsys.readouterr().err
    fits = long.rename(long.with_name(f"{'x' * 240}.png"))
    assert cut(fits, folder, tmp_path / "out") == 0


def test_a_folder_that_another_run_writes_into_is_refused_at_once(folder, photo, tmp_path, capsys):
    with held_by_another(tmp_path / "out"):
        assert cut(photo, folder, tmp_path / "out") == 2
    assert "is in use by another run" in capsys.readouterr().err


@pytest.mark.parametrize("orientation", [3, 6])
def test_points_are_of_the_upright_photo(folder, photo, orientation, tmp_path):
    upright = np.asarray(Image.open(photo))
    stored = upright[::-1, ::-1] if orientation == 3 else np.rot90(upright, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "turned.png", exif=exif)
    predictor = load_mask_predictor(folder)
    one, other = (
        semidepth.segment(path, predictor, points=[(30, 20)], depth=None) for path in (photo, tmp_path / "turned.png")
    )
    assert np.array_equal(one.mask, other.mask)
