"""4M models that claim too much, are damaged, or bring code: refused in one sentence, before anything is made."""

import json
import os
import re
import shutil

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import semidepth
from semidepth.evaluation.any_to_any.measures import Scores
from semidepth.prediction.any_to_any.cli import main
from semidepth.prediction.any_to_any.model import load_any_to_any, load_tokenizers

TOOK_CODE = "import pathlib\npathlib.Path('ran').touch()\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny.any_to_any(tmp_path_factory.mktemp("any") / "four_m")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "four_m")


def change(file, alter) -> None:
    """Changes the content of a JSON file."""
    content = json.loads(file.read_text())
    alter(content)
    file.write_text(json.dumps(content))


def within(name, **fields):
    """Changes fields of a modality, or of its tokenizer."""

    def alter(config):
        [modality] = [each for each in config["modalities"] if each["name"] == name]
        own = {key: fields.pop(key) for key in list(fields) if key in modality}
        modality |= own
        if fields:
            modality["tokenizer"] |= fields

    return alter


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda config: config.update(encoder_layers=10**7), "encoder_layers=10000000; .*1 to 1,000"),
        (lambda config: config.update(num_attention_heads=0), "num_attention_heads=0; .*1 to"),
        (lambda config: config.update(num_register_tokens=10**12), "num_register_tokens=1000000000000; .*0 to"),
        (lambda config: config.update(mlp_ratio=1e9), "mlp_ratio=1000000000.0; "),
        (within("tok_depth", vocab_size=10**12), "vocab_size=1000000000000; "),
        (within("caption", max_tokens=10**9), "max_tokens=1000000000; "),
        (within("tok_rgb", num_hidden_layers=10**7), "num_hidden_layers=10000000; .*1 to 1,000"),
        (within("tok_rgb", levels=[10**4, 10**4]), r"levels=\[10000, 10000\]; .*product"),
        (within("tok_rgb", image_size=10**8), "image_size=100000000; "),
    ],
)
def test_numbers_are_refused_before_anything_is_allocated(folder, alter, words):
    change(folder / "config.json", alter)
    with pytest.raises(ValueError, match=words):
        load_any_to_any(folder)


def test_code_that_a_folder_brings_is_refused_and_not_asked_about(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "own.py").write_text(TOOK_CODE)
    change(folder / "tokenizer_config.json", lambda config: config.update(
        auto_map={"AutoTokenizer": ["own.Words", None]}, tokenizer_class="Words"))  # fmt: skip
    assert load_any_to_any(folder).words is not None  # by our class, whatever the folder names
    change(folder / "config.json", lambda config: config.update(model_type="own", auto_map={"AutoConfig": "own.Own"}))
    with pytest.raises(ValueError, match="brings code of its own"):
        load_any_to_any(folder)
    assert not (folder / "ran").exists()


def zeroed(folder):
    file = folder / "model.safetensors"
    file.write_bytes(bytes(file.stat().st_size))


def without_weights(folder):
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights.pop(next(name for name in weights if name.startswith("decoder.0")))
    save_file(weights, file, metadata={"format": "pt"})


def pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def other_words(folder):
    change(folder / "tokenizer.json", lambda words: words["model"]["vocab"].update(further=999))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (zeroed, "could not be loaded"),
        (without_weights, "lacks 1 of the model's weights"),
        (pickled, "pickled weights"),
        (other_words, r"words in tokenizer\.json and"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "words in .* could not be loaded"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "words in .* could not be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "could not be loaded"),
    ],
)
def test_damage_is_one_sentence(folder, damage, words, tmp_path, capsys):
    damage(folder)
    out = tmp_path / "out"
    assert main(["--caption", "a room", "--to", "depth", "--model", str(folder), "--output", str(out)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert re.search(words, told[-1]), told
    assert told[-1].startswith("error: ")
    assert "Traceback" not in "".join(told)
    assert not out.exists()


def test_tokenizers_are_checked_alike(whole, tmp_path):
    load_any_to_any(whole).tokenizers["tok_depth"].save_pretrained(tmp_path / "depth")
    assert list(load_tokenizers(tmp_path)[0]) == ["tok_depth"]
    zeroed(tmp_path / "depth")
    with pytest.raises(ValueError, match="could not be loaded"):
        load_tokenizers(tmp_path)
    change(tmp_path / "depth/config.json", lambda config: config.update(num_hidden_layers=10**7))
    with pytest.raises(ValueError, match="num_hidden_layers=10000000"):
        load_tokenizers(tmp_path)


@pytest.mark.parametrize("part", ["decoder_embeddings.tok_depth", "tokenizers.tok_depth.to_pixels", "encoder.0"])
@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0}, {"steps": 2}])
def test_what_is_not_finite_is_refused(whole, part, settings):
    model = load_any_to_any(whole)
    for name, weights in model.model.named_parameters():
        if name.startswith(part):
            weights.data.fill_(torch.nan)
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="not finite"):
        semidepth.convert(image, ["depth"], model, **settings)


@pytest.mark.parametrize("kind", ["depth", "normal", "semantic", "rgb"])
def test_scores_refuse_what_is_not_finite(kind):
    shape = (8, 8) if kind in ("depth", "semantic") else (3, 8, 8)
    truth = torch.ones(shape, dtype=torch.int64 if kind == "semantic" else torch.float32)
    spoiled = truth.clone()
    spoiled[..., 0, 0] = -1 if kind == "semantic" else torch.nan
    with pytest.raises(ValueError, match=f"prediction of {kind} is not finite"):
        Scores().add(kind, spoiled, truth, classes=2)


@pytest.mark.parametrize("option", ["--from_semantics", "--from_normals", "--from"])
def test_files_beside_photos_are_regular_files_of_a_decent_size(folder, option, tmp_path, capsys):
    words = ["--to", "rgb", "--model", str(folder), "--output", str(tmp_path / "out"), option]
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("1", (9000, 9000)).save(tmp_path / "large.png")
    Image.new("L", (90, 90)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    for name, told in (("pipe", "no such file"), ("large", "9000x9000 pixels"), ("cut", "cannot be")):
        assert main([*words, str(tmp_path / f"{name}.png")]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(("orientation", "frame", "turned"), [(3, None, True), (3, "upright", False), (6, None, True)])
def test_depth_beside_a_turned_photo_is_turned_with_it(folder, orientation, frame, turned, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((60, 100, 3), np.uint8)).save(tmp_path / "photo.jpg", exif=exif)
    known = np.full((60, 100), np.nan, np.float32)
    known[5, 10] = 3.0
    np.save(tmp_path / "depth.npy", known)
    spec = f"{tmp_path}/depth.npy" + (f"?label_frame={frame}" if frame else "")
    words = ["--from", spec, "--to", "depth", "--model", str(folder), "--output", str(tmp_path / "out")]
    assert main([str(tmp_path / "photo.jpg"), *words]) == 0
    made = np.load(tmp_path / "out/photo_depth.npy")
    places = {3: (54, 89), 6: (10, 54)} if turned else {3: (5, 10)}
    assert made[places[orientation]] == 3.0
