"""The losses of JPEG against libjpeg's, and sizes halved and doubled against torch's."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from semidepth.media.effects.jpeg import jpeg
from semidepth.media.effects.resampling import double, halve


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
    maps = torch.rand(2, 3, 10, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(halve(maps), F.avg_pool2d(maps, 2))
    torch.testing.assert_close(double(maps), F.interpolate(maps, scale_factor=2, mode="bilinear"))
    single = torch.rand(1, 1, 1, 1)
    assert torch.equal(double(single), single.expand(1, 1, 2, 2))
