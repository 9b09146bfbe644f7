"""Measures of maps and captions against values worked out by hand."""

import math

import pytest
import torch

from semidepth.data.modalities.loading import ModalitySample, modality_samples
from semidepth.data.source_spec import parse_sources
from semidepth.evaluation.any_to_any.matrix import floor_maps, score_floors
from semidepth.evaluation.any_to_any.measures import (
    Scores,
    caption_errors,
    class_scores,
    confusion,
    depth_errors,
    image_errors,
    is_readable,
    mean_of,
    normal_errors,
    standard_error,
)
from semidepth.prediction.any_to_any.model import fit_map


def test_captions_of_ones_own_have_no_facts_to_compare():
    row = next(iter(modality_samples(parse_sources(["scenes:indoor?count=1"]), 16)))
    assert is_readable(row["caption"])
    assert not is_readable("a photo of my kitchen")


def test_depth_by_hand():
    truth = torch.tensor([[1.0, 2.0], [math.inf, math.nan]])
    found = depth_errors(torch.tensor([[1.1, 3.0], [math.inf, 5.0]]), truth)
    assert found["abs_rel"] == pytest.approx((0.1 + 0.5) / 2, rel=1e-5)
    assert found["rmse"] == pytest.approx(math.sqrt((0.01 + 1) / 2), rel=1e-5)
    assert found["delta1"] == 0.5
    assert found["sky"] == 1.0
    # Sky on a surface is taken for the farthest surface that is predicted, 3 m.
    assert depth_errors(torch.tensor([[math.inf, 3.0], [1.0, 1.0]]), truth)["abs_rel"] == pytest.approx(1.25)


def test_normals_by_hand():
    truth = torch.zeros(3, 1, 3)
    truth[2] = 1
    truth[:, 0, 2] = math.nan
    turned = torch.zeros(3, 1, 3)
    turned[2, 0, 0] = 1
    turned[0, 0, 1], turned[2, 0, 1] = math.sin(math.radians(25)), math.cos(math.radians(25))
    found = normal_errors(turned, truth)
    assert found["angle_deg"] == pytest.approx(12.5, abs=0.05)
    assert (found["within_11.25"], found["within_22.5"], found["within_30"]) == (0.5, 0.5, 1.0)


def test_classes_by_hand():
    counts = confusion(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, -1]), 3)
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert class_scores(counts) == {"accuracy": pytest.approx(2 / 3), "miou": pytest.approx((1 / 2 + 1 / 2) / 2)}


def test_pictures_by_hand():
    picture = torch.zeros(3, 4, 4)
    picture[:, :, 2:] = 1.0
    found = image_errors(picture * 0.9, picture)
    assert found["psnr"] == pytest.approx(-10 * math.log10(0.01 / 2), rel=1e-4)
    assert found["edges"] == pytest.approx(1.0, abs=1e-5)


def test_captions_are_compared_by_facts():
    truth = (
        "a room with a table and two chairs; the nearest thing is a chair, 1.5 m away; the largest, a table, is in the "
        "middle"
    )
    guess = "a room with a table; the nearest thing is a table, 1.5 m away; the largest, a table, is on the left"
    assert caption_errors(truth, truth) == dict.fromkeys(("domain", "things_f1", "nearest", "distance"), 1.0)
    found = caption_errors(guess, truth)
    assert found == {"domain": 1.0, "things_f1": pytest.approx(2 / 3), "nearest": 0.0, "distance": 1.0}
    assert set(caption_errors("a room with with", truth).values()) == {0.0}


def test_means_leave_out_what_is_not_known():
    assert mean_of([1.0, math.nan, 3.0]) == 2.0
    assert standard_error([1.0, math.nan, 3.0]) == pytest.approx(math.sqrt(2 / 2))
    assert math.isnan(standard_error([1.0]))


def sample(domain: str, metres: float, number: int) -> ModalitySample:
    return ModalitySample(
        image=torch.full((3, 4, 4), 10 * number, dtype=torch.uint8), depth=torch.full((4, 4), metres),
        normal=torch.full((3, 4, 4), math.nan), semantic=torch.full((4, 4), number), caption="",
        domain=domain, origin="",
    )  # fmt: skip


def test_floors_are_typical_maps_of_all_and_of_a_domain():
    known = [sample("a", 1.0, 0), sample("a", 3.0, 0), sample("a", 2.0, 1), sample("b", math.inf, 2)]
    maps = floor_maps(known, "depth", 0)
    assert maps["a"][0, 0] == 2.0
    assert maps["b"][0, 0] == math.inf
    assert floor_maps(known, "semantic", 3)["a"][0, 0] == 0
    assert floor_maps(known, "normal", 0) == {}
    scores = score_floors(known, [sample("a", 4.0, 0)], "depth")
    assert scores["domain"].means()["abs_rel"] == pytest.approx(0.5)


def test_scores_of_classes_are_over_all_pixels():
    found = Scores()
    found.add("semantic", torch.tensor([[0, 0]]), torch.tensor([[0, 0]]), 2)
    found.add("semantic", torch.tensor([[0, 0]]), torch.tensor([[1, 0]]), 2)
    assert found.means() == {"accuracy": 0.75, "miou": pytest.approx((3 / 4 + 0) / 2)}


def test_maps_are_fitted_by_the_nearest():
    values = torch.arange(16.0).reshape(1, 4, 4)
    assert fit_map(values, "depth", 2)[0].tolist() == [[5.0, 7.0], [13.0, 15.0]]
