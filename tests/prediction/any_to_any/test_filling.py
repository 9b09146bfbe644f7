"""Filling in of scattered depth against values worked out by hand."""

import pytest
import torch

from semidepth.evaluation.any_to_any.completion import name_of, score_completion
from semidepth.prediction.any_to_any import filling
from semidepth.prediction.any_to_any.filling import (
    Neighbours,
    bend_to_known,
    choose_known,
    fill_bilateral,
    fill_nearest,
    scale_to_known,
)


def known_of(places: dict[tuple[int, int], float], side: int = 8) -> torch.Tensor:
    known = torch.full((side, side), torch.nan)
    for place, value in places.items():
        known[place] = value
    return known


def test_each_pixel_takes_its_nearest():
    known = known_of({(0, 0): 1.0, (7, 7): 4.0})
    found = fill_nearest(Neighbours(known.isfinite()), known)
    for row in range(8):
        for column in range(8):
            nearer = row**2 + column**2 < (7 - row) ** 2 + (7 - column) ** 2
            if row + column != 7:
                assert found[row, column] == (1.0 if nearer else 4.0)


def test_colour_decides_where_it_differs():
    """A pixel of the right colour counts although the other is closer."""
    known = known_of({(4, 0): 1.0, (4, 7): 9.0})
    image = torch.zeros(3, 8, 8)
    image[:, :, 2:] = 1.0
    found = fill_bilateral(Neighbours(known.isfinite()), known, image)
    assert found[4, 2] == pytest.approx(9.0, rel=1e-3)
    assert found[4, 1] == pytest.approx(1.0, rel=1e-3)


def test_a_map_of_another_scale_is_scaled_and_bent_through_what_is_known():
    generator = torch.Generator().manual_seed(0)
    truth = 1 + 5 * torch.rand(12, 12, generator=generator)
    known = choose_known(truth, 30, generator)
    around = Neighbours(known.isfinite())
    torch.testing.assert_close(scale_to_known(around, known, truth * 0.5), truth)
    torch.testing.assert_close(bend_to_known(known, truth * 0.5, torch.zeros(3, 12, 12)), truth)
    flat = bend_to_known(known, torch.ones(12, 12), torch.zeros(3, 12, 12))
    torch.testing.assert_close(flat, fill_bilateral(around, known, torch.zeros(3, 12, 12)))


def test_a_large_map_is_bent_on_a_small_grid_and_sky_stays():
    truth = (1 + torch.linspace(0, 1, 500))[:, None].repeat(1, 300)
    known = torch.full_like(truth, torch.nan)
    known[::3, ::3] = truth[::3, ::3]  # far more than are looked at
    wrong = truth * (0.5 + 0.2 * torch.linspace(0, 1, 300))
    wrong[:10] = torch.inf
    found = bend_to_known(known, wrong, None)
    assert found[:10].isinf().all()
    assert ((found[10:] - truth[10:]).abs() / truth[10:]).mean() < 0.01
    nothing = torch.full_like(truth, torch.nan)
    assert torch.equal(bend_to_known(nothing, wrong, None), wrong)


def test_only_surfaces_are_known_and_as_many_as_asked():
    truth = torch.full((10, 10), 2.0)
    truth[:4], truth[4] = torch.inf, torch.nan
    generator = torch.Generator().manual_seed(0)
    known = choose_known(truth, 20, generator)
    assert known.isfinite().sum() == 20
    assert known[:5].isnan().all()
    assert choose_known(truth, 1000, generator).isfinite().sum() == 50


def test_the_tree_and_plain_distances_agree(monkeypatch):
    known = choose_known(torch.rand(20, 30), 40, torch.Generator().manual_seed(0))
    quick = Neighbours(known.isfinite())
    monkeypatch.setattr(filling, "find_spec", lambda name: None)
    plain = Neighbours(known.isfinite())
    torch.testing.assert_close(quick.distance, plain.distance)
    places = quick.places[quick.index].float()  # of equal distances either may come first
    pixels = torch.cartesian_prod(torch.arange(20.0), torch.arange(30.0))
    torch.testing.assert_close((places - pixels[:, None]).norm(dim=-1), plain.distance)


def test_nothing_known_is_refused():
    with pytest.raises(ValueError, match="no pixel"):
        Neighbours(torch.zeros(4, 4, dtype=torch.bool))


def test_a_right_metric_model_scores_nothing_but_its_scale():
    truth = torch.linspace(1, 4, 256).reshape(16, 16)
    sample = {"image": torch.zeros(3, 16, 16, dtype=torch.uint8), "depth": truth}
    found = score_completion([sample], [40, 0.5], made=None, metric=lambda image: truth * 3)
    assert list(found) == ["40 pixels", "50 %"]
    assert found["50 %"]["metric model, scaled"].means()["abs_rel"] == pytest.approx(0, abs=1e-5)
    nearest = {name: found[name]["nearest known pixel"].means()["abs_rel"] for name in found}
    assert nearest["50 %"] < nearest["40 pixels"]
    assert name_of(0.05) == "5 %"
