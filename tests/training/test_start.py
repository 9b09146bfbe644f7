"""A warm start: training goes on from a whole model, ours or stock Depth Anything."""

from pathlib import Path

import pytest
import tiny
import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file

from semidepth.common.options import parse_options
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.models import load_depth_model
from semidepth.training import student, teacher
from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes import student as student_recipe
from semidepth.training.recipes.start import resolve_start
from semidepth.training.recipes.student import train_on_all
from semidepth.training.recipes.teacher import train_teacher

STILL = 1e-12  # a rate at which float32 weights do not move


@pytest.fixture
def stock(tmp_path):
    return tiny.save_model(tiny.stock_model(seed=5), tmp_path / "stock")


def arguments(cls, tmp_path, **changes):
    fields = {
        "output_dir": str(tmp_path / "run"), "labeled": ["scenes:indoor?count=8"], "batch_size": 2, "steps": 3,
        "learning_rate": STILL, "warmup_steps": 1, "num_workers": 0, "log_every": 1, "cpu": True,
    }  # fmt: skip
    if cls is StudentOptions:
        fields |= {"unlabeled": ["scenes:outdoor?start=100"], "teacher_dir": str(tmp_path / "teacher")}
    return cls(**(fields | changes))


def begin(cls, tmp_path, **changes):
    """The start of a run's training, and its model."""
    start = resolve_start(arguments(cls, tmp_path, **changes), Accelerator(cpu=True))
    return start, start.make_model(torch.device("cpu")).eval()


def predict(model, pixels=None):
    with torch.no_grad():
        return model(pixel_values=tiny.pixels() if pixels is None else pixels).predicted_depth


def close(got, expected):
    """Equal but for rounding: attention on a CPU is another kernel in training."""
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-4)


def routed(student_model):
    head = {"name": "indoor", "min_depth_m": 1e-3, "max_depth_m": 10.0, "n_bins": 8}
    return RoutedDepthForDepthEstimation.from_student(student_model, [head], bin_embedding_dim=8)


def test_a_stock_model_is_taken_over_with_its_outputs_and_size(tmp_path, stock):
    start, model = begin(TeacherOptions, tmp_path, start=stock)
    close(predict(model), predict(tiny.stock_model(seed=5)))
    assert (start.preprocessing.size, start.preprocessing.multiple) == (tiny.SIZE, tiny.PATCH)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    fresh = DepthStudentForDepthEstimation(model.config)
    assert trainable == {name for name, parameter in fresh.named_parameters() if parameter.requires_grad}


def test_our_own_folders_are_taken_over_and_of_a_metric_model_its_core(tmp_path):
    own = DepthStudentForDepthEstimation.from_encoder(tiny.save_encoder(tmp_path / "encoder"), **tiny.DECODER).eval()
    expected = predict(own)
    for name, model in (("own", own), ("metric", routed(own))):
        _, taken = begin(TeacherOptions, tmp_path, start=tiny.save_model(model, tmp_path / name))
        close(predict(taken), expected)


@pytest.mark.parametrize("cls", [TeacherOptions, StudentOptions])
def test_at_a_rate_of_nearly_nothing_the_result_is_the_start(tmp_path, stock, cls):
    train = train_teacher if cls is TeacherOptions else train_on_all
    own = {"teacher": stock, "feature_tolerance": 1.0} if cls is StudentOptions else {}
    results = train(arguments(cls, tmp_path, start=stock, **own))
    trained = load_depth_model(str(tmp_path / "run"))
    assert trained.preprocessing.size == tiny.SIZE
    close(predict(trained.model), predict(tiny.stock_model(seed=5)))
    assert ("feature" in results) == (cls is StudentOptions)


def test_feature_alignment_compares_with_the_encoder_it_started_from(tmp_path, stock, monkeypatch):
    frozen = []
    compute = student_recipe.student_losses

    def spy(model, batch, **others):
        frozen.append(others["frozen_encoder"].state_dict())
        return compute(model, batch, **others)

    monkeypatch.setattr("semidepth.training.recipes.student.student_losses", spy)
    train_on_all(arguments(StudentOptions, tmp_path, start=stock, teacher=stock, learning_rate=1e-2))
    expected = tiny.stock_model(seed=5).backbone.state_dict()
    assert all(torch.equal(frozen[-1][name], value) for name, value in expected.items())
    moved = load_file(tmp_path / "run/model.safetensors")
    assert not torch.equal(moved["backbone.layernorm.weight"], expected["layernorm.weight"])


def test_a_student_goes_on_from_its_own_teacher_at_another_size(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    train_teacher(arguments(TeacherOptions, tmp_path, encoder=encoder, output_dir=str(tmp_path / "teacher")))
    own, size = str(tmp_path / "teacher"), tiny.SIZE + 2 * tiny.PATCH
    results = train_on_all(arguments(StudentOptions, tmp_path, start=own, teacher=own, size=size, learning_rate=1e-5))
    assert results["unlabeled"] > 0
    assert load_depth_model(str(tmp_path / "run")).preprocessing.size == size
    sizes = [load_depth_model(name).model.config.backbone_config.image_size for name in (own, str(tmp_path / "run"))]
    assert sizes == [tiny.SIZE, tiny.SIZE]  # position embeddings are stretched for each batch, not stored anew


def test_without_a_teacher_one_goes_on_from_the_same_start(tmp_path, stock):
    train_on_all(arguments(StudentOptions, tmp_path, start=stock, teacher_steps=1))
    taught = load_depth_model(str(tmp_path / "teacher"))
    close(predict(taught.model), predict(tiny.stock_model(seed=5)))


def test_it_resumes_from_its_checkpoint_and_not_from_another_start(tmp_path, stock):
    run = {"start": stock, "checkpoint_every": 2, "learning_rate": 1e-4}
    train_teacher(arguments(TeacherOptions, tmp_path, **run, output_dir=str(tmp_path / "whole"), steps=4))
    # The schedule follows from the steps, so the first part is told all four and stopped after two.
    part = tmp_path / "part"
    train_teacher(arguments(TeacherOptions, tmp_path, **run, output_dir=str(part), steps=4))
    for name in ("model.safetensors", "results.json"):
        (part / name).unlink()
    for path in (part / "checkpoint-00000004").iterdir():
        path.unlink()
    (part / "checkpoint-00000004").rmdir()
    train_teacher(arguments(TeacherOptions, tmp_path, **run, output_dir=str(part), steps=4))
    whole, resumed = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", part))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    other = tiny.save_model(tiny.stock_model(seed=6), tmp_path / "other")
    with pytest.raises(ValueError, match="run with start="):
        train_teacher(arguments(TeacherOptions, tmp_path, **(run | {"start": other}), output_dir=str(part), steps=6))
    assert yaml.safe_load((part / "teacher.yaml").read_text())["start"] == stock  # the refused run left no trace


def test_rates_for_fine_tuning_are_the_default_of_both_commands(stock):
    for cls, command in ((TeacherOptions, teacher), (StudentOptions, student)):
        warm = parse_options(cls, ["--start", stock], preset=command.PRESET)
        assert (warm.learning_rate, warm.decoder_lr_factor, warm.warmup_steps) == (5e-6, 10, 100)
        given = parse_options(cls, ["--start", stock, "--learning_rate", "1e-6"], preset=command.PRESET)
        assert (given.learning_rate, given.encoder) == (1e-6, None)
        assert parse_options(cls, [], preset=command.PRESET).encoder == "scenes"


def test_start_and_encoder_exclude_each_other(stock, refused):
    for encoder in ("facebook/dinov2-small", "scenes"):
        assert "brings its own encoder" in refused(teacher.main, "--start", stock, "--encoder", encoder)


def test_what_is_no_relative_depth_model_is_refused_before_anything_is_made(tmp_path):
    metric = tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=10))
    zoedepth = RoutedDepthForDepthEstimation.from_zoedepth(tiny.zoedepth(1))
    for start, words in (
        (tiny.save_encoder(tmp_path / "encoder"), "with --encoder"),
        (tiny.save_model(metric, tmp_path / "metric"), "predicts metres"),
        (tiny.save_model(zoedepth, tmp_path / "zoedepth"), "ZoeDepth.s core"),
        (str(tmp_path / "nothing"), "could not be loaded"),
    ):
        with pytest.raises(ValueError, match=words):
            train_teacher(arguments(TeacherOptions, tmp_path, start=start))
    size = tiny.SIZE + 1
    stock = tiny.save_model(tiny.stock_model(), tmp_path / "stock")
    with pytest.raises(ValueError, match=f"--size {size} is not a multiple of the start model's patch size"):
        train_teacher(arguments(TeacherOptions, tmp_path, start=stock, size=size))
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_start_that_lacks_weights_is_refused(tmp_path, stock):
    from safetensors.torch import save_file

    weights = load_file(Path(stock) / "model.safetensors")
    del weights["head.conv1.weight"]
    save_file(weights, Path(stock) / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 of the model's weights, such as head\.conv1\.weight"):
        begin(TeacherOptions, tmp_path, start=stock)


def test_a_depth_model_named_as_encoder_is_told_of_start(tmp_path, stock):
    with pytest.raises(ValueError, match="with --start"):
        train_teacher(arguments(TeacherOptions, tmp_path, encoder=stock))
