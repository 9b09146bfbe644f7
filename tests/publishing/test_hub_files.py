"""What of a folder goes up: nothing from outside of it, nothing pickled or broken, no secret; large ones in shards."""

import json
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from semidepth.modeling import DepthStudentConfig, DepthStudentForDepthEstimation
from semidepth.publishing import cli as publish
from semidepth.publishing import files as hub_files
from semidepth.publishing.files import (
    HubFile,
    code_names,
    dataset_files,
    is_stale,
    kind_of_folder,
    model_files,
    pictures_of,
)
from semidepth.publishing.hub import Target
from semidepth.publishing.shards import parse_size, split_weights

TOKEN = "hf_" + "secret" * 6


@pytest.fixture
def folder(tmp_path) -> Path:
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    DepthStudentForDepthEstimation(DepthStudentConfig(**fields)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def names(files: list[HubFile]) -> list[str]:
    return [file.path for file in files]


@pytest.fixture
def refused(capsys):
    """What the command says of a folder that it refuses."""

    def run(folder: Path, *options: str) -> str:
        assert publish.main([str(folder), "--repo", "org/name", "--dry_run", *options]) == 2
        error = capsys.readouterr().err.rstrip("\n")
        assert error.startswith("error: ")
        assert "\n" not in error
        return error

    return run


def test_code_is_what_the_configuration_leads_to(folder, refused):
    (folder / "notes.py").write_text("import os")
    assert "notes.py" not in code_names(folder)
    assert code_names(folder) == sorted(path.name for path in folder.glob("*.py") if path.name != "notes.py")
    (folder / "modeling_depth_student.py").unlink()
    assert "lacks modeling_depth_student.py, which its config.json names" in refused(folder)


def test_pictures_go_up_where_the_card_shows_them(folder):
    (folder / "previews").mkdir()
    for name in ("a", "b", "c"):
        (folder / "previews" / f"{name}.png").write_bytes(b"png")
    card = '![rooms](previews/a.png "title") <img src="previews/b.png" width="5"> ![](https://h/c.png) ![](none.png)'
    (folder / "README.md").write_text(card)
    assert pictures_of(card, folder) == ["previews/a.png", "previews/b.png"]
    assert {"previews/a.png", "previews/b.png", "README.md"} <= set(names(model_files(folder)))
    assert "previews/c.png" not in names(model_files(folder))


@pytest.mark.parametrize("name", ["results.json", "student.yaml", "README.md", "model.safetensors"])
def test_a_link_that_leads_outside_is_refused(folder, refused, tmp_path, name):
    (tmp_path / "private").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "private")
    error = refused(folder)
    assert f"{name} leads out of {folder}; put a copy of the file in its place" in error


def test_a_card_cannot_show_what_is_outside(folder, refused, tmp_path):
    (tmp_path / "private.png").write_bytes(b"png")
    (folder / "README.md").write_text("![](../private.png)")
    assert "private.png leads out of" in refused(folder)


def test_an_index_cannot_name_what_is_outside(folder, refused, tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "secret.safetensors")
    (folder / hub_files.INDEX).write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    assert "lacks ../secret.safetensors, which its index names" in refused(folder)


def test_a_link_within_the_folder_goes_up_as_what_it_leads_to(folder):
    (folder / "student.yaml").write_text("steps: 3")
    (folder / "results.json").symlink_to("student.yaml")
    file = next(file for file in model_files(folder) if file.path == "results.json")
    assert file.source.read_text() == "steps: 3"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("student.yaml", f"steps: 3\ntoken: {TOKEN}\n"),
        ("results.json", json.dumps({"a": 1, "teacher": f"https://me:{TOKEN}@host/a"}, indent=1)),
        ("README.md", "\n# Use\nhttps://user:word@host/\n"),
        ("modeling_depth_student.py", None),
    ],
)
def test_a_file_with_a_token_is_refused(folder, refused, name, text):
    path = folder / name
    path.write_text(path.read_text() + f"\n# {TOKEN}\n" if text is None else text)
    error = refused(folder)
    assert f"{name} holds what looks like a password or token in line " in error
    assert TOKEN not in error


def test_the_token_in_use_is_found_whatever_its_form(folder, refused, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "an-unusual-token")
    (folder / "student.yaml").write_text("a: 1\nb: an-unusual-token\n")
    assert "student.yaml holds what looks like a password or token in line 2;" in refused(folder)


def test_weights_that_are_missing_pickled_or_broken_are_refused(folder, refused):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-10])
    assert "model.safetensors is no whole safetensors file (" in refused(folder)
    (folder / "model.safetensors").unlink()
    assert f"{folder} has no model.safetensors; let the training finish" in refused(folder)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    assert "has pickled weights (pytorch_model.bin)" in refused(folder)


def test_a_folder_of_something_else_is_refused(tmp_path, refused):
    assert f"{tmp_path} has neither config.json (a model) nor pseudo_labels.json" in refused(tmp_path)
    assert "none is not a folder" in refused(tmp_path / "none")
    (tmp_path / "pseudo_labels.json").write_text("{}")
    assert kind_of_folder(tmp_path) == "dataset"
    assert "has no finished part (data/*.parquet)" in refused(tmp_path)
    assert "--stock: only for models" in refused(tmp_path, "--stock")


def test_only_finished_parts_of_a_set_go_up(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "pseudo_labels.json").write_text("{}")
    for name in ("labels-00-00000-00000.parquet", "labels-00-00000-00001.parquet.unfinished"):
        (tmp_path / "data" / name).write_bytes(b"")
    assert names(dataset_files(tmp_path)) == ["data/labels-00-00000-00000.parquet", "pseudo_labels.json"]


def test_shards_hold_the_same_weights_each_small_and_the_same_every_time(folder, tmp_path):
    files = model_files(folder)
    assert split_weights(files, tmp_path / "none", max_bytes=10**9) == files
    assert not (tmp_path / "none").exists()
    split = split_weights(files, tmp_path / "shards", max_bytes=40_000)
    shards = [file for file in split if file.source.suffix == ".safetensors"]
    assert len(shards) > 2
    tensors = {name: tensor for file in shards for name, tensor in load_file(file.source).items()}
    whole = load_file(folder / "model.safetensors")
    assert tensors.keys() == whole.keys()
    assert all(tensors[name].equal(whole[name]) for name in whole)
    largest = max(tensor.numel() * 4 for tensor in whole.values())
    assert all(file.size < max(40_000, largest) + 20_000 for file in shards)  # headers are beside
    assert {file.path for file in split} - {file.path for file in shards} == {hub_files.INDEX, *names(files)} - {
        "model.safetensors"
    }
    again = split_weights(files, tmp_path / "again", max_bytes=40_000)
    assert [file.source.read_bytes() for file in again] == [file.source.read_bytes() for file in split]


def test_only_replaced_weights_are_stale():
    going = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", hub_files.INDEX}
    assert is_stale("model.safetensors", going)
    assert is_stale("model-00001-of-00003.safetensors", going)
    assert not any(is_stale(path, going) for path in (*going, "onnx/notes.md", "adapter.safetensors", "README.md"))
    assert all(is_stale(path, going) for path in ("onnx/model.onnx", "scores/results.json"))  # of the model before
    assert is_stale("data/labels-01-00000-00000.parquet", {"README.md"}, "dataset")
    assert not is_stale("README.md", {"data/a.parquet"}, "dataset")


@pytest.mark.parametrize(("text", "size"), [("5GB", 5 * 10**9), ("500 MB", 5 * 10**8), ("1.5kb", 1500), ("7", 7)])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1MB", "0", "5 parsecs"])
def test_a_size_that_is_none_is_refused(folder, refused, text):
    assert f"--max_shard_size is {text!r}; give a size" in refused(folder, f"--max_shard_size={text}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"repo": "name"}, "--repo is 'name'; give org/name"),
        ({"repo": "a b/c"}, "--repo 'a b/c' cannot be a repository's name"),
        ({"repo": "a/b", "branch": "../x"}, "the branch is '../x'"),
        ({"repo": "a/b", "branch": "refs/heads/x"}, "the branch is 'refs/heads/x'"),
        ({"repo": "a/b", "branch": "x", "pull_request": True}, "a pull request goes to main"),
    ],
)
def test_targets_that_cannot_be(options, words):
    with pytest.raises(ValueError) as caught:
        Target(**options).validate()
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_not_finite_are_refused_by_name(folder, refused, dtype):
    weights = load_file(folder / "model.safetensors")
    weights["head.conv3.bias"][0] = torch.nan
    save_file({name: weight.to(dtype) for name, weight in weights.items()}, folder / "model.safetensors")
    assert "head.conv3.bias" in refused(folder)


def test_statistics_that_make_nan_of_pixels_are_refused(folder, refused):
    (folder / "preprocessor_config.json").write_text('{"image_std": [0, 0, 0]}')
    assert "image_std" in refused(folder)
