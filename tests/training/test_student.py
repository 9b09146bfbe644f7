"""The student's step against the paper's sentences, and the command for a few real steps."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel, set_seed

from semidepth.modeling import DepthStudentForDepthEstimation, encoder_features
from semidepth.modeling.affine_invariant import affine_invariant_loss, cutmix_affine_invariant_loss
from semidepth.prediction.models import DepthModel
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.augmentation.strong import apply_cutmix, cutmix_masks, distort_colors
from semidepth.training.losses.feature_alignment import feature_alignment_loss
from semidepth.training.losses.table import TERMS, losses_of
from semidepth.training.options.student import StudentOptions
from semidepth.training.recipes.own_teacher import check_own_teacher, own_teacher
from semidepth.training.recipes.student import student_losses
from semidepth.training.student import train_student

PREPROCESSING = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH)


@pytest.fixture
def encoder(tmp_path):
    return tiny.save_encoder(tmp_path / "encoder")


@pytest.fixture
def teacher_folder(tmp_path):
    return tiny.save_model(tiny.stock_model(seed=5), tmp_path / "stock_teacher")


def arguments(tmp_path, encoder, **changes):
    fields = {
        "encoder": encoder,
        "output_dir": str(tmp_path / "student"),
        "teacher_dir": str(tmp_path / "teacher"),
        "labeled": ["scenes:indoor?count=8"],
        "unlabeled": ["scenes:indoor?start=100", "scenes:outdoor?start=100"],
        "batch_size": 2,
        "steps": 3,
        "teacher_steps": 2,
        "learning_rate": 1e-3,
        "warmup_steps": 1,
        "num_workers": 0,
        "log_every": 1,
        "cpu": True,
    }
    return StudentOptions(**(fields | changes))


@pytest.fixture
def step(encoder):
    """A student, its frozen encoder, a teacher that records its input, and one batch."""
    student = DepthStudentForDepthEstimation.from_encoder(encoder, **tiny.DECODER)
    frozen = copy.deepcopy(student.backbone).eval().requires_grad_(False)
    teacher = DepthModel(tiny.stock_model(seed=5).requires_grad_(False), PREPROCESSING, "disparity")
    image = torch.randint(0, 256, (6, 3, 48, 48), dtype=torch.uint8)
    batch = {
        "labeled": {
            "image": image[:2],
            "disparity": torch.rand(2, 48, 48),
            "origin": ["a", "b"],
            "labels": ["dense"] * 2,
        },
        "unlabeled": {"image": image[2:], "origin": ["c", "d", "e", "f"]},
    }
    return student, frozen, teacher, batch


def run(step, options, seed=3):
    student, frozen, teacher, batch = step
    seen = {}
    handles = [
        module.register_forward_pre_hook(
            lambda _, args, kwargs, name=name: seen.__setitem__(name, kwargs["pixel_values"]),
            with_kwargs=True,
        )
        for name, module in (("student", student), ("teacher", teacher.model))
    ]
    losses = student_losses(
        student, batch, teacher=teacher, frozen_encoder=frozen, preprocessing=PREPROCESSING,
        generator=torch.Generator().manual_seed(seed), options=options,
    )  # fmt: skip
    for handle in handles:
        handle.remove()
    return losses, seen


def test_the_teacher_sees_clean_images_and_the_student_hard_ones(step):
    _, seen = run(step, StudentOptions())
    batch = step[3]
    clean_labeled = PREPROCESSING.normalize(batch["labeled"]["image"])
    clean_unlabeled = PREPROCESSING.normalize(batch["unlabeled"]["image"])
    assert torch.allclose(seen["teacher"], clean_unlabeled, atol=1e-6)
    assert torch.equal(seen["student"][:2], clean_labeled)
    assert (seen["student"][2:] - clean_unlabeled).abs().mean() > 0.05


def test_the_total_is_the_mean_of_three_losses_worked_out_by_hand(step):
    student, frozen, teacher, batch = step
    options = StudentOptions(losses="v1")
    losses, _ = run(step, options)

    generator = torch.Generator().manual_seed(3)
    clean = batch["unlabeled"]["image"].float() / 255
    hard = distort_colors(clean, generator, options.augmentation)
    masks = cutmix_masks(4, 48, 48, generator, options.augmentation)
    mixed, partner = apply_cutmix(hard, masks)
    mixed = PREPROCESSING.normalize(mixed)
    pseudo = teacher.predict_disparity(clean)
    labeled = student(PREPROCESSING.normalize(batch["labeled"]["image"])).predicted_depth
    output = student(mixed, output_features=True)
    expected = {
        "labeled": affine_invariant_loss(labeled, batch["labeled"]["disparity"]),
        "unlabeled": cutmix_affine_invariant_loss(output.predicted_depth, pseudo, pseudo[partner], masks),
        "feature": feature_alignment_loss(output.features, encoder_features(frozen, mixed), tolerance=0.85),
    }
    assert losses.terms.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(losses.terms[name], value, atol=1e-5), name
    assert torch.allclose(losses.total, sum(expected.values()) / 3, atol=1e-5)
    assert losses.origins == list("abcdef")
    assert losses.images == 6


def test_each_part_can_be_switched_off(step):
    options = StudentOptions(losses="v1", feature_alignment=False, color_distortion=False, cutmix_probability=0.0)
    losses, seen = run(step, options)
    assert set(losses.terms) == {"labeled", "unlabeled"}
    assert torch.allclose(losses.total, (losses.terms["labeled"] + losses.terms["unlabeled"]) / 2)
    clean = PREPROCESSING.normalize(step[3]["unlabeled"]["image"])
    assert torch.allclose(seen["student"][2:], clean, atol=1e-6)


def test_a_student_that_predicts_what_the_teacher_does_has_no_unlabeled_loss(step):
    student, frozen, teacher, batch = step
    stock = tiny.stock_model(seed=5)
    student.load_state_dict(stock.state_dict())
    options = StudentOptions(color_distortion=False, cutmix_probability=0.0)
    losses, _ = run((student, frozen, teacher, batch), options)
    assert losses.terms["unlabeled"] < 1e-4


def test_losses_follow_the_type_of_label(step):
    """The teacher's labels get what pseudo labels get, both sides of a border apart; labels by their own type."""
    batch = step[3]
    batch["labeled"]["labels"] = ["synthetic", "sparse"]
    losses, _ = run(step, StudentOptions(losses="full"))
    labeled = {name.removeprefix("labeled_") for name in losses.terms if name.startswith("labeled_")}
    unlabeled = {name.removeprefix("unlabeled_") for name in losses.terms if name.startswith("unlabeled_")}
    assert labeled == {"gradient", "local_4", "local_16", "local_64", "edge", "normal", "sky"}
    assert unlabeled == {"gradient", "local_4", "local_16"}
    predicted = step[0](PREPROCESSING.normalize(batch["labeled"]["image"])).predicted_depth
    own = losses_of(predicted, batch["labeled"]["disparity"], ["synthetic", "sparse"], TERMS)
    expected = sum(own.values()) + own["gradient"]  # of weight 2
    assert torch.allclose(losses.terms["labeled"], expected, atol=1e-5)


def test_the_gradient_of_mixed_images_is_that_of_each_region(step):
    options = StudentOptions()
    losses, _ = run(step, options)
    plain, _ = run(step, StudentOptions(losses="v1"))
    gradient = losses.terms["unlabeled_gradient"]
    assert gradient > 0
    assert torch.allclose(losses.terms["unlabeled"], plain.terms["unlabeled"] + 2 * gradient, atol=1e-5)
    assert set(losses.terms) == {"labeled", "labeled_gradient", "unlabeled", "unlabeled_gradient", "feature"}


def test_camera_effects_are_the_students_alone(step):
    batch = step[3]
    options = StudentOptions(
        color_distortion=False, cutmix_probability=0.0, camera_effects=("jpeg", "depth_of_field"),
        labeled_camera_effects=("shot_noise",),
    )  # fmt: skip
    _, seen = run(step, options)
    assert torch.allclose(seen["teacher"], PREPROCESSING.normalize(batch["unlabeled"]["image"]), atol=1e-6)
    clean = PREPROCESSING.normalize(torch.cat([batch["labeled"]["image"], batch["unlabeled"]["image"]]))
    changed = (seen["student"] - clean).abs().flatten(1).amax(1) > 1e-3
    assert changed[2:].any()
    _, others = run(step, dataclasses.replace(options, camera_effects=()))
    assert torch.allclose(others["student"][2:], clean[2:], atol=1e-6)
    changed = [run(step, options, seed)[1]["student"][:2] for seed in range(3)]
    assert any((each - clean[:2]).abs().max() > 1e-3 for each in changed)


def test_neither_teacher_nor_frozen_encoder_gets_a_gradient(step):
    student, frozen, teacher, _ = step
    losses, _ = run(step, StudentOptions(feature_tolerance=1.0))
    losses.total.backward()
    assert all(parameter.grad is None for parameter in [*frozen.parameters(), *teacher.model.parameters()])
    assert all(p.grad is not None for p in student.parameters() if p.requires_grad)


def test_it_starts_from_the_encoder_and_not_from_the_teacher(tmp_path, encoder, monkeypatch):
    started = {}

    def stop_before_training(arguments, *, model, **_):
        started["model"] = model
        return {}

    monkeypatch.setattr("semidepth.training.recipes.student.train", stop_before_training)
    train_student(arguments(tmp_path, encoder))
    taught = DepthStudentForDepthEstimation.from_pretrained(tmp_path / "teacher").state_dict()
    set_seed(0)
    fresh = DepthStudentForDepthEstimation.from_encoder(encoder).state_dict()
    start = started["model"].state_dict()
    assert all(torch.equal(start[name], fresh[name]) for name in fresh)
    changed = [
        name for name in taught if name.startswith("backbone.encoder") and not torch.equal(start[name], taught[name])
    ]
    assert changed


def test_without_a_teacher_it_trains_one_first_and_says_so(tmp_path, encoder, caplog):
    caplog.set_level("INFO", logger="semidepth")
    results = train_student(arguments(tmp_path, encoder))
    assert "no --teacher given: training one" in caplog.text
    assert (tmp_path / "teacher/model.safetensors").is_file()
    assert {"labeled", "unlabeled", "feature"} <= set(results)
    assert json.loads((tmp_path / "student/results.json").read_text())["teacher"] == str(tmp_path / "teacher")
    caplog.clear()
    assert own_teacher(arguments(tmp_path, encoder)) == str(tmp_path / "teacher")
    assert "using the one in" in caplog.text
    check_own_teacher(arguments(tmp_path, encoder))
    another = {"output_dir": str(tmp_path / "another")}
    with pytest.raises(ValueError, match=r"teacher in .* labeled;.*--teacher_dir"):
        train_student(arguments(tmp_path, encoder, labeled=["scenes:outdoor?count=8"], **another))
    with pytest.raises(ValueError, match=r"teacher in .* losses;.*--teacher_dir"):
        train_student(arguments(tmp_path, encoder, losses="v1", **another))


def test_a_named_teacher_is_loaded_once(tmp_path, encoder, teacher_folder, monkeypatch):
    loaded, load = [], PreTrainedModel.from_pretrained.__func__

    def counting(cls, name, *others, **options):
        loaded.append(str(name))
        return load(cls, name, *others, **options)

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", classmethod(counting))
    train_student(arguments(tmp_path, encoder, teacher=teacher_folder, steps=1))
    assert loaded.count(teacher_folder) == 1


def test_what_it_needs_for_a_teacher_is_asked_for_before_anything_is_trained(tmp_path):
    for changes, words in (
        ({"teacher_steps": None, "labeled": ["scenes:indoor"]}, "give --teacher_steps"),
        ({"teacher": str(tmp_path / "nothing")}, "could not be loaded as a depth-estimation model"),
    ):
        with pytest.raises(ValueError, match=words):
            train_student(arguments(tmp_path, "scenes", encoder_dir=str(tmp_path / "built_in"), **changes))
    assert not (tmp_path / "built_in").exists()


@pytest.mark.parametrize("depth_estimation_type", ["relative", "metric"])
def test_a_stock_model_can_teach(tmp_path, encoder, depth_estimation_type):
    folder = tmp_path / "stock"
    tiny.stock_model(tiny.stock_config(depth_estimation_type=depth_estimation_type, max_depth=10)).save_pretrained(
        folder
    )
    PREPROCESSING.to_image_processor().save_pretrained(folder)
    results = train_student(arguments(tmp_path, encoder, teacher=str(folder)))
    assert results["unlabeled"] > 0


def test_the_same_seed_gives_the_same_student(tmp_path, encoder, teacher_folder):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_student(
            arguments(
                tmp_path,
                encoder,
                teacher=teacher_folder,
                seed=seed,
                output_dir=str(tmp_path / name),
                num_workers=1,
            )
        )
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["head.conv1.weight"], c["head.conv1.weight"])


def test_a_batch_is_one_part_labeled_to_two_parts_unlabeled(tmp_path, encoder, teacher_folder, monkeypatch):
    sizes = []
    original = student_losses

    def spy(model, batch, **others):
        sizes.append((len(batch["labeled"]["image"]), len(batch["unlabeled"]["image"])))
        return original(model, batch, **others)

    monkeypatch.setattr("semidepth.training.recipes.student.student_losses", spy)
    train_student(arguments(tmp_path, encoder, teacher=teacher_folder, batch_size=3))
    assert sizes == [(3, 6)] * 3


def test_options_and_results_are_saved_with_the_run(tmp_path, encoder, teacher_folder):
    train_student(arguments(tmp_path, encoder, teacher=teacher_folder))
    files = {path.name for path in Path(tmp_path / "student").iterdir()}
    assert {
        "student.yaml",
        "results.json",
        "model.safetensors",
        "config.json",
        "preprocessor_config.json",
    } <= files
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)
