"""A 4M model's card and info: data, recipe and scores are those of the run."""

import json
import re

import numpy as np
import pytest
import tiny
import yaml
from loopback_hub.card_rules import card_errors
from PIL import Image
from transformers import set_seed

from semidepth.data.modalities.words import train_words
from semidepth.modeling import FourMForAnyToAny, ModalityTokenizer, ModalityTokenizerConfig
from semidepth.publishing.cards.model_card import make_card
from semidepth.publishing.facts import read_facts
from semidepth.publishing.files import model_files
from semidepth.publishing.info import model_info, to_text

TABLE = """tok_depth of /home/me/acme/four_m

| given | abs_rel |
|---|---|
| rgb | 0.125 ± 0.010 |

depth completed from 500 pixels, /home/me/acme/four_m

| method | AbsRel |
|---|---|
| 4M, bent | 0.030 |"""


@pytest.fixture
def folder(tmp_path):
    """The folder of a finished run with scores."""
    set_seed(0)
    folder = tmp_path / "four_m"
    depth = ModalityTokenizer(
        ModalityTokenizerConfig(image_size=48, patch_size=8, hidden_size=8, num_hidden_layers=1, levels=[4, 4])
    )
    words = train_words(["a room with a table", "a street with two cars"])
    modalities = [
        {"name": "rgb", "kind": "pixels"}, {"name": "tok_depth"},
        {"name": "caption", "kind": "sequence", "vocab_size": len(words), "start_id": 3, "end_id": 2},
    ]  # fmt: skip
    model = FourMForAnyToAny.from_tokenizers(
        modalities, {"tok_depth": depth}, image_size=48, hidden_size=16, encoder_layers=1, decoder_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    tiny.save_model(model, folder)
    words.save_pretrained(folder)
    options = {
        "output_dir": str(folder), "train": ["/home/me/acme/photos", "scenes:indoor"], "rgb": "pixels", "alpha": 0.5,
        "input_tokens": 96, "target_tokens": 64, "full_share": 0.5, "images": 700, "steps": 70, "batch_size": 8,
    }  # fmt: skip
    (folder / "four_m.yaml").write_text(yaml.safe_dump(options))
    (folder / "results.json").write_text(json.dumps({"steps": 70, "scenes:indoor?count=3/depth_abs_rel": 0.375}))
    (folder / "scores").mkdir()
    scores = {"table": TABLE, "command": f"semidepth score --four_m --model {folder} --data scenes:indoor?count=3"}
    (folder / "scores/results.json").write_text(json.dumps(scores))
    return folder


def test_the_code_of_the_card_gives_metres(folder, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", make_card(read_facts(folder)).text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert names["metres"].shape == (1, 48, 48)
    assert names["metres"].min() > 0


def test_the_card_says_what_it_learned_from_and_how_well(folder):
    card = make_card(read_facts(folder), repo="org/four", license="apache-2.0")
    assert card_errors(str(card)) == []
    assert card.data.pipeline_tag == "any-to-any"
    assert "rgb, depth, caption" in card.text
    assert "| images with depth and whatever else they have | `photos` |" in card.text
    assert "sees 96 tokens of each picture and predicts 64" in card.text
    assert "700 pictures" in card.text
    assert "acme" not in str(card)
    assert "| rgb | 0.125 ± 0.010 |" in card.text
    assert "**depth completed from 500 pixels**" in card.text
    assert "semidepth score --four_m --model org/four" in card.text
    assert "mizrahi20234m," in card.text
    assert "mentzer2024fsq," in card.text


def test_words_and_options_are_published_and_info_tells_them(folder):
    assert {"four_m.yaml", "tokenizer.json", "scores/results.json"} <= {file.path for file in model_files(folder)}
    info = model_info(folder)
    assert info["training"]["command"] == "four_m"
    assert info["unit"] == "m"
    assert "four_m" in to_text(info)
