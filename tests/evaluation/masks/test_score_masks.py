"""`semidepth score --masks` with a tiny model on scenes: one table with the baselines, files, what is refused."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from processes import held_by_another

from semidepth.evaluation.cli import main
from semidepth.evaluation.options import ScoreOptions
from semidepth.modeling import DepthStudentForDepthEstimation, PromptedMaskForMaskGeneration
from semidepth.prediction.masks.answers import ImagePrompts
from semidepth.prediction.masks.loading import load_mask_predictor

ROOMS = "scenes:indoor?split=test&count=2&size=48"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a mask model and of the student under it."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    student = DepthStudentForDepthEstimation(config)
    masks = PromptedMaskForMaskGeneration.from_student(student, hidden_size=32, mlp_dim=64)
    return tiny.save_model(masks, folder / "masks"), tiny.save_model(student, folder / "student")


def test_the_model_stands_beside_the_baselines_on_the_same_objects(tmp_path, models, capsys):
    pytest.importorskip("skimage", reason="scikit-image is in the extra masks")
    words = [
        "--masks",
        "--model",
        models[0],
        "--data",
        ROOMS,
        "--tuned_on",
        "scenes:indoor?size=48",
        "--tuned_images",
        "2",
    ]
    words += ["--clicks", "9", "--output", str(tmp_path / "scores"), "--device", "cpu"]
    assert main(words) == 0
    table = capsys.readouterr().out
    results = json.loads((tmp_path / "scores/results.json").read_text())
    names = [models[0], "superpixel", "flood fill", "filled box"]
    rows = [row for row in results["scores"] if row["area"] == "all"]
    whole = {row["model"]: row["metrics"] for row in rows}
    assert list(whole) == names
    assert all(f"| {name} |" in table for name in names)
    [count] = {row["objects"] for row in rows}
    assert whole["superpixel"]["miou@1"] > 0.2
    assert whole["superpixel"]["box"] is None
    assert whole["filled box"]["box"] > 0.4
    assert whole["filled box"]["miou@1"] is None
    assert whole["superpixel"]["score_error"] is None
    assert whole[models[0]]["oracle@1"] >= whole[models[0]]["miou@1"]
    assert 1 <= whole[models[0]]["noc80"] <= 9
    objects = pq.read_table(tmp_path / "scores/per_object.parquet").to_pylist()
    assert len(objects) == 4 * count
    mean = sum(row["iou@3"] for row in objects if row["model"] == models[0]) / count
    assert mean == pytest.approx(whole[models[0]]["miou@3"])
    assert [each["model"] for each in results["baselines"]] == ["superpixel", "flood fill"]

    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_folder_that_another_run_scores_into_is_refused(tmp_path, models, capsys):
    pytest.importorskip("skimage", reason="scikit-image is in the extra masks")
    with held_by_another(tmp_path / "scores"):
        assert main(["--masks", "--model", models[0], "--data", ROOMS, "--output", str(tmp_path / "scores")]) == 2
    assert "in use by another run" in capsys.readouterr().err


def test_models_without_masks_are_refused(models, capsys):
    pytest.importorskip("skimage", reason="scikit-image is in the extra masks")
    assert main(["--masks", "--model", models[1], "--data", ROOMS]) == 2
    assert "depth_student" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"masks": True, "mode": "metric"}, "--mode"),
        ({"masks": True, "align": "median"}, "--align"),
        ({"clicks": 5}, "--clicks .*--masks"),
        ({"masks": True, "min_area": 2.0}, "--min_area"),
        ({"masks": True, "clicks": 0}, "--clicks"),
    ],
)
def test_options_of_masks_and_of_depth_do_not_mix(changes, cause):
    with pytest.raises(ValueError, match=cause):
        ScoreOptions(model=("m",), data=(ROOMS,), **changes)


def test_a_box_that_ends_where_the_image_ends_is_inside_what_the_model_sees(models):
    """In float32 the scaled side of such a box lies beyond the edge for some sizes."""
    model = load_mask_predictor(models[0], "cpu")
    for width in range(400, 460):
        model.look(np.zeros((640, width, 3), np.uint8))
        answer = model.answer(
            ImagePrompts(boxes=np.array([[width / 3, 100.0, width, 640.0]], np.float32)), candidates=False
        )
        assert answer.masks.shape == (1, 1, 640, width)
