"""Rays of the camera, and its effects on a grey card."""

import dataclasses

import numpy as np
import pytest
import torch

from semidepth.data.scenes.camera import photograph, pixel_rays
from semidepth.data.scenes.draws import Draws, uniform_table
from semidepth.data.scenes.layout import camera_axes
from semidepth.data.scenes.rooms import layout_rooms
from semidepth.data.scenes.styles import Look, draw_look

KEYS = torch.tensor([5, 6], dtype=torch.int32)


def neutral(**changed: torch.Tensor) -> Look:
    """Two cameras without any fault, aiming at a mean of 0.25."""
    table = uniform_table(0, 0, [0, 1], 1400)
    layout = layout_rooms(Draws(table[:, :320]))
    look = draw_look(Draws(table[:, 320:]), layout, np.array([False, False]), torch.device("cpu"))
    zero = torch.zeros(2)
    faults = {"gamma": zero, "contrast": zero, "vignette": zero, "blur": zero, "grain": zero}
    plain = {"mix": torch.eye(3).repeat(2, 1, 1), "exposure": torch.full((2,), 0.25)}
    return dataclasses.replace(look, **(faults | plain | changed))


def test_rays_span_the_field_of_view():
    axes = torch.from_numpy(camera_axes(*np.zeros((3, 1)))).float()
    pixel = torch.tensor([[2 * np.tan(np.radians(90) / 2) / 8]], dtype=torch.float32)
    x, y, z = (part.view(6, 8) for part in pixel_rays(axes, pixel, 6, 8, 0, 48))
    assert (z == 1).all()  # so that t is the z-depth
    # 90 degrees over 8 pixels: one metre to either side at one metre, 0.25 m a pixel, centres half a pixel in
    assert x[0].tolist() == pytest.approx([-0.875, -0.625, -0.375, -0.125, 0.125, 0.375, 0.625, 0.875])
    assert y[:, 0].tolist() == pytest.approx([0.625, 0.375, 0.125, -0.125, -0.375, -0.625])  # first row is on top
    part = pixel_rays(axes, pixel, 6, 8, 10, 20)
    assert torch.equal(part[0][0], x.flatten()[10:20])


def test_exposure_and_tone_by_hand():
    light = torch.full((2, 3, 16, 16), 0.7)
    light[1] = 0.01
    picture = photograph(light, neutral(), KEYS)
    assert picture.dtype == torch.uint8
    assert (picture[0].int() - 128).abs().max() <= 1  # sqrt(0.25) of 255, whatever the light was
    assert 60 <= picture[1].float().mean() <= 80  # the aim is out of reach: 8 x 0.01 at most, sqrt(0.08) = 0.28
    brighter = photograph(torch.full((2, 3, 16, 16), 0.7), neutral(gamma=torch.tensor([-0.4, 0.4])), KEYS)
    # y + g (y^2 - y) at y = 0.5
    assert brighter[:, 0, 0, 0].tolist() == pytest.approx([0.6 * 255, 0.4 * 255], abs=1)


def test_mix_makes_grey():
    light = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    grey = torch.tensor([0.3, 0.6, 0.1]).repeat(2, 3, 1)
    picture = photograph(light, neutral(mix=grey), KEYS)
    assert torch.equal(picture[:, 0], picture[:, 1])
    assert torch.equal(picture[:, 0], picture[:, 2])
    assert picture[:, 0].float().std() > 10


def test_grain_has_the_asked_strength():
    light = torch.full((2, 3, 64, 64), 1.0)
    picture = photograph(light, neutral(grain=torch.tensor([0.05, 0.0])), KEYS).float()
    assert picture[0].std().item() == pytest.approx(0.05 * 255, rel=0.05)
    assert picture[0].mean().item() == pytest.approx(128, abs=1)
    assert picture[1].std() == 0
    channels = np.corrcoef(picture[0].flatten(1).numpy())
    assert np.abs(channels - np.eye(3)).max() < 0.06


def test_vignette_and_blur():
    light = torch.ones(2, 3, 64, 64)
    dark = photograph(light, neutral(vignette=torch.tensor([0.8, 0.0])), KEYS).float()
    assert dark[0, 0, 0, 0] < 0.8 * dark[0, 0, 32, 32]
    checks = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float().expand(2, 3, 64, 64).clone()
    soft = photograph(checks, neutral(blur=torch.tensor([1.0, 0.0])), KEYS).float()
    assert soft[0, :, 2:-2, 2:-2].std() < 1  # 1-2-1 of 0 and 1 in turn is 1/2 everywhere
    assert soft[1].std() > 50
