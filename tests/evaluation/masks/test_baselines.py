"""Baselines on pictures whose answers are known, and their tuning."""

import numpy as np
import pytest

from semidepth.evaluation.masks.annotator import Clicks, first_clicks
from semidepth.evaluation.masks.baselines import FilledBox, FloodFill, Superpixels, boxes_of, tune
from semidepth.evaluation.masks.metrics import mask_iou


def square(top, bottom, left, right, size=(40, 50)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def picture(*masks, colors=((200, 40, 40), (40, 200, 40)), size=(40, 50)):
    image = np.full((*size, 3), 90, np.uint8)
    for mask, color in zip(masks, colors, strict=False):
        image[mask] = color
    return image


def clicked(*points):
    """Clicks on one object: (x, y, positive)."""
    return Clicks(np.array([[point[:2] for point in points]], np.float32), np.array([[point[2] for point in points]]))


ONE, TWO = square(5, 15, 5, 15), square(20, 35, 20, 45)


def test_a_box_is_filled_and_exact_for_a_rectangle():
    box = FilledBox()
    box.look(picture(ONE, TWO))
    targets = np.stack([ONE, TWO])
    assert boxes_of(targets).tolist() == [[5, 5, 15, 15], [20, 20, 45, 35]]
    answer = box.box(boxes_of(targets))
    assert np.array_equal(answer.masks[:, 0], targets)
    assert answer.best().tolist() == [0, 0]
    round_one = np.hypot(*np.mgrid[-10:10, -10:10] + 0.5) < 10
    box.look(np.zeros((20, 20, 3), np.uint8))
    filled = box.box(boxes_of(round_one[None])).masks[0, 0]
    assert mask_iou(filled, round_one) == pytest.approx(np.pi / 4, abs=0.02)


def test_flood_fill_stays_in_what_hangs_together():
    fill = FloodFill(40, 10)
    apart = square(20, 30, 20, 30)
    fill.look(picture(ONE, apart, colors=((200, 40, 40), (200, 40, 40))))  # the same colour, not connected
    both = fill.click(clicked((7.5, 7.5, True), (25.5, 25.5, True)), np.arange(1)).masks[0, 0]
    assert np.array_equal(both, ONE | apart)
    one = fill.click(clicked((7.5, 7.5, True)), np.arange(1)).masks[0, 0]
    assert np.array_equal(one, ONE)
    without = fill.click(clicked((7.5, 7.5, True), (25.5, 25.5, True), (26.5, 25.5, False)), np.arange(1)).masks[0, 0]
    assert np.array_equal(without, ONE)


def test_tolerance_is_per_channel_and_counts_from_the_clicked_pixel():
    image = np.zeros((4, 30, 3), np.uint8)
    image[:, :, 1] = np.arange(30) * 4  # a slope
    fill = FloodFill(40, 12)
    fill.look(image)
    assert fill.region(10, 1).nonzero()[1].tolist()[:7] == [7, 8, 9, 10, 11, 12, 13]


def test_superpixels_are_the_flat_parts_of_a_flat_picture():
    pytest.importorskip("skimage", reason="scikit-image is in the extra masks")
    targets = np.stack([ONE, TWO]).repeat(4, 1).repeat(4, 2)
    superpixels = Superpixels(160, scale=100, sigma=0.5)
    superpixels.look(picture(*targets, size=(160, 200)))
    answer = superpixels.click(first_clicks(targets), np.arange(2))
    assert (mask_iou(answer.masks[:, 0], targets) > 0.75).all()  # the blur makes superpixels of the rims
    assert superpixels.box(boxes_of(targets)) is None


def test_large_images_are_seen_small_and_answered_at_their_own_size():
    targets = np.stack([ONE, TWO]).repeat(8, 1).repeat(8, 2)
    fill = FloodFill(40, 10)
    fill.look(picture(*targets, size=(320, 400)))
    assert fill._image.shape[:2] == (40, 50)
    assert np.array_equal(fill.click(first_clicks(targets), np.arange(2)).masks[:, 0], targets)


def test_tuning_takes_the_setting_that_is_best_at_the_first_click():
    """Noise of 15 within the objects, and a step of 30 round them: 15 is the only tolerance that fits."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-7, 8, (40, 50, 1))
    image = (picture(ONE, colors=((120, 120, 120),)).astype(int) + noise).clip(0, 255).astype(np.uint8)
    found = tune(
        FloodFill, {"tolerance": (2, 15, 60)}, [(image, ONE[None]), (image, np.zeros((0, 40, 50), bool))], side=40
    )
    assert found.settings == {"tolerance": 15}
    assert found.iou == 1.0
    with pytest.raises(ValueError, match="no object"):
        tune(FloodFill, {"tolerance": (2,)}, [(image, np.zeros((0, 40, 50), bool))], side=40)
