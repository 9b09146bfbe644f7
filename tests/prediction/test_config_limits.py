"""Models that claim impossible numbers are refused by those, and not by what they make of memory."""

import json
import os

import pytest
import tiny

from semidepth.common.config_numbers import check_numbers
from semidepth.prediction.checkpoints import read_config
from semidepth.prediction.models import load_depth_model


def change(folder, file: str, **fields) -> str:
    """Changes fields of a JSON file, `backbone_config__x` within `backbone_config`."""
    content = json.loads((folder / file).read_text())
    for name, value in fields.items():
        place, _, inner = name.rpartition("__")
        (content[place] if place else content)[inner] = value
    (folder / file).write_text(json.dumps(content))
    return str(folder)


@pytest.fixture
def folder(tmp_path):
    tiny.save_model(tiny.stock_model(), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"backbone_config__num_hidden_layers": 10_000_000}, "num_hidden_layers=10000000; .*1 to 1,000"),
        ({"backbone_config__num_attention_heads": 0}, "num_attention_heads=0; .*1 to"),
        ({"backbone_config__num_attention_heads": 7}, "num_attention_heads=7; .*divisor of hidden_size"),
        ({"backbone_config__patch_size": 0}, "patch_size=0; .*1 to"),
        ({"backbone_config__image_size": 10**9}, "image_size=1000000000; .*1 to"),
        ({"head_in_index": 99}, "head_in_index=99; .*one of 4 levels"),
        ({"neck_hidden_sizes": [8, 8, 8, -8]}, r"neck_hidden_sizes=\[8, 8, 8, -8\]; .*1 to"),
    ],
)
def test_configurations_are_refused_by_number(folder, fields, words):
    change(folder, "config.json", **fields)
    for read in (read_config, load_depth_model):
        with pytest.raises(ValueError, match=words):
            read(str(folder))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size": {"height": 20_000, "width": 20_000}}, "size is 20000; expected 1 to 4,096"),
        ({"size": {"height": 0, "width": 0}}, "size is 0"),
        ({"resample": 99}, "resample is 99; expected one of Pillow's filters"),
        ({"ensure_multiple_of": 10**6}, "ensure_multiple_of is 1000000"),
    ],
)
def test_image_processors_are_refused_by_number(folder, fields, words):
    change(folder, "preprocessor_config.json", **fields)
    with pytest.raises(ValueError, match=words):
        load_depth_model(str(folder))


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "", '{"image_processor_type": "Nothing"}', None])
def test_an_image_processor_that_cannot_be_read_is_not_replaced_by_another(folder, content):
    file = folder / "preprocessor_config.json"
    file.unlink()
    if content is None:
        os.mkfifo(file)
    else:
        file.write_text(content)
    with pytest.raises(ValueError, match=r"preprocessor_config\.json of .* cannot be used") as refused:
        load_depth_model(str(folder))
    assert "\n" not in str(refused.value)


def test_a_model_without_an_image_processor_takes_imagenets_statistics(folder, caplog):
    (folder / "preprocessor_config.json").unlink()
    assert load_depth_model(str(folder)).preprocessing.mean == (0.485, 0.456, 0.406)
    assert "has no image processor" in caplog.text


@pytest.mark.parametrize(
    "config", [tiny.stock_config(), tiny.encoder_config(), tiny.zoedepth_config(2)], ids=lambda c: c.model_type
)
def test_real_configurations_pass(config):
    check_numbers(config.to_dict())
