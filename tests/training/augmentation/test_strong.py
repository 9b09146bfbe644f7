"""The strong perturbation against torchvision, one image at a time, and the statistics of what is drawn."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from semidepth.training.augmentation import batches
from semidepth.training.augmentation.strong import (
    StrongAugmentation,
    apply_cutmix,
    cutmix_masks,
    distort_colors,
)

OFF = {"jitter_probability": 0.0, "grayscale_probability": 0.0, "blur_probability": 0.0}


def images(seed: int, batch: int = 6, height: int = 40, width: int = 31) -> torch.Tensor:
    """Random colours, with grey, black, white, saturated and two-equal-channel pixels among them."""
    result = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))
    corners = torch.tensor([[r, g, b] for r in (0.0, 0.5, 1.0) for g in (0.0, 0.5, 1.0) for b in (0.0, 0.5, 1.0)])
    result[:, :, 0, :27] = corners.T
    return result


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_all_off_changes_nothing():
    batch = images(2)
    assert torch.equal(distort_colors(batch, generator(0), StrongAugmentation(**OFF)), batch)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_jitter_equals_torchvision_with_the_same_draws(seed):
    # The draws that the docstring states: 3 x B chances, 5 x B strengths, 4 for the order.
    batch, config = images(seed), StrongAugmentation()
    source = generator(seed)
    chance = torch.rand(3, 6, generator=source)
    strength = torch.rand(5, 6, generator=source)
    order = torch.rand(4, generator=source).argsort().tolist()
    expected = []
    for i, image in enumerate(batch):
        brightness, contrast, saturation = (0.5 + strength[:3, i]).tolist()
        hue, sigma = -0.25 + 0.5 * strength[3, i].item(), 0.1 + 1.9 * strength[4, i].item()
        steps = (
            lambda x, f=brightness: TF.adjust_brightness(x, f),
            lambda x, f=contrast: TF.adjust_contrast(x, f),
            lambda x, f=saturation: TF.adjust_saturation(x, f),
            lambda x, f=hue: TF.adjust_hue(x, f),
        )
        if chance[0, i] < 0.8:
            for step in order:
                image = steps[step](image)
        if chance[1, i] < 0.2:
            image = TF.rgb_to_grayscale(image, num_output_channels=3)
        if chance[2, i] < 0.5:
            image = TF.gaussian_blur(image, [13, 13], [sigma, sigma])
        expected.append(image)
    result = distort_colors(batch, generator(seed), config)
    torch.testing.assert_close(result, torch.stack(expected), rtol=0, atol=2e-5)


def test_seed_decides_and_the_input_stays():
    batch, config = images(3), StrongAugmentation()
    before = batch.clone()
    first = distort_colors(batch, generator(5), config)
    assert torch.equal(first, distort_colors(batch, generator(5), config))
    assert not torch.equal(first, distort_colors(batch, generator(6), config))
    assert torch.equal(batch, before)
    assert first.min() >= 0
    assert first.max() <= 1
    # The number of draws does not depend on what they decide.
    a, b = generator(5), generator(5)
    distort_colors(batch, a, config)
    distort_colors(batch, b, StrongAugmentation(**OFF))
    assert torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=b))


def test_cpu_groups_change_nothing(monkeypatch):
    batch, config = images(4), StrongAugmentation()
    whole = distort_colors(batch, generator(7), config)
    monkeypatch.setattr(batches, "CPU_GROUP_VALUES", 1)
    torch.testing.assert_close(distort_colors(batch, generator(7), config), whole, rtol=0, atol=1e-6)


def test_probabilities_hold():
    batch = images(5, batch=1, height=8, width=30).expand(2000, -1, -1, -1)
    for name, probability in (
        ("jitter_probability", 0.8),
        ("grayscale_probability", 0.2),
        ("blur_probability", 0.5),
    ):
        result = distort_colors(batch, generator(8), StrongAugmentation(**{**OFF, name: probability}))
        share = (result != batch).flatten(1).any(1).double().mean().item()
        assert share == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / 2000))
    grey = distort_colors(batch[:5], generator(9), StrongAugmentation(**{**OFF, "grayscale_probability": 1.0}))
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert torch.equal(grey[:, 0], grey[:, 2])


def test_half_precision_and_autocast():
    batch, config = images(6), StrongAugmentation()
    plain = distort_colors(batch, generator(10), config)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(distort_colors(batch, generator(10), config), plain)
    half = distort_colors(batch.bfloat16(), generator(10), config)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), plain, rtol=0, atol=0.03)  # 8 bits in, up to 1.5^3 times as far apart


def test_images_smaller_than_the_blur():
    result = distort_colors(images(7)[:, :, 1:4, :5], generator(11), StrongAugmentation(blur_probability=1.0))
    assert result.isfinite().all()


def boxes(masks: torch.Tensor) -> list[tuple[int, int, int, int]]:
    """Top, left, height, width of each box, after checking that it is one full rectangle."""
    found = []
    for mask in masks:
        rows, columns = (~mask).nonzero(as_tuple=True)
        if len(rows) == 0:
            continue
        top, bottom = rows.min().item(), rows.max().item() + 1
        left, right = columns.min().item(), columns.max().item() + 1
        assert len(rows) == (bottom - top) * (right - left)
        found.append((top, left, bottom - top, right - left))
    return found


@pytest.mark.parametrize(("height", "width"), [(96, 96), (60, 120), (128, 32)])
def test_cutmix_boxes(height, width):
    masks = cutmix_masks(2000, height, width, generator(12), StrongAugmentation())
    assert masks.dtype == torch.bool
    found = boxes(masks)
    assert len(found) / 2000 == pytest.approx(0.5, abs=0.045)
    area = np.array([h * w / (height * width) for _, _, h, w in found])
    assert area.min() > 0.015
    assert area.max() < 0.42
    assert area.mean() == pytest.approx(0.21, abs=0.015)  # uniform between .02 and .4
    top, left, h, w = np.array(found).T
    # Uniform over the places where the box fits: half-way on average, both borders reached.
    assert ((top + 0.5) / (height - h + 1)).mean() == pytest.approx(0.5, abs=0.05)
    assert ((left + 0.5) / (width - w + 1)).mean() == pytest.approx(0.5, abs=0.05)
    assert top.min() == left.min() == 0
    assert (top + h).max() == height
    assert (left + w).max() == width
    if height == width:
        # No aspect in [.3, 1/.3] needs pulling for boxes under .3 of a square, up to rounding to pixels.
        ratio = (h / w)[area < 0.3]
        assert 0.25 < ratio.min() < 0.4
        assert 2.8 < ratio.max() < 4


def test_cutmix_probability_zero_and_one():
    assert cutmix_masks(50, 32, 32, generator(13), StrongAugmentation(cutmix_probability=0.0)).all()
    masks = cutmix_masks(50, 32, 32, generator(13), StrongAugmentation(cutmix_probability=1.0))
    assert len(boxes(masks)) == 50
    assert torch.equal(masks, cutmix_masks(50, 32, 32, generator(13), StrongAugmentation(cutmix_probability=1.0)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_apply_cutmix_pastes_the_partner(dtype):
    batch = (255 * images(8)).to(dtype)
    masks = cutmix_masks(6, 40, 31, generator(14), StrongAugmentation(cutmix_probability=0.8))
    mixed, partner = apply_cutmix(batch, masks)
    assert mixed.dtype == dtype
    assert partner.tolist() == [5, 0, 1, 2, 3, 4]
    for i in range(6):
        for row in range(40):
            for column in range(31):
                source = batch[i] if masks[i, row, column] else batch[i - 1]
                assert torch.equal(mixed[i, :, row, column], source[:, row, column])


def test_a_batch_of_one_mixes_with_itself():
    batch = images(9)[:1]
    mixed, partner = apply_cutmix(
        batch, cutmix_masks(1, 40, 31, generator(15), StrongAugmentation(cutmix_probability=1.0))
    )
    assert torch.equal(mixed, batch)
    assert partner.tolist() == [0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"brightness": -0.1},
        {"hue": 0.6},
        {"blur_probability": 1.5},
        {"cutmix_probability": -0.5},
        {"blur_sigma_px": (2.0, 0.1)},
        {"blur_sigma_px": (0.0, 1.0)},
        {"cutmix_area": (0.1, 1.2)},
        {"cutmix_aspect": (0.0, 1.0)},
    ],
)
def test_wrong_strengths_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StrongAugmentation(**wrong)


def test_wrong_arguments_are_refused():
    batch, config = images(10), StrongAugmentation()
    with pytest.raises(ValueError, match="uint8"):
        distort_colors((255 * batch).byte(), generator(0), config)
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        distort_colors(batch[:, :1], generator(0), config)
    with pytest.raises(ValueError, match="bool masks"):
        apply_cutmix(batch, torch.ones(6, 40, 30, dtype=torch.bool))
    with pytest.raises(ValueError, match="bool masks"):
        apply_cutmix(batch, torch.ones(6, 40, 31))
