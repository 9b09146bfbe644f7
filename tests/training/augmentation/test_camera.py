"""Camera effects: JPEG against libjpeg, noise and blur against their statistics, and what is drawn."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from semidepth.training.augmentation.camera import (
    EFFECTS,
    CameraStrength,
    camera_effects,
    lose_resolution,
    shot_noise,
)
from semidepth.training.augmentation.depth_of_field import depth_of_field
from semidepth.training.augmentation.jpeg import jpeg
from semidepth.training.augmentation.resampling import double, halve

ALWAYS = CameraStrength(probability=1.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8: smooth colours with some noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + rng.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8)


def to_tensor(*pictures: np.ndarray) -> torch.Tensor:
    return torch.stack([torch.from_numpy(each).permute(2, 0, 1).float() / 255 for each in pictures])


@pytest.mark.parametrize("quality", [5, 20, 49, 50, 75, 90, 100])
@pytest.mark.parametrize("size", [(48, 64), (37, 51)])
def test_jpeg_loses_what_libjpeg_loses(quality, size):
    pixels = picture(quality, *size)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file)).astype(int)
    found = (jpeg(to_tensor(pixels), torch.tensor([float(quality)]))[0].permute(1, 2, 0) * 255).numpy()
    assert np.abs(found - found.round()).max() < 1e-3
    # Rounding of integers inside libjpeg aside, which at few levels tips some coefficients.
    lost = np.abs(pixels - expected).mean()
    assert np.abs(found - expected).mean() < max(0.25 * lost, 1.0)
    assert np.abs(found - pixels).mean() == pytest.approx(lost, rel=0.1)


def test_jpeg_takes_a_quality_for_each_image_and_any_order_of_memory():
    images = to_tensor(*(picture(seed, 40, 40) for seed in range(3)))
    quality = torch.tensor([10.0, 60.0, 95.0])
    together = jpeg(images, quality)
    alone = torch.cat([jpeg(images[i : i + 1], quality[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1 / 255 + 1e-6)
    assert (together != alone).float().mean() < 0.01
    assert torch.equal(jpeg(images.to(memory_format=torch.channels_last), quality), together)


def test_halving_and_doubling_are_torchs():
    maps = torch.rand(2, 3, 10, 14, generator=generator())
    torch.testing.assert_close(halve(maps), F.avg_pool2d(maps, 2))
    torch.testing.assert_close(double(maps), F.interpolate(maps, scale_factor=2, mode="bilinear"))
    single = torch.rand(1, 1, 1, 1)
    assert torch.equal(double(single), single.expand(1, 1, 2, 2))


def test_noise_has_the_variance_of_counted_photons():
    values = torch.tensor([0.1, 0.4, 0.8]).view(1, 3, 1, 1).expand(2, 3, 200, 200)
    photons = torch.tensor([100.0, 2500.0])
    noisy = shot_noise(values, photons, generator())
    torch.testing.assert_close(noisy.mean((2, 3)), values.mean((2, 3)), rtol=0.02, atol=0)
    torch.testing.assert_close(noisy.var((2, 3)), torch.tensor([0.1, 0.4, 0.8]) / photons[:, None], rtol=0.05, atol=0)
    assert torch.equal(shot_noise(torch.zeros(1, 3, 4, 4), photons[:1], generator()), torch.zeros(1, 3, 4, 4))


def test_resolution_is_lost():
    image = torch.rand(3, 40, 60, generator=generator())
    assert torch.allclose(lose_resolution(image, 1.0), image, atol=1e-6)
    flat = torch.full((3, 40, 60), 0.3)
    assert torch.allclose(lose_resolution(flat, 0.3), flat)
    lost = lose_resolution(image, 0.25)
    assert lost.shape == image.shape
    assert lost.std() < 0.4 * image.std()
    assert lost.mean().item() == pytest.approx(image.mean().item(), abs=0.01)


def two_halves(side: int = 64) -> torch.Tensor:
    """Inverse depth: the right half is near."""
    disparity = torch.zeros(1, side, side)
    disparity[:, :, side // 2 :] = 5.0
    return disparity


def blur(images, disparity, radius_px, focus):
    radius, place = (torch.full((len(images),), value) for value in (radius_px, focus))
    return depth_of_field(images, disparity, radius, place, largest_px=radius_px)


@pytest.mark.parametrize("radius_px", [2.0, 4.0, 8.0])
def test_a_point_out_of_focus_becomes_a_disc_of_its_size(radius_px):
    disparity, variances = two_halves(96), []
    for place in range(20, 28):  # against the grid of the pyramid
        images = torch.zeros(1, 3, 96, 96)
        images[:, :, place + 20, place] = 1.0
        spot = blur(images, disparity, radius_px, 1.0)[0, 0]
        assert spot.sum().item() == pytest.approx(1.0, abs=0.05)
        columns = torch.arange(96.0)
        mean = (spot.sum(0) * columns).sum() / spot.sum()
        variances.append(((spot.sum(0) * (columns - mean).square()).sum() / spot.sum()).item())
    assert np.sqrt(np.mean(variances)) == pytest.approx(radius_px / 2, rel=0.25)


def test_what_is_in_focus_stays_sharp_and_near_blur_reaches_over_its_outline():
    images, disparity = torch.rand(1, 3, 64, 64, generator=generator()), two_halves()
    far_blurred = blur(images, disparity, 4.0, 1.0)
    assert torch.equal(far_blurred[..., 40:], images[..., 40:])
    assert far_blurred[..., :28].std() < 0.4 * images[..., :28].std()
    near_blurred = blur(images, disparity, 4.0, 0.0)
    assert near_blurred[..., 36:].std() < 0.4 * images[..., 36:].std()
    assert torch.equal(near_blurred[..., :12], images[..., :12])
    reached = (near_blurred - images)[..., 28:32].abs().mean()
    assert reached > 0.1
    assert reached > 3 * (far_blurred - images)[..., 32:36].abs().mean()  # the far blur does not reach over the near
    assert torch.equal(blur(images, disparity, 0.0, 0.3), images)


def test_affine_scale_of_the_inverse_depth_does_not_matter():
    images, disparity = torch.rand(1, 3, 40, 40, generator=generator(1)), torch.rand(1, 40, 40, generator=generator(2))
    expected = blur(images, disparity, 3.0, 0.4)
    torch.testing.assert_close(blur(images, 7 * disparity - 2, 3.0, 0.4), expected, rtol=1e-4, atol=1e-5)


def test_unknown_depth_is_guessed_and_sparse_depth_leaves_the_image():
    images, disparity = torch.rand(2, 3, 64, 64, generator=generator()), two_halves().repeat(2, 1, 1)
    disparity[0][torch.rand(64, 64, generator=generator(1)) < 0.3] = torch.nan
    disparity[1][torch.rand(64, 64, generator=generator(2)) < 0.9] = torch.nan
    found = blur(images, disparity, 4.0, 1.0)
    assert found.isfinite().all()
    assert found[0, ..., :28].std() < 0.4 * images[0, ..., :28].std()
    assert torch.equal(found[1], images[1])
    assert torch.equal(blur(images, torch.full((2, 64, 64), torch.nan), 4.0, 1.0), images)


def test_each_effect_hits_its_share_of_the_images_and_no_other():
    images, disparity = torch.rand(200, 3, 40, 40, generator=generator()), torch.rand(200, 40, 40)
    kept = images.clone()
    strength = CameraStrength(probability=0.3, depth_of_field_share=0.1)
    hit = {}
    for effect in EFFECTS:
        found = camera_effects(images, disparity, [effect], generator(3), strength)
        assert found.min() >= 0
        assert found.max() <= 1
        hit[effect] = (found != images).flatten(1).any(1)
        # Of depth of field, radii below a pixel change nothing.
        assert (0.1 if effect == "depth_of_field" else 0.2) < hit[effect].float().mean() < 0.4, effect
    assert torch.equal(images, kept)
    both = camera_effects(images, disparity, ["jpeg", "shot_noise"], generator(3), strength)
    assert torch.equal((both != images).flatten(1).any(1), hit["jpeg"] | hit["shot_noise"])
    assert not torch.equal(hit["jpeg"], hit["shot_noise"])
    assert torch.equal(camera_effects(images, disparity, [], generator(3), strength), images)


def test_a_seed_gives_the_same_and_effects_do_not_change_what_else_is_drawn():
    images, disparity = torch.rand(4, 3, 16, 16, generator=generator()), torch.rand(4, 16, 16, generator=generator(1))
    states = []
    for effects in ([], ["jpeg"], list(EFFECTS), list(EFFECTS)):
        drawing = generator(5)
        found = camera_effects(images, disparity, effects, drawing, ALWAYS)
        states.append(drawing.get_state())
    assert all(torch.equal(state, states[0]) for state in states)
    assert torch.equal(found, camera_effects(images, disparity, EFFECTS, generator(5), ALWAYS))
    assert not torch.equal(found, camera_effects(images, disparity, EFFECTS, generator(6), ALWAYS))


def test_number_format_stays():
    images = torch.rand(2, 3, 16, 16, generator=generator()).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = camera_effects(images, torch.rand(2, 16, 16), EFFECTS, generator(), ALWAYS)
    assert found.dtype == torch.bfloat16
    assert found.shape == images.shape


def test_wrong_arguments_are_refused():
    images, disparity = torch.rand(1, 3, 8, 8), torch.rand(1, 8, 8)
    with pytest.raises(ValueError, match="effect 'fog' is not known"):
        camera_effects(images, disparity, ["fog"], generator())
    with pytest.raises(ValueError, match="floating point"):
        camera_effects(images.byte(), disparity, ["jpeg"], generator())
    for field, value in (
        ("probability", 1.5), ("depth_of_field_share", 0.5), ("photons", (0.0, 1.0)), ("blur_share", (0.5, 2.0)),
        ("jpeg_quality", (0.5, 90.0)), ("jpeg_quality", (90.0, 20.0)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=field):
            CameraStrength(**{field: value})
