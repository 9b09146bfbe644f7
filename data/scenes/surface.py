"""Surface at each pixel: the point of the hit, its normal and its texture coordinates."""

from dataclasses import dataclass

import torch

from semidepth.data.scenes.raycast import Rays, Solids, Vector


@dataclass(frozen=True)
class Surface:
    """Surface at each pixel; every map is (B, N).

    Args:
        point: world x, y, z, metres.
        normal: world x, y, z, unit length, facing the camera.
        u, v: metres along and up the surface, for textures.
        face: 0, 1 or 2 for surfaces whose normal lies mostly along their own x, y or z.
        footprint: metres of surface that a pixel covers, at least along one direction.
    """

    point: Vector
    normal: Vector
    u: torch.Tensor
    v: torch.Tensor
    face: torch.Tensor
    footprint: torch.Tensor


def find_surface(solids: Solids, rays: Rays, depth: torch.Tensor, slot: torch.Tensor, pixel: torch.Tensor) -> Surface:
    """Places, normals and texture coordinates of the hits.

    Args:
        solids: B scenes of P slots.
        rays: the camera's rays.
        depth: (B, N), metres, finite.
        slot: (B, N), int64, below P.
        pixel: (B, 1), size of a pixel at one metre, metres.
    """
    table = solids.table.squeeze(-1)  # (8, P, B)
    x, y, z, half_x, half_y, half_z, cos_yaw, sin_yaw = (part.t().gather(1, slot) for part in table)
    point = tuple(o + depth * d for o, d in zip(rays.origin, rays.direction, strict=True))
    offset = [p - c for p, c in zip(point, (x, y, z), strict=True)]
    local_x = cos_yaw * offset[0] - sin_yaw * offset[2]
    local_z = sin_yaw * offset[0] + cos_yaw * offset[2]
    scaled = [local_x / half_x, offset[1] / half_y, local_z / half_z]  # the surface lies at 1
    sphere = (slot >= solids.spheres.start).float()
    cylinder = (slot >= solids.cylinders.start).float() - sphere
    across = [part.abs() for part in scaled]
    cap = (across[1] * across[1] > scaled[0] * scaled[0] + scaled[2] * scaled[2]).float()
    across[1] = across[1] * (1.0 - cylinder) + 2.0 * (cylinder * cap)
    most = torch.maximum(torch.maximum(across[0], across[1]), across[2])
    along_x = (across[0] >= most).float()
    along_y = (across[1] >= most).float() * (1.0 - along_x)
    along_z = 1.0 - along_x - along_y
    curved = sphere + cylinder * (1.0 - cap)
    flat = 1.0 - curved
    n_x = scaled[0] * curved + scaled[0].sign() * (flat * along_x)
    n_y = scaled[1] * (curved * sphere) + scaled[1].sign() * (flat * along_y)
    n_z = scaled[2] * curved + scaled[2].sign() * (flat * along_z)
    normal = [cos_yaw * n_x + sin_yaw * n_z, n_y, cos_yaw * n_z - sin_yaw * n_x]
    facing = sum(n * d for n, d in zip(normal, rays.direction, strict=True))
    toward = -facing.sign()
    length = (dot(rays.direction, rays.direction)).sqrt()
    slant = (facing.abs() / length).clamp_min(0.1)
    return Surface(
        point=point,
        normal=tuple(n * toward for n in normal),
        u=along_x * local_z + (1.0 - along_x) * local_x,
        v=along_y * local_z + (1.0 - along_y) * point[1],
        face=along_y + 2.0 * along_z,
        footprint=depth * pixel / slant,
    )


def dot(a: Vector, b: Vector) -> torch.Tensor:
    """Scalar product of two vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
