"""Prompts for training, drawn for many objects at once: a first point or box, then points from the error.

Segment Anything's rules (arXiv 2304.02643, appendix A). All draws come from a CPU generator, a few numbers for each
object, so that a run is the same on every device and resumes exactly. Points are (x, y) in pixels, at pixel centres.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

# Labels of points: on the object, off it, and no point at all.
ON, OFF, NO_POINT = 1, 0, -10


@dataclass(frozen=True)
class BoxNoise:
    """Noise on boxes: normal, with `share` of the box's side as deviation, at most `most_px` pixels."""

    share: float = 0.1
    most_px: float = 20.0


@dataclass(frozen=True)
class DrawnPrompts:
    """All prompts so far of N objects.

    Args:
        points: (N, K, 2) x, y in pixels.
        labels: (N, K) `ON`, `OFF` or `NO_POINT`.
        boxes: (N, 4) x1, y1, x2, y2 in pixels; None without boxes.
        logits: (N, h, w) logits of the answer before; None in the first round.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    logits: Tensor | None = None

    def add(self, points: Tensor, labels: Tensor) -> "DrawnPrompts":
        """Returns the prompts with one more point for each object, (N, 2) and (N,)."""
        return replace(
            self,
            points=torch.cat([self.points, points[:, None]], 1),
            labels=torch.cat([self.labels, labels[:, None]], 1),
        )


def random_points(regions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Returns a pixel of each region, every one as likely, and whether there is one.

    Args:
        regions: (N, H, W) bool.
        generator: on the CPU.

    Returns:
        (N, 2) float32, x and y of the pixel's centre (0.5, 0.5 for an empty region); (N,) bool.
    """
    width = regions.shape[-1]
    drawn = torch.rand(len(regions), generator=generator).to(regions.device)
    counted = regions.flatten(1).cumsum(1, dtype=torch.int32)  # (N, H*W)
    pixels = counted[:, -1]
    rank = torch.minimum((drawn * pixels).int() + 1, pixels.clamp(min=1))
    place = torch.searchsorted(counted, rank[:, None])[:, 0]  # the first pixel at which so many were counted
    place = torch.where(pixels > 0, place, 0)
    points = torch.stack([place % width, place // width], -1).float() + 0.5
    return points, pixels > 0


def boxes_round(masks: Tensor) -> Tensor:
    """Returns the boxes round masks, (N, H, W) bool -> (N, 4) float32 x1, y1, x2, y2; zeros for an empty mask."""
    sides = []
    for across in (1, 2):  # columns, then rows
        there = masks.any(across)  # (N, W), then (N, H)
        length = there.shape[1]
        first = there.int().argmax(1)
        last = length - there.flip(1).int().argmax(1)
        sides.append((torch.where(there.any(1), first, 0), torch.where(there.any(1), last, 0)))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], 1).float()


def noisy_boxes(masks: Tensor, generator: torch.Generator, noise: BoxNoise) -> Tensor:
    """Returns boxes round masks whose sides are a little off, within the image.

    Args:
        masks: (N, H, W) bool.
        generator: on the CPU.
        noise: how far off.

    Returns:
        (N, 4) float32 x1, y1, x2, y2 in pixels, at least a pixel wide and high; NaN for an empty mask.
    """
    boxes = boxes_round(masks)
    sizes = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    drawn = torch.randn(boxes.shape, generator=generator).to(boxes.device)
    moved = boxes + (drawn * noise.share * sizes).clamp(-noise.most_px, noise.most_px)
    height, width = masks.shape[-2:]
    limits = torch.tensor([width, height], device=boxes.device)
    first = torch.minimum(torch.minimum(moved[:, :2], moved[:, 2:]).clamp(min=0), limits - 1)
    last = torch.minimum(torch.maximum(torch.maximum(moved[:, :2], moved[:, 2:]), first + 1), limits)
    return torch.where(masks.flatten(1).any(1)[:, None], torch.cat([first, last], 1), torch.nan)


def first_prompts(masks: Tensor, generator: torch.Generator, *, box_share: float, noise: BoxNoise) -> DrawnPrompts:
    """Returns the first prompts of a step: a point in each object, or for all objects a box.

    Which of the two is drawn once for all, as in SAM 2's training: a box wants one mask and a point three.

    Args:
        masks: (N, H, W) bool, the objects; empty ones are padding.
        generator: on the CPU.
        box_share: probability of boxes.
        noise: on boxes.
    """
    boxed = torch.rand((), generator=generator).item() < box_share
    if boxed:
        nothing = torch.zeros(len(masks), 0, 2, device=masks.device)
        return DrawnPrompts(nothing, nothing[..., 0].long(), noisy_boxes(masks, generator, noise))
    points, there = random_points(masks, generator)
    return DrawnPrompts(points[:, None], torch.where(there, ON, NO_POINT)[:, None])


def next_points(
    answers: Tensor, masks: Tensor, generator: torch.Generator, *, from_mask_share: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Returns the next points: anywhere in the error, on the object where it is missing and off it where it is wrong.

    Args:
        answers: (N, H, W) bool, what was answered.
        masks: (N, H, W) bool, the objects; empty ones are padding.
        generator: on the CPU.
        from_mask_share: probability of a point anywhere on the object instead, for each object (SAM 2 has 0.1). Where
            nothing is wrong the point is on the object in any case.

    Returns:
        (N, 2) float32 points and (N,) labels; `NO_POINT` for padding.
    """
    wrong = answers ^ masks
    anywhere = torch.rand(len(masks), generator=generator).to(masks.device) < from_mask_share
    anywhere |= ~wrong.flatten(1).any(1)
    regions = torch.where(anywhere[:, None, None], masks, wrong)
    regions &= masks.flatten(1).any(1)[:, None, None]  # padding has no object to click on
    points, there = random_points(regions, generator)
    columns, rows = points.long().unbind(1)
    on = masks[torch.arange(len(masks), device=masks.device), rows, columns]
    return points, torch.where(there, torch.where(on, ON, OFF), NO_POINT)
