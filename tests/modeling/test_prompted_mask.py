"""The promptable mask model on tiny real cores: nothing depends on padding or on the batch; bad prompts are refused."""

import pytest
import tiny
import torch
from transformers import set_seed

from semidepth.modeling import (
    DepthStudentConfig,
    DepthStudentForDepthEstimation,
    PromptedMaskConfig,
    PromptedMaskForMaskGeneration,
    RoutedDepthForDepthEstimation,
)

SMALL = {"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32}
NAN = float("nan")


def student():
    set_seed(0)
    fields = tiny.stock_config().to_dict()
    fields.pop("model_type")
    return DepthStudentForDepthEstimation(DepthStudentConfig(**fields)).eval()


def mask_model(**fields):
    return PromptedMaskForMaskGeneration.from_student(student(), **(SMALL | fields)).eval()


@pytest.fixture(scope="module")
def model():
    made = mask_model()
    with torch.no_grad():  # fresh ones add nothing
        for convolution in (made.fine.conv_s0, made.fine.conv_s1):
            torch.nn.init.normal_(convolution.weight, std=0.2)
    return made


PIXELS = tiny.pixels(2, 48, 64)
POINTS = torch.tensor([[[[10.0, 20.0]], [[40.0, 5.0]]], [[[33.0, 30.0]], [[60.0, 44.0]]]])
BOXES = torch.tensor([[[5.0, 6, 30, 40], [30.0, 2, 60, 20]], [[20.0, 20, 50, 48], [0.0, 0, 64, 48]]])


@torch.no_grad()
def answer(model, **prompts):
    output = model(PIXELS, **prompts)
    return output.pred_masks, output.iou_scores


def close(one, other):
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))


def test_shapes_and_prompts_matter(model):
    masks, scores = answer(model, input_points=POINTS)
    assert (masks.shape, scores.shape) == ((2, 2, 3, 24, 32), (2, 2, 3))
    assert masks.dtype == torch.float32
    assert (masks[:, 0] - masks[:, 1]).abs().mean() > 0.05
    single, score = answer(model, input_points=POINTS, multimask_output=False)
    assert (single.shape, score.shape) == ((2, 2, 1, 24, 32), (2, 2, 1))
    assert not torch.allclose(
        masks, answer(model, input_points=POINTS, input_labels=torch.zeros(2, 2, 1))[0], atol=0.01
    )


def test_objects_together_equal_objects_alone(model):
    earlier = torch.randn(2, 2, 24, 32)
    together = answer(model, input_points=POINTS, input_boxes=BOXES, input_masks=earlier)
    for index in (0, 1):
        one = slice(index, index + 1)
        alone = answer(model, input_points=POINTS[:, one], input_boxes=BOXES[:, one], input_masks=earlier[:, one])
        assert close((together[0][:, one], together[1][:, one]), alone)


@pytest.mark.parametrize("click_map", [True, False])
def test_padding_changes_nothing(click_map):
    model = mask_model(click_map=click_map)
    alone = answer(model, input_points=POINTS[:, :1])
    boxed = answer(model, input_boxes=BOXES[:, 1:])
    points = torch.cat([POINTS[:, :1], torch.full((2, 1, 1, 2), -7.0)], 2)
    labels = torch.tensor([[[1, -10]], [[1, -10]]])
    assert close(answer(model, input_points=points, input_labels=labels), alone)
    # One object with a point, one with a box, and a third that is nothing but padding.
    points = torch.cat([points, torch.zeros(2, 2, 2, 2)], 1)
    labels = torch.cat([labels, torch.full((2, 2, 2), -10)], 1)
    none = torch.full((2, 1, 4), NAN)
    masks, scores = answer(
        model,
        input_points=points,
        input_labels=labels,
        input_boxes=torch.cat([none, BOXES[:, 1:], none], 1),
        input_masks=torch.full((2, 3, 24, 32), NAN),
    )
    assert close((masks[:, :1], scores[:, :1]), alone)
    assert close((masks[:, 1:2], scores[:, 1:2]), boxed)
    assert masks.isfinite().all()


def test_a_turned_batch_gives_the_turned_answer(model):
    masks, scores = answer(model, input_points=POINTS, input_boxes=BOXES)
    with torch.no_grad():
        turned = model(PIXELS.flip(0), input_points=POINTS.flip(0), input_boxes=BOXES.flip(0))
    assert close((masks.flip(0), scores.flip(0)), (turned.pred_masks, turned.iou_scores))


def test_embeddings_once_then_prompts(model):
    masks, _ = answer(model, input_points=POINTS)
    with torch.no_grad():
        embeddings, fine = model.get_image_embeddings(PIXELS)
        again = model(image_embeddings=embeddings, intermediate_embeddings=fine, input_points=POINTS)
        assert torch.equal(again.pred_masks, masks)
        kept, _ = model.embed_features(model.core_features(PIXELS))
        assert torch.equal(kept, embeddings)
        with pytest.raises(ValueError, match="intermediate_embeddings"):
            model(image_embeddings=embeddings, input_points=POINTS)
        with pytest.raises(ValueError, match="output_depth needs pixel_values"):
            model(image_embeddings=embeddings, intermediate_embeddings=fine, output_depth=True)
        seen = model(PIXELS, output_depth=True)
    assert seen.pred_masks is None
    assert torch.equal(seen.image_embeddings, embeddings)


def test_masks_and_depth_of_one_pass_are_the_cores_depth(model):
    with torch.no_grad():
        output = model(PIXELS, input_points=POINTS, output_depth=True)
        assert torch.allclose(output.predicted_depth, student()(PIXELS).predicted_depth, atol=1e-5)
        domains = [{"name": "indoor"}, {"name": "outdoor", "max_depth_m": 80.0}]
        routed = RoutedDepthForDepthEstimation.from_student(student(), domains).eval()
        metric = PromptedMaskForMaskGeneration.from_metric(routed, **SMALL).eval()
        output = metric(PIXELS, input_points=POINTS, output_depth=True)
        assert torch.allclose(output.predicted_depth, routed(PIXELS).predicted_depth, atol=1e-5)
    assert output.pred_masks.shape == (2, 2, 3, 24, 32)


def test_a_thousand_prompts_are_decoded_in_parts(model, monkeypatch):
    points = torch.rand(2, 500, 1, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([64.0, 48.0])
    whole = answer(model, input_points=points)
    decoded = []
    monkeypatch.setattr("semidepth.modeling.modeling_prompted_mask.CELLS_AT_ONCE", 48 * 150)
    hook = model.mask_decoder.register_forward_pre_hook(lambda module, inputs: decoded.append(len(inputs[0])))
    parts = answer(model, input_points=points)
    hook.remove()
    assert decoded == [150] * 6 + [100]
    assert close(whole, parts)


def test_loss_is_of_the_objects_that_count_and_reaches_what_learns():
    model = mask_model().train()
    labels = (torch.rand(2, 2, 48, 64, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    labels[:, 1] = NAN
    loss = model(PIXELS, input_points=POINTS, labels=labels).loss
    alone = model(PIXELS, input_points=POINTS[:, :1], labels=labels[:, :1]).loss
    assert loss.dtype == torch.float32
    assert abs(loss - alone) < 1e-5
    loss.backward()
    assert all(
        parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0
        for part in (
            model.core.backbone.embeddings.patch_embeddings,
            model.neck,
            model.fine,
            model.prompt_encoder.mask_embed,
        )
        for parameter in part.parameters()
    )
    assert model(PIXELS, input_points=POINTS, labels=torch.full((2, 2, 9, 9), NAN)).loss == 0


def test_a_few_steps_learn_a_box():
    set_seed(0)
    model = mask_model().train()
    model.core.requires_grad_(False)
    labels = torch.zeros(2, 2, 48, 64)
    for image in range(2):
        for index in range(2):
            left, top, right, bottom = BOXES[image, index].int().tolist()
            labels[image, index, top:bottom, left:right] = 1
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=3e-3)
    losses = []
    for _ in range(60):
        output = model(PIXELS, input_points=POINTS, input_boxes=BOXES, labels=labels, multimask_output=False)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    assert losses[-1] < 0.3 * losses[0]
    truth = labels[:, :, 1::2, 1::2] > 0.5
    mask = output.pred_masks[:, :, 0] > 0
    assert ((mask & truth).sum((-2, -1)) / (mask | truth).sum((-2, -1))).mean() > 0.8


@pytest.mark.parametrize(
    ("prompts", "cause"),
    [
        ({"input_points": torch.tensor([[[[64.5, 3.0]]]] * 2)}, "x 64.5, y 3"),
        ({"input_points": torch.tensor([[[[NAN, 3.0]]]] * 2)}, "x nan"),
        ({"input_points": POINTS, "input_labels": torch.full((2, 2, 1), 2)}, "input_labels hold 2"),
        ({"input_points": POINTS, "input_labels": torch.ones(2, 2)}, "one per point"),
        ({"input_labels": torch.ones(2, 2, 1)}, "without input_points"),
        ({"input_points": POINTS[0]}, "input_points are"),
        ({"input_boxes": torch.tensor([[[5.0, 5, 5, 20]]] * 2)}, r"\(5, 5, 5, 20\)"),
        ({"input_boxes": torch.tensor([[[5.0, 5, 50, 49]]] * 2)}, "48 high"),
        ({"input_points": POINTS, "input_boxes": BOXES[:, :1]}, "2 for points, 1 for boxes"),
        ({"input_masks": torch.zeros(2, 2, 32, 24)}, r"\(2, objects, 24, 32\)"),
        ({"text_embeds": torch.zeros(2, 2, 1, 8)}, "takes no text"),
        ({"labels": torch.zeros(2, 2, 48, 64)}, "without prompts"),
        ({"input_points": POINTS, "labels": torch.zeros(2, 3, 48, 64)}, "2 prompted objects"),
    ],
)
def test_bad_prompts_are_refused_in_a_sentence(model, prompts, cause):
    with pytest.raises(ValueError, match=cause):
        model(PIXELS, **prompts)


def test_bad_images_and_configurations_are_refused(model):
    with pytest.raises(ValueError, match="50 x 64"):
        model(torch.zeros(1, 3, 50, 64))
    with pytest.raises(ValueError, match="either pixel_values or image_embeddings"):
        model(input_points=POINTS)
    with pytest.raises(ValueError, match="'glpn'"):
        PromptedMaskConfig(core_config={"model_type": "glpn"})
    with pytest.raises(Exception, match="num_attention_heads"):
        PromptedMaskConfig(num_attention_heads=7)
    with pytest.raises(Exception, match="mask_loss"):
        PromptedMaskConfig(mask_loss="hinge")


def test_text_is_a_prompt_and_its_padding_is_passed_over():
    model = mask_model(text_hidden_size=8)
    text = torch.randn(2, 2, 3, 8)
    padded = torch.cat([text, torch.full((2, 2, 2, 8), NAN)], 2)
    assert close(answer(model, text_embeds=text), answer(model, text_embeds=padded))


def test_answers_to_boxes_start_from_the_filled_box():
    plain, prior = mask_model(box_prior=False), mask_model(box_prior=True)
    prior.load_state_dict(plain.state_dict())
    both = {"input_points": POINTS, "input_boxes": torch.cat([BOXES[:, :1], torch.full((2, 1, 4), NAN)], 1)}
    (before, scores), (after, same) = answer(plain, **both), answer(prior, **both)
    assert torch.equal(scores, same)
    assert torch.equal(before[:, 1], after[:, 1])  # without a box nothing is added
    added = (after - before)[:, 0, 0]
    rows, columns = torch.meshgrid(
        torch.arange(24) * 2 + 1.0, torch.arange(32) * 2 + 1.0, indexing="ij"
    )  # cells' middles
    for box, own in zip(BOXES[:, 0] + 0.5, added, strict=True):
        inside = (columns > box[0]) & (columns < box[2]) & (rows > box[1]) & (rows < box[3])
        assert torch.equal(own > 0, inside)
        far = (columns > box[2] + (box[2] - box[0]) / 2) | (rows < box[1] - (box[3] - box[1]) / 2)
        assert not far.any() or own[far].max() <= -9.9
    small = torch.full((2, 1, 4), 20.0) + torch.tensor([0, 0, 0.2, 0.2])
    assert ((answer(prior, input_boxes=small)[0] - answer(plain, input_boxes=small)[0]) > 0).flatten(1).any(1).all()
