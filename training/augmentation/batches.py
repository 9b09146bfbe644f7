"""A batch of images on any device, each with its own draws from one CPU generator."""

from collections.abc import Callable

import torch
from torch import Tensor

# Values (not bytes) worked on at a time on a CPU: beyond its cache, 16 images of 518 px together take longer
# than one by one.
CPU_GROUP_VALUES = 2**20


def change_chosen(images: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Replaces the chosen images by change(images, indices), on a CPU in groups that fit its cache.

    `chosen` holds indices on the CPU, so that no device is asked how many there are.
    """
    per_image = images[0].numel() if len(chosen) else 1
    group = len(chosen) if images.device.type != "cpu" else CPU_GROUP_VALUES // per_image
    for index in chosen.to(images.device, non_blocking=True).split(max(group, 1)):
        if len(index):
            images[index] = change(images[index], index)


def uniform(generator: torch.Generator, rows: int, batch: int) -> Tensor:
    """Returns (rows, B) draws in [0, 1) on the CPU."""
    if generator.device.type != "cpu":
        raise ValueError(f"Expected a generator on the CPU, got one on {generator.device}: use torch.Generator().")
    return torch.rand(rows, batch, generator=generator)


def between(draw: Tensor, low: float, high: float) -> Tensor:
    """Maps draws in [0, 1) to [low, high)."""
    return low + (high - low) * draw
