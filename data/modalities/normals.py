"""Normals of surfaces from depth, by fitting a plane around each pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor

SAME_SURFACE = 0.1  # relative difference of inverse depth beyond which a neighbour is taken for another surface


def fit_normals(depth: Tensor, focal_px: float, middle: tuple[float, float], *, window: int = 9) -> Tensor:
    """Returns the normals of planes that fit the depth around each pixel best.

    The inverse depth of a plane is linear in the pixel's place, so the fit is a linear one. `media.normals` goes by
    neighbours alone, which takes the steps of coarse depth (of 8 bits, say) for surfaces.

    Args:
        depth: (H, W) metres along the optical axis; inf and NaN are not of a surface.
        focal_px: focal length, pixels.
        middle: (x, y) of the principal point, in pixels from the middle of the first.
        window: side of the square that is fitted, pixels, odd.

    Returns:
        (3, H, W) float32, unit vectors, x right, y up, z towards the camera; NaN where a fit has too few pixels.
    """
    height, width = depth.shape
    usable = depth.isfinite() & (depth > 0)
    inverse = torch.where(usable, 1 / depth.clamp(min=1e-6), 0.0).double()
    pad = window // 2
    around = F.unfold(torch.stack([inverse, usable.double()])[:, None], window, padding=pad)  # (2, window², H·W)
    center = inverse.reshape(1, -1)
    weight = around[1] * ((around[0] - center).abs() <= SAME_SURFACE * center)
    steps = torch.arange(window, dtype=torch.float64) - pad
    y, x = (each.reshape(-1, 1) for each in torch.meshgrid(steps, steps, indexing="ij"))
    design = torch.stack([x, y, torch.ones_like(x)])[..., 0]  # (3, window²)
    products = torch.einsum("ik,jk,kn->nij", design, design, weight)
    sides = torch.einsum("ik,kn->ni", design, weight * around[0])
    enough = usable.reshape(-1) & (weight.sum(0) >= window) & (torch.linalg.det(products) > 1e-6)
    safe = torch.where(enough[:, None, None], products, torch.eye(3, dtype=torch.float64))
    slope_x, slope_y, here = torch.linalg.solve(safe, sides).T
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    away_x, away_y = columns.reshape(-1) - middle[0], rows.reshape(-1) - middle[1]
    # The plane is m . (x, y, 1) = 1 / depth on the camera's axes (y down, z forwards), and m points away from it.
    facing = torch.stack([-slope_x * focal_px, slope_y * focal_px, here - slope_x * away_x - slope_y * away_y])
    found = F.normalize(facing, dim=0).masked_fill(~enough, torch.nan)
    return found.reshape(3, height, width).float()
