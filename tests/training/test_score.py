"""Scores from the command line, against a re-computation from the saved predictions."""

import json

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from transformers import set_seed

from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.training.data.loading import evaluation_samples
from semidepth.training.engine.depth_models import Preprocessing, load_depth_model
from semidepth.training.engine.scoring import batches_of_one_size, score_relative
from semidepth.training.score import main


@pytest.fixture
def model_folder(tmp_path):
    folder = tmp_path / "model"
    tiny.stock_model().save_pretrained(folder)
    Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH).to_image_processor().save_pretrained(folder)
    return str(folder)


def abs_rel_by_hand(prediction, depth):
    """Least squares in disparity space with numpy, clamped to the image's own cap, compared in depth space."""
    known = np.isfinite(depth)
    design = np.stack([prediction[known], np.ones(known.sum())], axis=1)
    (scale, shift), *_ = np.linalg.lstsq(design, 1 / depth[known], rcond=None)
    cap = depth[known].max()
    aligned = 1 / np.clip(scale * prediction[known] + shift, 1 / cap, 1e3)
    return np.mean(np.abs(aligned - depth[known]) / depth[known])


def test_scores_agree_with_numpy(tmp_path, model_folder, capsys):
    data = "scenes:outdoor?split=test&count=5&size=64"
    assert main(["--model", model_folder, "--data", data, "--device", "cpu", "--output", str(tmp_path / "s.json")]) == 0
    table = capsys.readouterr().out
    model = load_depth_model(model_folder)
    expected = []
    for sample in evaluation_samples([data]):
        prediction = model.predict_disparity(sample["image"][None])[0].double().numpy()
        expected.append(abs_rel_by_hand(prediction, sample["depth"].double().numpy()))
    found = json.loads((tmp_path / "s.json").read_text())[model_folder][data]
    assert found["depth"]["images"] == 5
    assert abs(found["depth"]["abs_rel"] - np.mean(expected)) < 1e-5
    assert found["depth"]["delta1"] == pytest.approx(found["disparity"]["delta1"])
    assert f"{np.mean(expected):.3f}" in table


def test_real_layouts_of_mixed_sizes(tmp_path, model_folder, capsys):
    frames = tmp_path / "frames"
    for number, (height, width) in enumerate([(40, 60), (60, 40), (60, 40)]):
        rng = np.random.default_rng(number)
        (frames / "images").mkdir(parents=True, exist_ok=True)
        (frames / "depth").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(frames / f"images/{number}.png")
        millimetres = rng.integers(0, 5000, (height, width)).astype(np.uint16)
        Image.fromarray(millimetres).save(frames / f"depth/{number}.png")
    data = f"{frames}?depth_scale=0.001"
    assert main(["--model", model_folder, "--data", data, "--device", "cpu", "--max_depth_m", "10"]) == 0
    assert "| 3 | depth |" in capsys.readouterr().out


def test_metres_are_scored_as_they_are(tmp_path, capsys):
    """Against numpy on the saved model's own predictions: mirrored average, clamp, per-image mean."""
    folder = tmp_path / "metric"
    tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=12)).save_pretrained(folder)
    Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH).to_image_processor().save_pretrained(folder)
    data, file = "scenes:indoor?split=test&count=3&size=64", tmp_path / "s.json"
    argv = ["--model", str(folder), "--data", data, "--device", "cpu", "--output", str(file), "--protocol", "none"]
    assert main([*argv, "--max_depth_m", "5"]) == 0
    model = load_depth_model(str(folder))
    errors = []
    for sample in evaluation_samples([data]):
        image, depth = sample["image"][None], sample["depth"].double().numpy()
        metres = (model.predict(image)[0] + model.predict(image.flip(-1))[0].flip(-1)).double().numpy() / 2
        known = np.isfinite(depth) & (depth <= 5)
        errors.append(np.mean(np.abs(np.clip(metres, 1e-3, 5) - depth)[known] / depth[known]))
    found = json.loads(file.read_text())[str(folder)][data]
    assert found["images"] == 3
    assert abs(found["abs_rel"] - np.mean(errors)) < 1e-6
    assert f"{np.mean(errors):.3f}" in capsys.readouterr().out


def test_a_routed_model_is_scored_with_and_without_its_router(tmp_path, capsys):
    set_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    folder, file = tmp_path / "routed", tmp_path / "s.json"
    RoutedDepthForDepthEstimation.from_student(
        DepthStudentForDepthEstimation(config), [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]
    ).save_pretrained(folder)
    Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH).to_image_processor().save_pretrained(folder)
    data = [f"scenes:{domain}?split=test&count=3" for domain in ("indoor", "outdoor")]
    argv = ["--model", str(folder), "--device", "cpu", "--protocol", "none", "--output", str(file)]
    assert main([*argv, "--data", *data]) == 0
    table = capsys.readouterr().out
    assert "| domain | taken for indoor | taken for outdoor |" in table
    found = json.loads(file.read_text())[str(folder)]
    chosen = {
        (entry["domain"], entry["chosen"]): entry["images"] for each in found.values() for entry in each["router"]
    }
    assert sum(chosen.values()) == 6
    right = chosen.get(("indoor", "indoor"), 0) + chosen.get(("outdoor", "outdoor"), 0)
    assert f"{right / 6:.3f} right" in table
    assert {"abs_rel", "domain_given", "router_accuracy"} <= set(found[data[0]])


def test_a_relative_model_has_no_metres(model_folder, capsys):
    with pytest.raises(SystemExit):
        main(["--model", model_folder, "--data", "scenes:indoor?count=2", "--device", "cpu", "--protocol", "nyu"])
    assert "inverse depth, which has no unit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--data", "scenes:indoor"], "never ends"),
        (["--data", "nowhere/at/all.parquet"], "nowhere/at/all.parquet"),
    ],
)
def test_what_cannot_be_scored_is_refused(model_folder, capsys, argv, words):
    with pytest.raises(SystemExit) as stopped:
        main(["--model", model_folder, "--device", "cpu", *argv])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_batches_hold_images_of_one_size():
    sizes = [(4, 4), (4, 4), (4, 4), (4, 6), (4, 4)]
    samples = [{"image": torch.zeros(3, *size), "origin": str(i)} for i, size in enumerate(sizes)]
    batches = [[s["origin"] for s in batch] for batch in batches_of_one_size(samples, 2)]
    assert batches == [["0", "1"], ["2"], ["3"], ["4"]]


def test_a_prediction_that_is_not_finite_is_an_error_and_no_missing_label():
    sample = {"image": torch.zeros(3, 4, 4), "depth": torch.ones(4, 4), "domain": "", "origin": "frame 7"}
    with pytest.raises(ValueError, match="frame 7"):
        score_relative(lambda images: torch.full((1, 4, 4), torch.nan), [sample], device=torch.device("cpu"))
