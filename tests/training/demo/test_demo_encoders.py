"""Which encoder the demo takes: from the cache, from the model that comes with semidepth, or the built-in one."""

import tiny
import torch
from shipped_model import save_runs, ship, take
from transformers import Dinov2Model

from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.prediction.models import load_depth_model
from semidepth.training.options.demo import DemoOptions
from semidepth.training.recipes.demo.encoders import BUILT_IN, PRETRAINED, REAL_ENCODER, find_encoder


def test_without_a_hub_it_is_the_one_inside_the_shipped_model(tmp_path, monkeypatch, no_hub, caplog):
    student, _ = save_runs(tmp_path)
    take(monkeypatch, ship(student, tmp_path / "shipped"))
    found = find_encoder(DemoOptions(student_steps=7), tmp_path / "encoder")
    assert found.name == str(tmp_path / "encoder")
    assert "learned depth" in found.told
    assert (found.schedule.student_steps, found.schedule.size) == (7, PRETRAINED.size)
    assert len(no_hub) <= 1  # asked twice, with a second between
    assert not [record for record in caplog.records if record.levelname != "INFO"]
    shipped = load_depth_model(device="cpu").model.backbone.state_dict()
    started = DepthStudentForDepthEstimation.from_encoder(found.name).backbone.state_dict()
    assert shipped.keys() == started.keys()
    assert all(torch.equal(shipped[name].float(), started[name]) for name in shipped)


def test_a_copy_in_the_cache_goes_first_and_nobody_is_asked(tmp_path, no_hub):
    repository = tmp_path / "cache" / f"models--{REAL_ENCODER.replace('/', '--')}"
    place = repository / "snapshots" / ("a" * 40)
    tiny.save_model(Dinov2Model(tiny.encoder_config()), place)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    found = find_encoder(DemoOptions(), tmp_path / "encoder")
    assert (found.name, found.schedule) == (REAL_ENCODER, PRETRAINED)
    assert no_hub == []
    assert not (tmp_path / "encoder").exists()


def test_without_any_weights_it_is_the_built_in_one(tmp_path, monkeypatch, no_hub):
    take(monkeypatch, tmp_path / "nowhere")
    found = find_encoder(DemoOptions(encoder_steps=1, cpu=True), tmp_path / "encoder")
    assert found.schedule == BUILT_IN
    assert "1.3 M" in found.told
    encoder = Dinov2Model.from_pretrained(found.name)
    assert encoder.config.image_size == BUILT_IN.size


def test_a_folder_is_taken_as_it_is(tmp_path):
    found = find_encoder(DemoOptions(encoder="my/encoder", size=48, metric_steps=0), tmp_path)
    assert (found.name, found.schedule.size, found.schedule.metric_steps) == ("my/encoder", 48, 0)
