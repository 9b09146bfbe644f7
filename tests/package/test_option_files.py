"""Every command's options are saved as a file that gives them back, also where another version wrote it."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from semidepth.common.options import load_options, parse_options, save_options
from semidepth.evaluation.options import ScoreOptions
from semidepth.prediction.options import PredictOptions
from semidepth.publishing.cli import PublishOptions
from semidepth.publishing.info import InfoOptions
from semidepth.training.options.demo import DemoOptions
from semidepth.training.options.encoder import EncoderOptions
from semidepth.training.options.four_m import FourMOptions
from semidepth.training.options.masks import MaskOptions
from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.pseudo_label import PseudoLabelOptions
from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.options.tokenizers import TokenizerOptions

SCENES = ("scenes:indoor?count=4", "scenes:outdoor?count=4&size=64")
# Values of every type, none of them the default.
OPTIONS = [
    PredictOptions(
        inputs=("a b.jpg", "*.png"), model="org/m", output=Path("out put"), kind="depth", formats=("ply,glb", "npy"),
        fov_deg=60.5, far_m=1e-4, max_jump=1.5, batch_size=2, overwrite=True, json=True,
    ),
    ScoreOptions(
        model=("org/m", "out/m"), data=SCENES, limit=3, mode="both", protocol=("none",), max_depth_m=10.5,
        align="median", space=("disparity",), flip=False, kind="depth", output=Path("s"), overwrite=True,
    ),
    PublishOptions(folder="out/m", repo="org/name", private=True, onnx_opset=20, data_license=("a=b=cc-by-4.0",)),
    InfoOptions(folder="out/m", json=True),
    TeacherOptions(labeled=SCENES, steps=3, learning_rate=1e-7, mixed_precision="bf16", resume=False, size=98),
    StudentOptions(
        unlabeled=SCENES, select_reliable=0.5, teacher="org/t", teacher_kind="depth", cutmix_probability=0.0
    ),
    MetricOptions(
        train=("indoor=scenes:indoor", "faces=scenes:outdoor"), domains=("faces?max_depth_m=2.5",), freeze_core=True
    ),
    MaskOptions(train=SCENES, freeze_core=False, rounds=3, mask_loss="bce", click_map=True, min_area=0.01),
    TokenizerOptions(train=SCENES, levels=(5, 4), modalities=("depth",), size=64, images=32, sparse_share=0.0),
    FourMOptions(train=SCENES, rgb="pixels", modalities=("caption", "tok_depth"), alpha=0.1, only_from_rgb=True),
    PseudoLabelOptions(teacher="org/t", unlabeled=SCENES, output="s3://b/n", reliability=False, num_threads=1),
    EncoderOptions(objective="masked", learning_rate=1e-4, cpu=True),
    DemoOptions(seeds=(3, 1), size=64, metric_steps=0),
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: type(options).__name__)
def test_saved_options_are_loaded_as_they_were(tmp_path, options):
    path = tmp_path / "options.yaml"
    save_options(options, path)
    assert load_options(type(options), path) == options
    assert parse_options(type(options), ["--config", str(path)]) == options


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: type(options).__name__)
def test_a_file_of_another_version_is_refused_or_read_with_defaults(tmp_path, options):
    """Written before the last option existed, and with one that is gone."""
    path = tmp_path / "options.yaml"
    save_options(options, path)
    values = yaml.safe_load(path.read_text())
    newest = [field for field in dataclasses.fields(options) if field.default is not dataclasses.MISSING][-1]
    name = newest.metadata["name"] or newest.name
    del values[name]
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ValueError, match=f"lacks the options {name}; ") as refused:
        load_options(type(options), path)
    assert "\n" not in str(refused.value)
    older = dataclasses.replace(options, **{newest.name: newest.default})
    assert load_options(type(options), path, of_other_version=True) == older

    path.write_text(yaml.safe_dump(values | {"momentum": 0.9}))
    with pytest.raises(ValueError, match="unknown options momentum; ") as refused:
        load_options(type(options), path, of_other_version=False)
    assert load_options(type(options), path, of_other_version=True) == older
