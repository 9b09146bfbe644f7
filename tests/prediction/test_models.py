"""Any depth model behind one interface: direction, sizes, preprocessing."""

import pytest
import tiny
import torch
from transformers import AutoImageProcessor, GLPNConfig, GLPNForDepthEstimation

from semidepth.modeling import DepthStudentForDepthEstimation
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.prediction.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH)


@pytest.fixture
def stock_folder(tmp_path):
    stock = tiny.stock_model()
    tiny.save_model(stock, tmp_path)
    return tmp_path, stock


def test_stock_folder_predicts_inverse_depth_at_the_images_size(stock_folder):
    folder, stock = stock_folder
    model = load_depth_model(str(folder))
    assert (model.kind, model.preprocessing) == ("disparity", PREPROCESSING)
    images = torch.randint(0, 256, (2, 3, tiny.SIZE, 80), dtype=torch.uint8)
    with torch.no_grad():
        expected = stock(PREPROCESSING.normalize(images)).predicted_depth
    assert torch.allclose(model.forward(images)[0], expected, atol=1e-5)  # our class: the same function
    assert torch.equal(model.predict_disparity(images), model.forward(images)[0])
    odd = torch.randint(0, 256, (1, 3, 61, 97), dtype=torch.uint8)
    assert model.forward(odd)[0].shape == (1, 61, 97)


def test_metric_models_are_inverted(tmp_path):
    tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=20)).save_pretrained(tmp_path)
    model = load_depth_model(str(tmp_path))
    images = torch.randint(0, 256, (1, 3, 48, 48), dtype=torch.uint8)
    assert model.kind == "depth"
    assert torch.allclose(
        model.predict_disparity(images) * model.forward(images)[0].clamp(min=1e-3), torch.ones(1, 48, 48)
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
    monkeypatch.setattr("semidepth.prediction.checkpoints.DEPTH_MODEL_TYPES", set())
    with pytest.raises(ValueError, match="not known whether that predicts disparity or depth"):
        load_depth_model(str(tmp_path))
    assert load_depth_model(str(tmp_path), kind="depth").kind == "depth"


def test_normalisation_is_the_image_processors(stock_folder):
    folder, _ = stock_folder
    images = torch.randint(0, 256, (1, 3, tiny.SIZE, tiny.SIZE), dtype=torch.uint8)
    theirs = AutoImageProcessor.from_pretrained(folder)(images=images[0], return_tensors="pt")["pixel_values"]
    assert torch.allclose(PREPROCESSING.normalize(images), theirs, atol=1e-5)
    assert torch.allclose(PREPROCESSING.normalize(images / 255), theirs, atol=1e-5)


def test_a_missing_model_gets_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="could not be loaded as a depth-estimation model"):
        load_depth_model(str(tmp_path / "nothing"))


def test_weights_of_other_sizes_get_one_sentence(stock_folder):
    folder, _ = stock_folder
    tiny.stock_config(head_hidden_size=6).save_pretrained(folder)
    with pytest.raises(ValueError, match="could not be loaded as a depth-estimation model"):
        load_depth_model(str(folder))


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (400, 600), (100, 1000), (20, 20), (1500, 2000)])
def test_images_are_shown_at_the_size_that_the_saved_processor_gives_them(size):
    preprocessing = Preprocessing(size=518, multiple=14)
    image = torch.zeros(3, *size, dtype=torch.uint8)
    theirs = preprocessing.to_image_processor()(images=image, return_tensors="pt")["pixel_values"]
    ours = preprocessing.target_size(*size)
    assert ours == tuple(theirs.shape[-2:])
    assert preprocessing.target_size(2, 400) == (14, 518)  # of such a strip the processor makes nothing


def test_resized_pixels_are_those_of_the_saved_processor():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 61, 97), dtype=torch.uint8, generator=generator)
    theirs = PREPROCESSING.to_image_processor()(images=image, return_tensors="pt")["pixel_values"]
    assert torch.allclose(PREPROCESSING.normalize(PREPROCESSING.resize(image)[None]), theirs, atol=1e-5)
    fitting = image[:, : tiny.SIZE, : tiny.SIZE]
    assert PREPROCESSING.resize(fitting) is fitting


@pytest.mark.parametrize("stock", [True, False])
def test_under_autocast_predictions_keep_their_precision(stock):
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    model = tiny.stock_model() if stock else DepthStudentForDepthEstimation(config).eval()
    images = torch.randint(0, 256, (1, 3, 48, 48), dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = DepthModel(model, PREPROCESSING, "disparity").forward(images)[0]
    assert predicted.dtype == torch.float32
    assert len(predicted.unique()) > 2000  # 8 bits of mantissa leave some hundred


def test_preprocess_predict_and_postprocess_are_the_three_steps(stock_folder):
    folder, stock = stock_folder
    model = load_depth_model(str(folder))
    images = torch.randint(0, 256, (2, 3, 61, 97), dtype=torch.uint8)
    pixels = model.preprocess(images)
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (2, 3, 48, 80))
    output = model.predict(pixels)
    with torch.no_grad():
        expected = stock(PREPROCESSING.normalize(pixels)).predicted_depth
    assert torch.allclose(output.values, expected, rtol=1e-4, atol=1e-4)
    assert output.domain is None
    assert output.domain_logits is None
    maps = model.postprocess(output, (61, 97))
    assert maps.shape == (2, 61, 97)
    low, high = output.values.amin((1, 2)), output.values.amax((1, 2))
    assert (maps.amin((1, 2)) >= low).all()
    assert (maps.amax((1, 2)) <= high).all()
    assert torch.equal(model.postprocess(output, (48, 80)), output.values)


def test_code_that_a_model_brings_along_is_only_run_when_it_is_trusted(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "strange", "auto_map": {"AutoConfig": "strange.StrangeConfig",'
        ' "AutoModelForDepthEstimation": "strange.Strange"}}'
    )
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "strange.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "from transformers import PretrainedConfig\n"
        "class StrangeConfig(PretrainedConfig):\n    model_type = 'strange'\n"
    )
    with pytest.raises(ValueError, match=r"brings code of its own.*--trust_remote_code"):
        load_depth_model(str(tmp_path))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ValueError, match="not known whether that predicts disparity or depth"):
        load_depth_model(str(tmp_path), trust_remote_code=True)
    assert (tmp_path / "ran").exists()


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    config = DepthStudentForDepthEstimation.from_encoder(encoder, **tiny.DECODER).config
    config.save_pretrained(tmp_path / "half")
    (tmp_path / "half/model.safetensors").write_bytes((tmp_path / "encoder/model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"lacks \d+ of the model's weights"):
        load_depth_model(str(tmp_path / "half"))


def test_a_device_that_is_not_there_is_refused(stock_folder):
    with pytest.raises(ValueError, match="the device 'cuda:99' cannot be used"):
        load_depth_model(str(stock_folder[0]), device="cuda:99")


@pytest.mark.parametrize("device", ["nonsense", "meta", "mps", "xpu", "hpu", "cuda:99", ""])
def test_a_device_is_looked_at_before_the_model(device):
    with pytest.raises(ValueError, match=r"the device '.*' cannot be used .*; take cpu"):
        load_depth_model("/no/model/here", device=device)


@pytest.mark.parametrize(
    "content",
    [
        '{"model_type": "depth_anything", "backbone_config": "a"}',
        '{"model_type": "dpt", "backbone": "resnet18", "use_timm_backbone": true, "use_pretrained_backbone": false}',
        '{"model_type": "depth_anything", "patch_size": []}',
    ],
)
def test_what_transformers_raises_on_odd_configurations_becomes_one_sentence(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="could not be loaded as a depth-estimation model"):
        load_depth_model(str(tmp_path))


def test_an_index_that_leads_out_of_its_folder_is_refused(stock_folder):
    folder, _ = stock_folder
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        '{"metadata": {}, "weight_map": {"head.conv3.bias": "../elsewhere.safetensors"}}'
    )
    with pytest.raises(ValueError, match=r"names '\.\./elsewhere\.safetensors', which lies outside of its folder"):
        load_depth_model(str(folder))
