"""Names of the primitives of a built-in scene, and the things that they make up.

Primitives are drawn, emptied and numbered in the order of `Slots`. A thing is what a person points at: a chair of a
seat and a back, a tree of a trunk and a crown. The faces of a room are things of their own. What stands on a table or
a shelf goes with it when the camera comes too near (`Slots.groups`), but is another thing.
"""

from dataclasses import dataclass
from functools import cache

import torch

from semidepth.data.scenes.layout import Slots
from semidepth.data.scenes.raycast import Vector
from semidepth.data.scenes.rooms import SLOTS as ROOM_SLOTS
from semidepth.data.scenes.rooms import WALL_ITEMS
from semidepth.data.scenes.streets import CARS, HOUSES, PEOPLE, POLES, TREES
from semidepth.data.scenes.streets import SLOTS as STREET_SLOTS

SKY = 255  # in place of a number

# For each slot the kind of its thing and, where the thing has several, the part.
_ROOM_NAMES = (
    *("wall", "wall", "floor", "ceiling", "wall", "wall", "door", "window", "window", "picture", "rug"),
    *("furniture/block",) * WALL_ITEMS,
    *("furniture/back",) * WALL_ITEMS,
    *("shelf", "shelf", "box", "box", "table/top", "table/leg", "table/leg", "chair/seat", "chair/back"),
    *("box", "box", "box", "column", "bin", "vase", "lamp", "ball", "ball"),
)
_STREET_NAMES = (
    *("road", "pavement", "pavement"),
    *("house",) * (2 * HOUSES + 1),
    *("car/body", "car/cabin") * CARS,
    *("kiosk", "kiosk"),
    *("tree/trunk",) * TREES,
    *("pole",) * POLES,
    *("person/body",) * PEOPLE,
    *("tree/crown",) * TREES,
    *("person/head",) * PEOPLE,
)


@dataclass(frozen=True)
class Things:
    """The things of one domain.

    Args:
        thing_of_part: number of the thing that each slot is a part of.
        kinds: of each thing, such as "chair".
        parts: name of each slot, such as "chair/seat"; the kind alone for a thing of one part.
    """

    thing_of_part: tuple[int, ...]
    kinds: tuple[str, ...]
    parts: tuple[str, ...]


@cache
def things_of(domain: str) -> Things:
    """The things of "indoor" or "outdoor" scenes, in the order of their first slots."""
    slots, names = (ROOM_SLOTS, _ROOM_NAMES) if domain == "indoor" else (STREET_SLOTS, _STREET_NAMES)
    numbers: dict[tuple[int, str], int] = {}
    groups = (*(-1 - face for face in range(len(slots.faces))), *slots.groups)
    members = [
        numbers.setdefault((group, name.partition("/")[0]), len(numbers))
        for group, name in zip(groups, names, strict=True)
    ]
    return Things(tuple(members), tuple(kind for _, kind in numbers), names)


def number_things(domain: str, slots: Slots, slot: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the numbers of parts and of things from slots (B, H, W); the sky is `SKY` in both."""
    table = torch.tensor([*things_of(domain).thing_of_part, SKY], dtype=torch.uint8, device=slot.device)
    part = slot.masked_fill(slot == len(slots.roles), SKY).to(torch.uint8)
    return part, table[slot]


def camera_normals(axes: torch.Tensor, normal: Vector, sky: torch.Tensor) -> Vector:
    """Returns normals as the camera sees them: x right, y up, z towards the camera.

    Args:
        axes: (B, 3, 3), rows right, up, forward.
        normal: of the world, each (B, N), facing the camera.
        sky: (B, N), where there is none.

    Returns:
        x, y, z, each (B, N), of length 1; NaN for sky.
    """
    right, up, forward = (
        axes[:, row, 0, None] * normal[0] + axes[:, row, 1, None] * normal[1] + axes[:, row, 2, None] * normal[2]
        for row in range(3)
    )
    length = (right * right + up * up + forward * forward).sqrt().masked_fill(sky, torch.nan)
    return right / length, up / length, -forward / length
