"""A stock SAM as our mask model and back: the same numbers, and what ours can and stock cannot."""

import pytest
import tiny
import torch
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig, set_seed

from semidepth.modeling import (
    DepthStudentConfig,
    DepthStudentForDepthEstimation,
    PromptedMaskConfig,
    PromptedMaskForMaskGeneration,
)

SIZE, PATCH = 64, 8
GRID = SIZE // PATCH
SMALL = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 4, "iou_head_hidden_dim": 48}


def stock_sam(**changes) -> SamModel:
    """A tiny stock SAM whose every weight is drawn, so that no part of it can be left out unseen."""
    set_seed(0)
    vision = SamVisionConfig(
        hidden_size=24, output_channels=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIZE,
        patch_size=PATCH, window_size=3, global_attn_indexes=[1], num_pos_feats=16, mlp_dim=48,
    )  # fmt: skip
    prompt = SamPromptEncoderConfig(hidden_size=32, image_size=SIZE, patch_size=PATCH, mask_input_channels=8)
    decoder = SamMaskDecoderConfig(**(SMALL | changes))
    sam = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)).eval()
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            scale = 1.0 if "positional" in name or parameter.ndim < 2 else parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn_like(parameter) * scale)
    return sam


@pytest.fixture(scope="module")
def sam():
    return stock_sam()


PIXELS = tiny.pixels(2, SIZE, SIZE)
POINTS = torch.tensor([[[[10.0, 20.0], [50.0, 7.0]], [[40.0, 5.0], [3.0, 60.0]]]]).expand(2, -1, -1, -1)
LABELS = torch.tensor([[[1, 0], [1, -1]]]).expand(2, -1, -1)
BOXES = torch.tensor([[[5.0, 6, 30, 40], [30.0, 2, 60, 20]]]).expand(2, -1, -1)
MASK = torch.randn(2, 1, 4 * GRID, 4 * GRID, generator=torch.Generator().manual_seed(1))
PROMPTS = {
    "points": {"input_points": POINTS, "input_labels": LABELS},
    "points without labels": {"input_points": POINTS},
    "boxes": {"input_boxes": BOXES},
    "both": {"input_points": POINTS, "input_labels": LABELS, "input_boxes": BOXES},
    "one object with a mask": {"input_points": POINTS[:, :1], "input_labels": LABELS[:, :1], "input_masks": MASK},
}


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("prompts", PROMPTS)
def test_same_numbers_as_stock(sam, prompts, multimask):
    ours = PromptedMaskForMaskGeneration.from_sam(sam)
    with torch.no_grad():
        expected = sam(PIXELS, **PROMPTS[prompts], multimask_output=multimask)
        found = ours(PIXELS, **PROMPTS[prompts], multimask_output=multimask)
    assert expected.pred_masks.std() > 0.1
    assert torch.allclose(found.pred_masks, expected.pred_masks, atol=1e-5, rtol=1e-5)
    assert torch.allclose(found.iou_scores, expected.iou_scores, atol=1e-5, rtol=1e-5)


def test_a_mask_for_each_object_equals_stock_with_objects_as_images(sam):
    """Stock takes one mask for an image; with each object as an image of its own it says the same."""
    masks = torch.randn(2, 2, 4 * GRID, 4 * GRID)
    with torch.no_grad():
        expected = sam(
            image_embeddings=sam.get_image_embeddings(PIXELS).repeat_interleave(2, 0),
            input_points=POINTS.flatten(0, 1)[:, None],
            input_labels=LABELS.flatten(0, 1)[:, None],
            input_masks=masks.flatten(0, 1)[:, None],
        )
        found = PromptedMaskForMaskGeneration.from_sam(sam)(
            PIXELS, input_points=POINTS, input_labels=LABELS, input_masks=masks
        )
    assert torch.allclose(found.pred_masks.flatten(0, 1), expected.pred_masks[:, 0], atol=1e-5, rtol=1e-5)


def test_to_sam_gives_the_weights_back(sam, tmp_path):
    sam.save_pretrained(tmp_path / "stock")
    ours = PromptedMaskForMaskGeneration.from_sam(str(tmp_path / "stock"))
    ours.save_pretrained(tmp_path / "ours")
    back = PromptedMaskForMaskGeneration.from_pretrained(tmp_path / "ours").to_sam()
    assert back.config.to_dict().keys() == sam.config.to_dict().keys()
    assert set(back.state_dict()) == set(sam.state_dict())
    assert all(torch.equal(value, sam.state_dict()[name]) for name, value in back.state_dict().items())
    with torch.no_grad():
        expected = sam(PIXELS, input_points=POINTS).pred_masks
        assert torch.equal(back(PIXELS, input_points=POINTS).pred_masks, expected)


def test_it_trains_where_stock_does_not(sam):
    ours = PromptedMaskForMaskGeneration.from_sam(sam).train()
    loss = ours(PIXELS, input_points=POINTS, labels=torch.rand(2, 2, SIZE, SIZE) > 0.5).loss
    loss.backward()
    assert ours.core.vision_encoder.patch_embed.projection.weight.grad.abs().sum() > 0
    assert not hasattr(sam(PIXELS, input_points=POINTS, labels=torch.ones(2, 2, SIZE, SIZE)), "loss")


def test_a_depth_core_takes_stock_prompt_encoder_and_decoder(sam):
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**fields))
    ours = PromptedMaskForMaskGeneration.from_student(student, **SMALL, mask_input_channels=8, click_map=False).eval()
    ours.take_sam_decoder(sam)
    # A fresh fine part adds nothing: on SAM's embeddings it says what SAM says.
    with torch.no_grad():
        embeddings = sam.get_image_embeddings(PIXELS)
        fine = ours.fine([torch.randn(2, 16, 2 * GRID, 2 * GRID), torch.randn(2, 16, 4 * GRID, 4 * GRID)])
        found = ours(image_embeddings=embeddings, intermediate_embeddings=fine, input_points=POINTS)
        expected = sam(image_embeddings=embeddings, input_points=POINTS)
    assert torch.allclose(found.pred_masks, expected.pred_masks, atol=1e-5, rtol=1e-5)
    other = PromptedMaskForMaskGeneration.from_student(student, **(SMALL | {"mlp_dim": 96}))
    with pytest.raises(ValueError, match="mlp_dim=64, mask_input_channels=8"):
        other.take_sam_decoder(sam)


def test_what_cannot_be_converted_is_refused(sam):
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    student = DepthStudentForDepthEstimation(DepthStudentConfig(**fields))
    with pytest.raises(ValueError, match="depth model as its core"):
        PromptedMaskForMaskGeneration.from_student(student, **SMALL).to_sam()
    with pytest.raises(ValueError, match="hidden_act"):
        PromptedMaskForMaskGeneration.from_sam(stock_sam(hidden_act="gelu"))
    ours = PromptedMaskForMaskGeneration.from_sam(sam)
    with pytest.raises(ValueError, match="64 x 64 alone"):
        ours(torch.zeros(1, 3, 64, 48), input_points=POINTS)
    with pytest.raises(ValueError, match="knows no depth"):
        ours(PIXELS, output_depth=True)
    with pytest.raises(Exception, match="fine_features"):
        PromptedMaskConfig(core_config=sam.config.vision_config, hidden_size=32)
    ours.config.click_map = True
    with pytest.raises(ValueError, match="click_map"):
        ours.to_sam()
