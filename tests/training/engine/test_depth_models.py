"""Any depth model behind one interface: direction, sizes, preprocessing."""

import pytest
import tiny
import torch
from transformers import AutoImageProcessor, GLPNConfig, GLPNForDepthEstimation

from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.training.engine.depth_models import DepthModel, Preprocessing, load_depth_model

PREPROCESSING = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH)


@pytest.fixture
def stock_folder(tmp_path):
    stock = tiny.stock_model()
    stock.save_pretrained(tmp_path)
    PREPROCESSING.to_image_processor().save_pretrained(tmp_path)
    return tmp_path, stock


def test_stock_folder_predicts_inverse_depth_at_the_images_size(stock_folder):
    folder, stock = stock_folder
    model = load_depth_model(str(folder))
    assert (model.kind, model.preprocessing) == ("disparity", PREPROCESSING)
    images = torch.randint(0, 256, (2, 3, tiny.SIZE, 80), dtype=torch.uint8)
    with torch.no_grad():
        expected = stock(PREPROCESSING.normalize(images)).predicted_depth
    assert torch.allclose(model.predict(images), expected, atol=1e-6)
    assert torch.equal(model.predict_disparity(images), model.predict(images))
    odd = torch.randint(0, 256, (1, 3, 61, 97), dtype=torch.uint8)
    assert model.predict(odd).shape == (1, 61, 97)


def test_metric_models_are_inverted(tmp_path):
    tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=20)).save_pretrained(tmp_path)
    model = load_depth_model(str(tmp_path))
    images = torch.randint(0, 256, (1, 3, 48, 48), dtype=torch.uint8)
    assert model.kind == "depth"
    assert torch.allclose(
        model.predict_disparity(images) * model.predict(images).clamp(min=1e-3), torch.ones(1, 48, 48)
    )


def test_a_model_of_unknown_direction_has_to_be_told(tmp_path, monkeypatch):
    shape = {
        "num_encoder_blocks": 4,
        "depths": [1] * 4,
        "hidden_sizes": [8, 16, 16, 16],
        "decoder_hidden_size": 8,
    }
    GLPNForDepthEstimation(GLPNConfig(**shape, num_attention_heads=[1, 1, 1, 1])).save_pretrained(tmp_path)
    assert load_depth_model(str(tmp_path)).kind == "depth"
    monkeypatch.setattr("semidepth.training.engine.depth_models.DEPTH_MODEL_TYPES", set())
    with pytest.raises(ValueError, match="not known whether that predicts disparity or depth"):
        load_depth_model(str(tmp_path))
    assert load_depth_model(str(tmp_path), kind="depth").kind == "depth"


def test_normalisation_is_the_image_processors(stock_folder):
    folder, _ = stock_folder
    images = torch.randint(0, 256, (1, 3, tiny.SIZE, tiny.SIZE), dtype=torch.uint8)
    theirs = AutoImageProcessor.from_pretrained(folder)(images=images[0], return_tensors="pt")["pixel_values"]
    assert torch.allclose(PREPROCESSING.normalize(images), theirs, atol=1e-5)
    assert torch.allclose(PREPROCESSING.normalize(images / 255), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "expected"), [((480, 640), (518, 686)), ((640, 480), (686, 518)), ((20, 20), (518, 518))]
)
def test_target_size_keeps_the_shape_in_multiples(size, expected):
    assert Preprocessing(size=518, multiple=14).target_size(*size) == expected


def test_a_missing_model_gets_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="could not be loaded as a depth-estimation model"):
        load_depth_model(str(tmp_path / "nothing"))


def test_autocast_predicts_float32():
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    model = DepthModel(DepthStudentForDepthEstimation(config).eval(), PREPROCESSING, "disparity")
    images = torch.randint(0, 256, (1, 3, 48, 48), dtype=torch.uint8)
    half, full = model.predict(images, torch.bfloat16), model.predict(images)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert torch.allclose(half, full, rtol=0.1)
