"""Tokenizers and a 4M model for a few real steps: what is learned, kept, resumed and refused."""

import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from PIL import Image
from processes import run_processes
from safetensors.torch import load_file
from sample_files import depth_mm, picture
from transformers import AutoModel

from semidepth.common.options import parse_options
from semidepth.data.modalities.loading import modality_samples
from semidepth.data.source_spec import parse_sources
from semidepth.evaluation.any_to_any.matrix import nats_per_token, score_direction, score_floors, unigram_nats
from semidepth.evaluation.cli import main as score_main
from semidepth.modeling import DepthStudentForDepthEstimation, ModalityTokenizer
from semidepth.prediction.any_to_any.model import load_any_to_any
from semidepth.training.four_m import COMMAND, main, train_four_m
from semidepth.training.modality_tokenizers import train_tokenizers
from semidepth.training.options.four_m import FourMOptions
from semidepth.training.options.presets import read_preset
from semidepth.training.options.tokenizers import TokenizerOptions

SCENES = ("scenes:indoor?count=16", "scenes:outdoor?count=16")
VALIDATION = ("scenes:indoor?split=validation&count=2", "scenes:outdoor?split=validation&count=2")
SHARED = {
    "train": SCENES, "num_workers": 0, "log_every": 1, "preview_every": 0, "checkpoint_every": 0, "warmup_steps": 1,
    "images": 32, "batch_size": 8, "size": tiny.SIZE, "cpu": True, "pictures_seed": 0,
}  # fmt: skip


def tokenizer_options(folder, **changes) -> TokenizerOptions:
    fields = {"patch_size": 8, "hidden_size": 16, "layers": 1, "levels": (4, 4, 4), "steps": 4, "learning_rate": 3e-3}
    return TokenizerOptions(output_dir=str(folder), **(SHARED | fields | changes))


def four_m_options(folder, **changes) -> FourMOptions:
    fields = {
        "hidden_size": 32, "encoder_layers": 1, "decoder_layers": 1, "heads": 2, "steps": 4, "learning_rate": 3e-3,
        "input_tokens": 24, "target_tokens": 24,
    }  # fmt: skip
    return FourMOptions(output_dir=str(folder), **(SHARED | fields | changes))


@pytest.fixture(scope="module")
def student(tmp_path_factory) -> str:
    torch.manual_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    return tiny.save_model(DepthStudentForDepthEstimation(config), tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    results = train_tokenizers(tokenizer_options(folder, steps=60, validation=VALIDATION))
    return folder, results


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tokenizers, student):
    folder = tmp_path_factory.mktemp("four_m")
    first = train_four_m(
        four_m_options(tmp_path_factory.mktemp("short"), tokenizers=str(tokenizers[0]), encoder=student, steps=1)
    )
    results = train_four_m(
        four_m_options(folder, tokenizers=str(tokenizers[0]), encoder=student, steps=60, validation=VALIDATION)
    )
    return folder, first, results


def test_tokenizers_learn_all_kinds_and_words(tokenizers, tmp_path):
    folder, results = tokenizers
    first = train_tokenizers(tokenizer_options(tmp_path, steps=1))
    for kind in ("rgb", "depth", "normal", "semantic"):
        assert results[kind] < 0.8 * first[kind]
        assert ModalityTokenizer.from_pretrained(folder / kind).config.modality == kind
    assert {f"{VALIDATION[0]}/depth_abs_rel", f"{VALIDATION[1]}/semantic_miou"} <= results.keys()
    assert (folder / "caption" / "tokenizer.json").is_file()
    assert json.loads((folder / "results.json").read_text())["steps"] == 60


def test_the_model_learns_and_is_saved_with_its_encoder_and_tokenizers(trained, tokenizers, student):
    folder, first, results = trained
    assert results["loss"] < 0.9 * first["loss"]
    assert {f"{VALIDATION[0]}/depth_abs_rel", f"{VALIDATION[0]}/normal_angle_deg"} <= results.keys()
    model = AutoModel.from_pretrained(folder)
    before = DepthStudentForDepthEstimation.from_pretrained(student).backbone.state_dict()
    kept = model.feature_encoder.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in before.items())
    assert (folder / "tokenizer.json").is_file()
    depth = ModalityTokenizer.from_pretrained(tokenizers[0] / "depth").state_dict()
    assert all(torch.equal(model.tokenizers["tok_depth"].state_dict()[name], value) for name, value in depth.items())


def test_every_direction_has_a_score_and_a_floor(trained):
    made = load_any_to_any(trained[0])
    known = list(modality_samples(parse_sources(SCENES), tiny.SIZE))
    samples = list(modality_samples(parse_sources(VALIDATION), tiny.SIZE))
    for source in ("rgb", "tok_depth", "caption"):
        for target, measure in (("tok_depth", "abs_rel"), ("tok_normal", "angle_deg"), ("tok_semantic", "miou"),
                                ("tok_rgb", "psnr"), ("caption", "domain")):  # fmt: skip
            if source != target:
                assert 0 <= score_direction(made, samples, source, target).means()[measure] < 1000
    nats = nats_per_token(made, samples, "rgb", "tok_depth")
    assert 0 < nats < 1.5 * torch.tensor(64.0).log()
    assert 0 < unigram_nats(made, known, samples, "tok_depth") < 1.5 * torch.tensor(64.0).log()
    floors = score_floors(known, samples, "depth")
    assert floors["domain"].means()["abs_rel"] != floors["all"].means()["abs_rel"]


def test_the_score_command_has_every_direction_and_completion(trained, tmp_path, capsys):
    words = ["--four_m", "--model", str(trained[0]), "--data", *VALIDATION, "--floor_images", "8", "--device", "cpu"]
    output = tmp_path / "scores"
    assert score_main([*words, "--known_pixels", "60", "0.5", "--metric_model", "none", "--output", str(output)]) == 0
    table = capsys.readouterr().out
    results = json.loads((output / "results.json").read_text())
    there = {(row["target"], row["source"]) for row in results["directions"]}
    targets = {"tok_rgb", "tok_depth", "tok_normal", "tok_semantic", "caption"}
    for target in targets:
        assert {(target, source) for source in {"rgb", *targets} - {"tok_rgb", target}} <= there
    assert ("tok_depth", "rgb of another picture") in there
    assert sum("round trip" in source for _, source in there) == 4
    assert {row["known"] for row in results["completion"]} == {"60 pixels", "50 %"}
    by_method = {row["method"]: row["scores"]["abs_rel"] for row in results["completion"] if row["known"] == "50 %"}
    assert by_method["4M, bent"] < by_method["4M, its tokens"]
    assert "| 4M, bent |" in table
    assert "tok_depth of" in table
    assert score_main([*words, "--output", str(output)]) == 2  # there are results
    for wrong in (["--mode", "metric"], ["--known_pixels", "0"], ["--masks"]):
        assert score_main([*words, *wrong]) == 2
    assert score_main([*words[1:], "--only_completion"]) == 2


def test_a_model_is_gone_on_from(trained, tmp_path):
    before = load_file(trained[0] / "model.safetensors")
    results = train_four_m(four_m_options(tmp_path, start=str(trained[0]), hidden_size=64, heads=4, steps=8))
    assert results["loss"] < trained[1]["loss"]
    after = load_file(tmp_path / "model.safetensors")
    assert after.keys() == before.keys()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert not [name for name in moved if name.startswith(("tokenizers.", "feature_encoder."))]
    with pytest.raises(ValueError, match="--rgb features"):
        train_four_m(four_m_options(tmp_path / "other", start=str(trained[0]), rgb="pixels"))
    with pytest.raises(ValueError, match="--tokenizers"):
        four_m_options(tmp_path, start="a", tokenizers="b")


def test_the_preset_is_valid_and_a_model_that_is_gone_on_from_has_it_too():
    read = [parse_options(FourMOptions, words, preset=COMMAND.preset) for words in ([], ["--start", "outputs/four_m"])]
    assert read[0].train == read[1].train == ("scenes:indoor?start=300000", "scenes:outdoor?start=300000")
    assert read[0].steps == read[1].steps == 700
    assert TokenizerOptions(**read_preset("tokenizers_scenes", TokenizerOptions)).size == 112


def test_pixels_and_one_task_alone_are_trained_too(tmp_path, tokenizers):
    options = four_m_options(
        tmp_path, tokenizers=str(tokenizers[0]), rgb="pixels", modalities=("tok_depth",), only_from_rgb=True, steps=3
    )
    results = train_four_m(options)
    assert "tok_depth" in results
    assert "tok_normal" not in results
    made = load_any_to_any(tmp_path)
    sample = next(modality_samples(parse_sources(VALIDATION), tiny.SIZE))
    assert made.inputs_of({"image": sample["image"][None]})["rgb"].shape == (1, 3, tiny.SIZE, tiny.SIZE)


@pytest.mark.parametrize("which", ["tokenizers", "four_m"])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, tokenizers, student, which):
    def run(folder, **changes):
        if which == "tokenizers":
            train_tokenizers(tokenizer_options(folder, **changes))
            return load_file(folder / "depth" / "model.safetensors")
        train_four_m(four_m_options(folder, tokenizers=str(tokenizers[0]), encoder=student, **changes))
        return load_file(folder / "model.safetensors")

    whole = run(tmp_path / "whole", steps=6)
    run(tmp_path / "parts", steps=6, checkpoint_every=3)
    shutil.rmtree(tmp_path / "parts" / "checkpoint-00000006")
    again = run(tmp_path / "parts", steps=6, checkpoint_every=3)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (["--levels", "1", "5"], "levels"),
        (["--modalities", "depth", "depth"], "modalities"),
        (["--patch_size", "9"], "patch_size"),
        (["--classes", "a", "b"], "classes"),
    ],
)
def test_wrong_tokenizer_options_are_refused(tmp_path, changes, word, capsys):
    from semidepth.training.modality_tokenizers import main as main_of_tokenizers

    assert main_of_tokenizers([*changes, "--train", SCENES[0], "--cpu", "--output_dir", str(tmp_path)]) == 2
    assert word in capsys.readouterr().err


def test_a_class_beyond_those_that_are_named_is_refused_before_training(tmp_path):
    def png(values):
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, "PNG")
        return buffer.getvalue()

    table, classes = tmp_path / "rooms.parquet", np.zeros_like(depth_mm(0), np.uint8)
    classes[5, 6] = 2
    rows = [{"image": png(picture(each)), "depth": png(depth_mm(each)), "semantic": png(classes)} for each in range(8)]
    pq.write_table(pa.Table.from_pylist(rows), table)
    options = tokenizer_options(
        tmp_path / "out", train=(f"{table}?depth_scale=0.001",), images=8, classes=("wall", "floor"),
        modalities=("semantic",),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"semantic has the class 2, and there are 2.*--classes"):
        train_tokenizers(options)


def test_wrong_options_are_refused(tmp_path, tokenizers, student, capsys):
    common = ["--train", SCENES[0], "--cpu", "--output_dir", str(tmp_path), "--tokenizers", str(tokenizers[0])]
    for changes, word in (
        (["--hidden_size", "30", "--heads", "4"], "heads"),
        (["--encoder", str(tokenizers[0] / "depth")], "modality_tokenizer"),
        (["--encoder", student, "--size", "50"], "patch"),
        (["--tokenizers", str(tmp_path)], "tokenizers"),
    ):
        assert main([*common, *changes]) == 2
        assert word in capsys.readouterr().err


SCRIPT = """
import json, os, sys, torch
from semidepth.training import four_m
from semidepth.training.recipes.four_m import steps

torch.set_num_threads(1)
compute, seen = steps.Steps.losses, []

def spy(self, model, batch):
    seen.extend(batch["origin"])
    spy.model = model
    return compute(self, model, batch)

steps.Steps.losses = spy
if status := four_m.main(sys.argv[2:]): sys.exit(status)
total = sum(p.double().sum().item() for p in spy.model.parameters())
with open(f"{sys.argv[1]}/rank{os.environ['RANK']}.json", "w") as file:
    json.dump({"total": total, "seen": seen, "wrapped": type(spy.model).__name__}, file)
"""


@pytest.mark.slow
def test_two_processes_train_and_agree(tmp_path, tokenizers, student):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    arguments = [
        str(tmp_path), "--tokenizers", str(tokenizers[0]), "--encoder", student, "--output_dir", str(tmp_path / "run"),
        "--train", *SCENES, "--images", "8", "--batch_size", "4", "--size", str(tiny.SIZE), "--steps", "4",
        "--num_workers", "0", "--cpu", "true", "--hidden_size", "32", "--heads", "2", "--encoder_layers", "1",
        "--decoder_layers", "1", "--checkpoint_every", "2", "--preview_every", "0",
    ]  # fmt: skip
    run_processes(script, arguments)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["wrapped"] == "DistributedDataParallel"
    assert first["total"] == second["total"]
    assert not set(first["seen"]) & set(second["seen"])
    assert (tmp_path / "run/model.safetensors").is_file()
