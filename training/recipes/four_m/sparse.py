"""Depth maps of which only a part is known: scattered pixels, as of a LiDAR, or maps with holes."""

import math

import torch
from torch import Tensor

LEAST_SHARE = 0.005  # of pixels that stay, where they are scattered


def thin_out(depth: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Returns depth maps with a part of them unknown.

    Half of the chosen maps keep scattered pixels, from 0.5 % of them to all, evenly by the logarithm; the others lose
    a rectangle.

    Args:
        depth: (B, S, S) metres; NaN unknown.
        share: of the maps that lose something.
        generator: on the CPU.
    """
    found = depth.clone()
    side = depth.shape[-1]
    for row in (torch.rand(len(depth), generator=generator) < share).nonzero()[:, 0].tolist():
        scattered, least, *corner = torch.rand(6, generator=generator).tolist()
        if scattered < 0.5:
            kept = math.exp(least * math.log(LEAST_SHARE))
            lost = torch.rand(depth.shape[1:], generator=generator) >= kept
            found[row] = found[row].masked_fill(lost.to(depth.device), torch.nan)
        else:
            top, left = (int(each * side) for each in corner[:2])
            height, width = (int(side / 8 + each * side / 2) for each in corner[2:])
            found[row, top : top + height, left : left + width] = torch.nan
    return found
