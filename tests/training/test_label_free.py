"""A student without ground truth: photos and a teacher, or pseudo labels, and nothing else."""

import json

import pytest
import tiny
import torch
from sample_files import write_images

from semidepth.common.options import parse_options
from semidepth.modeling import DepthStudentForDepthEstimation, encoder_features
from semidepth.modeling.affine_invariant import affine_invariant_loss
from semidepth.prediction.models import DepthModel
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training import student
from semidepth.training import teacher as teacher_command
from semidepth.training.losses.feature_alignment import feature_alignment_loss
from semidepth.training.losses.gradient_matching import gradient_matching_loss
from semidepth.training.options.pseudo_label import PseudoLabelOptions
from semidepth.training.options.run import BUILT_IN_SCENES
from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.pseudo_label import pseudo_label
from semidepth.training.recipes.student import student_losses, train_on_all

PREPROCESSING = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH)


@pytest.fixture
def photos(tmp_path):
    write_images(tmp_path / "photos", range(6))
    return str(tmp_path / "photos")


@pytest.fixture
def teacher(tmp_path):
    return tiny.save_model(tiny.stock_model(seed=5), tmp_path / "teacher")


def words(tmp_path, teacher, photos, *more):
    return [
        "--teacher", teacher, "--unlabeled", photos, "--encoder", tiny.save_encoder(tmp_path / "encoder"),
        "--output_dir", str(tmp_path / "run"), "--batch_size", "2", "--num_workers", "0", "--log_every", "1",
        "--cpu", "--warmup_steps", "1", "--epochs", "1", *more,
    ]  # fmt: skip


def test_the_total_is_the_mean_of_the_two_losses_that_need_no_labels(tmp_path):
    model = DepthStudentForDepthEstimation.from_encoder(tiny.save_encoder(tmp_path / "encoder"), **tiny.DECODER)
    frozen = DepthStudentForDepthEstimation(model.config).backbone.eval().requires_grad_(False)
    teacher = DepthModel(tiny.stock_model(seed=5).requires_grad_(False), PREPROCESSING, "disparity")
    image = torch.randint(0, 256, (3, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    options = StudentOptions(teacher="t", unlabeled=["scenes:indoor"], color_distortion=False, cutmix_probability=0.0)
    losses = student_losses(
        model, {"unlabeled": {"image": image, "origin": ["a", "b", "c"]}}, teacher=teacher, frozen_encoder=frozen,
        preprocessing=PREPROCESSING, generator=torch.Generator().manual_seed(0), options=options,
    )  # fmt: skip
    pixels = PREPROCESSING.normalize(image)
    output = model(pixels, output_features=True)
    pseudo = teacher.predict_disparity(image.float() / 255)
    gradient = gradient_matching_loss(output.predicted_depth, pseudo)
    expected = [
        affine_invariant_loss(output.predicted_depth, pseudo) + 2 * gradient,
        feature_alignment_loss(output.features, encoder_features(frozen, pixels), tolerance=0.85),
    ]
    assert set(losses.terms) == {"unlabeled", "unlabeled_gradient", "feature"}
    assert torch.allclose(losses.terms["unlabeled_gradient"], gradient, atol=1e-5)
    assert torch.allclose(losses.total, sum(expected) / 2, atol=1e-5)
    assert (losses.images, losses.origins) == (3, ["a", "b", "c"])


def test_photos_and_a_teacher_are_enough_and_the_log_says_which_losses_are_on(
    tmp_path, teacher, photos, caplog, monkeypatch
):
    batches = []
    compute = student_losses

    def spy(model, batch, **others):
        batches.append({name: len(part["image"]) for name, part in batch.items()})
        return compute(model, batch, **others)

    monkeypatch.setattr("semidepth.training.recipes.student.student_losses", spy)
    caplog.set_level("INFO", logger="semidepth")
    assert student.main(words(tmp_path, teacher, photos, "--preview_every", "2")) == 0
    assert batches == [{"unlabeled": 2}] * 3  # one epoch of six photos, two at a time
    told = next(record.getMessage() for record in caplog.records if record.getMessage().startswith("losses:"))
    assert f"unlabeled (2 images, labels by {teacher})" in told
    assert "feature alignment" in told
    assert "no labeled loss" in told
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert {"unlabeled", "feature"} <= set(results)
    assert "labeled" not in results
    assert len(list((tmp_path / "run/previews").glob("*.png"))) == 2  # without ground truth, which there is not


def test_pseudo_labels_alone_are_enough(tmp_path, teacher, photos):
    labels = pseudo_label(
        PseudoLabelOptions(teacher=teacher, unlabeled=(photos,), output=str(tmp_path / "labels"), cpu=True)
    )
    results = train_on_all(
        StudentOptions(
            pseudo_labels=(labels,), encoder=tiny.save_encoder(tmp_path / "encoder"), steps=2, batch_size=2,
            num_workers=0, log_every=1, cpu=True, output_dir=str(tmp_path / "run"),
        )
    )  # fmt: skip
    assert results["unlabeled"] > 0
    assert "labeled" not in results


def test_it_resumes_with_the_same_samples(tmp_path, teacher, photos):
    arguments = words(tmp_path, teacher, photos, "--steps", "4", "--checkpoint_every", "2", "--learning_rate", "1e-3")
    assert student.main(arguments) == 0
    whole = (tmp_path / "run/model.safetensors").read_bytes()
    for path in (*(tmp_path / "run/checkpoint-00000004").iterdir(), tmp_path / "run/results.json"):
        path.unlink()
    (tmp_path / "run/checkpoint-00000004").rmdir()
    (tmp_path / "run/model.safetensors").unlink()
    assert student.main(arguments) == 0
    assert (tmp_path / "run/model.safetensors").read_bytes() == whole


def test_scenes_are_never_mixed_into_data_of_ones_own(photos, teacher):
    demo = parse_options(StudentOptions, [], preset=student.PRESET)
    assert all(text.startswith("scenes:") for text in (*demo.labeled, *demo.unlabeled, *demo.validation))
    assert StudentOptions().labeled == StudentOptions().unlabeled == BUILT_IN_SCENES
    assert parse_options(StudentOptions, ["--encoder", "e"], preset=student.PRESET).labeled == BUILT_IN_SCENES
    own = parse_options(StudentOptions, ["--teacher", teacher, "--unlabeled", photos], preset=student.PRESET)
    assert (own.labeled, own.unlabeled, own.validation) == ((), (photos,), ())
    assert own.learning_rate == demo.learning_rate  # still on the built-in encoder
    taught = parse_options(TeacherOptions, ["--labeled", photos], preset=teacher_command.PRESET)
    assert (taught.labeled, taught.validation) == ((photos,), ())


def test_the_batch_is_of_photos_where_there_are_no_labels():
    fields = {"unlabeled": ["scenes:outdoor"], "batch_size": 4}
    assert StudentOptions(teacher="t", **fields).unlabeled_batch_size == 4
    assert StudentOptions(labeled=["scenes:indoor"], **fields).unlabeled_batch_size == 8


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--unlabeled", "scenes:indoor"], "name a --teacher, or --labeled"),
        (["--teacher", "t"], "--unlabeled is missing"),
        (["--labeled", "scenes:indoor"], "semidepth train teacher"),
    ],
)
def test_what_is_missing_is_named(argv, told, refused):
    assert told in refused(student.main, *argv)
