"""The teacher's command for a few real steps: learning, resuming, tracking, stopping."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from sample_files import write_parquet

from semidepth.evaluation.depth_metrics.formulas import SCORE_NAMES
from semidepth.evaluation.relative import Scores
from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.modeling.affine_invariant import affine_invariant_loss
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.engine.loss_window import NonFiniteLossError
from semidepth.training.losses.gradient_matching import gradient_matching_loss
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.teacher import labeled_terms, perturb_labeled, teacher_losses, train_teacher
from semidepth.training.teacher import main


@pytest.fixture
def encoder(tmp_path):
    return tiny.save_encoder(tmp_path / "encoder")


def arguments(tmp_path, encoder, **changes):
    fields = {
        "encoder": encoder,
        "output_dir": str(tmp_path / "run"),
        "labeled": ["scenes:indoor?count=8", "scenes:outdoor?count=8"],
        "batch_size": 4,
        "steps": 4,
        "learning_rate": 1e-3,
        "warmup_steps": 1,
        "num_workers": 0,
        "log_every": 2,
        "cpu": True,
    }
    return TeacherOptions(**(fields | changes))


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def same_weights(saved, checkpoint):
    """Equal in the decoder, whose weights have one name in a saved model and in a checkpoint."""
    decoder = [name for name in checkpoint if not name.startswith("backbone.")]
    assert len(decoder) > 50
    assert all(torch.equal(saved[name], checkpoint[name]) for name in decoder)


def test_it_learns_a_few_scenes(tmp_path, encoder):
    first = train_teacher(arguments(tmp_path, encoder, steps=2, output_dir=str(tmp_path / "short")))
    later = train_teacher(arguments(tmp_path, encoder, steps=60))
    assert later["loss"] < 0.8 * first["loss"]
    model = load_depth_model(str(tmp_path / "run"))
    assert isinstance(model.model, DepthStudentForDepthEstimation)
    assert model.preprocessing == Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(tmp_path, encoder):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_teacher(arguments(tmp_path, encoder, seed=seed, output_dir=str(tmp_path / name)))
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["head.conv1.weight"], c["head.conv1.weight"])


def test_everything_at_once_runs_and_is_recorded(tmp_path, encoder):
    train_teacher(
        arguments(
            tmp_path, encoder, mixed_precision="bf16", gradient_accumulation_steps=2, activation_checkpointing=True,
            ema_decay=0.9, tracker="tensorboard", gradient_matching_weight=2.0, num_workers=1,
            validation=["scenes:indoor?split=validation&count=4"], validate_every=2, preview_every=2,
            checkpoint_every=2,
        )
    )  # fmt: skip
    run = tmp_path / "run"
    results = json.loads((run / "results.json").read_text())
    assert {"steps", "loss", "labeled", "labeled_gradient"} <= set(results)
    assert 0 < results["scenes:indoor?split=validation&count=4/abs_rel"] < 10
    assert len(list((run / "previews").glob("*.png"))) == 2
    assert len(list(run.glob("checkpoint-*"))) == 2
    assert list(run.rglob("events.out.tfevents*"))
    average = load_file(run / "checkpoint-00000004/average.safetensors")
    raw = load_file(run / "checkpoint-00000004/model.safetensors")
    saved = weights(run)
    assert not torch.equal(saved["head.conv1.weight"], raw["head.conv1.weight"])
    assert torch.equal(saved["head.conv1.weight"], average["module.head.conv1.weight"])


def test_it_goes_on_from_its_newest_checkpoint_with_other_samples(tmp_path, encoder, caplog, monkeypatch):
    seen = []
    original = teacher_losses

    def spy(model, batch, **others):
        seen.append((batch["origin"], batch["image"].float().mean().item()))
        return original(model, batch, **others)

    monkeypatch.setattr("semidepth.training.recipes.teacher.teacher_losses", spy)
    caplog.set_level("INFO", logger="semidepth")
    train_teacher(arguments(tmp_path, encoder, checkpoint_every=2, steps=2))
    checkpoint = tmp_path / "run/checkpoint-00000002"
    marked = load_file(checkpoint / "model.safetensors")
    name = "neck.fusion_stage.layers.0.residual_layer1.convolution1.bias"  # never trained, so it must come back
    marked[name] += 7
    save_file(marked, checkpoint / "model.safetensors")
    record = json.loads((checkpoint / "trainer.json").read_text())
    del record["crc32"]  # else the changed weights count as damaged
    (checkpoint / "trainer.json").write_text(json.dumps(record))
    train_teacher(arguments(tmp_path, encoder, checkpoint_every=2, steps=4))
    assert "checkpoint-00000002" in caplog.text
    assert (tmp_path / "run/checkpoint-00000004").is_dir()
    assert torch.equal(weights(tmp_path / "run")[name], marked[name])
    assert len(seen) == 4
    assert seen[:2] != seen[2:]


def test_a_checkpoint_that_it_cannot_resume_from_is_refused(tmp_path, encoder):
    train_teacher(arguments(tmp_path, encoder, checkpoint_every=2, steps=2))
    before = weights(tmp_path / "run")
    for changes, words in (
        ({"steps": 1}, "checkpoint-00000002 .*2 steps.*--steps"),
        ({"steps": 4, "labeled": ["scenes:indoor?count=4"]}, "checkpoint-00000002 .*labeled="),
        ({"steps": 4, "resume": False}, "checkpoint-00000002 .*--resume"),
    ):
        with pytest.raises(ValueError, match=words):
            train_teacher(arguments(tmp_path, encoder, **({"checkpoint_every": 2, "steps": 2} | changes)))
    assert all(torch.equal(value, before[name]) for name, value in weights(tmp_path / "run").items())


def test_a_broken_gradient_behind_a_sound_loss_stops_before_anything_is_saved(tmp_path, encoder, monkeypatch):
    class Break(torch.autograd.Function):
        @staticmethod
        def forward(ctx, loss):
            return loss.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * torch.nan

    original = teacher_losses

    def broken(model, batch, **others):
        losses = original(model, batch, **others)
        losses.total = Break.apply(losses.total)
        return losses

    monkeypatch.setattr("semidepth.training.recipes.teacher.teacher_losses", broken)
    with pytest.raises(NonFiniteLossError, match="step 1: gradient is not finite"):
        train_teacher(arguments(tmp_path, encoder, checkpoint_every=1, steps=1))
    assert not list((tmp_path / "run").glob("checkpoint-*"))
    assert not (tmp_path / "run/model.safetensors").exists()


def test_accumulating_two_halves_is_one_whole_batch(tmp_path, encoder):
    """With two identical images per micro-batch the order does not matter; the mean of means is the mean."""
    labeled = ["scenes:indoor?count=1"]
    for name, batch_size, accumulation in (("whole", 4, 1), ("halves", 2, 2)):
        train_teacher(
            arguments(
                tmp_path, encoder, labeled=labeled, batch_size=batch_size, gradient_accumulation_steps=accumulation,
                steps=1, output_dir=str(tmp_path / name), size=tiny.SIZE, max_grad_norm=1e9,
            )
        )  # fmt: skip
    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    start = DepthStudentForDepthEstimation.from_encoder(encoder).state_dict()["head.conv1.bias"]
    moved = (whole["head.conv1.bias"] - start).abs()
    assert moved.max() > 1e-4
    assert torch.allclose(whole["head.conv1.bias"], halves["head.conv1.bias"], atol=1e-5)


def test_a_loss_that_is_not_finite_stops_with_step_term_and_samples(tmp_path, encoder):
    options = arguments(tmp_path, encoder, decoder_lr_factor=1e-3, max_grad_norm=1e30, steps=8)
    object.__setattr__(options, "learning_rate", 1e30)  # which is refused
    with pytest.raises(NonFiniteLossError, match=r"step \d+: labeled.* is not finite, with scenes:.*#\d+"):
        train_teacher(options)


def test_labeled_images_reach_the_model_clean(tmp_path, encoder):
    model = DepthStudentForDepthEstimation.from_encoder(encoder)
    seen = []
    model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True)
    image = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    batch = {"image": image, "disparity": torch.rand(2, 48, 48), "origin": ["a", "b"], "labels": ["dense"] * 2}
    preprocessing, options = Preprocessing(size=48, multiple=8), TeacherOptions()
    losses = teacher_losses(model, batch, preprocessing=preprocessing, generator=torch.Generator(), options=options)
    assert torch.equal(seen[0], preprocessing.normalize(image))
    assert losses.total is losses.terms["labeled"]
    assert losses.finite.tolist() == [True, True]


def test_labels_are_turned_with_their_images():
    """The image shows the label itself, so that both must still agree, and what was turned in is unknown."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.rand(4, 6, 6, generator=generator).repeat_interleave(16, 1).repeat_interleave(16, 2)
    disparity = blocks.clone()
    disparity[:, 40:56, 40:56] = 0.0  # sky
    disparity[:, :16, 40:56] = torch.nan
    image = (disparity.nan_to_num(0.5) * 255).round().to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
    batch = {"image": image, "disparity": disparity, "origin": list("abcd")}
    turned = perturb_labeled(batch, TeacherOptions(labeled_rotation_deg=40.0), generator)
    shown, labels = turned["image"], turned["disparity"]
    known = labels.isfinite()
    agree = (shown[:, 0] - labels)[known].abs() < 0.02
    assert agree.float().mean() > 0.9  # all but the seams between blocks, which the image blends
    assert known.float().mean() < disparity.isfinite().float().mean() - 0.05  # the corners
    assert 0.5 < (labels == 0).sum() / (disparity == 0).sum() < 1.5  # the sky, and nothing but the sky, is 0
    assert not torch.equal(labels.nan_to_num(), disparity.nan_to_num())
    assert torch.equal(batch["disparity"].nan_to_num(), disparity.nan_to_num())  # the input stays


def test_labeled_colours_change_and_labels_do_not():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
    batch = {"image": image, "disparity": torch.rand(8, 32, 32), "origin": list("abcdefgh")}
    changed = perturb_labeled(batch, TeacherOptions(labeled_jitter_strength=0.4), generator)
    assert changed["disparity"] is batch["disparity"]
    differing = (changed["image"] - image.float() / 255).abs().flatten(1).amax(1) > 0.02
    assert 4 <= differing.sum() <= 8  # each of them by chance
    assert changed["image"].min() >= 0
    assert changed["image"].max() <= 1


def test_gradient_matching_is_on_and_its_weight_can_be_given():
    predicted, disparity = torch.rand(2, 2, 16, 16)
    labeled = {"disparity": disparity, "labels": ["dense", "synthetic"]}
    affine, gradient = affine_invariant_loss(predicted, disparity), gradient_matching_loss(predicted, disparity)
    for changes, weight in (({}, 2), ({"gradient_matching_weight": 0.5}, 0.5), ({"losses": "v1"}, 0)):
        terms = labeled_terms(predicted, labeled, TeacherOptions(**changes).loss_weights)
        assert torch.allclose(terms["labeled"], affine + weight * gradient)
        assert set(terms) == ({"labeled", "labeled_gradient"} if weight else {"labeled"})
    labeled["labels"] = ["sparse", "sparse"]
    terms = labeled_terms(predicted, labeled, TeacherOptions().loss_weights)
    assert torch.allclose(terms["labeled"], affine)
    assert terms["labeled_gradient"] == 0


def test_the_log_tells_losses_and_types_of_label_before_the_first_step(tmp_path, encoder, caplog):
    caplog.set_level("INFO", logger="semidepth")
    train_teacher(arguments(tmp_path, encoder, losses="local", steps=1))
    (options,) = [line.splitlines() for line in caplog.messages if line.startswith("teacher: ")]
    assert f"{tmp_path}/run/teacher.yaml" in options[0]
    assert len(options) < 6
    assert "--steps 1 " in " ".join(" ".join(options).split())  # where a line ends depends on the folder's name
    assert "--weight_decay" not in " ".join(options)  # it has its default
    told = [line for line in caplog.messages if line.startswith(("labels of", "losses:", "step 1"))]
    assert told[:2] == [f"labels of scenes:{domain}?count=8: synthetic (rendered)" for domain in ("indoor", "outdoor")]
    assert told[2].startswith("losses: 1 x affine, 2 x gradient (dense, pseudo, synthetic labels), 1 x local_4, ")
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["losses"] == {"affine": 1, "gradient": 2, "local_4": 1, "local_16": 1, "local_64": 1}
    assert results["labeled_gradient"] > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 50}, "--size 50 is not a multiple of the encoder's patch size 8; take 48 or 56"),
        ({"encoder": "/no/encoder"}, "--encoder '/no/encoder' could not be loaded"),
        ({"steps": None, "labeled": ["scenes:indoor"]}, "give --steps"),
        ({"mixed_precision": "fp16"}, "fp16 needs a CUDA device"),
        ({"validation": ["scenes:indoor?count=0"]}, "count"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path, encoder, changes, words):
    with pytest.raises(ValueError, match=words):
        train_teacher(arguments(**({"tmp_path": tmp_path, "encoder": encoder} | changes)))


def test_steps_follow_from_epochs(tmp_path, encoder):
    results = train_teacher(arguments(tmp_path, encoder, steps=None, epochs=1.5))
    assert results["loss"] > 0
    assert json.loads((tmp_path / "run/results.json").read_text())["steps"] == 6  # 16 samples x 1.5 / 4


def test_the_command_says_what_is_wrong_and_exits(tmp_path, encoder, refused):
    words = ["--encoder", encoder, "--output_dir", tmp_path / "run", "--cpu"]
    assert "--steps" in refused(main, *words)  # rendered scenes have no end
    assert "--size 50" in refused(main, *words, "--steps", "1", "--size", "50")


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_the_best_validation_is_kept_and_a_resumed_run_keeps_the_same(tmp_path, encoder, monkeypatch, done):
    """The second of four validations is the best; the run is stopped after some steps and started again."""
    steps = []

    def validate(predict, samples, *, device):
        steps.append(len(steps) + 1)
        error = {1: 0.4, 2: 0.1, 3: 0.3, 4: 0.2}[steps[-1]]
        scores = Scores()
        scores.add(["a"], {name: [error] for name in SCORE_NAMES})
        return scores

    monkeypatch.setattr("semidepth.training.recipes.hooks.score_relative", validate)
    run = {
        "labeled": ["scenes:indoor?count=8"], "learning_rate": 1e-2, "validate_every": 1, "checkpoint_every": 1,
        "keep_checkpoints": 9,
    }  # fmt: skip
    folder, score = tmp_path / "run", "scenes:indoor?count=8&split=validation/abs_rel"
    results = train_teacher(arguments(tmp_path, encoder, **run))
    second = load_file(folder / "checkpoint-00000002/model.safetensors")
    for number in range(done + 1, 5):
        shutil.rmtree(folder / f"checkpoint-{number:08}")
    for name in ("model.safetensors", "results.json"):
        (folder / name).unlink()
    steps[:] = range(1, done + 1)
    again = train_teacher(arguments(tmp_path, encoder, **run))
    assert (again["kept_step"], again[score]) == (results["kept_step"], results[score]) == (2, 0.1)
    same_weights(weights(folder), second)
    steps.clear()
    last = train_teacher(arguments(tmp_path, encoder, **run, keep="last", output_dir=str(tmp_path / "last")))
    assert "kept_step" not in last
    fourth = load_file(folder / "checkpoint-00000004/model.safetensors")
    same_weights(weights(tmp_path / "last"), fourth)


def test_every_run_ends_with_a_held_out_number(tmp_path, encoder):
    write_parquet(tmp_path / "frames.parquet", range(40))
    results = train_teacher(arguments(tmp_path, encoder, labeled=[f"{tmp_path}/frames.parquet"], steps=1))
    assert results[f"{tmp_path}/frames.parquet?part=held_out/abs_rel"] >= 0
    assert results["kept_step"] == 1
