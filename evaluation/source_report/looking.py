"""Look at a few dozen samples of a source: their sizes, units, ranges, and how labels lie on their pictures."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semidepth.data.decoding import DECODING_ERRORS, BrokenSampleError, open_picture
from semidepth.data.depth_files import stored_numbers
from semidepth.data.orientation import orientation_of
from semidepth.data.reading.image_folders import image_files
from semidepth.data.reading.rows import Row, content_of, decode_row
from semidepth.data.reading.sources import OpenedSource, count_samples, open_source
from semidepth.data.source_spec import Source
from semidepth.evaluation.source_report.parts import LEAST_SAMPLES as LEAST_OF_PART
from semidepth.evaluation.source_report.parts import parts_of
from semidepth.evaluation.source_report.surfaces import bytes_look_exchanged

MOST_SAMPLES = 32
SCENES = 8  # whose labels are exact
SCENE_SIZE = 160
HELD_OUT = 8
MOST_PIXELS = 150_000_000  # decoded in all; the first few samples are looked at whatever their size
LEAST_SAMPLES = 8
IN_TURNS = 8  # shards or folders that are read in turns, so that one that stops early has seen all
SIDE = 320  # the longer side of what is kept of a picture, pixels
LARGEST_STEP = 8  # rows of one file that are passed over for one that is looked at


@dataclass(frozen=True)
class Look:
    """One sample, reduced so that its longer side has at most `SIDE` pixels.

    Args:
        origin: its name.
        image: (3, h, w) uint8.
        depth: (h, w) float32 metres before the source's range is applied, NaN unknown, inf sky; None without label.
        size: height and width of the image, pixels.
        orientation: of the picture's EXIF data, 1 to 8.
        pseudo: the label is one of a pseudo-label set: its unit is unknown.
        domain: of the row, "" where none is given.
        part: of the source, as [`parts_of`] has it.
    """

    origin: str
    image: Tensor
    depth: Tensor | None
    size: tuple[int, int]
    orientation: int
    pseudo: bool
    domain: str
    part: str


@dataclass(frozen=True)
class FirstLabel:
    """The first label as it is stored.

    Args:
        height: in pixels.
        width: in pixels.
        dtype: of its numbers.
        negative: share of them that is less than 0 and no code that the source names.
        scale: of its row, metres per stored unit; None where the row does not say.
        swapped: the two bytes of its numbers look exchanged.
    """

    height: int
    width: int
    dtype: str
    negative: float
    scale: float | None
    swapped: bool


@dataclass(frozen=True)
class Looked:
    """Samples of a source that were looked at, the broken ones' sentences, and the first label of each part."""

    samples: tuple[Look, ...]
    broken: tuple[str, ...]
    labels: dict[str, FirstLabel]

    @property
    def label(self) -> FirstLabel | None:
        """The first label of all."""
        return next(iter(self.labels.values()), None)


def look_at(source: Source, *, labeled: bool, most: int = MOST_SAMPLES) -> Looked:
    """Decode samples from all over a source.

    Args:
        source: parsed.
        labeled: whether it is used with labels.
        most: number of samples, at most; fewer of large pictures, scenes, held-out parts and over a network.

    Returns:
        What was seen.

    Raises:
        ValueError: the source cannot be read, or its labels lack what only the user can say.
    """
    if source.format == "scenes":
        source, most = replace(source, size=min(source.size or SCENE_SIZE, SCENE_SIZE)), min(most, SCENES)
    no_range: dict[str, Any] = {"min_depth_m": None, "max_depth_m": None}  # fields of a parent, which mypy overlooks
    whole = replace(source, **no_range)  # what is beyond the range is counted, too
    samples: list[Look] = []
    broken: list[str] = []
    first: dict[str, FirstLabel] = {}
    opened = open_source(source, labeled=labeled)
    parts = parts_of(opened, [image for image, _ in image_files(source, labeled)] if source.format == "images" else ())
    pixels = 0
    for row in spread(opened, most, parts.images):
        part = parts.name_of(row)
        try:
            sample = decode_row(row, whole, labeled, at_least=SIDE)
            if labeled and part not in first:
                first[part] = _first_label(row, source)
        except BrokenSampleError as error:
            broken.append(str(error))
            continue
        height, width = sample["image"].shape[-2:]
        image, depth = reduced(sample["image"], sample["depth"])
        pseudo = row["depth_shift"] is not None
        look = Look(row["origin"], image, depth, (height, width), _orientation(row), pseudo, row["domain"], part)
        samples.append(look)
        pixels += height * width * (2 if labeled else 1)
        if pixels > MOST_PIXELS and len(samples) >= LEAST_SAMPLES:
            break
    return Looked(tuple(samples), tuple(broken), first)


def spread(opened: OpenedSource, most: int, of_parts: Mapping[str, Sequence[int]] | None = None) -> Iterator[Row]:
    """Undecoded rows from all over a source: a few of each shard, or as many from each of a few parts of images."""
    source, shards = opened.source, opened.num_shards
    most = min(most, source.count or most)
    if source.remote:  # each shard is a connection, and may be a large file
        shards, most = min(shards, 2), min(most, 12)
    if source.part == "held_out":  # one row of twenty
        most = min(most, HELD_OUT)
    if of_parts and len(of_parts) <= min(IN_TURNS, most // LEAST_OF_PART):
        each = most // len(of_parts)
        chosen = ([own[place * len(own) // each] for place in range(min(each, len(own)))] for own in of_parts.values())
        return _in_turns([(_image_row(opened, number) for number in numbers) for numbers in chosen])
    parts = min(shards, 2 if source.format == "scenes" else most)
    each = -(-most // max(1, parts))
    step = 1
    if not source.remote and source.part is None and source.format in ("parquet", "scenes"):
        total = count_samples(source, labeled=opened.labeled)
        in_shard = LARGEST_STEP * each if total is None else total / max(1, opened.num_shards)
        step = max(1, min(LARGEST_STEP, int(in_shard) // each))
    rows = [_first_rows(opened, part * shards // parts, step, each) for part in range(parts)]
    return itertools.islice(_in_turns(rows) if parts <= IN_TURNS else itertools.chain(*rows), most)


def _first_rows(opened: OpenedSource, shard: int, step: int, most: int) -> Iterator[Row]:
    return (row for _, row in itertools.islice(opened.rows(shard, 0, step), most))


def _image_row(opened: OpenedSource, number: int) -> Row:
    """The row of an image by its number among all; shards are ranges of them."""
    files, shards = opened.files, opened.num_shards
    shard = ((number + 1) * shards - 1) // files
    return next(row for _, row in opened.rows(shard, number - shard * files // shards))


def _in_turns(parts: Sequence[Iterator[Row]]) -> Iterator[Row]:
    """The first row of each, then the second of each, and so on."""
    return (row for turn in itertools.zip_longest(*parts) for row in turn if row is not None)


def _first_label(row: Row, source: Source) -> FirstLabel:
    """The label of a row as it is stored."""
    label = content_of(row["depth"], "depth", row["origin"])
    if isinstance(label, bytes | Path):
        data = label if isinstance(label, bytes) else label.read_bytes()
        stored = stored_numbers(data, row["origin"], key=source.key, kind=source.coding().meaning)
    else:
        stored = np.asarray(label)
    if not np.issubdtype(stored.dtype, np.signedinteger) and not np.issubdtype(stored.dtype, np.floating):
        negative = 0.0
    else:
        told = np.isin(stored, np.asarray(source.unknown + source.sky, dtype=np.float64))
        negative = float(((stored < 0) & ~told).mean())
    shape = [length for length in stored.shape if length != 1] or [1]
    return FirstLabel(
        shape[0], shape[-1], str(stored.dtype), negative, row["depth_scale"], bytes_look_exchanged(stored)
    )


def _orientation(row: Row) -> int:
    """EXIF orientation of a row's picture."""
    image = row["image"]
    if not isinstance(image, bytes | Path):
        return 1
    try:
        picture = open_picture(image if isinstance(image, bytes) else image.read_bytes())
        # Only of JPEG, TIFF and HEIC the header tells it; of a PNG the pixels would have to be loaded.
        return orientation_of(picture) if picture.format != "PNG" else 1
    except DECODING_ERRORS:
        return 1


def reduced(image: Tensor, depth: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A picture (3, H, W) uint8 and its label (H, W) so small that the longer side has at most `SIDE` pixels."""
    height, width = image.shape[-2:]
    factor = math.ceil(max(height, width) / SIDE)
    if factor == 1:
        return image.contiguous(), depth
    rows, columns = max(1, height // factor), max(1, width // factor)
    small = F.interpolate(image[None].float(), size=(rows, columns), mode="area")[0].round().to(torch.uint8)
    if depth is not None:
        depth = F.interpolate(depth[None, None], size=(rows, columns), mode="nearest-exact")[0, 0]
    return small, depth
