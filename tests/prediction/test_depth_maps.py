"""Prediction in one line: what is accepted, what comes back."""

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from transformers import pipeline, set_seed

import semidepth
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.models import DepthModel
from semidepth.prediction.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH)


@pytest.fixture(scope="module")
def model():
    return DepthModel(tiny.stock_model().requires_grad_(False), PREPROCESSING, "disparity")


def image(height=48, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_one_image_gives_one_map_whatever_it_comes_as(tmp_path, model):
    pixels = image()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    # The model's own size: no resizing on either side, so this is all there is to it.
    expected = model.model(pixel_values=PREPROCESSING.normalize(tensor[None])).predicted_depth[0].numpy()
    for form in (str(tmp_path / "a.png"), tmp_path / "a.png", pixels, Image.fromarray(pixels), tensor):
        depth = semidepth.predict(form, model)
        assert isinstance(depth, semidepth.DepthMap)
        assert (depth.unit, depth.domain, depth.values.dtype) == ("inverse depth", None, np.float32)
        assert np.allclose(depth.values, expected, atol=1e-5)
    assert depth.picture("cividis").size == (64, 48)


def test_many_images_come_back_in_their_order(model):
    images = [image(40 + 7 * (number % 3), 60 + number, seed=number) for number in range(9)]
    maps = semidepth.predict(iter(images), model, batch_size=2)
    assert [depth.values.shape for depth in maps] == [pixels.shape[:2] for pixels in images]
    for pixels, depth in zip(images, maps, strict=True):
        assert np.allclose(depth.values, semidepth.predict(pixels, model).values, atol=1e-4)
    assert semidepth.predict([], model) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("missing.jpg", "missing.jpg: no such file; give an image file, a PIL image"),
        (Path("/tmp"), "/tmp: is a folder; give an image file.*folders, globs and videos are for the command"),
        ("*.jpg", "is a glob; give"),
        ("/dev/null", "is not a regular file; give"),
        ("http://example.org/a.jpg", "http://example.org/a.jpg: addresses are not fetched; give"),
        ("gone.mp4", "gone.mp4: no such file; give"),
        (np.zeros((4, 4, 3)), "image 0 is an array of float64"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), "image 0 is a tensor of torch.uint8 and shape"),
        ([image(), 7], "image 1 is a int"),
        (None, "image 0 is a NoneType; give a path"),
        (b"abc", "image 0 is a bytes; give a path"),
        (np.zeros((0, 5, 3), np.uint8), r"image 0 is an array of uint8 and shape \(0, 5, 3\)"),
        (torch.zeros(3, 0, 5, dtype=torch.uint8), "image 0 is a tensor of torch.uint8 and shape"),
        (np.zeros((5, 5, 2), np.uint8), r"shape \(5, 5, 2\); give \(H, W, 3\) of uint8, 0 to 255"),
        (np.zeros((2, 4, 4, 3)), "image 0 is an array of float64"),
        (np.array([None]), "image 0 is an array of object"),
        (Image.new("F", (4, 4)), "image 0 has float pixels"),
    ],
)
def test_what_is_no_image_is_named(model, wrong, words):
    with pytest.raises(ValueError, match=words):
        semidepth.predict(wrong, model)


def test_a_video_is_for_the_command(tmp_path, model):
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"clip\.mp4: is a video; give an image file"):
        semidepth.predict(tmp_path / "clip.mp4", model)


def test_batches_and_channels(model):
    pixels = np.stack([image(seed=0), image(seed=1)])
    for batch in (pixels, torch.from_numpy(pixels).permute(0, 3, 1, 2)):
        for one, depth in zip(pixels, semidepth.predict(batch, model), strict=True):
            assert np.allclose(depth.values, semidepth.predict(one, model).values, atol=1e-4)
    assert semidepth.predict(pixels[:0], model) == []
    gray = pixels[0, ..., :1]
    same = semidepth.predict(gray.repeat(3, 2), model).values
    opaque = np.concatenate([gray.repeat(3, 2), np.full_like(gray, 255)], 2)
    for form in (gray, gray[..., 0], opaque, Image.fromarray(gray[..., 0])):
        assert np.allclose(semidepth.predict(form, model).values, same, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size is 0; give at least 1"),
        ({"threads": 0}, "threads is 0; give at least 1"),
        ({"model": 3}, "model is a int; give a Hub id"),
    ],
)
def test_options_that_cannot_be_are_named(model, options, words):
    with pytest.raises(ValueError, match=words):
        semidepth.predict(image(), **({"model": model} | options))


@pytest.mark.parametrize("metric", [False, True])
@pytest.mark.parametrize("size", [(40, 60), (170, 133)])
def test_maps_are_those_of_the_stock_pipeline_at_the_images_size(tmp_path, metric, size):
    set_seed(0)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    module = DepthStudentForDepthEstimation(config)
    if metric:
        domains = [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]
        module = RoutedDepthForDepthEstimation.from_student(module, domains)
    tiny.save_model(module, tmp_path)
    # Smooth, as photos are: the stock processor's resizing of 8 bits differs from ours by a step here and there.
    picture = Image.fromarray(image(6, 8)).resize(size[::-1], Image.Resampling.BICUBIC)
    ours = semidepth.predict(picture, tmp_path)
    loaded = semidepth.load_model(str(tmp_path)).model
    stock = pipeline("depth-estimation", model=loaded, image_processor=PREPROCESSING.to_image_processor())
    theirs = stock(picture)["predicted_depth"].numpy()
    own = stock.model(**stock.image_processor(picture, return_tensors="pt")).predicted_depth
    theirs = theirs.clip(own.min().item(), own.max().item())  # which it leaves at edges
    assert ours.values.shape == theirs.shape == size
    assert np.abs(ours.values - theirs).max() <= 1e-4 * np.abs(theirs).max()
    assert np.ptp(theirs) > 1e-3 * np.abs(theirs).max()  # it is no constant that agrees
