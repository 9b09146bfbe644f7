"""A model that predicts NaN: refused by name, the rest goes on; and a NaN stays in its neighbourhood."""

import json

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

import semidepth
from semidepth.prediction.files import predict_files
from semidepth.prediction.inputs import find_inputs
from semidepth.prediction.models import DepthModel, ModelOutput, load_depth_model
from semidepth.prediction.options import ResultOptions
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.prediction.stock_models import finite_range

PREPROCESSING = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH)


@pytest.fixture
def fails_in_the_dark():
    """A model that predicts one NaN for dark images."""

    def spoil(module, args, kwargs, output):
        dark = kwargs["pixel_values"].mean((1, 2, 3)) < 0
        output.predicted_depth[dark, 5, 7] = torch.nan
        return output

    module = tiny.stock_model().requires_grad_(False)
    module.register_forward_hook(spoil, with_kwargs=True)
    return DepthModel(module, PREPROCESSING, "disparity")


@pytest.fixture
def photos(tmp_path):
    for name, value in (("bright", 230), ("dark", 10), ("white", 250)):
        Image.fromarray(np.full((48, 64, 3), value, np.uint8)).save(tmp_path / f"{name}.png")
    return [str(tmp_path / f"{name}.png") for name in ("bright", "dark", "white")]


def test_files_predicted_as_nan_are_named_and_the_rest_goes_on(fails_in_the_dark, photos, tmp_path):
    report = predict_files(
        fails_in_the_dark, find_inputs(photos), tmp_path / "out", ResultOptions(formats=("npy", "color"))
    )
    assert [result.input.name for result in report.results] == ["bright.png", "white.png"]
    assert {file.name: failure.what for file, failure in report.broken.items()} == {"dark.png": "not made"}
    assert "not finite" in next(iter(report.broken.values())).reason
    assert not list((tmp_path / "out").glob("dark*"))


def test_arrays_and_paths_predicted_as_nan_are_named(fails_in_the_dark, photos):
    with pytest.raises(ValueError, match=r"dark\.png: .*not finite"):
        semidepth.predict(photos, fails_in_the_dark)
    with pytest.raises(ValueError, match=r"image 1: .*not finite"):
        semidepth.predict([Image.open(photo) for photo in photos], fails_in_the_dark)


@pytest.mark.parametrize("size", [(96, 128), (61, 97), (31, 40)])
def test_one_nan_spoils_its_neighbourhood_alone(size):
    model = DepthModel(tiny.stock_model(), PREPROCESSING, "disparity")
    values = torch.rand(2, 48, 64, generator=torch.Generator().manual_seed(0)) + 1
    whole = model.postprocess(ModelOutput(values), size)
    spoiled = values.clone()
    spoiled[0, 5, 7] = torch.nan
    found = model.postprocess(ModelOutput(spoiled), size)
    assert torch.equal(found[1], whole[1])
    rows, columns = (torch.arange(length) for length in size)
    # Bicubic: a pixel reads two to each side.
    near = ((rows + 0.5) * 48 / size[0] - 5.5).abs()[:, None] <= 2
    near = near & (((columns + 0.5) * 64 / size[1] - 7.5).abs()[None] <= 2)
    assert torch.allclose(found[0][~near], whole[0][~near])
    assert found[0].isnan().any() == (near & found[0].isnan()).any()


def test_range_leaves_out_what_is_not_finite():
    values = torch.tensor([[[1.0, torch.nan], [3.0, torch.inf]], [[2.0, 4.0], [-torch.inf, 3.0]]])
    low, high = finite_range(values)
    assert low.flatten().tolist() == [1.0, 2.0]
    assert high.flatten().tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("image_std", [0.0] * 3),
        ("image_std", [0.2, -0.2, 0.2]),
        ("image_std", [1, 1]),
        ("image_mean", [1e999] * 3),
    ],
)
def test_statistics_that_make_nan_of_pixels_are_refused(tmp_path, name, values):
    tiny.save_model(tiny.stock_model(), tmp_path)
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: values}))
    with pytest.raises(ValueError, match=rf"{name} is \[.*preprocessor_config\.json"):
        load_depth_model(str(tmp_path))
