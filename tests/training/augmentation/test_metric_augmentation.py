"""The augmentation of metric training: labels turn with their pixels, light changes within its bounds."""

import math

import pytest
import torch

from semidepth.training.augmentation.metric import MetricAugmentation, augment_metric, rotate


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sample(batch=4, size=32):
    ramp = torch.linspace(0.2, 0.8, size)
    image = torch.stack(
        [ramp[None].expand(size, size), ramp[:, None].expand(size, size), torch.full((size, size), 0.5)]
    )
    images = image.expand(batch, 3, size, size).clone()
    return images, images[:, 0] * 10


def test_a_quarter_turn_moves_pixels_and_labels_alike():
    """By 90 degrees the picture is the one that torch.rot90 gives."""
    images, depth = sample(1, 16)
    turned, labels = rotate(images, depth[:, None], torch.tensor([math.pi / 2]))
    expected = torch.rot90(images, 1, (2, 3))
    assert torch.allclose(turned, expected, atol=1e-4)
    assert torch.allclose(labels, expected[:, 0] * 10, atol=1e-3)


def test_a_turn_on_a_wide_image_keeps_shapes_square():
    """A disc of labels stays a disc: its size does not change, whatever the image's aspect."""
    rows, columns = torch.meshgrid(torch.arange(60) - 29.5, torch.arange(120) - 59.5, indexing="ij")
    disc = ((rows**2 + columns**2) < 20**2).float()[None]
    images = disc[:, None].expand(1, 3, 60, 120)
    _, turned = rotate(images, disc[:, None], torch.tensor([0.6]))
    assert (turned != disc).float().mean() < 0.02


def test_unknown_stays_unknown_and_nothing_is_made_up():
    images, depth = sample(8)
    depth[:, :4], depth[:, 4:8, :4], depth[:, 8, 8] = torch.nan, torch.inf, 0
    known = set(depth[depth.isfinite()].tolist())
    _, labels = augment_metric(
        images, depth, [0.25] * 8, generator(), MetricAugmentation(rotation_deg=5, probability=1)
    )
    assert labels.isfinite().all()
    assert set(labels.unique().tolist()) <= known | {0.0}
    assert (labels == 0).float().mean() > 0.1


def test_light_changes_within_its_bounds_and_only_where_drawn():
    images = torch.full((64, 3, 4, 4), 0.5)
    depth = torch.ones(64, 4, 4)
    config = MetricAugmentation(rotation_deg=0, probability=0.5)
    lit, labels = augment_metric(images, depth, [0.25] * 64, generator(), config)
    assert torch.equal(labels, depth)
    changed = (lit != images).flatten(1).any(1)
    assert 16 < changed.sum() < 48
    assert torch.equal(lit[~changed], images[~changed])
    assert lit.max() <= 0.5**0.9 * 1.25 * 1.1 + 1e-6
    assert lit.min() >= 0.5**1.1 * 0.75 * 0.9 - 1e-6
    again, _ = augment_metric(images, depth, [0.25] * 64, generator(), config)
    assert torch.equal(again, lit)


def test_strength_zero_changes_nothing():
    images, depth = sample()
    config = MetricAugmentation(rotation_deg=0, gamma=0, color=0)
    same, labels = augment_metric(images, depth, [0.0] * 4, generator(), config)
    assert torch.allclose(same, images)
    assert torch.equal(labels, depth)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rotation_deg": 90}, "from 0 to 45"), ({"gamma": 1}, "below 1"), ({"color": -0.1}, "at least 0"),
        ({"probability": 2}, "from 0 to 1"),
    ],
)  # fmt: skip
def test_strengths_out_of_range_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        MetricAugmentation(**fields)


def test_as_many_brightness_values_as_images():
    images, depth = sample()
    with pytest.raises(ValueError, match="1 brightness values came for 4 images"):
        augment_metric(images, depth, [0.1], generator(), MetricAugmentation())
