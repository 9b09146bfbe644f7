"""Noise and lost resolution against their statistics."""

import pytest
import torch

from semidepth.media.effects.sensor import lose_resolution, shot_noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
