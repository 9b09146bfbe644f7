"""Models of transformers predict here what they predict in its own pipeline."""

import pytest
import tiny
import torch
from PIL import Image
from torch import nn
from transformers import (
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
    GLPNConfig,
    GLPNForDepthEstimation,
    GLPNImageProcessor,
    ZoeDepthForDepthEstimation,
    ZoeDepthImageProcessor,
    pipeline,
    set_seed,
)

from semidepth.prediction.models import load_depth_model
from semidepth.prediction.preprocessing import Preprocessing


def depth_anything(**changes):
    model = tiny.stock_model(tiny.stock_config(**changes))
    return model, Preprocessing(size=tiny.SIZE, multiple=tiny.PATCH).to_image_processor()


def zoedepth(heads):
    model = tiny.lively(ZoeDepthForDepthEstimation(tiny.zoedepth_config(heads, n_bins=16)))
    return model, ZoeDepthImageProcessor(size={"height": 64, "width": 96}, ensure_multiple_of=32, **tiny.STANDARD)


def dpt():
    config = DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[16, 16, 32, 32], fusion_hidden_size=16, is_hybrid=False,
    )  # fmt: skip
    # As published: the picture is squeezed into a square.
    return tiny.lively(DPTForDepthEstimation(config)), DPTImageProcessor(size={"height": 64, "width": 64}, resample=2)


def glpn():
    config = GLPNConfig(
        num_encoder_blocks=4, depths=[1] * 4, hidden_sizes=[8, 16, 16, 16], decoder_hidden_size=8,
        num_attention_heads=[1, 1, 1, 1],
    )  # fmt: skip
    return tiny.lively(GLPNForDepthEstimation(config)), GLPNImageProcessor()


FAMILIES = {
    "zoedepth, one head": (lambda: zoedepth(1), "depth"),
    "zoedepth, two heads": (lambda: zoedepth(2), "depth"),
    "dpt": (dpt, "disparity"),
    "glpn": (glpn, "depth"),
    "depth_pro": (tiny.depth_pro, "depth"),
}


def pictures(*sizes):
    """Smooth noise, as photos are smooth: each way of resizing must be told from the others, not exaggerated."""
    generator = torch.Generator().manual_seed(0)
    for height, width in sizes:
        coarse = torch.rand(1, 3, height // 8, width // 8, generator=generator)
        yield (nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")[0].clamp(0, 1) * 255).byte()


def stock_prediction(model, processor, image):
    pipe = pipeline("depth-estimation", model=model, image_processor=processor)
    return pipe(Image.fromarray(image.permute(1, 2, 0).numpy()))["predicted_depth"]


@pytest.mark.parametrize("family", FAMILIES)
def test_stock_families_predict_what_their_pipeline_does(family, tmp_path):
    make, kind = FAMILIES[family]
    set_seed(1)
    model, processor = make()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ours = load_depth_model(str(tmp_path))
    assert ours.kind == kind
    for image in pictures((72, 104), (120, 64)):
        theirs = stock_prediction(model, processor, image)
        assert theirs.shape == image.shape[-2:]
        assert theirs.std() > 1e-3 * theirs.mean().abs()
        assert torch.allclose(ours.forward(image[None])[0][0], theirs, rtol=1e-4, atol=1e-5)
        from_float = ours.forward(image[None] / 255)[0][0]
        assert torch.allclose(from_float, theirs, rtol=0.05, atol=0.05 * theirs.std().item())


@pytest.mark.parametrize("changes", [{}, {"depth_estimation_type": "metric", "max_depth": 20}])
def test_depth_anything_differs_from_its_pipeline_by_resizing_alone(changes, tmp_path):
    """At the model's own size nothing is resized; else the pipeline rounds pixels and resizes depth bicubically."""
    model, processor = depth_anything(**changes)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ours = load_depth_model(str(tmp_path))
    same, other = pictures((tiny.SIZE, 2 * tiny.SIZE), (100, 75))
    theirs = stock_prediction(model, processor, same)
    assert torch.allclose(ours.forward(same[None])[0][0], theirs, rtol=1e-4, atol=1e-5)
    theirs = stock_prediction(model, processor, other)
    difference = (ours.forward(other[None])[0][0] - theirs).abs()
    assert difference.mean() < 0.05 * theirs.std()


def test_a_depth_anything_that_squeezes_its_pictures_is_run_by_its_processor(tmp_path):
    model, processor = depth_anything()
    processor.keep_aspect_ratio = False
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    [image] = pictures((100, 75))
    theirs = stock_prediction(model, processor, image)
    assert torch.allclose(load_depth_model(str(tmp_path)).forward(image[None])[0][0], theirs, rtol=1e-4, atol=1e-5)


def test_depth_pro_without_a_field_of_view_is_relative(tmp_path):
    set_seed(0)
    model, processor = tiny.depth_pro(fov=False)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ours = load_depth_model(str(tmp_path))
    assert ours.kind == "disparity"
    [image] = pictures((72, 104))
    with torch.no_grad():  # the pipeline drops the field of view and then looks for it
        output = model(**processor(images=image, return_tensors="pt"))
    theirs = processor.post_process_depth_estimation(output, [tuple(image.shape[-2:])])[0]["predicted_depth"]
    assert torch.allclose(1 / ours.forward(image[None])[0][0], theirs, rtol=1e-4)


def test_images_in_a_batch_do_not_choose_each_others_head(tmp_path):
    """Stock ZoeDepth sums the votes of a batch: here of three images, of which two outvote the third."""
    set_seed(1)
    model, processor = zoedepth(2)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 64, 96), generator=generator, dtype=torch.uint8)
    images[::2] //= 16
    head = model.metric_head.mlp_classifier.linear2
    nn.init.normal_(head.weight, std=10)
    with torch.no_grad():
        logits = model(**processor(images=list(images), return_tensors="pt")).domain_logits
        head.bias[0] -= (logits[:, 0] - logits[:, 1]).median()  # some images go to each head
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ours = load_depth_model(str(tmp_path))
    alone = torch.cat([ours.forward(image[None])[0] for image in images])
    together, output = ours.forward(images)
    assert set(output.domain.tolist()) == {0, 1}
    assert torch.allclose(together, alone, rtol=1e-4)
