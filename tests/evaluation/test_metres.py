"""Scores in metres: crops, mirrored averaging, choices of the router, and models without metres."""

import pytest
import tiny
import torch
from torch import nn

from semidepth.evaluation.depth_metrics.protocols import Protocol, find_protocol
from semidepth.evaluation.metres import predict_metres, router_accuracy, score_metres
from semidepth.prediction.models import DepthModel
from semidepth.prediction.preprocessing import Preprocessing


class Domained(nn.Module):
    """Predicts the red channel in metres (times 10 for the second domain); domain 1 where blue is above half."""

    class config:
        model_type = "routed_depth"
        domains = ({"name": "near"}, {"name": "far"})

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, pixel_values, domain_labels=None):
        chosen = (pixel_values[:, 2].mean((1, 2)) > 0.5).long()
        chosen = chosen if domain_labels is None else torch.tensor(domain_labels)
        self.seen.append(domain_labels)
        output = type("Output", (), {})()
        output.predicted_depth = pixel_values[:, 0] * 10 * (1 + 9 * chosen)[:, None, None]
        output.domain = chosen
        return output


def model(kind="depth"):
    return DepthModel(Domained(), Preprocessing(size=16, multiple=1, mean=(0, 0, 0), std=(1, 1, 1)), kind)


def sample(red, blue, depth_m, domain, size=16):
    image = torch.zeros(3, size, size, dtype=torch.uint8)
    image[0], image[2] = red, blue
    return {"image": image, "depth": torch.full((size, size), depth_m), "domain": domain, "origin": f"{domain}-{red}"}


def test_router_and_given_domains_are_scored_apart_and_counted():
    """255 red is 10 m near and 100 m far; the second image is far and looks near, so only its own head is right."""
    samples = [sample(255, 0, 10.0, "near"), sample(255, 0, 100.0, "far"), sample(255, 255, 100.0, "far")]
    scores = score_metres(model(), samples, protocol=find_protocol("none"), flip=False)
    assert scores.routed.per_image["abs_rel"] == pytest.approx([0.0, 0.9, 0.0])
    assert scores.given.per_image["abs_rel"] == pytest.approx([0.0, 0.0, 0.0])
    assert scores.confusion == {("near", "near"): 1, ("far", "near"): 1, ("far", "far"): 1}
    assert router_accuracy(scores.confusion) == pytest.approx(2 / 3)


def test_images_of_an_unknown_domain_have_no_confusion():
    scores = score_metres(model(), [sample(255, 0, 10.0, "cave")], protocol=find_protocol("none"), flip=False)
    assert scores.routed.images == 1
    assert scores.given.images == 0
    assert not scores.confusion


def test_the_mirrored_image_goes_through_the_same_head():
    wrapped = model()
    image = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    image[:, 0, :, :8] = 200
    once, _ = predict_metres(wrapped, image, None, flip=False)
    twice, chosen = predict_metres(wrapped, image, None, flip=True)
    assert torch.allclose(once, twice)
    assert wrapped.model.seen[-1] == chosen == [0]


def test_only_pixels_of_the_crop_count():
    sample_ = sample(255, 0, 10.0, "near")
    sample_["depth"][:8] = 1.0  # wrong by a factor of ten, outside the crop
    inside = Protocol("lower half", 1e-3, 80.0, "garg")
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[8:] = True
    object.__setattr__(inside, "mask", lambda height, width: mask)
    scores = score_metres(model(), [sample_], protocol=inside, flip=False)
    assert scores.routed.mean()["abs_rel"] == pytest.approx(0, abs=1e-6)


def test_a_relative_model_is_refused():
    with pytest.raises(ValueError, match="inverse depth, which has no unit"):
        score_metres(model("disparity"), [], protocol=find_protocol("nyu"))


def test_a_stock_metric_model_is_scored_too():
    stock = tiny.stock_model(tiny.stock_config(depth_estimation_type="metric", max_depth=10))
    wrapped = DepthModel(stock, Preprocessing(size=48, multiple=8), "depth")
    scores = score_metres(wrapped, [sample(90, 9, 3.0, "near", 64)], protocol=find_protocol("none"))
    assert 0 < scores.routed.mean()["rmse"] < 10
    assert not scores.confusion
