"""Intersect rays with planes, boxes, upright cylinders and spheres: the nearest hit, and occlusion.

All rays of an image share their origin (the camera, or a lamp for shadows). The code walks over the slots of
a layout and does a whole batch of images per slot. Two rules shape it:

- Only operations that IEEE 754 rounds in one way are used (+ - * / sqrt min max, none of them fused): an
  image comes out the same bit by bit in any batch, on any number of threads.
- A miss is a penalty and not a mask: on a CPU torch's comparisons and `where` cost 4 to 40 times an addition.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from semidepth.data.scenes.layout import EMPTY, Layout

TINY = 1e-20  # added to directions: an exact 0 would give 0 * inf
MISS = 1e30  # metres of penalty per unit of missing
SLOT_BITS = 6  # the lowest bits of a depth's float32 that make room for the slot's number
MAX_SLOTS = 1 << SLOT_BITS

Vector = tuple[torch.Tensor, ...]  # x, y, z


@dataclass(frozen=True)
class Solids:
    """The primitives of a batch of scenes, for the ray-caster.

    Args:
        faces: number of faces in the first slots: 6 (the inside of a room) or 1 (the ground plane).
        aligned: slots of the boxes along the axes; then `yawed` boxes, `cylinders`, `spheres`.
        table: (8, P, B, 1): centre x y z and half size x y z in metres, cosine and sine of the yaw.
        number: (P, B, 1), int32, the slots' numbers, which `only` keeps while it moves solids about.
    """

    faces: int
    aligned: range
    yawed: range
    cylinders: range
    spheres: range
    table: torch.Tensor
    number: torch.Tensor

    def pick(self, images: torch.Tensor | slice) -> "Solids":
        """The solids of some of the images."""
        return replace(self, table=self.table[:, :, images].contiguous(), number=self.number[:, images])

    def only(self, keep: torch.Tensor) -> "Solids":
        """Fewer slots, which hold the solids to keep of each image; the others cost no time.

        Args:
            keep: (P, B), bool; the faces stay in any case.
        """
        tables, numbers = [self.table[:, : self.faces]], [self.number[: self.faces]]
        ranges: list[range] = []
        for kind in (self.aligned, self.yawed, self.cylinders, self.spheres):
            here = slice(kind.start, kind.stop)
            kept, order = keep[here].to(torch.uint8).sort(dim=0, descending=True, stable=True)
            count = int(kept.any(dim=1).sum())  # what the fullest image needs
            order = order[:count].unsqueeze(-1)  # (count, B, 1)
            table = self.table[:, here].gather(1, order.expand(len(self.table), *order.shape))
            table[3:6].masked_fill_(kept[:count].unsqueeze(-1) == 0, EMPTY)
            tables.append(table)
            numbers.append(self.number[here].gather(0, order))
            start = ranges[-1].stop if ranges else self.faces
            ranges.append(range(start, start + count))
        aligned, yawed, cylinders, spheres = ranges
        table, number = torch.cat(tables, 1), torch.cat(numbers)
        return Solids(self.faces, aligned, yawed, cylinders, spheres, table, number)


def solids_from_layout(layout: Layout, device: torch.device) -> Solids:
    """Turns a layout into tensors for the ray-caster."""
    slots = layout.slots
    kinds = (slots.faces, slots.aligned, slots.yawed, slots.cylinders, slots.spheres)
    bounds = np.cumsum([len(kind) for kind in kinds]).tolist()
    aligned, yawed, cylinders, spheres = (range(low, high) for low, high in pairwise(bounds))
    turn = np.stack([np.cos(layout.yaw), np.sin(layout.yaw)], -1)
    columns = np.concatenate([layout.center, layout.half, turn], -1)
    table = torch.from_numpy(columns.astype(np.float32).transpose(2, 1, 0).copy())  # (B, P, 8) -> (8, P, B)
    table = table.unsqueeze(-1).to(device)
    number = torch.arange(table.shape[1], dtype=torch.int32, device=device)[:, None, None].expand(table.shape[1:])
    return Solids(len(slots.faces), aligned, yawed, cylinders, spheres, table, number)


@dataclass(frozen=True)
class Rays:
    """Rays from one origin per image, with what several slots share.

    Args:
        origin: x, y, z, each (B, 1), metres.
        direction: x, y, z, each (B, N); a hit at t lies at origin + t * direction.
        inverse: 1 / direction.
        slope: |1 / direction|.
    """

    origin: Vector
    direction: Vector
    inverse: Vector
    slope: Vector


def make_rays(origin: Vector, direction: Vector) -> Rays:
    """Prepares rays.

    Args:
        origin: x, y, z, each (B, 1), metres.
        direction: x, y, z, each (B, N), of any length.
    """
    x, y, z = (part + TINY for part in direction)
    inverse = (x.reciprocal(), y.reciprocal(), z.reciprocal())
    return Rays(origin, (x, y, z), inverse, (inverse[0].abs(), inverse[1].abs(), inverse[2].abs()))


def nearest_hit(solids: Solids, rays: Rays) -> tuple[torch.Tensor, torch.Tensor]:
    """The first thing that each ray meets.

    Args:
        solids: B scenes.
        rays: N rays per scene from a point that lies inside no solid.

    Returns:
        t (B, N), above 1e15 where nothing is met, and the number of the slot (B, N), int32. Where two
        surfaces are nearer to each other than 1e-5 of t, the slot may be either one's; t is the smaller one
        always.
    """
    depth, slot = _room_hit(solids, rays) if solids.faces == 6 else _ground_hit(rays)
    high_bits = -MAX_SLOTS
    key = depth.view(torch.int32).bitwise_and(high_bits).bitwise_or_(slot)
    numbers = solids.number.unbind(0)
    for p, near, missed in _entries(solids, rays):
        near.add_(missed.clamp_min_(0.0).mul_(MISS))
        torch.minimum(depth, near, out=depth)
        # positive floats order like their bits
        torch.minimum(key, near.view(torch.int32).bitwise_and_(high_bits).bitwise_or_(numbers[p]), out=key)
    return depth, key.bitwise_and_(MAX_SLOTS - 1)


def any_hit(solids: Solids, rays: Rays, limit: torch.Tensor) -> torch.Tensor:
    """True for rays with a solid between the origin and `limit`; faces hide nothing.

    Args:
        solids: B scenes.
        rays: N rays per scene. A sphere around the origin hides nothing: it is the lamp itself.
        limit: (B, 1), the end of the ray in units of t.

    Returns:
        (B, N), 1 where something is hit and 0 elsewhere.
    """
    open_margin = torch.ones_like(rays.direction[0])
    for _, near, missed in _entries(solids, rays):
        torch.maximum(missed, near.sub_(limit), out=missed)
        torch.minimum(open_margin, missed, out=open_margin)
    return (open_margin < 0).float()


def _room_hit(solids: Solids, rays: Rays) -> tuple[torch.Tensor, torch.Tensor]:
    """The way out of the room: the nearest of three exits. Slots: -x, +x, floor, ceiling, -z, +z."""
    exits, faces = [], []
    for axis in range(3):
        offset = solids.table[axis, 0] - rays.origin[axis]
        exits.append((offset * rays.inverse[axis]).add_(solids.table[3 + axis, 0] * rays.slope[axis]))
        faces.append((rays.direction[axis] > 0).to(torch.int32).add_(2 * axis))
    depth = torch.minimum(torch.minimum(exits[0], exits[1]), exits[2])
    slot = torch.where(exits[1] == depth, faces[1], torch.where(exits[0] == depth, faces[0], faces[2]))
    return depth, slot


def _ground_hit(rays: Rays) -> tuple[torch.Tensor, torch.Tensor]:
    """The plane y = 0 seen from above."""
    depth = (-rays.origin[1] * rays.inverse[1]).add_(rays.direction[1].clamp_min(0.0).mul_(MISS))
    behind = depth.clamp_max(0.0).mul_(-MISS)  # rays that rise by next to nothing
    return depth.add_(behind), torch.zeros_like(depth, dtype=torch.int32)


Entry = tuple[int, torch.Tensor, torch.Tensor]  # slot, t of the entry, by how much the ray misses (negative: it hits)


def _entries(solids: Solids, rays: Rays) -> Iterator[Entry]:
    """Distances at which the rays enter each solid; the two tensors are the caller's to overwrite."""
    x, y, z = (solids.table[axis] - rays.origin[axis] for axis in range(3))  # (P, B, 1)
    _, _, _, half_x, half_y, half_z, cos_yaw, sin_yaw = solids.table.unbind(0)
    yield from _aligned_boxes(solids.aligned, (x, y, z), (half_x, half_y, half_z), rays)
    local = (cos_yaw * x - sin_yaw * z, y, sin_yaw * x + cos_yaw * z)
    yield from _yawed_boxes(solids.yawed, local, (half_x, half_y, half_z), (cos_yaw, sin_yaw), rays)
    yield from _cylinders(solids.cylinders, (x, y, z), half_x, half_y, rays)
    yield from _spheres(solids.spheres, (x, y, z), half_x, rays)


Slab = tuple[torch.Tensor, torch.Tensor]  # entry and exit of a ray


def _slab(offset: torch.Tensor, half: torch.Tensor, inverse: torch.Tensor, slope: torch.Tensor) -> Slab:
    """Entry into and exit from the space between two parallel planes, `half` to either side of `offset`."""
    middle = offset * inverse
    reach = half * slope
    near = middle - reach
    return near, middle.add_(reach)


def _narrow(interval: Slab, slab: Slab) -> None:
    """Cuts an interval down to its part inside a slab, in place."""
    torch.maximum(interval[0], slab[0], out=interval[0])
    torch.minimum(interval[1], slab[1], out=interval[1])


def _missed(near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
    """Positive where the interval is empty or begins behind the origin; overwrites far."""
    torch.sub(near, far, out=far)
    return torch.maximum(far, near.neg(), out=far)


def _aligned_boxes(slots: range, center: Vector, half: Vector, rays: Rays) -> Iterator[Entry]:
    offsets, halves = [part.unbind(0) for part in center], [part.unbind(0) for part in half]
    for p in slots:
        near, far = _slab(offsets[0][p], halves[0][p], rays.inverse[0], rays.slope[0])
        for axis in (1, 2):
            _narrow((near, far), _slab(offsets[axis][p], halves[axis][p], rays.inverse[axis], rays.slope[axis]))
        yield p, near, _missed(near, far)


def _yawed_boxes(
    slots: range, center: Vector, half: Vector, turn: tuple[torch.Tensor, torch.Tensor], rays: Rays
) -> Iterator[Entry]:
    """Boxes in their own frames: x' = cos * x - sin * z, z' = sin * x + cos * z."""
    offsets, halves = [part.unbind(0) for part in center], [part.unbind(0) for part in half]
    cosines, sines = turn[0].unbind(0), turn[1].unbind(0)
    dx, _, dz = rays.direction
    for p in slots:
        near, far = _slab(offsets[1][p], halves[1][p], rays.inverse[1], rays.slope[1])
        inverse = (cosines[p] * dx).sub_(sines[p] * dz).add_(TINY).reciprocal_()
        _narrow((near, far), _slab(offsets[0][p], halves[0][p], inverse, inverse.abs()))
        inverse = (sines[p] * dx).add_(cosines[p] * dz).add_(TINY).reciprocal_()
        _narrow((near, far), _slab(offsets[2][p], halves[2][p], inverse, inverse.abs()))
        yield p, near, _missed(near, far)


def _cylinders(
    slots: range, center: Vector, radius: torch.Tensor, half_height: torch.Tensor, rays: Rays
) -> Iterator[Entry]:
    """Upright solid cylinders: the infinite cylinder's interval, cut by the slab of its height.

    The discriminant is (r |d|)² - (d x o)², which keeps its digits where the radius is small and the distance
    large.
    """
    offsets, halves = [part.unbind(0) for part in center], half_height.unbind(0)
    squares = (radius * radius).unbind(0)
    dx, _, dz = rays.direction
    length = dx * dx + dz * dz
    inverse = length.reciprocal()
    for p in slots:
        middle = (offsets[0][p] * dx).add_(offsets[2][p] * dz)
        cross = (offsets[0][p] * dz).sub_(offsets[2][p] * dx)
        room = (length * squares[p]).sub_(cross.mul_(cross))  # negative where the ray passes by
        root = room.clamp_min(0.0).sqrt_()
        near = (middle - root).mul_(inverse)
        far = middle.add_(root).mul_(inverse)
        _narrow((near, far), _slab(offsets[1][p], halves[p], rays.inverse[1], rays.slope[1]))
        missed = _missed(near, far)
        yield p, near, torch.maximum(missed, room.neg_(), out=missed)


def _spheres(slots: range, center: Vector, radius: torch.Tensor, rays: Rays) -> Iterator[Entry]:
    """Spheres, seen from the ray's point that is nearest to their centre."""
    offsets = [part.unbind(0) for part in center]
    squares = (radius * radius.abs()).unbind(0)  # negative for an empty slot
    dx, dy, dz = rays.direction
    inverse = (dx * dx + dy * dy + dz * dz).reciprocal()
    for p in slots:
        x, y, z = offsets[0][p], offsets[1][p], offsets[2][p]
        middle = (x * dx).add_(y * dy).add_(z * dz).mul_(inverse)
        apart = (middle * dx).sub_(x).square_()
        apart.add_((middle * dy).sub_(y).square_()).add_((middle * dz).sub_(z).square_())
        room = squares[p] - apart
        near = middle.sub_(room.clamp_min(0.0).mul_(inverse).sqrt_())
        yield p, near, torch.maximum(room.neg_(), near.neg())
