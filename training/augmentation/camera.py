"""Camera effects on batches of images: depth of field, shot noise, lost resolution and JPEG, on any device.

MoGe's effects in MoGe's order (`image_color_augmentation` of its code; arXiv 2410.19115), each on its own random share
of the images; all strengths are MoGe's. Every image has its own parameters, and all draws come from one CPU generator
in a fixed number per call, so nothing waits for the device. Geometry stays: labels fit as before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from semidepth.media.effects.depth_of_field import depth_of_field
from semidepth.media.effects.images import check_images
from semidepth.media.effects.jpeg import jpeg
from semidepth.media.effects.sensor import lose_resolution, shot_noise
from semidepth.training.augmentation.batches import between, change_chosen, uniform
from semidepth.training.options.run import CameraEffect

EFFECTS: tuple[CameraEffect, ...] = get_args(CameraEffect)


@dataclass(frozen=True)
class CameraStrength:
    """Strengths of the effects.

    Args:
        probability: share of the images that each effect applies to, drawn apart for each.
        depth_of_field_share: largest radius of the circle of confusion, as a share of the shorter side; each image's
            is drawn from 0 to this. MoGe: 11 pixels, of images of 500 to 1,000.
        photons: range that the number of photons of a white pixel is drawn from, evenly in its logarithm.
        blur_share: range of the share of its resolution that an image keeps.
        jpeg_quality: range of libjpeg's quality.

    Raises:
        ValueError: for a value out of range.
    """

    probability: float = 0.5
    depth_of_field_share: float = 0.015
    photons: tuple[float, float] = (100.0, 10_000.0)
    blur_share: tuple[float, float] = (0.25, 1.0)
    jpeg_quality: tuple[float, float] = (20.0, 100.0)

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {self.probability}; give one from 0 to 1.")
        if not 0 <= self.depth_of_field_share <= 0.1:
            raise ValueError(f"depth_of_field_share is {self.depth_of_field_share}; give a share from 0 to 0.1.")
        for name, most in (("photons", float("inf")), ("blur_share", 1.0), ("jpeg_quality", 100.0)):
            low, high = getattr(self, name)
            if not 0 < low <= high <= most:
                raise ValueError(f"{name} is {(low, high)}; give a range above 0, at most {most}.")
        if self.jpeg_quality[0] < 1:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}; give a range from 1 to 100.")


@torch.no_grad()
def camera_effects(
    images: Tensor,
    disparity: Tensor,
    effects: Sequence[CameraEffect],
    generator: torch.Generator,
    strength: CameraStrength = CameraStrength(),
) -> Tensor:
    """Applies depth of field, shot noise, lost resolution and JPEG, in this order, as far as they are asked for.

    Args:
        images: (B, 3, H, W) floating point in [0, 1], RGB.
        disparity: (B, H, W) inverse depth of the images, any affine scale, NaN where unknown; for depth of field.
        effects: which of them.
        generator: a CPU generator; takes 9 draws for each image and one for the noise, whatever the effects. Noise is
            drawn on the images' device and differs between kinds of device.
        strength: of the effects.

    Returns:
        (B, 3, H, W) in [0, 1], the input's dtype and device. The input is not changed.

    Raises:
        ValueError: for images of another shape or of an integer type, an unknown effect, or a generator that is not on
            the CPU.
    """
    check_images(images)
    unknown = set(effects) - set(EFFECTS)
    if unknown:
        raise ValueError(f"the effect {sorted(unknown)[0]!r} is not known; known are {', '.join(EFFECTS)}.")
    chances, draws = uniform(generator, 4, len(images)), uniform(generator, 5, len(images))
    seed = int(torch.randint(2**62, (), generator=generator))  # of the CPU: nothing waits
    side = min(images.shape[-2:])
    largest_px = strength.depth_of_field_share * side
    radius_px, focus = draws[0] * largest_px, draws[1]
    photons = strength.photons[0] * (strength.photons[1] / strength.photons[0]) ** draws[2]
    quality = between(draws[4], *strength.jpeg_quality).round()
    radius_px, focus, photons, quality = (
        x.to(images.device, non_blocking=True) for x in (radius_px, focus, photons, quality)
    )
    shares = between(draws[3], *strength.blur_share).tolist()
    noise = torch.Generator(images.device).manual_seed(seed)
    changes = {
        "depth_of_field": lambda part, index: depth_of_field(
            part, disparity[index], radius_px[index], focus[index], largest_px=largest_px
        ),
        "shot_noise": lambda part, index: shot_noise(part, photons[index], noise),
        "jpeg": lambda part, index: jpeg(part, quality[index]),
    }
    with torch.autocast(images.device.type, enabled=False):
        result = images.float().clone(memory_format=torch.contiguous_format)
        for effect, chance in zip(EFFECTS, chances, strict=True):
            chosen = (chance < strength.probability).nonzero().squeeze(1)
            if effect not in effects:
                continue
            if effect == "blur":
                for number in chosen.tolist():  # each at a size of its own
                    result[number] = lose_resolution(result[number], shares[number])
            else:
                change_chosen(result, chosen, changes[effect])
        return result.to(images.dtype)
