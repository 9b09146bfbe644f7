"""`semidepth info` on what people point it at: one sentence for what is no model or is damaged, and its exit status."""

import json
import struct

import pytest
import tiny

from semidepth.publishing.info import main, model_info


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    tiny.stock_model().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path, whole):
    for file in whole.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", '{"model_type": ', "config.json is damaged (Expecting value"),
        ("config.json", "[1]", "config.json is damaged (it holds a list"),
        ("config.json", "{}", "config.json is damaged (no model_type)"),
        ("config.json", '{"model_type": "routed_depth", "domains": ["indoor"]}', "config.json is damaged"),
        ("preprocessor_config.json", "\0", "preprocessor_config.json is damaged"),
        ("student.yaml", "- a\n- b", "student.yaml holds a list"),
        ("student.yaml", "a: [", "student.yaml is not valid YAML"),
        ("scores/results.json", '{"scores": [3]}', "scores/results.json is damaged"),
        ("scores/results.json", '{"scores": 3}', "scores/results.json is damaged"),
        ("model.safetensors", struct.pack("<Q", 16) + b'{"a": {"b": 1}} ', "no whole safetensors file"),
        ("model.safetensors", "", "no whole safetensors file"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "model-2.safetensors"}}', "model-2.safetensors is"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_in_one_line(folder, capsys, file, content, words):
    (folder / "scores").mkdir()
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    for extra in ([], ["--json"]):
        assert main([str(folder), *extra]) == 2
        printed = capsys.readouterr()
        assert words in printed.err
        assert printed.err.count("\n") == 1
        assert printed.out == ""


@pytest.mark.parametrize(("options", "shown"), [("steps: 300\nepochs: 20.0", "steps"), ("epochs: 20.0", "epochs")])
def test_of_steps_and_epochs_the_one_that_held_is_shown(folder, capsys, options, shown):
    (folder / "teacher.yaml").write_text(options)
    assert main([str(folder)]) == 0
    told = {line.split()[0]: line.split()[-1] for line in capsys.readouterr().out.splitlines()}
    assert told.keys() & {"steps", "epochs"} == {shown}
    assert told[shown] == {"steps": "300", "epochs": "20.0"}[shown]


def test_scores_of_the_validation_at_the_end_of_a_training_are_told(folder, capsys):
    (folder / "teacher.yaml").write_text("steps: 300")
    (folder / "results.json").write_text('{"steps": 300, "loss": 5.0, "indoor/abs_rel": 0.1234, "indoor/note": "x"}')
    assert model_info(folder)["training"]["validation"] == {"indoor/abs_rel": 0.1234}
    assert main([str(folder)]) == 0
    assert "0.123 (validation at its end)" in capsys.readouterr().out


def test_a_model_without_scores_says_how_to_get_some(folder, capsys):
    assert main([str(folder)]) == 0
    assert "none in scores/; semidepth score" in capsys.readouterr().out


def test_damaged_results_of_a_run_are_named(folder):
    (folder / "teacher.yaml").write_text("steps: 3")
    (folder / "results.json").write_text('{"run": 3}')
    with pytest.raises(ValueError, match=r"/results\.json is damaged"):
        model_info(folder)


def test_weights_that_end_too_early_are_found(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        model_info(folder)


def test_a_folder_without_a_model_says_what_it_has(tmp_path, folder, capsys):
    (folder / "run/checkpoint-00000010").mkdir(parents=True)
    (folder / "run/checkpoint-00000010/trainer.json").write_text("{}")
    (folder / "many/student").mkdir(parents=True)
    (folder / "many/student/config.json").write_text("{}")
    (folder / "empty").mkdir()
    for place, words in (
        ("empty", "has no config.json; give the folder of a model"),
        ("gone", "is not here"),
        ("config.json", "is a file"),
        ("many", "but models in it: student"),
        ("run", "its training has not ended"),
        ("run/checkpoint-00000010", "is a checkpoint of a training run"),
    ):
        assert main([str(folder / place)]) == 2
        assert words in capsys.readouterr().err


def test_an_encoder_and_a_model_without_weights_are_told_for_what_they_are(tmp_path, folder, capsys):
    tiny.save_encoder(tmp_path / "encoder")
    told = model_info(tmp_path / "encoder")
    assert (told["predicts_depth"], told["unit"], told["encoder"]["width"]) == (False, None, tiny.WIDTH)
    (folder / "model.safetensors").unlink()
    assert main([str(folder)]) == 0
    assert "no weights here" in capsys.readouterr().out
    assert main([str(tmp_path / "encoder")]) == 0
    assert "dinov2 (no depth model)" in capsys.readouterr().out


def test_scores_that_are_no_numbers_are_left_out(folder, capsys):
    (folder / "scores").mkdir()
    entry = {"data": "rooms", "images": 2, "metrics": {"abs_rel": None, "delta1": 0.5}}
    (folder / "scores/results.json").write_text(json.dumps({"scores": [entry]}))
    assert main([str(folder)]) == 0
    told = capsys.readouterr().out
    assert "delta1 0.500" in told
    assert "abs_rel" not in told
