"""Camera effects: which images get them, and what is drawn."""

import pytest
import torch

from semidepth.training.augmentation.camera import EFFECTS, CameraStrength, camera_effects

ALWAYS = CameraStrength(probability=1.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
