"""Decode the masks of one picture, whatever they are stored as.

Masks that do not overlap lie in one map of numbers, as a renderer or a PNG of instances has them: a layer. An outline
of its own, as run lengths, polygons or a black and white picture, is a layer of one mask, decoded when its turn comes.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from semidepth.data.decoding import (
    DECODING_ERRORS,
    BrokenSampleError,
    cause_of,
    check_pixels,
    load_pixels,
    open_picture,
)
from semidepth.data.depth_files import stored_numbers
from semidepth.data.orientation import LabelFrame, turn_with_image
from semidepth.data.scenes.things import SKY, things_of
from semidepth.media.run_lengths import decode_run_lengths, fill_polygons

Level = Literal["thing", "part", ""]

CROWD = "of crowds"
BROKEN = "broken"
OTHER_SIZE = "of another size than their image"


class Mask(NamedTuple):
    """One mask of a layer: the number of its pixels there, the name of its class, whether it is a thing or a part of
    one, and the score that a model gave it (NaN: none)."""

    number: int
    name: str = ""
    level: Level = ""
    score: float = math.nan


class Outline(NamedTuple):
    """One mask that is stored by itself: run lengths, polygons, or a picture that is not black inside."""

    content: Any
    mask: Mask


@dataclass(frozen=True)
class Layer:
    """Masks of one picture that do not overlap.

    Args:
        content: (h, w) numbers, or an outline to be decoded to 1 inside and 0 outside.
        masks: those in it.
    """

    content: Tensor | Outline
    masks: tuple[Mask, ...]


@dataclass(frozen=True)
class StoredMasks:
    """Outlines of one picture as a file has them.

    Args:
        outlines: undecoded.
        size: height and width that they were drawn for; None where the file does not say.
        left_out: number of masks that are not used, by reason.
    """

    outlines: tuple[Outline, ...]
    size: tuple[int, int] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SceneMasks:
    """Numbers of parts and things (H, W) of a rendered scene, and which of them are masks."""

    domain: str
    part: Tensor
    thing: Tensor
    wanted: str


@dataclass
class ImageMasks:
    """The masks of one picture.

    Args:
        name: of the picture, for errors.
        size: of the upright image, height and width.
        orientation: by which the image was turned, 1 to 8.
        frame: how masks lie; None: told by their shape.
        layers: undecoded where they are outlines.
        drawn_for: height and width that polygons were drawn for.
        left_out: number of masks that are not used, by reason.
        causes: for some reasons one sentence about the first of these masks.
    """

    name: str
    size: tuple[int, int]
    orientation: int
    frame: LabelFrame | None
    layers: tuple[Layer, ...]
    drawn_for: tuple[int, int]
    left_out: Counter[str]
    causes: dict[str, str] = field(default_factory=dict)

    def numbers(self, layer: Layer) -> Tensor | None:
        """Returns (H, W), a layer as the upright image lies; None, and counted, where it cannot be used."""
        content = layer.content
        try:
            shape = content.shape if isinstance(content, Tensor) else _claimed_size(content)
            if shape is not None and tuple(shape) not in possible_sizes(self.size, self.orientation):
                self._leave_out(layer, OTHER_SIZE, _sizes(self.name, self.size, tuple(shape)))
                return None
            stored = content if isinstance(content, Tensor) else self._decoded(content)
        except ValueError as error:
            self._leave_out(layer, BROKEN, f"{self.name} has a mask that is left out: {error}")
            return None
        if self.orientation != 1:
            image = torch.empty(0, *self.size)
            stored = turn_with_image(stored, image, self.orientation, self.frame)
        if tuple(stored.shape) != self.size:
            self._leave_out(layer, OTHER_SIZE, _sizes(self.name, self.size, tuple(stored.shape)))
            return None
        return stored

    def _decoded(self, outline: Outline) -> Tensor:
        content = outline.content
        if isinstance(content, Mapping):
            return torch.from_numpy(np.ascontiguousarray(decode_run_lengths(content)).astype(np.uint8))
        if isinstance(content, bytes | Path):
            return (read_numbers(content, self.name) != 0).to(torch.uint8)
        return torch.from_numpy(fill_polygons(content, *self.drawn_for).astype(np.uint8))

    def _leave_out(self, layer: Layer, reason: str, sentence: str) -> None:
        self.left_out[reason] += len(layer.masks)
        self.causes.setdefault(reason, sentence)


def read_masks(
    stored: Any, name: str, size: tuple[int, int], orientation: int = 1, frame: LabelFrame | None = None
) -> ImageMasks:
    """Reads the masks of one picture; outlines stay undecoded.

    Args:
        stored: `SceneMasks`, `StoredMasks`, a file's path or content (a PNG of instances, or json as Segment Anything
            writes it), an array of instances, or a list: of such json's annotations, or of black and white pictures.
        name: of the picture, for errors.
        size: of the upright image, height and width.
        orientation: by which the image was turned, 1 to 8.
        frame: how the masks lie.

    Raises:
        BrokenSampleError: there are no masks, or they cannot be read.
    """
    if stored is None:
        raise BrokenSampleError(f"{name} has no masks")
    try:
        if isinstance(stored, SceneMasks):
            layers, found = list(_scene_layers(stored)), StoredMasks(())
        elif isinstance(stored, StoredMasks):
            layers, found = [], stored
        elif isinstance(stored, np.ndarray):
            layers, found = [_instances(torch.from_numpy(stored.astype(np.int32)))], StoredMasks(())
        else:
            content = stored.read_bytes() if isinstance(stored, Path) else stored
            if isinstance(content, bytes) and content.lstrip()[:1] not in (b"{", b"["):
                layers, found = [_instances(read_numbers(content, f"{name} (masks)"))], StoredMasks(())
            else:
                layers, found = [], stored_masks(json.loads(content) if isinstance(content, bytes | str) else content)
    except BrokenSampleError:
        raise
    except (*DECODING_ERRORS, KeyError) as error:
        raise BrokenSampleError(f"{name} has masks that cannot be read: {cause_of(error)}") from error
    drawn_for = found.size or possible_sizes(size, orientation)[-1]
    if drawn_for not in possible_sizes(size, orientation):  # before anything of that size is allocated
        raise BrokenSampleError(_sizes(name, size, drawn_for))
    layers += [Layer(outline, (outline.mask,)) for outline in found.outlines]
    return ImageMasks(name, size, orientation, frame, tuple(layers), drawn_for, Counter(found.left_out))


def possible_sizes(size: tuple[int, int], orientation: int) -> tuple[tuple[int, int], ...]:
    """Returns the sizes that masks of an image may have: as shown, and as stored where a turn exchanges the sides."""
    return (size, (size[1], size[0])) if orientation > 4 else (size,)


def _claimed_size(outline: Outline) -> tuple[int, int] | None:
    """The size that run lengths claim; None for others. Raises ValueError where it is none."""
    if not isinstance(outline.content, Mapping):
        return None
    try:
        height, width = (int(side) for side in outline.content["size"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError("its run lengths have no size of two numbers") from None
    return height, width


def _sizes(name: str, size: Sequence[int], found: Sequence[int]) -> str:
    own, other = ("x".join(map(str, reversed(each))) for each in (size, found))
    return f"{name} is {own} pixels and has masks of {other}; store both at one size"


def stored_masks(record: Any) -> StoredMasks:
    """Returns the outlines of one picture: of a list of annotations, or of a dict with one, as Segment Anything has it.

    An annotation is run lengths itself, or has them, or polygons, as `segmentation`; beside them `name` or `category`
    may be the class's name, `predicted_iou` the score, and `iscrowd` marks what is no single object.

    Raises:
        ValueError: it is no such record.
    """
    size = None
    if isinstance(record, Mapping) and "annotations" in record:
        image = record.get("image") or {}
        size = (int(image["height"]), int(image["width"])) if {"height", "width"} <= set(image) else None
        record = record["annotations"]
    if isinstance(record, Mapping):  # columns in place of rows, or a single one
        lists = [value for value in record.values() if isinstance(value, list)]
        rows = "segmentation" in record and len(lists) == len(record) and len(set(map(len, lists))) == 1
        record = [dict(zip(record, row, strict=True)) for row in zip(*lists, strict=True)] if rows else [record]
    if not isinstance(record, Sequence) or isinstance(record, str | bytes):
        raise ValueError(f"a list of masks was expected, {type(record).__name__} came")
    single = [each for each in record if not (isinstance(each, Mapping) and each.get("iscrowd"))]
    crowds = len(record) - len(single)
    return StoredMasks(tuple(map(_outline, single)), size, {CROWD: crowds} if crowds else {})


def _outline(record: Any) -> Outline:
    if not isinstance(record, Mapping):
        return Outline(record, Mask(1))
    if record.get("bytes") is not None:
        return Outline(record["bytes"], Mask(1))
    name = next((record[key] for key in ("name", "category") if isinstance(record.get(key), str)), "")
    score = record.get("predicted_iou")
    return Outline(record.get("segmentation", record), Mask(1, name, "", math.nan if score is None else float(score)))


def _instances(numbers: Tensor) -> Layer:
    """The masks of a map in which each object has a number; 0 is none."""
    found = numbers.unique().tolist()
    return Layer(numbers, tuple(Mask(number) for number in found if number != 0))


def read_numbers(content: bytes | Path, name: str) -> Tensor:
    """Returns (H, W) int32, the numbers of a picture, 8 or 16 bits, of a palette, or black and white.

    Raises:
        BrokenSampleError: it is no picture of one channel.
    """
    try:
        data = content.read_bytes() if isinstance(content, Path) else content
        picture = open_picture(data)
        check_pixels(picture.size, name)
        if picture.mode not in ("1", "L", "P", "LA", "RGB", "RGBA"):
            return torch.from_numpy(stored_numbers(data, name).astype(np.int32))
        load_pixels(picture)
    except BrokenSampleError:
        raise
    except DECODING_ERRORS as error:
        raise BrokenSampleError(f"{name} cannot be decoded as masks: {cause_of(error)}") from error
    pixels = np.asarray(picture).astype(np.int32)
    if pixels.ndim == 3:
        colors = pixels[..., :1] if picture.mode == "LA" else pixels[..., :3]
        if (colors != colors[..., :1]).any():
            raise BrokenSampleError(f"{name} has masks in colours; store one channel with a number for each object")
        pixels = colors[..., 0]
    return torch.from_numpy(pixels)


def _scene_layers(scene: SceneMasks) -> Iterable[Layer]:
    """Things, and those parts that are not all that is seen of their thing."""
    things = things_of(scene.domain)
    seen = [number for number in scene.part.unique().tolist() if number != SKY]
    if scene.wanted != "parts":
        numbers = scene.thing.unique().tolist()
        kinds = ("sky" if number == SKY else things.kinds[number] for number in numbers)
        yield Layer(scene.thing, tuple(Mask(n, kind, "thing") for n, kind in zip(numbers, kinds, strict=True)))
    if scene.wanted != "things":
        visible = Counter(things.thing_of_part[number] for number in seen)
        several = [number for number in seen if visible[things.thing_of_part[number]] > 1]
        yield Layer(scene.part, tuple(Mask(number, things.parts[number], "part") for number in several))
