"""The metric command for a few real steps: what it learns, what it starts from, what it refuses."""

import json
import math
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForDepthEstimation,
    DepthAnythingForDepthEstimation,
    ZoeDepthForDepthEstimation,
    set_seed,
)

from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.engine.optimization import learning_rates, metric_optimizer
from semidepth.training.metric import main, train_metric
from semidepth.training.options.metric import Domain, MetricOptions, parse_domain
from semidepth.training.recipes.metric import models as metric_models
from semidepth.training.recipes.metric.hooks import routed_abs_rel
from semidepth.training.recipes.metric.models import resolve_student
from semidepth.training.recipes.metric.training import metric_losses, within_range

SCENES = ["indoor=scenes:indoor?count=8", "outdoor=scenes:outdoor?count=8"]


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A small student in our own folder."""
    folder = tmp_path_factory.mktemp("student")
    torch.manual_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    return tiny.save_model(DepthStudentForDepthEstimation(config), folder)


def arguments(tmp_path, student, **changes):
    fields = {
        "student": student, "output_dir": str(tmp_path / "run"), "train": SCENES, "batch_size": 4, "steps": 3,
        "learning_rate": 1e-3, "bin_embedding_dim": 16, "router_hidden_size": 16, "num_workers": 0, "log_every": 1,
        "preview_every": 0, "checkpoint_every": 0, "cpu": True, "validation": ["none"],
    }  # fmt: skip
    return MetricOptions(**(fields | changes))


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def test_it_learns_and_saves_a_model_that_loads_anywhere(tmp_path, student):
    first = train_metric(arguments(tmp_path, student, steps=1, output_dir=str(tmp_path / "short")))
    options = arguments(
        tmp_path, student, steps=40, validation=["indoor=scenes:indoor?split=validation&count=3",
        "outdoor=scenes:outdoor?split=validation&count=3"], preview_every=40, max_grad_norm=1.0,
        encoder_lr_factor=1.0, core_lr_factor=1.0, router_loss_weight=1.0,
    )  # fmt: skip
    later = train_metric(options)
    assert later["silog"] < 0.9 * first["silog"]
    assert {"router", "router_accuracy", "beyond_range", "indoor/abs_rel", "outdoor/domain_given/delta1"} <= set(later)
    assert 0 <= later["validation/router_accuracy"] <= 1
    assert list((tmp_path / "run/previews").glob("*.png"))
    assert json.loads((tmp_path / "run/results.json").read_text())["student"] == student
    model = load_depth_model(str(tmp_path / "run"))
    assert model.kind == "depth"
    assert model.domains == ["indoor", "outdoor"]
    assert (model.model.core_scales != 1).all()
    assert (tmp_path / "run/modeling_routed_depth.py").is_file()  # the code travels with the weights


def test_a_frozen_core_stays_as_it_was(tmp_path, student):
    train_metric(arguments(tmp_path, student, freeze_core=True))
    before, after = weights(student), weights(tmp_path / "run")
    assert all(torch.equal(after[f"core.{name}"], value) for name, value in before.items())
    train_metric(arguments(tmp_path, student, output_dir=str(tmp_path / "thawed")))
    after = weights(tmp_path / "thawed")
    moved = [name for name, value in before.items() if not torch.equal(after[f"core.{name}"], value)]
    assert any(name.startswith("backbone.") for name in moved)
    assert any(name.startswith("neck.") for name in moved)


def test_stock_depth_anything_is_fine_tuned_either_way(tmp_path):
    """With bins on it; or as Depth Anything V2's own metric model, which plain transformers loads."""
    stock = tiny.stock_model()
    tiny.save_model(stock, tmp_path / "stock")
    name = str(tmp_path / "stock")
    train_metric(arguments(tmp_path, name, train=SCENES[:1]))
    assert load_depth_model(str(tmp_path / "run")).domains == ["indoor"]

    options = {"train": SCENES[:1], "metric_head": "stock", "domains": ["indoor?max_depth_m=12"]}
    train_metric(arguments(tmp_path, name, output_dir=str(tmp_path / "plain"), **options))
    plain = AutoModelForDepthEstimation.from_pretrained(tmp_path / "plain")
    assert isinstance(plain, DepthAnythingForDepthEstimation)
    assert not list((tmp_path / "plain").glob("*.py"))
    assert (plain.config.depth_estimation_type, plain.config.max_depth) == ("metric", 12)
    assert 0 < plain(tiny.pixels()).predicted_depth.max() < 12
    # ... and goes on from there.
    train_metric(arguments(tmp_path, str(tmp_path / "plain"), output_dir=str(tmp_path / "more"), **options))
    with pytest.raises(ValueError, match=r"12 m .*'indoor' .*10.*max_depth_m=12"):
        train_metric(
            arguments(tmp_path, str(tmp_path / "plain"), output_dir=str(tmp_path / "no"), **(options | {"domains": []}))
        )


def test_a_metric_model_is_trained_on(tmp_path, student):
    """The order of the heads is the checkpoint's, whatever the order of --train."""
    train_metric(arguments(tmp_path, student))
    train_metric(arguments(tmp_path, str(tmp_path / "run"), train=SCENES[::-1], output_dir=str(tmp_path / "more")))
    assert load_depth_model(str(tmp_path / "more")).domains == ["indoor", "outdoor"]
    for changes, words in (
        (
            {"train": ["garden=scenes:outdoor?count=8"], "domains": ["garden?max_depth_m=9"]},
            "heads for indoor, outdoor .*--train .*garden",
        ),
        ({"domains": ["indoor?max_depth_m=5"]}, "'indoor.max_depth_m=5' .* max_depth_m 10.0"),
        ({"metric_head": "stock", "train": SCENES[:1]}, "--metric_head stock needs"),
    ):
        with pytest.raises(ValueError, match=words):
            train_metric(arguments(tmp_path, str(tmp_path / "run"), output_dir=str(tmp_path / "no"), **changes))


@pytest.mark.parametrize("freeze_core", [True, False])
def test_one_domain_of_two_is_trained_and_the_other_keeps_its_head_and_the_router(
    tmp_path, student, caplog, freeze_core
):
    train_metric(arguments(tmp_path, student))
    with caplog.at_level("INFO"):
        more = {"train": SCENES[1:], "output_dir": str(tmp_path / "more"), "freeze_core": freeze_core}
        train_metric(arguments(tmp_path, str(tmp_path / "run"), **more))
    assert re.search(r"--train has no indoor: .*router keep their weights", caplog.text)
    before, after = weights(tmp_path / "run"), weights(tmp_path / "more")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("heads.1.") for name in changed)
    assert not any(name.startswith(("heads.0.", "router.")) for name in changed)
    if freeze_core:
        assert all(name.startswith("heads.1.") for name in changed)
        images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
        rooms = [load_depth_model(str(tmp_path / name)).forward(images, [0, 0])[0] for name in ("run", "more")]
        assert torch.equal(*rooms)
    else:
        assert any(name.startswith("core.backbone.") for name in changed)


def test_a_checkpoint_knows_the_ranges_of_its_own_domains(tmp_path, student):
    faces = {"train": ["faces=scenes:indoor?count=8"]}
    train_metric(arguments(tmp_path, student, domains=["faces?max_depth_m=12&n_bins=8"], **faces))
    more = arguments(
        tmp_path, str(tmp_path / "run"), domains=["faces?weight=2"], output_dir=str(tmp_path / "more"), **faces
    )
    train_metric(more)
    head = load_depth_model(str(tmp_path / "more")).model.config.domains[0]
    assert (head["max_depth_m"], head["n_bins"]) == (12.0, 8)
    with pytest.raises(ValueError, match=r"'faces' .*max_depth_m"):
        train_metric(arguments(tmp_path, student, output_dir=str(tmp_path / "no"), **faces))


def test_stock_zoedepth_is_trained_on(tmp_path):
    """A single head without a name, as the class has it by default, is called depth."""
    set_seed(0)
    ZoeDepthForDepthEstimation(tiny.zoedepth_config()).save_pretrained(tmp_path / "zoe")
    Preprocessing(size=64, multiple=32).to_image_processor().save_pretrained(tmp_path / "zoe")
    with pytest.raises(ValueError, match=r"heads for depth .*--train .*indoor"):
        train_metric(arguments(tmp_path, str(tmp_path / "zoe"), train=SCENES[:1]))
    train_metric(arguments(tmp_path, str(tmp_path / "zoe"), train=["depth=scenes:indoor?count=8"]))
    trained = RoutedDepthForDepthEstimation.from_pretrained(tmp_path / "run")
    assert isinstance(trained.to_zoedepth(), ZoeDepthForDepthEstimation)


def test_an_incomplete_checkpoint_is_refused(tmp_path, student):
    folder = Path(shutil.copytree(student, tmp_path / "broken"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["head.conv1.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 of the model's weights, such as head\.conv1\.weight"):
        train_metric(arguments(tmp_path, str(folder)))


def test_the_options_that_training_has_go_together(tmp_path, student):
    """Checkpointed activations, averaged weights, accumulation and bfloat16, with a frozen core and without."""
    for name, changes in (("a", {}), ("b", {"freeze_core": True, "activation_checkpointing": False})):
        options = {"activation_checkpointing": True, "ema_decay": 0.5, "gradient_accumulation_steps": 2} | changes
        options |= {"mixed_precision": "bf16", "checkpoint_every": 2, "batch_size": 2, "tracker": "tensorboard"}
        results = train_metric(arguments(tmp_path, student, output_dir=str(tmp_path / name), **options))
        assert np.isfinite(results["silog"])
        checkpoint = tmp_path / name / "checkpoint-00000002"
        saved, measured = weights(tmp_path / name)["core_scales"], load_file(checkpoint / "model.safetensors")
        assert torch.equal(saved, measured["core_scales"])


def test_a_student_is_trained_first_in_this_very_process(tmp_path, monkeypatch):
    """Its options are not the metric run's: neither precision nor accumulation may leak from one into the other."""
    encoder = tiny.save_encoder(tmp_path / "encoder")
    preset = {
        "encoder": encoder, "labeled": ["scenes:indoor?count=4"], "unlabeled": ["scenes:outdoor?count=4"], "steps": 1,
        "teacher_steps": 1, "batch_size": 2, "num_workers": 0, "mixed_precision": "bf16",
        "teacher_dir": str(tmp_path / "teacher"), "preview_every": 0, "checkpoint_every": 0,
    }  # fmt: skip
    monkeypatch.setattr(metric_models, "read_preset", lambda name, cls: preset)
    options = arguments(
        tmp_path, None, student_dir=str(tmp_path / "made"), gradient_accumulation_steps=2, steps=4, batch_size=2
    )
    results = train_metric(options)
    assert results["silog"] > 0
    assert (tmp_path / "made/model.safetensors").is_file()
    with pytest.raises(ValueError, match="depth_scale"):  # before a student is trained
        train_metric(
            arguments(
                tmp_path, None, train=["indoor=scenes:indoor?count=4"], domains=["indoor?max_depth_m=0.1"],
                student_dir=str(tmp_path / "never"), output_dir=str(tmp_path / "no"),
            )
        )  # fmt: skip
    assert not (tmp_path / "never").exists()


def test_images_smaller_than_the_training_size_are_told(tmp_path, student, caplog):
    folder = tmp_path / "small"
    folder.mkdir()
    for index in range(2):
        Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(folder / f"{index}.png")
        Image.fromarray(np.full((20, 40), 3000, np.uint16)).save(folder / f"{index}_depth.png")
    train_metric(
        arguments(tmp_path, student, train=[f"indoor={folder}?depth_scale=0.001"], batch_size=1, steps=1, validation=[])
    )
    assert "there is no validation" in caplog.text  # two images are too few to hold some out
    assert re.search(r"20 x 40 .* 2\.00 times .*--size", caplog.text)


def test_it_resumes_on_its_schedule_and_refuses_another_setting(tmp_path, student, caplog):
    caplog.set_level("INFO", logger="semidepth")
    train_metric(arguments(tmp_path, student, steps=2, checkpoint_every=2))
    train_metric(arguments(tmp_path, student, steps=4, checkpoint_every=2))
    assert "checkpoint-00000002" in caplog.text
    with pytest.raises(ValueError, match=r"checkpoint-00000004 .*train="):
        train_metric(arguments(tmp_path, student, steps=6, train=SCENES[:1]))


def test_own_data_sparse_labels_of_several_sizes(tmp_path, student, caplog):
    """Photos of two sizes; labels of yet another one, millimetres in 16 bits, 5 % of the pixels, some beyond 80 m."""
    folder = tmp_path / "drive"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index, (height, width) in enumerate([(60, 90), (80, 64)] * 2):
        Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(folder / f"{index}.png")
        depth = np.linspace(3000, 9000, height * width // 4).reshape(height // 2, width // 2)
        depth = np.where(generator.random(depth.shape) < 0.05, depth, 0)
        depth[-1, ::4] = 65_000
        Image.fromarray(depth.astype(np.uint16)).save(folder / f"{index}_depth.png")
    spec = f"drive={folder}?depth_scale=0.002"
    results = train_metric(arguments(tmp_path, student, train=[spec], domains=["drive?max_depth_m=80"], batch_size=2))
    assert np.isfinite(results["silog"])
    assert 0 < results["beyond_range"] < 1
    assert re.search(r"0\.001 to 80 m .*'drive' \(farthest 130 m\)", caplog.text)
    with pytest.raises(ValueError, match=r"all labels .*depth_scale"):
        train_metric(
            arguments(
                tmp_path, student, train=[f"drive={folder}?depth_scale=10"], domains=["drive?max_depth_m=80"],
                output_dir=str(tmp_path / "no"),
            )
        )  # fmt: skip


def test_labels_beyond_the_range_of_their_own_domain_are_left_out():
    domains = [Domain("a", 1.0, 5.0), Domain("b", 1.0, 50.0)]
    depth = torch.tensor([[[0.5, 2.0, 9.0, torch.nan]], [[0.5, 2.0, 9.0, torch.inf]]])
    labels, beyond = within_range(depth, domains)
    assert labels.tolist() == [[[0, 2, 0, 0]], [[0, 2, 9, 0]]]
    assert beyond.item() == pytest.approx(3 / 6)
    assert within_range(torch.zeros(2, 1, 4), domains)[1] == 0


def test_the_loss_is_silog_by_domain_plus_the_routers_weighted_cross_entropy(tmp_path, student):
    torch.manual_seed(0)
    options = arguments(tmp_path, student, rotation_deg=0.0, color_augmentation=False, router_loss_weight=7.0)
    domains = [parse_domain("indoor"), parse_domain("outdoor")]
    model = RoutedDepthForDepthEstimation.from_student(
        student, [domain.head() for domain in domains], router_loss_weight=7.0
    ).eval()
    batch = {
        "image": torch.randint(0, 255, (4, 3, 48, 48), dtype=torch.uint8),
        "depth": torch.rand(4, 48, 48) * 5 + 1,
        "domain": ["indoor", "outdoor", "outdoor", "indoor"],
        "origin": list("abcd"),
    }
    preprocessing = Preprocessing(size=48, multiple=8)
    losses = metric_losses(
        model, batch, domains=domains, preprocessing=preprocessing, generator=torch.Generator(), options=options
    )
    expected = model(
        preprocessing.normalize(batch["image"]), labels=batch["depth"], domain_labels=torch.tensor([0, 1, 1, 0])
    ).loss
    assert torch.allclose(losses.total, expected)
    assert set(losses.terms) == {"silog", "router", "router_accuracy", "beyond_range"}


def test_images_without_depth_teach_the_router_alone(tmp_path, student):
    torch.manual_seed(0)
    options = arguments(tmp_path, student, rotation_deg=0.0, color_augmentation=False, router_loss_weight=7.0)
    domains = [parse_domain("indoor"), parse_domain("outdoor")]
    model = RoutedDepthForDepthEstimation.from_student(student, [domain.head() for domain in domains]).eval()
    image = torch.randint(0, 255, (6, 3, 48, 48), dtype=torch.uint8)
    depth, names = torch.rand(4, 48, 48) * 5 + 1, ["indoor", "outdoor", "outdoor", "indoor", "outdoor", "outdoor"]
    labeled = {"image": image[:4], "depth": depth, "domain": names[:4], "origin": list("abcd")}
    extra = {"image": image[4:], "domain": names[4:], "origin": list("ef")}
    preprocessing = Preprocessing(size=48, multiple=8)
    known = {"domains": domains, "preprocessing": preprocessing, "options": options}
    alone = metric_losses(model, labeled, generator=torch.Generator(), **known)
    both = metric_losses(model, labeled, generator=torch.Generator(), router_batch=extra, **known)
    assert torch.allclose(both.terms["silog"], alone.terms["silog"])
    assert both.terms["beyond_range"] == alone.terms["beyond_range"]
    logits = model(preprocessing.normalize(image)).domain_logits
    expected = -logits.log_softmax(1)[range(6), [0, 1, 1, 0, 1, 1]].mean()
    assert torch.allclose(both.terms["router"], expected)
    assert both.origins == list("abcdef")


def test_photos_of_a_domain_are_streamed_for_the_router(tmp_path, student, caplog):
    for name in ("a", "b"):
        Image.fromarray(np.full((50, 60, 3), 90, np.uint8)).save(tmp_path / f"{name}.png")
    results = train_metric(arguments(tmp_path, student, router_images=[f"outdoor={tmp_path}"]))
    assert np.isfinite(results["router"])
    with pytest.raises(ValueError, match=r"--router_images .*--train"):  # a router that this run keeps
        train_metric(
            arguments(
                tmp_path, metric_of_three(tmp_path, student), output_dir=str(tmp_path / "no"),
                router_images=[f"outdoor={tmp_path}"],
            )
        )  # fmt: skip


def metric_of_three(tmp_path, student):
    """A metric model with a third domain, trained for a step."""
    garden = "garden=scenes:outdoor?count=8"
    options = {"train": [*SCENES, garden], "domains": ["garden?max_depth_m=9"], "steps": 1}
    train_metric(arguments(tmp_path, student, output_dir=str(tmp_path / "three"), **options))
    return str(tmp_path / "three")


def test_the_schedule_is_one_cycle_and_every_part_has_its_rate(tmp_path, student):
    options = arguments(tmp_path, student, learning_rate=1e-3, encoder_lr_factor=0.02, core_lr_factor=0.1)
    domains = [parse_domain("indoor"), parse_domain("outdoor")]
    model = RoutedDepthForDepthEstimation.from_student(student, [domain.head() for domain in domains])
    optimizer, scheduler = metric_optimizer(model, 10, options=options)
    heads, betas = [], []
    for _ in range(10):
        heads.append(learning_rates(optimizer))
        betas.append(optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        scheduler.step()
    assert heads[0] == pytest.approx({
        "learning_rate/encoder": 2e-5, "learning_rate/core": 1e-4, "learning_rate/router": 1e-3,
        "learning_rate/heads": 1e-3,
    })  # fmt: skip
    rates = [rate["learning_rate/heads"] for rate in heads]
    assert rates[:7] == pytest.approx([1e-3] * 7)  # at the peak for 70 % of the steps
    assert all(later < sooner for sooner, later in pairwise(rates[6:]))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(2e-5 / 1e4)
    assert betas[0] == pytest.approx(0.95)
    assert min(betas) == pytest.approx(0.85, abs=0.01)
    grouped = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped)) == sum(p.requires_grad for p in model.parameters())


def test_without_a_student_one_is_trained_first_and_kept(tmp_path, monkeypatch):
    options = MetricOptions(student_dir=str(tmp_path / "student"), seed=3, cpu=True)
    trained = []

    def train_on_all(options):
        trained.append(options)
        (tmp_path / "student").mkdir()
        (tmp_path / "student/model.safetensors").touch()

    monkeypatch.setattr(metric_models, "train_on_all", train_on_all)

    for _ in range(2):
        assert resolve_student(options) == str(tmp_path / "student")
    assert [(each.output_dir, each.seed, each.steps) for each in trained] == [(str(tmp_path / "student"), 3, 500)]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--student", "no/such_model"], "could not be loaded"),
        (["--student", "STUDENT", "--size", "50"], "take 48 or 56"),
        (["--student", "STUDENT", "--train", "indoor=nowhere/"], "there is nothing at"),
    ],
)
def test_what_cannot_be_ends_in_one_sentence(argv, words, tmp_path, student, refused, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    argv = [student if word == "STUDENT" else word for word in argv]
    assert words in refused(main, *argv, "--cpu", "--steps", "1", "--output_dir", tmp_path / "run")


def test_a_model_that_predicts_metres_needs_the_stock_head(tmp_path):
    tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=10)).save_pretrained(tmp_path / "m")
    with pytest.raises(ValueError, match="add --metric_head stock"):
        train_metric(arguments(tmp_path, str(tmp_path / "m")))


def test_the_best_validation_by_the_routers_heads_is_what_a_run_ends_with(tmp_path, student):
    scores = {"indoor/abs_rel": 0.2, "indoor/domain_given/abs_rel": 0.1, "outdoor/abs_rel": 0.4, "outdoor/rmse": 9.0}
    assert routed_abs_rel(scores | {"far/abs_rel": math.nan}) == pytest.approx(0.3)
    assert math.isnan(routed_abs_rel({"outdoor/rmse": 9.0}))
    # Rates so high that the run ends worse than it was after its first update.
    options = arguments(
        tmp_path, student, validation=[], validation_images=4, validate_every=1, steps=3, learning_rate=0.5,
        max_grad_norm=1e6,
    )  # fmt: skip
    results = train_metric(options)
    kept = json.loads((tmp_path / "run/results.json").read_text())
    assert kept["kept_step"] == results["kept_step"] < 3
