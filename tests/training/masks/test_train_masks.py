"""The masks command for a few real steps: what it learns, what it leaves alone, what it refuses."""

import json
import shutil

import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file

from semidepth.modeling import DepthStudentForDepthEstimation, PromptedMaskForMaskGeneration
from semidepth.training.masks import main, train_masks
from semidepth.training.options.masks import MaskOptions
from semidepth.training.options.presets import read_preset
from semidepth.training.recipes.masks.rounds import Rounds, RoundSettings

SCENES = ("scenes:indoor?count=8", "scenes:outdoor?count=8")


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A small student in our own folder."""
    torch.manual_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    return tiny.save_model(DepthStudentForDepthEstimation(config), tmp_path_factory.mktemp("student"))


def arguments(folder, student, **changes):
    fields = {
        "student": student, "output_dir": str(folder), "train": SCENES, "batch_size": 4, "objects": 16, "steps": 4,
        "learning_rate": 2e-3, "warmup_steps": 1, "hidden_size": 32, "click_map": True, "mask_loss": "bce", "rounds": 3,
        "rounds_without_point": 0, "num_workers": 0, "log_every": 1, "preview_every": 0, "checkpoint_every": 0,
        "min_area": 0.01, "cpu": True,
    }  # fmt: skip
    return MaskOptions(**(fields | changes))


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_it_learns_from_cached_features_and_saves_a_model_that_loads(tmp_path, student):
    validation = ("scenes:indoor?split=validation&count=3",)
    cache = {"cached_images": 16, "cache_dir": str(tmp_path / "features")}
    first = train_masks(arguments(tmp_path / "short", student, steps=1, **cache))
    later = train_masks(
        arguments(tmp_path / "run", student, steps=60, validation=validation, preview_every=60, **cache)
    )  # fmt: skip
    assert later["loss"] < 0.9 * first["loss"]
    assert later["iou_last"] > first["iou_last"]
    scores = {name: later[f"{validation[0]}/{name}"] for name in ("miou@1", "oracle@1", "miou@3", "box", "score_error")}
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores["oracle@1"] >= scores["miou@1"]
    assert list((tmp_path / "run/previews").glob("*.png"))
    assert json.loads((tmp_path / "run/results.json").read_text())["student"] == student
    model = PromptedMaskForMaskGeneration.from_pretrained(tmp_path / "run")
    answer = model(pixel_values=tiny.pixels(), input_points=torch.full((2, 1, 1, 2), 20.0))
    assert answer.pred_masks.shape == (2, 1, 3, 24, 24)
    before, after = load_file(f"{student}/model.safetensors"), weights(tmp_path / "run")
    assert all(torch.equal(after[f"core.{name}"], value) for name, value in before.items())


def test_a_core_that_learns_along_moves(tmp_path, student, caplog):
    train_masks(arguments(tmp_path / "run", student, freeze_core=False, steps=2))
    before, after = load_file(f"{student}/model.safetensors"), weights(tmp_path / "run")
    moved = [name for name, value in before.items() if not torch.equal(after[f"core.{name}"], value)]
    assert any(name.startswith("backbone.") for name in moved)
    assert any(name.startswith("neck.") for name in moved)
    # ... and a mask model is trained on, with the decoder that it has.
    with caplog.at_level("INFO"):
        train_masks(arguments(tmp_path / "more", str(tmp_path / "run"), steps=2, hidden_size=64))
    assert "hidden_size 32, click_map True, box_prior False, mask_loss bce" in caplog.text
    again = weights(tmp_path / "more")
    assert all(torch.equal(again[name], value) for name, value in after.items() if name.startswith("core."))
    assert any(not torch.equal(again[name], value) for name, value in after.items() if "mask_decoder" in name)


@pytest.mark.parametrize("cached_images", [0, 8])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, student, cached_images):
    both = {"cached_images": cached_images, "random_rounds": True, "box_share": 0.3, "steps": 4}
    train_masks(arguments(tmp_path / "whole", student, **both))
    halves = arguments(tmp_path / "halves", student, checkpoint_every=2, keep_checkpoints=4, **both)
    train_masks(halves)
    (tmp_path / "halves/results.json").unlink()
    shutil.rmtree(tmp_path / "halves/checkpoint-00000004")
    train_masks(halves)  # from step 2 on
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_cached_features_are_what_the_model_computes(student):
    """To the last bit, before they are rounded for the cache; so both ways give one loss."""
    torch.manual_seed(0)
    model = PromptedMaskForMaskGeneration.from_student(student, hidden_size=32, mlp_dim=64)
    torch.nn.init.normal_(model.fine.conv_s0.weight)
    torch.nn.init.normal_(model.fine.conv_s1.weight)
    pixels = tiny.pixels()
    embeddings, fine = model.get_image_embeddings(pixels)
    ours, finer = model.embed_features(model.core_features(pixels))
    assert torch.equal(ours, embeddings)
    assert all(torch.equal(*pair) for pair in zip(finer, fine, strict=True))
    masks = torch.zeros(2, 3, tiny.SIZE, tiny.SIZE, dtype=torch.bool)
    masks[:, 0, 4:20, 4:20] = masks[:, 1, 20:40, 10:30] = True
    rounds = Rounds(model, RoundSettings(3, False, 0, box_share=0.0))
    losses = [
        rounds(masks, torch.Generator().manual_seed(1), **seen).loss
        for seen in ({"pixel_values": pixels}, {"features": model.core_features(pixels)})
    ]
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"cached_images": 8, "freeze_core": False}, "--cached_images .* --freeze_core"),
        ({"cached_images": 2}, "--cached_images is 2.*--batch_size"),
        ({"rounds": 2, "rounds_without_point": 2}, "--rounds_without_point is 2"),
        ({"mask_loss": "dice"}, "--mask_loss is 'dice'"),
        ({"box_share": 1.5}, "--box_share"),
        ({"train": ()}, "--train is empty"),
    ],
)
def test_wrong_options_are_told_in_one_sentence(tmp_path, changes, cause):
    with pytest.raises(ValueError, match=cause):
        arguments(tmp_path, None, **changes)


def test_what_cannot_be_trained_on_is_told_before_anything_starts(tmp_path, student, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (64, 64)).save(photos / "a.png")
    for given, cause in (
        (["--student", str(tmp_path / "nothing"), "--train", *SCENES], "--student"),
        (["--student", student, "--train", str(photos)], "masks"),
    ):
        assert main([*given, "--steps", "1", "--output_dir", str(tmp_path / "run"), "--cpu"]) == 2
        assert cause in capsys.readouterr().err
    assert not (tmp_path / "run/masks.yaml").exists()


def test_the_preset_is_valid():
    options = MaskOptions(**read_preset("masks_scenes", MaskOptions))
    assert options.click_map
    assert options.cached_images >= options.batch_size
