"""A mask model's card and info: data, recipe and scores are those of the run."""

import json
import re

import numpy as np
import pytest
import tiny
import yaml
from loopback_hub.card_rules import card_errors
from PIL import Image

from semidepth.modeling import DepthStudentForDepthEstimation, PromptedMaskForMaskGeneration
from semidepth.publishing.cards.model_card import make_card
from semidepth.publishing.facts import read_facts
from semidepth.publishing.files import model_files
from semidepth.publishing.info import model_info, to_text

ROW = {"mode": "masks", "images": 12, "objects": 40, "area": "all"}
MEANS = {
    "miou@1": 0.5,
    "oracle@1": 0.625,
    "miou@3": 0.75,
    "box": 0.875,
    "noc80": 6.5,
    "boundary@1": 0.25,
    "miou@5": None,
}


@pytest.fixture
def folder(tmp_path):
    """The folder of a finished run, on a local student, with scores beside a baseline's."""
    folder = tmp_path / "masks"
    core = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    student = DepthStudentForDepthEstimation(core)
    tiny.save_model(PromptedMaskForMaskGeneration.from_student(student, hidden_size=32, mlp_dim=64), folder)
    options = {
        "output_dir": str(folder), "student": "/home/me/acme/student",
        "train": ["/home/me/acme/photos?masks=i.json", "scenes:indoor"], "freeze_core": True, "rounds": 4,
        "random_rounds": True, "box_share": 0.25, "mask_loss": "bce", "click_map": True, "steps": 70, "batch_size": 8,
    }  # fmt: skip
    (folder / "masks.yaml").write_text(yaml.safe_dump(options))
    (folder / "results.json").write_text(json.dumps({"steps": 70, "scenes:indoor?count=3/miou@1": 0.375}))
    (folder / "scores").mkdir()
    rows = [ROW | {"data": "photos", "model": name, "metrics": MEANS} for name in (str(folder), "superpixel")]
    scores = {"scores": rows, "command": f"semidepth score --masks --model {folder} --data photos"}
    (folder / "scores/results.json").write_text(json.dumps(scores))
    return folder


def test_the_code_of_the_card_answers_a_click_on_a_photo_as_it_is_seen(folder, tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg", exif=exif)
    (code,) = re.findall(r"```python\n(.*?)```", make_card(read_facts(folder)).text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert names["mask"].shape == (100, 60)


def test_the_card_says_what_it_learned_from_and_how_well(folder):
    card = make_card(read_facts(folder), repo="org/masks", license="apache-2.0")
    assert card_errors(str(card)) == []
    assert card.data.pipeline_tag == "mask-generation"
    assert "| images with masks | `photos?masks=i.json` |" in card.text
    assert "1 to 4 rounds" in card.text
    assert "cross-entropy, 1 : 1 dice" in card.text
    assert "drawn into the mask prompt" in card.text
    assert "was frozen" in card.text
    assert "acme" not in str(card)
    assert "kirillov2023segmentanything," in card.text
    [line] = [line for line in card.text.splitlines() if "objects: all" in line]
    assert [cell.strip() for cell in line.split("|")][3:-1] == ["12", "0.500", "0.625", "0.750", "0.875", "6.500"]
    assert "superpixel" not in card.text
    assert "semidepth score --masks --model org/masks --data photos" in card.text
    assert "| `scenes:indoor?count=3` | 0.375 |" in card.text
    results = {result.metric_type: result for result in card.data.eval_results}
    assert results["miou@1"].task_type == "mask-generation"
    assert results["miou@1"].metric_value == 0.5
    assert results["miou@1"].dataset_args["objects"] == 40


def test_options_and_scores_are_published_and_info_tells_them(folder):
    assert {"masks.yaml", "scores/results.json"} <= {file.path for file in model_files(folder)}
    info = model_info(folder)
    assert info["training"]["command"] == "masks"
    assert info["encoder"]["width"] == tiny.WIDTH
    assert "miou@1 0.500" in to_text(info)
