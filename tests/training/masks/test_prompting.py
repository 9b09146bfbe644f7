"""Prompts drawn for training: where they may lie, how evenly, and that the same generator draws the same."""

import pytest
import torch

from semidepth.training.recipes.masks.prompting import (
    NO_POINT,
    OFF,
    ON,
    BoxNoise,
    boxes_round,
    first_prompts,
    next_points,
    noisy_boxes,
    random_points,
)
from semidepth.training.recipes.masks.rounds import RoundSettings


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pixel(points):
    """Points as (row, column) of the pixels they are in."""
    assert torch.equal(points % 1, torch.full_like(points, 0.5))  # pixel centres
    return points.long().flip(-1)


def blobs(*rectangles, size=(20, 30)):
    masks = torch.zeros(len(rectangles), *size, dtype=torch.bool)
    for mask, (top, bottom, left, right) in zip(masks, rectangles, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def test_a_point_is_anywhere_in_its_region_as_likely_as_anywhere_else():
    region = torch.zeros(3, 4, dtype=torch.bool)
    pixels = [(0, 3), (1, 0), (2, 3)]  # first and last pixels of rows, and the last of all
    for row, column in pixels:
        region[row, column] = True
    points, there = random_points(region.expand(3000, 3, 4), seeded())
    assert there.all()
    found = [tuple(place) for place in pixel(points).tolist()]
    assert set(found) == set(pixels)
    assert all(900 < found.count(place) < 1100 for place in pixels)  # 5 sigma are 129


def test_an_empty_region_has_no_point():
    regions = blobs((0, 0, 0, 0), (19, 20, 29, 30))
    points, there = random_points(regions, seeded())
    assert there.tolist() == [False, True]
    assert points[1].tolist() == [29.5, 19.5]


def test_a_click_never_lands_on_a_pixel_that_is_right():
    truth = blobs((2, 10, 2, 10), (5, 15, 5, 25)).repeat(200, 1, 1)
    answer = blobs((4, 12, 2, 10), (5, 15, 15, 30)).repeat(200, 1, 1)
    points, labels = next_points(answer, truth, seeded())
    rows, columns = pixel(points).unbind(1)
    index = torch.arange(len(truth))
    wanted, given = truth[index, rows, columns], answer[index, rows, columns]
    assert (wanted != given).all()
    assert torch.equal(labels == ON, wanted)
    assert set(labels.tolist()) == {ON, OFF}


def test_a_perfect_answer_gets_a_click_on_the_object_and_padding_none():
    truth = blobs((2, 10, 2, 10), (0, 0, 0, 0)).repeat(50, 1, 1)
    answer = truth.clone()
    answer[1::2, :3] = True  # something is answered where there is no object
    points, labels = next_points(answer, truth, seeded())
    assert (labels[::2] == ON).all()
    assert (labels[1::2] == NO_POINT).all()
    rows, columns = pixel(points)[::2].unbind(1)
    assert truth[::2][torch.arange(50), rows, columns].all()


def test_some_clicks_are_drawn_from_the_object_not_the_error():
    truth, answer = blobs((0, 10, 0, 10)).repeat(400, 1, 1), blobs((0, 10, 0, 5)).repeat(400, 1, 1)
    points, labels = next_points(answer, truth, seeded(), from_mask_share=0.5)
    assert (labels == ON).all()
    right = (pixel(points)[:, 1] < 5).float().mean()  # on what was right already: half of the half
    assert 0.15 < right < 0.35


def test_boxes_enclose_whole_pixels():
    assert boxes_round(blobs((2, 10, 3, 7), (19, 20, 29, 30), (0, 0, 0, 0))).tolist() == [
        [3, 2, 7, 10], [29, 19, 30, 20], [0, 0, 0, 0],
    ]  # fmt: skip


def test_noise_on_boxes_is_as_wide_as_asked_and_bounded():
    masks = blobs((40, 140, 40, 90), size=(200, 400)).repeat(4000, 1, 1)  # 50 wide, 100 high
    exact = boxes_round(masks)
    off = noisy_boxes(masks, seeded(), BoxNoise(0.1, 1000.0)) - exact
    for side, deviation in enumerate((5.0, 10.0, 5.0, 10.0)):
        assert off[:, side].std().item() == pytest.approx(deviation, rel=0.05)
        assert abs(off[:, side].mean().item()) < 0.6
    assert (noisy_boxes(masks, seeded(), BoxNoise(0.1, 3.0)) - exact).abs().max() <= 3.0
    assert torch.equal(noisy_boxes(masks, seeded(), BoxNoise(0.0)), exact)


def test_noisy_boxes_stay_in_the_image_and_keep_their_order():
    masks = blobs((0, 20, 0, 30), (0, 1, 0, 1), (19, 20, 29, 30), (0, 0, 0, 0)).repeat(500, 1, 1)
    boxes = noisy_boxes(masks, seeded(), BoxNoise(2.0, 20.0)).unflatten(0, (500, 4))
    assert boxes[:, 3].isnan().all()
    left, top, right, bottom = boxes[:, :3].flatten(0, 1).unbind(1)
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= 30
    assert bottom.max() <= 20
    assert (right - left).min() >= 0.999
    assert (bottom - top).min() >= 0.999


def test_steps_begin_with_boxes_as_often_as_asked_and_points_lie_on_their_objects():
    masks, generator = blobs((2, 10, 3, 7), (5, 15, 5, 25), (0, 0, 0, 0)), seeded()
    boxed = 0
    for _ in range(300):
        prompts = first_prompts(masks, generator, box_share=0.25, noise=BoxNoise())
        boxed += prompts.boxes is not None
        if prompts.boxes is None:
            assert prompts.labels[:, 0].tolist() == [ON, ON, NO_POINT]
            rows, columns = pixel(prompts.points[:2, 0]).unbind(1)
            assert masks[torch.arange(2), rows, columns].all()
        else:
            assert prompts.points.shape == (3, 0, 2)
    assert 45 < boxed < 105


def test_the_same_generator_draws_the_same():
    truth, answer = blobs((2, 10, 2, 10), (5, 15, 5, 25)), blobs((4, 12, 2, 10), (5, 15, 15, 30))
    twice = [next_points(answer, truth, seeded(7))[0] for _ in range(2)]
    assert torch.equal(*twice)
    # An object's click does not depend on what the others are.
    alone = next_points(torch.stack([answer[0], truth[1]]), truth, seeded(7))[0]
    assert torch.equal(alone[0], twice[0][0])


def test_rounds_without_a_point_are_the_last_and_others():
    """The paper's 11 rounds: the first, 8 points, one without anywhere, and a last one without."""
    settings, generator = RoundSettings(), seeded()
    places = set()
    for _ in range(200):
        rounds = settings.draw(generator)
        assert len(rounds) == 11
        assert rounds.count(False) == 2
        assert rounds[0]
        assert not rounds[-1]
        places.add(rounds.index(False))
    assert places == set(range(1, 10))
    counts = {len(RoundSettings(4, True, 0).draw(generator)) for _ in range(100)}
    assert counts == {1, 2, 3, 4}
    assert all(RoundSettings(4, True, 0).draw(generator))
