"""A tiny model in the place of the one that comes with the package, made by the command that makes that one."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import yaml

from semidepth.modeling import (
    DepthStudentConfig,
    DepthStudentForDepthEstimation,
    PromptedMaskForMaskGeneration,
    RoutedDepthForDepthEstimation,
)
from semidepth.prediction.shipped import folder
from semidepth.publishing import cli

DOMAINS = [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]


def save_runs(root: Path) -> tuple[Path, Path]:
    """The folders of a finished student and of a metric model on it, as the training commands leave them."""
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**fields))
    student.load_state_dict(tiny.stock_model().state_dict(), strict=False)
    metric = RoutedDepthForDepthEstimation.from_student(student, DOMAINS, bin_embedding_dim=16)
    tiny.make_lively(metric.heads, metric.projectors)
    metric.core_scales.copy_(1000 * metric.core_scales + 1 / 3)  # no bfloat16 numbers
    for name, model in (("student", student), ("metric", metric)):
        tiny.save_model(model, root / name)
    (root / "student" / "student.yaml").write_text(yaml.safe_dump({"encoder": "scenes", "labeled": ["scenes:indoor"]}))
    (root / "student" / "results.json").write_text('{"steps": 3}\n')
    (root / "metric" / "metric.yaml").write_text(yaml.safe_dump({"student": "s", "train": ["indoor=scenes:indoor"]}))
    (root / "metric" / "results.json").write_text('{"indoor/abs_rel": 0.5, "outdoor/abs_rel": 0.25}\n')
    (root / "metric" / "scores").mkdir()
    rows = [score_row("indoor", 0.125, 3), score_row("indoor", 0.2, 1), score_row("", 0.9, 5)]
    (root / "metric" / "scores" / "results.json").write_text(json.dumps({"scores": rows}))
    return root / "student", root / "metric"


def save_mask_model(student: Path, folder: Path) -> Path:
    """The folder of a mask model on a student, its decoder fresh."""
    core = DepthStudentForDepthEstimation.from_pretrained(student)
    sizes = {"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32}
    PromptedMaskForMaskGeneration.from_student(core, **sizes).save_pretrained(folder)
    shutil.copyfile(student / "preprocessor_config.json", folder / "preprocessor_config.json")
    return folder


def score_row(domain: str, abs_rel: float, images: int) -> dict:
    """A row of scores/results.json."""
    return {
        "model": "m", "data": "d", "mode": "metric", "head": "router", "domain": domain, "images": images,
        "metrics": {"abs_rel": abs_rel},
    }  # fmt: skip


def ship(student: Path, target: Path, *words: str) -> Path:
    """Runs `semidepth publish STUDENT --to_folder TARGET --dtype bfloat16`."""
    assert cli.main([str(student), "--to_folder", str(target), "--dtype", "bfloat16", *words]) == 0
    return target


def take(monkeypatch: pytest.MonkeyPatch, shipped: Path) -> None:
    """Puts a folder in the place of the one that comes with the package."""
    monkeypatch.setattr(folder, "FOLDER", shipped)
