"""Scores from the command line, against a re-computation from the saved predictions."""

import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import sample_files
import tiny
import torch
from PIL import Image
from transformers import set_seed

from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation import examples
from semidepth.evaluation import score as score_run
from semidepth.evaluation.cli import main
from semidepth.evaluation.relative import score_relative
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.models import load_depth_model
from semidepth.prediction.preprocessing import Preprocessing


def entries(folder):
    """The rows of a run's results.json."""
    return json.loads((folder / "results.json").read_text())["scores"]


@pytest.fixture
def model_folder(tmp_path):
    folder = tmp_path / "model"
    return tiny.save_model(tiny.stock_model(), folder)


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
    assert main(["--model", model_folder, "--data", data, "--device", "cpu", "--output", str(tmp_path / "s")]) == 0
    table = capsys.readouterr().out
    model = load_depth_model(model_folder)
    expected = []
    for sample in evaluation_samples([parse_source(data)]):
        prediction = model.predict_disparity(sample["image"][None])[0].double().numpy()
        expected.append(abs_rel_by_hand(prediction, sample["depth"].double().numpy()))
    found = {entry["space"]: entry for entry in entries(tmp_path / "s")}
    assert {entry["model"] for entry in found.values()} == {model_folder}
    assert (found["depth"]["data"], found["depth"]["mode"], found["depth"]["images"]) == (data, "relative", 5)
    assert abs(found["depth"]["metrics"]["abs_rel"] - np.mean(expected)) < 1e-5
    assert found["depth"]["metrics"]["delta1"] == pytest.approx(found["disparity"]["metrics"]["delta1"])
    assert f"{np.mean(expected):.3f}" in table
    assert (tmp_path / "s/table.md").read_text() == table
    images = pq.read_table(tmp_path / "s/per_image.parquet").to_pylist()
    assert [row["image"] for row in images if row["space"] == "depth"] == [f"scenes:outdoor/test#{n}" for n in range(5)]
    assert [row["abs_rel"] for row in images if row["space"] == "depth"] == pytest.approx(expected, abs=1e-5)
    assert Image.open(tmp_path / "s/examples.png").width > 5 * 192


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
    assert "| depth | least_squares | 3 |" in capsys.readouterr().out


def test_metres_are_scored_as_they_are(tmp_path, capsys):
    """Against numpy on the saved model's own predictions: mirrored average, clamp, per-image mean."""
    folder = tmp_path / "metric"
    tiny.save_model(tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=12)), folder)
    data = "scenes:indoor?split=test&count=3&size=64"
    argv = ["--model", str(folder), "--data", data, "--device", "cpu", "--output", str(tmp_path / "s")]
    argv += ["--protocol", "none"]
    assert main([*argv, "--max_depth_m", "5"]) == 0
    model = load_depth_model(str(folder))
    errors = []
    for sample in evaluation_samples([parse_source(data)]):
        image, depth = sample["image"][None], sample["depth"].double().numpy()
        metres = (model.forward(image)[0][0] + model.forward(image.flip(-1))[0][0].flip(-1)).double().numpy() / 2
        known = np.isfinite(depth) & (depth <= 5)
        errors.append(np.mean(np.abs(np.clip(metres, 1e-3, 5) - depth)[known] / depth[known]))
    [found] = entries(tmp_path / "s")
    assert (found["images"], found["mode"], found["protocol"], found["max_depth_m"]) == (3, "metric", "none", 5)
    assert abs(found["metrics"]["abs_rel"] - np.mean(errors)) < 1e-6
    assert f"{np.mean(errors):.3f}" in capsys.readouterr().out


def test_a_routed_model_is_scored_with_and_without_its_router(tmp_path, capsys):
    set_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    folder = tmp_path / "routed"
    RoutedDepthForDepthEstimation.from_student(
        DepthStudentForDepthEstimation(config), [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]
    ).save_pretrained(folder)
    Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH).to_image_processor().save_pretrained(folder)
    data = [f"scenes:{domain}?split=test&count=3" for domain in ("indoor", "outdoor")]
    argv = ["--model", str(folder), "--device", "cpu", "--protocol", "none", "--output", str(tmp_path / "s")]
    assert main([*argv, "--data", *data]) == 0
    table = capsys.readouterr().out
    assert "| domain | taken for indoor | taken for outdoor |" in table
    assert {(entry["data"], entry["head"]) for entry in entries(tmp_path / "s")} == {
        (source, head) for source in data for head in ("router", "domain given")
    }
    [router] = json.loads((tmp_path / "s/results.json").read_text())["routers"]
    counts = {(each["domain"], each["chosen"]): each["images"] for each in router["confusion"]}
    right = counts.get(("indoor", "indoor"), 0) + counts.get(("outdoor", "outdoor"), 0)
    assert router["images"] == sum(counts.values()) == 6
    assert router["accuracy"] == right / 6
    assert f"{right / 6:.3f} right" in table
    rows = pq.read_table(tmp_path / "s/per_image.parquet").to_pylist()
    chosen = Counter((row["domain"], row["chosen_domain"]) for row in rows if row["head"] == "router")
    assert chosen == counts


def test_a_relative_model_has_no_metres(model_folder, capsys):
    words = ["--model", model_folder, "--data", "scenes:indoor?count=2", "--device", "cpu", "--protocol", "nyu"]
    assert main(words) == 2
    assert "inverse depth, which has no unit" in capsys.readouterr().err


def test_labels_without_metres_are_not_scored_in_metres(tmp_path, capsys):
    folder = tmp_path / "metric"
    tiny.save_model(tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=12)), folder)
    photo = sample_files.write_images(tmp_path / "photos", range(1)) / "0000.png"
    np.save(photo.with_name("0000_depth.npy"), np.random.default_rng(0).uniform(1, 9, (24, 32)).astype(np.float32))
    words = ["--model", str(folder), "--data", f"{photo.parent}?invariant=scale", "--device", "cpu"]
    assert main([*words, "--protocol", "none"]) == 2
    assert "labels without metres (invariant=scale)" in capsys.readouterr().err
    assert main(words) == 0  # up to a factor and a summand


def broken_weights(tmp_path):
    folder = tmp_path / "pickled"
    tiny.stock_config().save_pretrained(folder)
    torch.save({}, folder / "pytorch_model.bin")
    return str(folder)


def no_labels(tmp_path):
    sample_files.write_images(tmp_path / "photos", range(2))
    return str(tmp_path / "photos")


SCENES = ["--data", "scenes:indoor?count=2"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "nothing to score on; give --data SOURCE or --benchmark"),
        (["--data", "scenes:indoor"], "never ends"),
        (["--data", "nowhere/at/all.parquet"], "nowhere/at/all.parquet"),
        (["--data", no_labels], "has no depth beside its 2 images"),
        (["--benchmark", "mars", "--root", "x"], "'mars' is not known; choose one of nyu"),
        (["--benchmark", "nyu"], "--root is missing; give the folder of each benchmark: --root FOLDER"),
        (["--benchmark", "nyu", "kitti", "--root", "x"], "--root nyu=FOLDER kitti=FOLDER"),
        ([*SCENES, "--root", "x"], "there is no --benchmark"),
        ([*SCENES, "--protocol", "nyu", "kitti"], "--protocol names nyu and kitti; give one"),
        ([*SCENES, "--protocol", "moon"], "'moon' is not known"),
        ([*SCENES, "--protocol", "nyu", "--mode", "relative"], "give one of the two"),
        ([*SCENES, "--batch_size", "0"], "--batch_size is 0"),
        ([*SCENES, "--limit", "0"], "--limit is 0"),
        ([*SCENES, "--max_depth_m", "inf"], "--max_depth_m is inf; give a number of metres"),
        ([*SCENES, "--output", "/proc/foo"], "--output /proc/foo cannot be used"),
        ([*SCENES, "--output", "x" * 300], "cannot be used"),
        ([*SCENES, "--output", "s.json"], "--output s.json is a folder now"),
        ([*SCENES, "--overwrite"], "--overwrite replaces results in --output"),
        ([*SCENES, "--model", broken_weights], "has pickled weights (pytorch_model.bin)"),
        ([*SCENES, "--model", "no/such-model"], "'no/such-model' could not be loaded"),
    ],
)
def test_what_cannot_be_scored_is_refused(model_folder, tmp_path, capsys, monkeypatch, argv, words):
    """Before a model is loaded."""
    monkeypatch.setattr(score_run, "load_depth_model", None)
    argv = [each if isinstance(each, str) else each(tmp_path) for each in argv]
    model = [] if "--model" in argv else ["--model", model_folder]
    assert main([*model, "--device", "cpu", *argv]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_a_models_own_folder_and_strangers_results_are_left_alone(model_folder, tmp_path, capsys):
    argv = ["--model", model_folder, *SCENES, "--device", "cpu", "--output"]
    assert main([*argv, model_folder]) == 2
    assert f"give {model_folder}/scores" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    for name in ("results.json", "table.md"):
        (tmp_path / "other" / name).write_text("{}")
        for overwrite in ([], ["--overwrite"]):
            assert main([*argv, str(tmp_path / "other"), *overwrite]) == 2
            assert f"has a {name} and no options.json, so something else wrote it" in capsys.readouterr().err
        assert [file.name for file in (tmp_path / "other").iterdir()] == [name]
        (tmp_path / "other" / name).unlink()


def test_one_folder_by_several_names_is_one_model(model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["model", "model/", "./model", model_folder]
    assert main(["--model", *names, *SCENES, "--device", "cpu", "--space", "depth", "--output", "s"]) == 0
    assert [entry["model"] for entry in entries(tmp_path / "s")] == ["model"]


def test_the_picture_names_no_folder_of_the_user(model_folder, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    (tmp_path / "frames").mkdir()
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "frames/0.png")
    np.save(tmp_path / "frames/0_depth.npy", rng.uniform(1, 9, (40, 60)).astype(np.float32))
    plain, shown = examples.label, []
    monkeypatch.setattr(examples, "label", lambda lines, shape: shown.extend(lines) or plain(lines, shape))
    argv = ["--model", model_folder, "--data", str(tmp_path / "frames"), "--device", "cpu"]
    assert main([*argv, "--output", str(tmp_path / "s")]) == 0
    assert {"model", "frames", "0.png"} <= set(shown)
    assert not any("/" in line for line in shown)


def test_a_prediction_that_is_not_finite_is_an_error_and_no_missing_label():
    sample = {"image": torch.zeros(3, 4, 4), "depth": torch.ones(4, 4), "domain": "", "origin": "frame 7"}
    with pytest.raises(ValueError, match="frame 7"):
        score_relative(lambda images: torch.full((1, 4, 4), torch.nan), [sample], device=torch.device("cpu"))
