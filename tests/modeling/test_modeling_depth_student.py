"""The student against the stock class, both ways, and what stock does not have: labels, features, a live decoder."""

import copy

import pytest
import tiny
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForDepthEstimation, DepthAnythingConfig
from transformers.utils import logging as transformers_logging

from semidepth.modeling import (
    DepthStudentConfig,
    DepthStudentForDepthEstimation,
    affine_invariant_loss,
    encoder_features,
)
from semidepth.modeling.configuration_depth_student import DECODER_SIZES
from semidepth.modeling.dpt_decoder import OpeningReLU


def relative_difference(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.fixture
def stock_folder(tmp_path):
    stock = tiny.stock_model()
    stock.save_pretrained(tmp_path / "stock")
    return tmp_path / "stock", stock


@pytest.mark.parametrize(("height", "width"), [(48, 48), (32, 80), (45, 51)])
def test_equals_stock_from_its_folder(stock_folder, height, width):
    folder, stock = stock_folder
    student = DepthStudentForDepthEstimation.from_pretrained(folder)
    pixels = tiny.pixels(2, height, width)
    with torch.no_grad():
        theirs = stock(pixels).predicted_depth
        ours = student(pixels).predicted_depth
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.1  # two constants would agree whatever they are computed from
    assert relative_difference(ours, theirs) < 1e-5


def test_equals_stock_at_vit_s_size():
    stock = tiny.stock_model(DepthAnythingConfig(backbone_config=None))
    student = DepthStudentForDepthEstimation(DepthStudentConfig(backbone_config=stock.config.backbone_config)).eval()
    student.load_state_dict(stock.state_dict())
    pixels = tiny.pixels(1, 126, 98)
    with torch.no_grad():
        assert relative_difference(student(pixels).predicted_depth, stock(pixels).predicted_depth) < 1e-5


def test_stock_checkpoint_loads_without_a_warning(stock_folder, capfd):
    transformers_logging.enable_default_handler()
    folder, _ = stock_folder
    DepthStudentForDepthEstimation.from_pretrained(folder)
    out = capfd.readouterr()
    assert not any(word in out.err.lower() for word in ("warn", "not initialized", "instantiate", "unexpected"))


def test_way_back_gives_the_stock_class_with_the_same_numbers(stock_folder, tmp_path):
    folder, stock = stock_folder
    back = DepthStudentForDepthEstimation.from_pretrained(folder).to_depth_anything()
    assert type(back) is type(stock)
    pixels = tiny.pixels()
    with torch.no_grad():
        assert torch.equal(back(pixels).predicted_depth, stock(pixels).predicted_depth)
    back.save_pretrained(tmp_path / "back")
    saved, original = load_file(tmp_path / "back/model.safetensors"), load_file(folder / "model.safetensors")
    assert saved.keys() == original.keys()
    assert all(torch.equal(saved[name], original[name]) for name in saved)


def test_own_folder_round_trip(tmp_path):
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**stock_fields())).eval()
    student.save_pretrained(tmp_path)
    for loader in (DepthStudentForDepthEstimation, AutoModel, AutoModelForDepthEstimation):
        again = loader.from_pretrained(tmp_path)
        assert type(again) is DepthStudentForDepthEstimation
        with torch.no_grad():
            assert torch.equal(again(tiny.pixels()).predicted_depth, student(tiny.pixels()).predicted_depth)
    assert type(AutoConfig.from_pretrained(tmp_path)) is DepthStudentConfig


def stock_fields():
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    return fields


def test_stock_metric_checkpoint_predicts_metres_and_refuses_labels(tmp_path):
    stock = tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=20))
    stock.save_pretrained(tmp_path)
    student = DepthStudentForDepthEstimation.from_pretrained(tmp_path)
    pixels = tiny.pixels()
    with torch.no_grad():
        metres = student(pixels).predicted_depth
        assert relative_difference(metres, stock(pixels).predicted_depth) < 2e-5
    assert metres.max() <= 20
    with pytest.raises(ValueError, match="metric checkpoint"):
        student(pixels, labels=torch.ones(2, 48, 48))


def test_a_checkpoint_to_10_5_metres_is_a_valid_config():
    config = DepthStudentConfig(**(stock_fields() | {"depth_estimation_type": "metric", "max_depth": 10.5}))
    assert config.max_depth == 10.5


@pytest.mark.parametrize("kind", ["dinov2", "dinov2_with_registers", "dinov3_vit"])
def test_every_encoder_gives_tokens_in_reading_order(kind):
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(kind), **tiny.DECODER)
    student = DepthStudentForDepthEstimation(config).eval()
    output = student(tiny.pixels(2, 48, 80), output_features=True)
    assert output.predicted_depth.shape == (2, 48, 80)
    assert output.features.shape == (2, 6 * 10, tiny.WIDTH)
    # The backbone's own way of making a map of its tokens must agree.
    reshaped = copy.deepcopy(student.backbone)
    reshaped.config.reshape_hidden_states = True
    theirs = reshaped(tiny.pixels(2, 48, 80)).feature_maps[-1].flatten(2).transpose(1, 2)
    assert torch.allclose(output.features, theirs, atol=1e-6)
    assert torch.equal(encoder_features(student.backbone, tiny.pixels(2, 48, 80)), output.features)


def test_from_encoder_keeps_the_encoder_and_draws_a_decoder(tmp_path):
    folder = tiny.save_encoder(tmp_path / "encoder")
    first = DepthStudentForDepthEstimation.from_encoder(folder, **tiny.DECODER)
    second = DepthStudentForDepthEstimation.from_encoder(folder, **tiny.DECODER)
    saved = load_file(tmp_path / "encoder/model.safetensors")
    loaded = first.backbone.state_dict()
    stored = DepthStudentForDepthEstimation.from_encoder(folder, **tiny.DECODER).backbone.state_dict()
    assert len(saved) == len(loaded)
    assert all(torch.equal(loaded[name], stored[name]) for name in stored)
    assert torch.equal(loaded["embeddings.cls_token"], saved["embeddings.cls_token"])
    assert not torch.equal(first.head.conv1.weight, second.head.conv1.weight)


def test_from_encoder_sizes_the_decoder_like_the_published_models():
    config = DepthStudentForDepthEstimation.config_for_encoder(
        tiny.encoder_config(hidden_size=384, num_attention_heads=6)
    )
    assert (config.neck_hidden_sizes, config.fusion_hidden_size) == DECODER_SIZES[384] == ([48, 96, 192, 384], 64)


def test_an_encoder_with_too_few_layers_is_refused():
    with pytest.raises(ValueError, match="3 layers and the decoder needs 4"):
        DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(num_hidden_layers=3))


def test_a_fresh_decoder_is_alive():
    """Stock's initialisation gives a constant map and a closed ReLU; ours varies, is positive, and has gradients."""
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config())
    student = DepthStudentForDepthEstimation(config)
    predicted = student(tiny.pixels(4)).predicted_depth
    assert (predicted > 0).float().mean() > 0.99
    assert predicted.flatten(1).std(1).min() > 1e-3
    predicted.mean().backward()
    unused = {"neck.fusion_stage.layers.0.residual_layer1", "backbone.embeddings.mask_token"}
    for name, parameter in student.named_parameters():
        if any(name.startswith(prefix) for prefix in unused):
            assert not parameter.requires_grad
        else:
            assert parameter.grad is not None, name


def test_a_fresh_decoder_prints_no_checkerboard():
    """Upsampling starts as repetition: weights drawn for each sub-pixel alone made training with edges diverge."""
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config())
    layers = DepthStudentForDepthEstimation(config).neck.reassemble_stage.layers
    for layer, factor in zip(layers[:2], (4, 2), strict=True):
        fine = layer(torch.randn(2, config.reassemble_hidden_size, 3, 5))
        assert fine.shape[2:] == (3 * factor, 5 * factor)
        coarse = fine[:, :, ::factor, ::factor]
        assert torch.allclose(fine, coarse.repeat_interleave(factor, 2).repeat_interleave(factor, 3), atol=1e-5)
        assert coarse.std() > 0.3


def test_labels_give_the_affine_invariant_loss_with_nan_left_out():
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**stock_fields()))
    labels = torch.rand(2, 48, 48)
    labels[0, :10] = torch.nan
    output = student(tiny.pixels(), labels=labels)
    assert torch.equal(output.loss, affine_invariant_loss(output.predicted_depth, labels))
    assert torch.allclose(student(tiny.pixels(), labels=labels * 7 + 3).loss, output.loss, atol=1e-5)
    output.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())
    assert isinstance(student(tiny.pixels(), labels=labels, return_dict=False), tuple)


@pytest.mark.parametrize("shape", [(2, 40, 48), (1, 48, 48), (2, 1, 48, 48)])
def test_labels_of_another_size_are_refused_in_one_sentence(shape):
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**stock_fields()))
    with pytest.raises(ValueError, match=r"labels are .* and the prediction is \(2, 48, 48\)"):
        student(tiny.pixels(), labels=torch.ones(shape))


def test_pixels_smaller_than_a_patch_are_refused():
    with pytest.raises(ValueError, match="less than one patch"):
        DepthStudentForDepthEstimation(DepthStudentConfig(**stock_fields()))(tiny.pixels(1, 4, 48))


def test_bfloat16_predicts_float32_without_quantising():
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**stock_fields())).to(torch.bfloat16).eval()
    with torch.no_grad():
        predicted = student(tiny.pixels().bfloat16()).predicted_depth
    assert predicted.dtype == torch.float32
    assert not torch.equal(predicted, predicted.bfloat16().float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neck_hidden_sizes": [16, 16, 32]}, "one of each for each feature map"),
        ({"reassemble_hidden_size": 64}, "must be equal"),
        ({"patch_size": 16}, "must be equal"),
    ],
)
def test_a_decoder_that_does_not_fit_its_encoder_is_refused(change, message):
    with pytest.raises(Exception, match=message):
        DepthStudentForDepthEstimation(DepthStudentConfig(**(stock_fields() | change)))


def test_activation_checkpointing_gives_the_same_gradients():
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**stock_fields())).train()
    other = copy.deepcopy(student)
    getattr(other, "activation_checkpointing_enable", other.gradient_checkpointing_enable)()
    for model in (student, other):
        model(tiny.pixels(), labels=torch.rand(2, 48, 48, generator=torch.Generator().manual_seed(1))).loss.backward()
    for mine, theirs in zip(student.parameters(), other.parameters(), strict=True):
        assert mine.grad is None or torch.allclose(mine.grad, theirs.grad, atol=1e-6)


def test_closed_pixels_get_the_gradient_that_opens_them_and_no_other():
    x = torch.tensor([-1.0, -1.0, 2.0, 2.0], requires_grad=True)
    y = OpeningReLU.apply(x)
    assert y.tolist() == [0, 0, 2, 2]
    (y * torch.tensor([-1.0, 1.0, -1.0, 1.0])).sum().backward()  # descending opens the first and closes the second
    assert x.grad.tolist() == [-1, 0, -1, 1]


def test_a_map_that_starts_upside_down_turns():
    """A ramp, near at the bottom, learnt from one that is near at the top and closed below."""
    truth = torch.linspace(0.1, 1, 24)[None, :, None].expand(1, 24, 24)
    raw = (torch.linspace(1, -1, 24)[None, :, None] + 0.1 * torch.rand(1, 24, 24)).requires_grad_()
    optimizer = torch.optim.Adam([raw], 0.05)
    for _ in range(200):
        loss = affine_invariant_loss(OpeningReLU.apply(raw), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    predicted = raw.detach().relu()
    assert torch.corrcoef(torch.stack([predicted.flatten(), truth.flatten()]))[0, 1] > 0.9
