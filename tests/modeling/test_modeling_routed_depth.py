"""Routed metric depth: stock parity, independence within a batch, what trains, what is refused."""

import itertools

import pytest
import tiny
import torch
from torch import nn
from transformers import set_seed

from semidepth.modeling import (
    DepthStudentForDepthEstimation,
    RoutedDepthConfig,
    RoutedDepthForDepthEstimation,
    modeling_routed_depth,
    silog_loss,
)
from semidepth.modeling.depth_cores import CoreFeatures

ROOMS = {"name": "indoor", "n_bins": 16, "min_depth_m": 0.1, "max_depth_m": 10.0}
STREETS = {"name": "outdoor", "n_bins": 24, "min_depth_m": 0.5, "max_depth_m": 80.0, "bin_centers_type": "normed"}
FACES = {"name": "faces", "n_bins": 8, "min_depth_m": 0.2, "max_depth_m": 1.0}
SMALL = {
    "bin_embedding_dim": 16, "seed_hidden_size": 16, "projector_hidden_size": 16, "num_attractors": [4, 3, 2, 1],
    "router_hidden_size": 16, "router_layers": 2, "router_heads": 2, "router_intermediate_size": 32,
}  # fmt: skip


def make(domains=(ROOMS, STREETS), seed=0, **fields) -> RoutedDepthForDepthEstimation:
    set_seed(seed)
    config = DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    student = DepthStudentForDepthEstimation(config)
    return RoutedDepthForDepthEstimation.from_student(student, list(domains), **(SMALL | fields)).eval()


@pytest.mark.parametrize("domains", [1, 2])
@pytest.mark.parametrize("kind", ["softplus", "normed"])
def test_equals_stock_zoedepth_and_goes_back(kind, domains, tmp_path):
    theirs = tiny.zoedepth(domains, bin_centers_type=kind)
    theirs.save_pretrained(tmp_path / "stock")
    ours = RoutedDepthForDepthEstimation.from_zoedepth(str(tmp_path / "stock"))
    back = ours.to_zoedepth()
    pixels = torch.randn(3, 3, 64, 96)
    with torch.no_grad():
        for image in pixels.split(1):
            expected = theirs(image)
            found = ours(image)
            assert expected.predicted_depth.std() > 1e-3
            error = (
                found.predicted_depth - expected.predicted_depth
            ).abs().max() / expected.predicted_depth.abs().max()
            assert error < 1e-4
            if domains == 2:
                assert torch.allclose(found.domain_logits, expected.domain_logits, atol=1e-5)
            assert torch.equal(back(image).predicted_depth, expected.predicted_depth)
    ours.save_pretrained(tmp_path / "ours")
    again = RoutedDepthForDepthEstimation.from_pretrained(tmp_path / "ours")
    with torch.no_grad():
        assert torch.equal(again(pixels).predicted_depth, ours(pixels).predicted_depth)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_mixed_batch_gives_what_single_images_give(order):
    model = make((ROOMS, STREETS, FACES))
    pixels = tiny.pixels(3)[list(order)]
    labels = torch.tensor([0, 1, 2])[list(order)]
    with torch.no_grad():
        mixed = model(pixels, domain_labels=labels)
        routed = model(pixels)
        for index in range(3):
            alone = model(pixels[index : index + 1], domain_labels=labels[index : index + 1])
            assert torch.allclose(mixed.predicted_depth[index], alone.predicted_depth[0], rtol=1e-5, atol=1e-6)
            chosen = model(pixels[index : index + 1])
            assert chosen.domain == routed.domain[index]
            assert torch.allclose(routed.predicted_depth[index], chosen.predicted_depth[0], rtol=1e-5, atol=1e-6)
    assert mixed.domain.tolist() == labels.tolist()


def test_one_domain_has_no_router_and_needs_no_domain_labels():
    model = make([ROOMS])
    output = model(tiny.pixels(), labels=torch.full((2, 48, 48), 2.0))
    assert model.router is None
    assert output.domain_logits.shape == (2, 1)
    assert torch.equal(output.loss, silog_loss(output.predicted_depth, torch.full((2, 48, 48), 2.0)))


def test_fresh_bins_cover_the_range_of_their_domain():
    output = make()(tiny.pixels(2), domain_labels=torch.tensor([0, 1]))
    rooms, streets = output.predicted_depth
    assert 0.7 < rooms.mean() < 1.5  # softplus bins at equal ratios: the middle of 0.1 to 10 m is 1 m
    assert 20 < streets.mean() < 60  # normed ones at equal distances, to 80 m
    assert output.predicted_depth.dtype == torch.float32
    assert output.relative_depth.shape == output.predicted_depth.shape


def test_gradients_reach_the_labeled_head_and_the_shared_parts_alone():
    model = make().train()
    model(tiny.pixels(), labels=torch.rand(2, 48, 48) * 5 + 1, domain_labels=torch.tensor([1, 1])).loss.backward()
    for name, parameter in model.named_parameters():
        if name.startswith("heads.0."):
            assert parameter.grad is None, name
        elif name.startswith(("heads.1.", "router.", "projectors.", "seed_projector.", "bottleneck.")):
            assert parameter.grad is not None, name
    assert model.core.backbone.embeddings.patch_embeddings.projection.weight.grad.abs().sum() > 0


def test_labels_of_another_size_with_unknown_pixels():
    model = make()
    labels = torch.rand(2, 30, 70) * 5 + 1
    labels[0, :5], labels[0, 5:9], labels[1, 3] = torch.nan, 0, torch.inf
    output = model(tiny.pixels(), labels=labels, domain_labels=torch.tensor([0, 1]))
    resized = nn.functional.interpolate(output.predicted_depth[:, None], (30, 70), mode="bilinear", align_corners=True)
    router = nn.functional.cross_entropy(output.domain_logits, torch.tensor([0, 1]))
    each = [silog_loss(resized[index], labels[index : index + 1]) for index in (0, 1)]
    expected = (each[0] + each[1]) / 2 + 100 * router
    assert torch.allclose(output.loss, expected)
    output.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_measured_scales_make_the_cores_scale_irrelevant_and_are_saved(tmp_path):
    """A core whose maps are 100 times as large gives fresh heads the same inputs."""
    model = make()
    pixels, domains = tiny.pixels(4), [0, 1, 1, 0]
    with torch.no_grad():
        model.measure_core_scales(pixels[:2], pixels[2:])
        core = modeling_routed_depth.core_features(model.core, pixels)
        assert model.core_scales[0] == pytest.approx(core.bottleneck.square().mean().sqrt().item(), rel=1e-5)
        expected = model(pixels, domain_labels=domains).predicted_depth
        large = CoreFeatures(
            core.activation * 100,
            core.bottleneck * 100,
            [x * 100 for x in core.blocks],
            core.relative * 100,
            core.image,
        )
        model.core_scales *= 100
        assert torch.allclose(model.metres(large, domains)[0], expected, rtol=1e-4)
    model.save_pretrained(tmp_path)
    again = RoutedDepthForDepthEstimation.from_pretrained(tmp_path)
    assert torch.equal(again.core_scales, model.core_scales)


def test_the_first_training_forward_measures_fresh_heads_and_no_other_does():
    student = DepthStudentForDepthEstimation(
        DepthStudentForDepthEstimation.config_for_encoder(tiny.encoder_config(), **tiny.DECODER)
    )
    model = RoutedDepthForDepthEstimation.from_student(student, [ROOMS, STREETS])
    pixels, labels = tiny.pixels(4), torch.full((4, 48, 48), 2.0)
    model.eval()(pixels)
    assert torch.equal(model.core_scales, torch.ones(7))
    model.train()(pixels, labels=labels, domain_labels=[0, 1, 1, 0])
    measured = model.core_scales.clone()
    with torch.no_grad():
        core = modeling_routed_depth.core_features(model.core, pixels)
    assert measured[0] == pytest.approx(core.bottleneck.square().mean().sqrt().item(), rel=1e-5)
    assert measured[6] == pytest.approx(core.relative.square().mean().sqrt().item(), rel=1e-5)
    model(pixels * 2, labels=labels, domain_labels=[0, 1, 1, 0])
    assert torch.equal(model.core_scales, measured)
    trained = RoutedDepthForDepthEstimation.from_zoedepth(tiny.zoedepth(1)).train()
    trained(tiny.pixels(2, 64, 64))
    assert torch.equal(trained.core_scales, torch.ones(7))


def test_the_image_scale_multiplies_the_metres_of_its_own_head():
    """Softplus centres are metres, and a depth is a mean of centres: twice the centres, twice the depth."""
    model = make((ROOMS, FACES))
    pixels = tiny.pixels(2)
    with torch.no_grad():
        before = model(pixels, domain_labels=[0, 1]).predicted_depth
        scale = model.heads[0].image_scale
        plain = scale(model.image_summary(modeling_routed_depth.core_features(model.core, pixels[:1])))
        nn.init.zeros_(scale.linear2.weight)
        nn.init.constant_(scale.linear2.bias, 0.6)
        after = model(pixels, domain_labels=[0, 1]).predicted_depth
    expected = torch.exp(2 * torch.tanh(torch.tensor(0.3)))
    assert torch.allclose(after[0] * plain.flatten(), before[0] * expected, rtol=1e-4)
    assert torch.equal(after[1], before[1])


def test_labels_of_an_image_whose_edge_the_core_leaves_out_are_refused():
    model = make([ROOMS])
    pixels = torch.randn(1, 3, 51, 48)  # six patches of 8 pixels, and three rows
    with pytest.raises(ValueError, match="multiples of its patch"):
        model(pixels, labels=torch.ones(1, 51, 48))
    assert model(pixels).predicted_depth.shape == (1, 48, 48)


def test_summaries_are_centred_on_the_measured_images_and_saved(tmp_path):
    model = make()
    pixels = tiny.pixels(6) * torch.linspace(0.5, 2, 6).view(-1, 1, 1, 1)
    with torch.no_grad():
        patches = model.core.backbone(pixels).feature_maps[-1][:, 1:].double()  # the first token is no patch
    summaries = torch.cat((patches.mean(1), (patches.var(1, unbiased=False) + 1e-6).sqrt()), 1)
    model.measure_core_scales(pixels[:2], pixels[2:])
    variance = summaries.var(0, unbiased=False)
    drawn = (6 * variance + 8 * variance.mean()) / 14
    expected = (summaries - summaries.mean(0)) / drawn.sqrt()
    with torch.no_grad():
        found = model.image_summary(modeling_routed_depth.core_features(model.core, pixels))
    assert torch.allclose(found.double(), expected, atol=2e-4)
    model.save_pretrained(tmp_path)
    again = RoutedDepthForDepthEstimation.from_pretrained(tmp_path)
    assert torch.equal(again.image_summary.spread, model.image_summary.spread)


def test_a_core_whose_maps_were_divided_is_not_stock():
    ours = RoutedDepthForDepthEstimation.from_zoedepth(tiny.zoedepth(1))
    ours.core_scales[0] = 2
    with pytest.raises(ValueError, match="does not divide its core's maps"):
        ours.to_zoedepth()


def test_bfloat16_autocast_predicts_float32_metres():
    model = make()
    with torch.no_grad():
        exact = model(tiny.pixels(), domain_labels=torch.tensor([0, 1])).predicted_depth
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(tiny.pixels(), domain_labels=torch.tensor([0, 1])).predicted_depth
        half = make().to(torch.bfloat16)(tiny.pixels().bfloat16(), domain_labels=torch.tensor([0, 1])).predicted_depth
    assert rough.dtype == half.dtype == torch.float32
    assert ((rough - exact).abs() / exact).median() < 0.05
    assert ((half - exact).abs() / exact).median() < 0.1


def test_nine_samples_of_three_domains_are_learnt_in_a_loop_of_ones_own():
    """Nothing is called before the first training forward, and the router tells the domains apart at the end."""
    model = make((ROOMS, STREETS, FACES), num_attractors=[8, 4, 2, 1]).train()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(9, 3, 48, 48, generator=generator)
    ramp = torch.linspace(0.3, 1, 48)[None, :, None].expand(9, 48, 48)
    domains = torch.arange(9) % 3
    labels = ramp * torch.tensor([6.0, 50.0, 0.9])[domains][:, None, None] * torch.linspace(0.7, 1, 9)[:, None, None]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for _ in range(150):
        model(pixels, labels=labels, domain_labels=domains).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        output = model(pixels)
    ratio = torch.maximum(output.predicted_depth / labels, labels / output.predicted_depth)
    assert (ratio < 1.25).float().mean() > 0.95
    assert torch.equal(output.domain, domains)


@pytest.mark.parametrize(
    ("domains", "words"),
    [
        ([], "at least one"),
        ([{}], "with a name"),
        ([{"name": " "}], "with a name"),
        ([{"name": "a"}, {"name": "a"}], "two domains are called 'a'"),
        ([{"name": "a", "min_depth_m": 10.0}], "from 10.0 to 10.0 m"),
        ([{"name": "a", "n_bins": 1}], "at least 2"),
        ([{"name": "a", "n_bins": 2.5}], "a whole number"),
        ([{"name": "a", "max_depth_m": float("inf")}], "from 0.001 to inf m"),
        ([{"name": "a", "min_depth_m": "1"}], "a number of metres"),
        ([{"name": "a", "depth": 1}], "unknown keys"),
        ([{"name": "a", "bin_centers_type": "hybrid"}], "softplus or normed"),
    ],
)
def test_domains_that_cannot_be_are_refused(domains, words):
    with pytest.raises(ValueError, match=words):
        RoutedDepthConfig(domains=domains)


def test_bad_calls_are_refused_in_one_sentence():
    model = make()
    with pytest.raises(ValueError, match="from 0 to 1"):
        model(tiny.pixels(), domain_labels=torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"labels are \(2, 1, 48, 48\) for 2 images"):
        model(tiny.pixels(), labels=torch.ones(2, 1, 48, 48), domain_labels=[0, 1])
    with pytest.raises(ValueError, match="without domain_labels"):
        model(tiny.pixels(), labels=torch.ones(2, 48, 48))
    with pytest.raises(ValueError, match="depth student"):
        model.to_zoedepth()
    with pytest.raises(ValueError, match="less than one patch"):
        model(torch.zeros(1, 3, 4, 48))
