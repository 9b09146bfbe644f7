"""Look at a few dozen samples of a source: their sizes, units, ranges, and how labels lie on their pictures."""

import itertools
import math
from collections.abc import Iterator
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
from semidepth.data.reading.rows import Row, content_of, decode_row
from semidepth.data.reading.sources import OpenedSource, count_samples, open_source
from semidepth.data.source_spec import Source
from semidepth.evaluation.source_report.surfaces import bytes_look_exchanged

MOST_SAMPLES = 32
SCENES = 8  # whose labels are exact
SCENE_SIZE = 160
HELD_OUT = 8
MOST_PIXELS = 150_000_000  # decoded in all; the first few samples are looked at whatever their size
LEAST_SAMPLES = 6
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
    """

    origin: str
    image: Tensor
    depth: Tensor | None
    size: tuple[int, int]
    orientation: int
    pseudo: bool
    domain: str


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
    """Samples of a source that were looked at, the broken ones' sentences, and the first label as it is stored."""

    samples: tuple[Look, ...]
    broken: tuple[str, ...]
    label: FirstLabel | None


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
    first: FirstLabel | None = None
    pixels = 0
    for row in spread(open_source(source, labeled=labeled), most):
        try:
            sample = decode_row(row, whole, labeled, at_least=SIDE)
            if labeled and first is None:
                first = _first_label(row, source)
        except BrokenSampleError as error:
            broken.append(str(error))
            continue
        height, width = sample["image"].shape[-2:]
        image, depth = _reduced(sample["image"], sample["depth"])
        pseudo = row["depth_shift"] is not None
        look = Look(row["origin"], image, depth, (height, width), _orientation(row), pseudo, row["domain"])
        samples.append(look)
        pixels += height * width * (2 if labeled else 1)
        if pixels > MOST_PIXELS and len(samples) >= LEAST_SAMPLES:
            break
    return Looked(tuple(samples), tuple(broken), first)


def spread(opened: OpenedSource, most: int) -> Iterator[Row]:
    """Undecoded rows from shards all over a source, a few of each."""
    source, shards = opened.source, opened.num_shards
    most = min(most, source.count or most)
    if source.remote:  # each shard is a connection, and may be a large file
        shards, most = min(shards, 2), min(most, 12)
    if source.part == "held_out":  # one row of twenty
        most = min(most, HELD_OUT)
    parts = min(shards, 2 if source.format == "scenes" else most)
    each = -(-most // max(1, parts))
    step = 1
    if not source.remote and source.part is None and source.format in ("parquet", "scenes"):
        total = count_samples(source, labeled=opened.labeled)
        in_shard = LARGEST_STEP * each if total is None else total / max(1, opened.num_shards)
        step = max(1, min(LARGEST_STEP, int(in_shard) // each))
    rows = (
        row for part in range(parts)
        for _, row in itertools.islice(opened.rows(part * shards // parts, 0, step), each)
    )  # fmt: skip
    return itertools.islice(rows, most)


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


def _reduced(image: Tensor, depth: Tensor | None) -> tuple[Tensor, Tensor | None]:
    height, width = image.shape[-2:]
    factor = math.ceil(max(height, width) / SIDE)
    if factor == 1:
        return image.contiguous(), depth
    rows, columns = max(1, height // factor), max(1, width // factor)
    small = F.interpolate(image[None].float(), size=(rows, columns), mode="area")[0].round().to(torch.uint8)
    if depth is not None:
        depth = F.interpolate(depth[None, None], size=(rows, columns), mode="nearest-exact")[0, 0]
    return small, depth
