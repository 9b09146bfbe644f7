"""The student's strong perturbation of unlabeled images: colour distortion, blur and CutMix, on any device.

Depth Anything (arXiv 2401.10891) names colour jitter, Gaussian blur and CutMix with p = 0.5, and gives no
strengths. The defaults are an assumption: those of UniMatch (arXiv 2208.09910), by the same first author.

Every image has its own parameters, and the work is batched. All draws come from one CPU generator in a
fixed number per call, so that a seed gives the same perturbation on every device and nothing waits for the
device.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from semidepth.media.effects.colors import JITTER_STEPS, gaussian_blur, grey
from semidepth.media.effects.images import check_images
from semidepth.training.augmentation.batches import between, change_chosen, uniform


@dataclass(frozen=True)
class StrongAugmentation:
    """Strengths of the perturbation; all of them assumptions, the paper states only that CutMix has p = 0.5.

    Args:
        brightness: factor drawn from U(1 - b, 1 + b), cut at 0.
        contrast: the same, towards the image's mean grey.
        saturation: the same, towards each pixel's grey.
        hue: shift drawn from U(-h, h) in turns of the colour circle, at most 0.5.
        jitter_probability: share of images that the four above apply to.
        grayscale_probability: share of images turned grey.
        blur_probability: share of images blurred.
        blur_sigma_px: range of the Gaussian's sigma in pixels of the image given, whatever its size. At 518
            px (the paper's size) 2 px is a mild blur, at 96 px a strong one.
        cutmix_probability: share of images that get a box of another image.
        cutmix_area: range of the box's share of the image.
        cutmix_aspect: range of the box's height / width.

    Raises:
        ValueError: for a value out of range.
    """

    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.25
    jitter_probability: float = 0.8
    grayscale_probability: float = 0.2
    blur_probability: float = 0.5
    blur_sigma_px: tuple[float, float] = (0.1, 2.0)
    cutmix_probability: float = 0.5
    cutmix_area: tuple[float, float] = (0.02, 0.4)
    cutmix_aspect: tuple[float, float] = (0.3, 1 / 0.3)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and not 0.0 <= value <= 1.0:
                raise ValueError(f"{field.name} is {value}, expected a probability between 0 and 1.")
        for name in ("brightness", "contrast", "saturation"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0; 0 switches it off.")
        if not 0.0 <= self.hue <= 0.5:
            raise ValueError(f"hue is {self.hue}, expected 0 to 0.5 turns; 0 switches it off.")
        for name, largest in (("blur_sigma_px", math.inf), ("cutmix_area", 1.0), ("cutmix_aspect", math.inf)):
            low, high = getattr(self, name)
            if not 0.0 < low <= high <= largest:
                raise ValueError(f"{name} is {(low, high)}, expected 0 < low <= high <= {largest}.")


@torch.no_grad()
def distort_colors(images: Tensor, generator: torch.Generator, config: StrongAugmentation) -> Tensor:
    """Colour jitter, grayscale and Gaussian blur, each on its own random share of the images.

    The four jitter steps come in random order, as in torchvision, but in one order for the whole batch. Blur
    is last.

    Args:
        images: (B, 3, H, W) floating point in [0, 1], RGB.
        generator: a CPU generator; takes 8 draws for each image and 4 for the order.
        config: strengths and probabilities.

    Returns:
        (B, 3, H, W) in [0, 1], the input's dtype and device. The input is not changed.

    Raises:
        ValueError: for images of another shape or of an integer type, or a generator that is not on the CPU.
    """
    check_images(images)
    batch, _, height, width = images.shape
    # All draws at once, whatever comes of them.
    chance = uniform(generator, 3, batch)
    strength = uniform(generator, 5, batch)
    order = torch.rand(4, generator=generator).argsort().tolist()
    # Which images change is known on the CPU, so selecting them makes no one wait.
    jittered = (chance[0] < config.jitter_probability).nonzero().squeeze(1)
    greyed = (chance[1] < config.grayscale_probability).nonzero().squeeze(1)
    blurred = (chance[2] < config.blur_probability).nonzero().squeeze(1)
    factors = torch.stack([
        between(strength[0], max(0.0, 1.0 - config.brightness), 1.0 + config.brightness),
        between(strength[1], max(0.0, 1.0 - config.contrast), 1.0 + config.contrast),
        between(strength[2], max(0.0, 1.0 - config.saturation), 1.0 + config.saturation),
        between(strength[3], -config.hue, config.hue),
        between(strength[4], *config.blur_sigma_px),
    ]).to(images.device, non_blocking=True)  # fmt: skip
    radius = min(math.ceil(3.0 * config.blur_sigma_px[1]), height - 1, width - 1)

    def jitter(part: Tensor, index: Tensor) -> Tensor:
        for step in order:
            part = JITTER_STEPS[step](part, factors[step, index])
        return part

    with torch.autocast(images.device.type, enabled=False):
        result = images.float().clone()
        change_chosen(result, jittered, jitter)
        change_chosen(result, greyed, lambda part, _: grey(part).expand_as(part))
        change_chosen(result, blurred, lambda part, index: gaussian_blur(part, factors[4, index], radius).clamp_(0, 1))
    return result.to(images.dtype)


def cutmix_masks(
    batch: int,
    height: int,
    width: int,
    generator: torch.Generator,
    config: StrongAugmentation,
    device: torch.device | str | None = None,
) -> Tensor:
    """One box for each image that CutMix applies to.

    Area and aspect are uniform in their ranges; an aspect whose box would not fit is pulled to the nearest
    that does, so that the area is always the one drawn. The place is uniform among those where the whole box
    is inside. (UniMatch draws again until the box fits, which favours small boxes.)

    Args:
        batch: number of images.
        height: pixels.
        width: pixels.
        generator: a CPU generator; takes 5 draws for each image.
        config: cutmix_probability, cutmix_area, cutmix_aspect.
        device: where the masks are needed; None is the CPU.

    Returns:
        (B, H, W) bool, True where the image itself shows and False inside the box; all True without CutMix.

    Raises:
        ValueError: for a generator that is not on the CPU.
    """
    chance, area, aspect, top, left = uniform(generator, 5, batch)
    pixels = between(area, *config.cutmix_area) * (height * width)
    aspect = between(aspect, *config.cutmix_aspect).clamp(pixels / width**2, height**2 / pixels)
    box_height = (pixels * aspect).sqrt().round().clamp(1, height)
    box_width = (pixels / aspect).sqrt().round().clamp(1, width)
    top = (top * (height - box_height + 1)).floor()
    left = (left * (width - box_width + 1)).floor()
    box_height = torch.where(chance < config.cutmix_probability, box_height, 0.0)
    corners = torch.stack((top, top + box_height, left, left + box_width)).long()
    top, bottom, left, right = corners.to(device, non_blocking=True)[:, :, None]  # (B, 1) each
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    in_rows = (rows >= top) & (rows < bottom)  # (B, H)
    in_columns = (columns >= left) & (columns < right)  # (B, W)
    return ~(in_rows[:, :, None] & in_columns[:, None, :])  # (B, H, W)


def apply_cutmix(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Pastes into each image, outside its mask, the same place of its partner.

    The partner of image i is image i - 1, that of the first the last: no image is its own partner in a batch
    of two or more, and the stream is shuffled already. In a batch of one the image is its own partner and
    nothing changes.

    Args:
        images: (B, C, H, W), any dtype.
        masks: (B, H, W) bool, True where the image itself shows.

    Returns:
        The mixed images (B, C, H, W), and the partner's index (B,): `teacher_b = teacher_a[partner]`.

    Raises:
        ValueError: for shapes that do not match or a mask that is not bool.
    """
    if images.ndim != 4 or masks.shape != (images.shape[0], *images.shape[2:]) or masks.dtype != torch.bool:
        raise ValueError(
            f"Expected images (B, C, H, W) and bool masks (B, H, W), got {tuple(images.shape)} and "
            f"{tuple(masks.shape)} of {masks.dtype}: make the masks with cutmix_masks at the images' size."
        )
    partner = torch.arange(images.shape[0], device=images.device).roll(1)
    return torch.where(masks[:, None], images, images[partner]), partner
