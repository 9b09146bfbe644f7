"""A card says what the run recorded and nothing else; its metadata is what the Hub takes; nothing private is on it."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tiny
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from loopback_hub import LoopbackHub
from loopback_hub.card_rules import card_errors
from PIL import Image
from safetensors.torch import save_file

from semidepth.modeling import DepthStudentConfig, RoutedDepthConfig
from semidepth.publishing.cards import losses as card_losses
from semidepth.publishing.cards.model_card import make_card
from semidepth.publishing.cli import PublishOptions, publish
from semidepth.publishing.facts import read_facts
from semidepth.publishing.files import EXAMPLES, preview_names
from semidepth.training.losses import table as table_of_losses
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.run import CameraEffect
from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions

TOKEN = "hf_" + "s" * 34
DOMAINS = [
    {"name": "indoor", "max_depth_m": 10.0},
    {"name": "faces", "max_depth_m": 2.5, "bin_centers_type": "normed"},
]
RUN = {
    "hours": 3.25, "gpu_hours": 26.0, "device": "NVIDIA H100 80GB HBM3", "processes": 8, "mixed_precision": "bf16",
    "versions": {"python": "3.11.4", "torch": "2.11.0"}, "hub": ["facebook/dinov2-small", "org/frames", "org/big"],
    "defaults": {"learning_rate": 5e-6, "batch_size": 16, "drop_fraction": 0.0},
}  # fmt: skip


def card_of(folder: Path, **told) -> ModelCard:
    """The card of a folder, with its pictures to choose from."""
    examples = [EXAMPLES] if (folder / EXAMPLES).is_file() else []
    return make_card(read_facts(folder), [*preview_names(folder), *examples], **told)


def write_options(cls: type, path: Path, changes: dict) -> None:
    """The options file of a run that may be long ago: its data need not be there any more."""
    defaults = {item.name: item.default for item in dataclasses.fields(cls) if item.default is not dataclasses.MISSING}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in (defaults | changes).items()}
    path.write_text(yaml.safe_dump(plain, sort_keys=False))


def config_fields():
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    return fields


def relative_folder(tmp_path: Path, **changes) -> Path:
    """A student's folder: options, results, and weights of 7 numbers."""
    folder = tmp_path / "mine"
    DepthStudentConfig(**config_fields()).save_pretrained(folder)
    options = {
        "output_dir": str(folder), "encoder": "facebook/dinov2-small", "teacher": "org/big",
        "labeled": ["org/frames?split=train", "/home/me/acme/rooms/*.parquet?depth_scale=0.001"],
        "unlabeled": ["/home/me/acme/photos", "https://me:secret@host/a.parquet"], "steps": 1234, "batch_size": 4,
        "learning_rate": 1e-5, "gradient_matching_weight": 2.0, "ema_decay": 0.999,
    }  # fmt: skip
    write_options(StudentOptions, folder / "student.yaml", options | changes)
    save_file(
        {"weights": tiny.pixels(1, 1, 1).flatten(), "bias": tiny.pixels(1, 2, 2)[0, 0].flatten()},
        folder / "model.safetensors",
    )
    (folder / "results.json").write_text(json.dumps({"steps": 1234, "loss": 0.5, "run": RUN}))
    return folder


def routed_folder(tmp_path: Path, domains=DOMAINS) -> Path:
    """A metric model's folder, on a local student."""
    folder = tmp_path / "metres"
    core = DepthStudentConfig(**config_fields())
    RoutedDepthConfig(core_config=core, domains=domains).save_pretrained(folder)
    train = [f"{domain['name']}=/home/me/{domain['name']}_frames" for domain in domains]
    write_options(MetricOptions, folder / "metric.yaml", {"train": train, "student": "/home/me/student"})
    results = {"steps": 50, "indoor/abs_rel": 0.25}
    if len(domains) > 1:
        results |= {"indoor/domain_given/abs_rel": 0.125, "validation/router_accuracy": 0.9}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def score(folder: Path, rows: list[dict], command: str | None = None, routers: object = None) -> None:
    (folder / "scores").mkdir(exist_ok=True)
    common = {"model": str(folder), "revision": None, "head": "", "images": 96}
    content = {"scores": [common | row for row in rows]} | ({"command": command} if command else {})
    (folder / "scores/results.json").write_text(json.dumps(content | ({"routers": routers} if routers else {})))


RELATIVE_ROW = {
    "data": "nyu", "mode": "relative", "align": "least_squares", "space": "depth", "protocol": "nyu",
    "max_depth_m": 10.0, "metrics": {"abs_rel": 0.0625, "delta1": 0.875, "rmse": 0.5, "silog": None},
}  # fmt: skip


def table(card: ModelCard, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    below = card.text.split(heading, 1)[1].split("\n#", 1)[0]
    lines = [line for line in below.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if "---" not in line and "--:" not in line
    ]


def test_metadata_and_text_come_from_the_run(tmp_path):
    folder = relative_folder(tmp_path)
    card = card_of(folder, repo="org/mine", license="apache-2.0", data_licences={"org/frames": "cc-by-4.0"})
    assert card.data.to_dict() == {
        "license": "apache-2.0", "library_name": "transformers", "pipeline_tag": "depth-estimation",
        "tags": ["monocular-depth-estimation", "relative-depth", "semidepth"],
        "base_model": ["facebook/dinov2-small"], "datasets": ["org/frames"],
    }  # fmt: skip
    assert table(card, "### Data") == [
        ["used as", "source", "licence of the data"],
        [
            "labeled images",
            "`org/frames?split=train` ([data set](https://huggingface.co/datasets/org/frames))",
            "cc-by-4.0",
        ],
        ["labeled images", "`rooms/*.parquet?depth_scale=0.001`", "not stated"],
        ["images without labels", "`photos`", "not stated"],
        ["images without labels", "`https://***@host/a.parquet`", "not stated"],
    ]
    options = {name: (value, default) for name, value, default in table(card, "### Hyper-parameters")}
    assert options["`learning_rate`"] == ("1e-05", "5e-06")
    assert options["`batch_size`"] == ("4", "16")
    assert options["`drop_fraction`"] == ("0", "")
    assert not {"`output_dir`", "`encoder`", "`epochs`", "`hub_wait_s`"} & set(options)
    for text in (
        "plus 2 x the multi-scale gradient matching loss",
        "exponential moving average over the training, with decay 0.999",
        "[org/big](https://huggingface.co/org/big)",
        "1,234 updates. An update saw 32 labeled and 64 other images.",  # 4 x 8 processes, two to one
        "3.2 hours on 8 processes on NVIDIA H100 80GB HBM3 in bfloat16, 26.00 GPU hours.",
        "python 3.11.4, torch 2.11.0",
        "0.0 M parameters",
        'model="org/mine", trust_remote_code=True',
        "under `apache-2.0`",
    ):
        assert text in card.text, text


def test_losses_and_augmentation_are_those_of_the_run(tmp_path):
    assert set(card_losses.TERMS) == set(table_of_losses.TERMS) - {"affine"}
    assert set(card_losses.EFFECTS) == set(get_args(CameraEffect))
    folder = relative_folder(
        tmp_path,
        losses="local",
        gradient_matching_weight=None,
        smallest_crop=0.5,
        labeled_camera_effects=["jpeg"],
        labeled_rotation_deg=10,
        labeled_jitter_strength=0.3,
        jitter_strength=0.5,
    )
    results = json.loads((folder / "results.json").read_text())
    results["losses"] = {"affine": 1.0, "gradient": 2.0, "local_4": 0.5}
    (folder / "results.json").write_text(json.dumps(results))
    text = " ".join(card_of(folder).text.split())
    assert (
        "Labeled images, with JPEG, turned by up to 10 degrees, colour jitter of 0.3: affine-invariant loss on "
        "inverse depth, plus 2 x the multi-scale gradient matching "
        "loss, plus 0.5 x the same loss in each of 4 x 4 windows." in text
    )
    assert "the same losses against the inverse depth" in text
    assert "Camera: crops from 50% of the shorter side on." in text
    assert "wang2025moge" in text
    assert "yang2024depthanythingv2" in text
    results["losses"] = {"affine": 1.0}
    (folder / "results.json").write_text(json.dumps(results))
    text = " ".join(card_of(folder).text.split())
    assert "colour jitter of 0.3: affine-invariant loss on inverse depth. " in text
    assert "wang2025moge" not in text


def test_scores_become_the_model_index(tmp_path):
    folder = relative_folder(tmp_path)
    local = RELATIVE_ROW | {
        "data": "/home/me/acme/frames/*.parquet?depth_scale=0.001",
        "protocol": "none",
        "max_depth_m": None,
    }
    rows = [
        RELATIVE_ROW,
        RELATIVE_ROW | {"space": "disparity", "metrics": {"abs_rel": 0.03125}},
        local,
        RELATIVE_ROW | {"model": "org/peer", "metrics": {"abs_rel": 0.75}},
        RELATIVE_ROW | {"data": "org/frames?split=test", "metrics": {"abs_rel": float("nan"), "boundary_f1": 0.25}},
    ]
    command = f".venv/bin/python training/score.py --model {folder} org/peer --data nyu /home/me/acme/frames/*.parquet"
    score(folder, rows, command)
    card = card_of(folder, repo="org/mine")
    results = card.data.eval_results
    assert [(each.dataset_type, each.metric_type, each.metric_value) for each in results] == [
        ("nyu", "abs_rel", 0.0625), ("nyu", "delta1", 0.875), ("nyu", "rmse", 0.5), ("nyu", "abs_rel", 0.03125),
        ("frames-.parquet", "abs_rel", 0.0625), ("frames-.parquet", "delta1", 0.875), ("frames-.parquet", "rmse", 0.5),
        ("org/frames", "boundary_f1", 0.25),
    ]  # fmt: skip
    shown = "python training/score.py --model org/mine org/peer --data nyu 'frames/*.parquet'"
    for each in results:
        assert each.task_type == "depth-estimation"
        assert each.dataset_args["images"] == 96
        assert (each.source_name, each.source_url) == (
            shown,
            "https://huggingface.co/org/mine/blob/main/scores/results.json",
        )
    assert shown in card.text
    aligned = "least squares alignment, compared in"
    assert table(card, "## Results") == [
        ["data", "how", "images", "AbsRel ↓", "δ1 ↑", "RMSE ↓", "boundary f1 ↑"],
        ["`nyu`", f"{aligned} depth, protocol nyu", "96", "0.062", "0.875", "0.500", ""],
        ["`nyu`", f"{aligned} disparity, protocol nyu", "96", "0.031", "", "", ""],
        ["`frames/*.parquet?depth_scale=0.001`", f"{aligned} depth", "96", "0.062", "0.875", "0.500", ""],
        ["`org/frames?split=test`", f"{aligned} depth, protocol nyu", "96", "", "", "", "0.250"],
    ]  # fmt: skip

    # The library's own way there and back, and from the file.
    index = card.data.to_dict()["model-index"]
    assert model_index_to_eval_results(index) == ("mine", results)
    assert eval_results_to_model_index("mine", results) == index
    card.save(tmp_path / "README.md")
    loaded = ModelCard.load(tmp_path / "README.md")
    assert loaded.data.to_dict() == card.data.to_dict()
    assert str(loaded) == str(card)
    assert loaded.data.model_name == "mine"


def test_a_routed_model_says_its_domains_ranges_and_both_ways_of_routing(tmp_path):
    folder = routed_folder(tmp_path)
    row = {"data": "diode", "mode": "metric", "align": "none", "space": "depth", "protocol": "none", "max_depth_m": 2.5}
    rows = [
        row | {"head": "router", "metrics": {"abs_rel": 0.5}},
        row | {"head": "domain given", "metrics": {"abs_rel": 0.25}},
    ]
    confusion = [
        {"domain": "indoor", "chosen": "indoor", "images": 90},
        {"domain": "indoor", "chosen": "faces", "images": 6},
    ]
    routers = [
        {"model": model, "images": 96, "accuracy": 0.9375, "confusion": confusion} for model in (str(folder), "peer")
    ]
    score(folder, rows, "/opt/score.py --model x --data diode", routers)
    card = card_of(folder)
    assert card.text.count("The router chose the right head for 93.8% of 96 images.") == 1
    assert "| images of | taken for faces | taken for indoor |" in card.text
    assert "| indoor | 6 | 90 |" in card.text
    assert table(card, "# metres") == [["domain", "range"], ["indoor", "0.001 to 10 m"], ["faces", "0.001 to 2.5 m"]]
    assert [row[:4] for row in table(card, "## Results")[1:3]] == [
        ["`diode`", "up to 2.5 m, head chosen by the router", "96", "0.500"],
        ["`diode`", "up to 2.5 m, domain given", "96", "0.250"],
    ]
    index = card.data.to_dict()["model-index"][0]["results"]
    assert [result["metrics"][0]["value"] for result in index] == [0.5, 0.25]  # two entries, not one with two values
    assert table(card, "The last validation") == [
        ["validation", "AbsRel"], ["`indoor`", "0.250"], ["`indoor, domain given`", "0.125"],
    ]  # fmt: skip
    assert "The router chose the right head for 90.0% of these images." in card.text
    assert [row[:2] for row in table(card, "### Data")[1:]] == [
        ["domain indoor", "`indoor_frames`"],
        ["domain faces", "`faces_frames`"],
    ]
    assert "the local model `student`" in card.text
    assert "source" not in index[0]  # nowhere to point to yet
    assert index[0]["dataset"]["args"]["command"] == "opt/score.py --model x --data diode"
    assert 'names.index("indoor")' in card.text


def test_a_moved_folder_knows_its_scores(tmp_path):
    """Scored as its training called it, beside another model; then laid out elsewhere."""
    folder = relative_folder(tmp_path)
    ordinal = {"mode": "ordinal", "space": "disparity", "metrics": {"ordinal_accuracy": 0.75, "pairs": 1000.0}}
    rows = [
        RELATIVE_ROW | {"model": "org/peer"},
        RELATIVE_ROW | {"data": "da2k", "protocol": "", "align": "none"} | ordinal,
    ]
    score(folder, rows, f"training/score.py --model {folder} org/peer --benchmark da2k")
    moved = folder.rename(tmp_path / "laid out")
    card = card_of(moved, repo="org/mine")
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_args["pairs"]) == ("ordinal_accuracy", 0.75, 1000)
    assert "--model org/mine org/peer --benchmark da2k" in card.text
    assert "aligned to its ground truth" not in card.text
    assert table(card, "## Results") == [
        ["data", "how", "images", "ordinal accuracy ↑"],
        ["`da2k`", "up to 10 m", "96", "0.750"],
    ]


def test_one_domain_has_no_router(tmp_path):
    text = card_of(routed_folder(tmp_path, DOMAINS[:1]), repo="org/metres").text
    assert "router" not in text
    assert "domain_labels" not in text


def test_a_stock_metric_head_needs_no_code_of_ours(tmp_path):
    folder = tmp_path / "stock"
    tiny.stock_config(depth_estimation_type="metric", max_depth=20).save_pretrained(folder)
    changes = {"train": ["indoor=scenes:indoor"], "metric_head": "stock", "domains": ["indoor?max_depth_m=20"]}
    write_options(MetricOptions, folder / "metric.yaml", changes)
    card = card_of(folder)
    assert "trust_remote_code" not in card.text
    assert "from semidepth" not in card.text
    assert table(card, "# stock") == [["domain", "range"], ["indoor", "0 to 20 m"]]
    assert "metric-depth" in card.data.tags
    assert "a sigmoid times the largest depth" in card.text
    assert "`bin_embedding_dim`" not in card.text


def test_what_is_not_recorded_is_said(tmp_path):
    folder = tmp_path / "bare"
    DepthStudentConfig(**config_fields()).save_pretrained(folder)
    card = card_of(folder)
    for text in (
        "The training data are not recorded", "The options of the training run are not recorded",
        "hardware and energy of the training are not recorded", "No scores are recorded",
        "weights are not in this folder",
        "Not stated: no licence was given",
    ):  # fmt: skip
        assert text in card.text, text
    assert set(card.data.to_dict()) == {"library_name", "pipeline_tag", "tags"}
    # Stock Depth Anything, relative: the same card without custom code.
    tiny.stock_config().save_pretrained(tmp_path / "relative")
    assert "trust_remote_code" not in card_of(tmp_path / "relative").text


def test_a_teachers_card(tmp_path):
    folder = tmp_path / "teacher"
    DepthStudentConfig(**config_fields()).save_pretrained(folder)
    write_options(TeacherOptions, folder / "teacher.yaml", {"encoder": "scenes", "steps": 7})
    results = {"steps": 7, "scenes:indoor?split=validation&count=4/abs_rel": 0.5}
    (folder / "results.json").write_text(json.dumps(results))
    card = card_of(folder)
    assert "Supervised training: semidepth's built-in encoder" in card.text
    assert ["`scenes:indoor?split=validation&count=4`", "0.500"] in table(card, "## Results")
    assert "yang2024depthanything," in card.text
    assert "ST++" not in card.text


def test_the_card_says_of_which_update_the_weights_are(tmp_path):
    folder = relative_folder(tmp_path)
    results = json.loads((folder / "results.json").read_text())
    for kept, told in ((1234, "1,234 updates. An update"), (900, "the weights are those of update 900, which")):
        (folder / "results.json").write_text(json.dumps(results | {"kept_step": kept}))
        assert told in card_of(folder).text


def test_without_labels_the_card_names_none(tmp_path):
    text = card_of(relative_folder(tmp_path, labeled=[])).text
    assert "An update saw 32 images without labels." in text  # 4 images, 8 processes
    assert "Labeled images, without augmentation" not in text
    assert "Unlabeled images:" in text


def test_a_warm_start_names_the_model_it_went_on_from(tmp_path):
    folder = relative_folder(tmp_path, encoder=None, start="org/big")
    card = card_of(folder)
    assert card.data.base_model == ["org/big"] or card.data.base_model == "org/big"
    assert "starts from [org/big](https://huggingface.co/org/big), encoder and decoder." in card.text
    assert "new DPT decoder" not in card.text


def test_pseudo_labels_say_where_their_images_and_labels_are_from(tmp_path):
    labels = tmp_path / "private/labels"
    labels.mkdir(parents=True)
    (labels / "pseudo_labels.json").write_text(json.dumps({"teacher": "org/big", "sources": ["/home/me/beach/*.jpg"]}))
    folder = relative_folder(tmp_path, teacher=None)
    options = yaml.safe_load((folder / "student.yaml").read_text()) | {
        "pseudo_labels": [f"{labels}?min_reliability=0.5"]
    }
    (folder / "student.yaml").write_text(yaml.safe_dump(options))
    card = card_of(folder)
    assert [row[:2] for row in table(card, "### Data")[3:]] == [
        ["pseudo labels", "`labels?min_reliability=0.5`"],
        ["images of the pseudo labels", "`beach/*.jpg`"],
    ]
    assert "[org/big](https://huggingface.co/org/big)" in card.text
    assert "`photos`" not in card.text  # of --unlabeled, which such a run does not read


def test_a_run_with_selection_names_its_steps_and_its_images(tmp_path):
    folder = relative_folder(tmp_path, teacher=None)
    options = yaml.safe_load((folder / "student.yaml").read_text())
    stable = f"{folder}/labels_of_teacher"
    options |= {
        "pseudo_labels": [f"{stable}?min_reliability=0.75", f"{folder}/labels_of_first_student"],
        "unlabeled": ["/home/me/acme/photos"],
    }
    (folder / "student.yaml").write_text(yaml.safe_dump(options))
    (folder / "results.json").write_text(json.dumps({"selected_share": 0.5}))
    for name, teacher, sources in (
        ("labels_of_teacher", "org/big", ["/home/me/acme/photos"]),
        ("labels_of_first_student", f"{folder}/first_student", [f"{stable}?max_reliability=0.75"]),
    ):
        (folder / name).mkdir()
        (folder / name / "pseudo_labels.json").write_text(json.dumps({"teacher": teacher, "sources": sources}))
    card = card_of(folder)
    assert [row[:2] for row in table(card, "### Data")[3:]] == [
        ["pseudo labels", "`labels_of_teacher?min_reliability=0.75`"],
        ["images of the pseudo labels", "`photos`"],
        ["pseudo labels", "`labels_of_first_student`"],
    ]
    assert "[org/big](https://huggingface.co/org/big) and the local model `first_student`" in card.text
    assert "ST++ (arXiv 2106.05095): a first student" in card.text
    assert "yang2022stpp" in card.text


def test_a_licence_of_a_model_behind_is_told_where_the_card_would_state_none(tmp_path, caplog):
    middle, start = tmp_path / "middle", tmp_path / "start"
    folder = relative_folder(tmp_path, start=str(middle), teacher="org/big", encoder=None, unlabeled=["photos"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {}}))
    shutil.copytree(folder, start)
    shutil.copytree(folder, middle)
    write_options(StudentOptions, middle / "student.yaml", {"start": str(start), "teacher": str(folder)})

    def told(**options) -> list[str]:
        caplog.clear()
        publish(PublishOptions(folder=str(folder), dry_run=True, **options))
        return [record.getMessage() for record in caplog.records if "--license" in record.getMessage()]

    assert told() == []  # nobody on the way has one
    assert "licences of their own" not in card_of(folder).text
    (start / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    (warning,) = told()
    assert str(start) in warning
    assert "cc-by-nc-4.0" in warning
    assert "the local model `start` (`cc-by-nc-4.0`)" in card_of(folder).text  # and not its path
    assert told(license="cc-by-nc-4.0") == []
    (middle / "README.md").write_text("---\nlicense: mit\n---\n")
    (warning,) = told()  # the nearest card speaks for what is behind it
    assert "(mit)" in warning
    assert "cc-by-nc-4.0" not in warning
    write_options(StudentOptions, folder / "student.yaml", {"start": "semidepth-small"})
    (warning,) = told()
    assert "semidepth-small (cc-by-nc-4.0)" in warning
    assert "have licences of their own" in card_of(folder).text.partition("## Licence")[2]
    assert "the local model `semidepth-small` (`cc-by-nc-4.0`)" in card_of(folder, license="mit").text
    (folder / "README.md").write_text("---\nlicense: other\n---\n")
    assert told() == []
    (warning,) = told(license="mit")  # which would not be on the card
    assert str(folder / "README.md") in warning


def test_pictures_are_shown_where_there_are_some(tmp_path):
    rendered = {"labeled": ["scenes:indoor?count=8"], "unlabeled": ["scenes:outdoor"]}
    folder = relative_folder(tmp_path, **rendered)
    picture = Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8))
    (folder / "previews").mkdir()
    for step in (5, 10):
        picture.save(folder / f"previews/predictions_step_{step:06d}.png")
    assert re.findall(r"!\[.*?\]\((.*?)\)", card_of(folder).text) == ["previews/predictions_step_000010.png"]
    write_options(StudentOptions, folder / "student.yaml", rendered | {"unlabeled": ["/home/me/photos"]})
    assert preview_names(folder) == []  # a preview of that run shows photos of its own
    (folder / "scores").mkdir()
    picture.save(folder / "scores/examples.png")
    assert re.findall(r"!\[.*?\]\((.*?)\)", card_of(folder).text) == ["scores/examples.png"]


def test_nothing_private_is_on_a_card(tmp_path):
    """Wherever a token or a path may have got into: options, results, command, licence."""
    folder = relative_folder(tmp_path)
    options = yaml.safe_load((folder / "student.yaml").read_text())
    options |= {
        "teacher": f"https://host/x?token={TOKEN}",
        "labeled": [f"https://u:{TOKEN}@host/a.parquet"],
        "hub_token": TOKEN,
    }
    (folder / "student.yaml").write_text(yaml.safe_dump(options))
    score(
        folder,
        [RELATIVE_ROW | {"data": f"https://host/a.tar?key={TOKEN}"}],
        f"/home/me/score.py --token {TOKEN} --a /home/me/b",
    )
    (folder / "results.json").write_text(json.dumps({"run": RUN, f"https://host/a.tar?sig={TOKEN}/abs_rel": 1.0}))
    text = str(card_of(folder, repo="org/mine", data_licences={"photos": f"mine {TOKEN}"}))
    for secret in (TOKEN, TOKEN[3:], "/home/me", "acme", str(tmp_path), "secret"):
        assert secret not in text


def test_what_cannot_be_made_a_card_of_is_said_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"has no config\.json; give the folder of"):
        card_of(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="holds a bert model; give a depth student"):
        card_of(tmp_path)
    folder = relative_folder(tmp_path)
    with pytest.raises(ValueError, match=r"--data_license names org/other, .* its sources are org/frames"):
        card_of(folder, data_licences={"org/other": "mit"})
    (folder / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json is damaged"):
        card_of(folder)


VALIDATE = """
import sys
from huggingface_hub import HfApi, ModelCard
for path in sys.argv[1:]:
    card = ModelCard.load(path)
    card.validate()
    HfApi()._validate_yaml(str(card))
    card.data.license = "my-own"
    try:
        card.validate()
    except ValueError as error:
        assert "must be one of" in str(error)
    else:
        raise SystemExit("a licence of one's own was taken")
"""


def test_the_librarys_validation_takes_them(tmp_path):
    student, metric = relative_folder(tmp_path), routed_folder(tmp_path)
    score(
        student,
        [RELATIVE_ROW, RELATIVE_ROW | {"data": "/home/me/été, à Paris/*.png"}],
        "training/score.py --model mine",
    )
    score(metric, [RELATIVE_ROW | {"mode": "metric"}])
    cards = [
        card_of(student, repo="org/mine", license="cc-by-nc-4.0", data_licences={"photos": "of my own"}),
        card_of(metric, license="other"),
    ]
    paths = [tmp_path / f"{number}.md" for number in range(2)]
    for card, path in zip(cards, paths, strict=True):
        assert card_errors(str(card)) == []
        card.save(path)
    with LoopbackHub() as hub:
        environment = os.environ | hub.environment(tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", VALIDATE, *map(str, paths)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [status for _, path, status in hub.calls if path == "/api/validate-yaml"] == [200, 200, 400] * 2


def test_the_rules_find_what_is_wrong():
    """A check that passes everything would prove nothing."""
    index = [
        {
            "name": "m",
            "results": [
                {"task": {}, "dataset": {"type": "two words", "name": "n", "config": 1}, "metrics": [{"type": "t"}]}
            ],
        }
    ]
    wrong = {
        "license": "mine",
        "pipeline_tag": "depth",
        "datasets": ["a/b/c"],
        "base_model": "/home/me",
        "model-index": index,
    }
    errors = card_errors(f"---\n{yaml.safe_dump(wrong)}---\n# m\n")
    for at in (
        '"license"', '"pipeline_tag"', '"datasets[0]"', '"base_model[0]"', "task.type", "dataset.type",
        "dataset.config", "metrics[0].value",
    ):  # fmt: skip
        assert any(at in error for error in errors), at
