"""Built-in scenes: pictures of rooms and streets with exact depth, made on the fly; the default data source.

The work is shared out: `scene_rooms` and `scene_streets` lay out primitives, `scene_styles` and
`scene_materials` give them a look, `scene_raycast` finds what each pixel sees, `scene_shading` colours it,
`scene_camera` takes the picture. A scene depends on (seed, domain, index) and the style only, never on its
batch; its geometry not even on the style.

On a CPU the work is thousands of short operations. On an idle machine torch's threads share each of them; beside
other busy processes they wait for each other, and one thread per process (as in a DataLoader's workers) is quicker.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch

from semidepth.data.scenes.camera import photograph, pixel_rays
from semidepth.data.scenes.captions import find_facts, write_caption
from semidepth.data.scenes.draws import Draws, uniform_table
from semidepth.data.scenes.layout import SEMANTIC_CLASSES, Layout, in_view
from semidepth.data.scenes.raycast import (
    Solids,
    Vector,
    make_rays,
    nearest_hit,
    solids_from_layout,
)
from semidepth.data.scenes.rooms import layout_rooms
from semidepth.data.scenes.shading import shade
from semidepth.data.scenes.streets import MAX_DEPTH_M, layout_streets
from semidepth.data.scenes.styles import STYLES, Look, draw_look
from semidepth.data.scenes.surface import find_surface
from semidepth.data.scenes.things import camera_normals, number_things

__all__ = ["DOMAINS", "SEMANTIC_CLASSES", "STYLES", "SceneBatch", "Truth", "render_scenes"]

Truth = Literal["masks", "normals", "captions"]

DOMAINS: tuple[str, ...] = ("indoor", "outdoor")
_LAYOUT_UNIFORMS = 320
_LOOK_UNIFORMS = 1100
_CHUNK_PIXELS = 1 << 16  # pixels of work at a time per thread: few enough for a CPU's caches, measured
_CHUNK_PIXELS_CUDA = 1 << 21
_CLASS_OF_ROLE = {
    "road": "ground", "floor": "ground", "rug": "ground", "ceiling": "ceiling", "wall": "wall",
    "door": "opening", "window": "opening", "picture": "wall",
    "furniture": "furniture", "object": "furniture",
    "column": "column", "lamp": "ball", "ball": "ball", "pavement": "pavement", "house": "house",
    "car": "vehicle", "cabin": "vehicle", "kiosk": "furniture", "trunk": "trunk", "crown": "foliage",
    "pole": "pole", "person": "person", "head": "person", "sky": "sky",
}  # fmt: skip


_WITHOUT_SHADOW = ("rug", "door", "window", "picture", "pavement", "lamp")  # flat, or a light itself


@dataclass(frozen=True)
class SceneBatch:
    """Pictures of B scenes with what is true of them.

    Args:
        image: (B, 3, H, W), uint8 RGB.
        depth: (B, H, W), float32, metres along the optical axis (z-depth, not the length of the ray) at the
            pixel's centre; larger is farther; inf for sky.
        semantic: (B, H, W), int64, index into `SEMANTIC_CLASSES`.
        fov_deg: (B,), float32, horizontal field of view, degrees.
        part: (B, H, W), uint8, number of the primitive in the scene, which `things_of` names; 255 for sky.
        thing: (B, H, W), uint8, number of the thing that it is a part of; 255 for sky.
        normal: (B, 3, H, W), float32, unit vectors, x right, y up, z towards the camera; NaN for sky.
        caption: B sentences, which `read_caption` turns into facts.

    The last four are None where they were not asked for.
    """

    image: torch.Tensor
    depth: torch.Tensor
    semantic: torch.Tensor
    fov_deg: torch.Tensor
    part: torch.Tensor | None = None
    thing: torch.Tensor | None = None
    normal: torch.Tensor | None = None
    caption: tuple[str, ...] | None = None


def render_scenes(
    domain: str,
    indices: Sequence[int],
    *,
    seed: int = 0,
    style: str = "any",
    height: int = 96,
    width: int = 96,
    device: str | torch.device = "cpu",
    truths: Collection[Truth] = (),
) -> SceneBatch:
    """Makes pictures of scenes with exact depth.

    Args:
        domain: "indoor" (rooms, 0.2 to 10 m) or "outdoor" (streets, 0.2 to 80 m, and sky).
        indices: numbers of the scenes, not negative, in any order.
        seed: another seed gives other scenes; not negative.
        style: one of `STYLES`, or "any": drawn for each scene.
        height, width: pixels; they change the sampling and the field of view's height, not the scene.
        device: where to compute and where the result lies.
        truths: what else to give: "masks" (part and thing), "normals", "captions".

    Returns:
        The pictures, in the order of the indices.

    Raises:
        ValueError: an argument is out of range.
    """
    _check(domain, indices, seed, style, height, width)
    if not set(truths) <= set(get_args(Truth)):
        raise ValueError(f"truths are {sorted(truths)}, but there are only {get_args(Truth)}; pass some of those.")
    device = torch.device(device)
    table = uniform_table(seed, DOMAINS.index(domain), indices, _LAYOUT_UNIFORMS + _LOOK_UNIFORMS)
    layout = (layout_rooms if domain == "indoor" else layout_streets)(Draws(table[:, :_LAYOUT_UNIFORMS]))
    look_draws = Draws(table[:, _LAYOUT_UNIFORMS:])
    drawn = look_draws.integer(len(STYLES))  # read in any case, so that the rest does not depend on `style`
    number = drawn if style == "any" else np.full_like(drawn, STYLES.index(style))
    look = draw_look(look_draws, layout, number == STYLES.index("wild"), device)
    keys = torch.from_numpy((table[:, -1] * (1 << 24)).astype(np.int32)).to(device)
    depth, slot, image, normal = _render(layout, look, keys, height, width, device, with_normals="normals" in truths)
    classes = [SEMANTIC_CLASSES.index(_CLASS_OF_ROLE[role]) for role in (*layout.slots.roles, "sky")]
    semantic = torch.tensor(classes, device=device)[slot]
    fov_deg = torch.from_numpy(layout.fov_deg.astype(np.float32)).to(device)
    batch = SceneBatch(image=image, depth=depth, semantic=semantic, fov_deg=fov_deg, normal=normal)
    return _with_numbers(batch, domain, number_things(domain, layout.slots, slot), keys, truths) if truths else batch


def _with_numbers(
    batch: SceneBatch,
    domain: str,
    numbers: tuple[torch.Tensor, torch.Tensor],
    keys: torch.Tensor,
    truths: Collection[Truth],
) -> SceneBatch:
    """The batch with what is made from the numbers of parts and things; each scene's key chooses words."""
    if "captions" in truths:
        thing, depth = numbers[1].cpu().numpy(), batch.depth.cpu().numpy()
        rows = zip(thing, depth, keys.tolist(), strict=True)
        batch = replace(batch, caption=tuple(write_caption(find_facts(domain, *row), key) for *row, key in rows))
    return replace(batch, part=numbers[0], thing=numbers[1]) if "masks" in truths else batch


def _check(domain: str, indices: Sequence[int], seed: int, style: str, height: int, width: int) -> None:
    if domain not in DOMAINS:
        raise ValueError(f"domain is {domain!r}, but built-in scenes come as one of {DOMAINS}; pass one of those.")
    if style not in (*STYLES, "any"):
        raise ValueError(f"style is {style!r}, but it must be one of {STYLES} or 'any'; pass one of those.")
    if len(indices) == 0 or min(indices) < 0:
        raise ValueError(
            f"indices is {list(indices)!r}, but it must hold one or more numbers from 0 up; pass such a list."
        )
    if seed < 0:
        raise ValueError(f"seed is {seed}, but it must be 0 or more; pass such a number.")
    if min(height, width) < 8:
        raise ValueError(
            f"The size is {height} x {width} pixels, but both must be 8 or more; ask for a larger picture."
        )


@dataclass(frozen=True)
class _View:
    """A part of a batch on its way through the renderer; `eye`, `axes`, `road` as in `Layout`."""

    solids: Solids
    seen: torch.Tensor  # (P, B), which solids the camera may see
    casting: torch.Tensor  # (P, B), which ones cast shadows
    look: Look
    eye: torch.Tensor
    axes: torch.Tensor
    pixel: torch.Tensor  # (B, 1), size of a pixel at one metre, metres
    road: torch.Tensor
    size: tuple[int, int]  # height, width

    def pick(self, part: slice) -> "_View":
        few = (self.seen[:, part], self.casting[:, part])
        tensors = (self.eye[part], self.axes[part], self.pixel[part], self.road[part])
        return _View(self.solids.pick(part), *few, self.look.pick(part), *tensors, size=self.size)


def _render(
    layout: Layout,
    look: Look,
    keys: torch.Tensor,
    height: int,
    width: int,
    device: torch.device,
    *,
    with_normals: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Depth and slot (B, H, W), image and, if asked for, normals (B, 3, H, W), piece by piece to bound the memory."""
    count, pixels = len(layout.eye), height * width
    depth = torch.empty(count, pixels, device=device)
    slot = torch.empty(count, pixels, dtype=torch.int64, device=device)
    image = torch.empty(count, 3, height, width, dtype=torch.uint8, device=device)
    normal = torch.empty(count, 3, pixels, device=device) if with_normals else None
    pixel_m = 2.0 * np.tan(np.radians(layout.fov_deg) / 2) / width
    eye, axes, pixel, road = (
        torch.from_numpy(part.astype(np.float32)).to(device)
        for part in (layout.eye, layout.axes, pixel_m[:, None], layout.road)
    )
    half_width = pixel_m * width / 2
    seen = in_view(layout, half_width, half_width * height / width)
    casting = (layout.half > 0).all(-1) & ~np.isin(layout.slots.roles, _WITHOUT_SHADOW)
    few = [torch.from_numpy(np.ascontiguousarray(part.T)).to(device) for part in (seen, casting)]
    view = _View(solids_from_layout(layout, device), few[0], few[1], look, eye, axes, pixel, road, (height, width))
    budget = _CHUNK_PIXELS_CUDA if device.type == "cuda" else _CHUNK_PIXELS * torch.get_num_threads()
    pieces, spans = -(-count * pixels // budget), -(-pixels // budget)  # rounded up
    images, span = max(1, -(-count // pieces)), -(-pixels // spans)
    for start in range(0, count, images):
        part = slice(start, start + images)
        piece = view.pick(part)
        seen_solids, casting_solids = piece.solids.only(piece.seen), piece.solids.only(piece.casting)
        light = torch.empty(len(piece.eye), 3, pixels, device=device)
        for first in range(0, pixels, span):
            here = slice(first, min(first + span, pixels))
            depth[part, here], slot[part, here], colors, upright = _trace(piece, seen_solids, casting_solids, here)
            for channel, color in enumerate(colors):
                light[:, channel, here] = color
            if normal is not None:
                sky = depth[part, here].isinf()
                normal[part, :, here] = torch.stack(camera_normals(piece.axes, upright, sky), 1)
        image[part] = photograph(light.view(-1, 3, height, width), piece.look, keys[part])
    normal = None if normal is None else normal.view(count, 3, height, width)
    return depth.view(count, height, width), slot.view(count, height, width), image, normal


def _trace(
    view: _View, seen: Solids, casting: Solids, here: slice
) -> tuple[torch.Tensor, torch.Tensor, Vector, Vector]:
    """Depth, slot, linear colour and the world's normal of a range of pixels, (B, N) each."""
    directions = pixel_rays(view.axes, view.pixel, *view.size, here.start, here.stop)
    rays = make_rays((view.eye[:, 0:1], view.eye[:, 1:2], view.eye[:, 2:3]), directions)
    depth, slot = nearest_hit(seen, rays)
    slot = slot.to(torch.int64)
    sky = depth > MAX_DEPTH_M
    depth.masked_fill_(sky, torch.inf)
    last = view.solids.spheres.stop
    slot.masked_fill_(sky, last)
    surface = find_surface(view.solids, rays, depth.clamp_max(1e3), slot.clamp_max(last - 1), view.pixel)
    color = shade(view.solids, casting, view.look, rays, surface, depth, slot, view.road)
    return depth, slot, color, surface.normal
