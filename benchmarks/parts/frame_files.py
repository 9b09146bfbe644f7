"""Parquet files of pictures, with depth or without, for the benchmark of the input pipeline."""

import io
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Image, Value, concatenate_datasets, load_dataset
from PIL import Image as Pillow

SHARDS = 4
MADE_ROWS = 64


def smooth(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """(H, W) float32 between 0 and 1: random numbers on a coarse grid, bicubic in between."""
    coarse = Pillow.fromarray(rng.random((cells * 3, cells * 4), dtype=np.float32))
    return np.asarray(coarse.resize((width, height), Pillow.Resampling.BICUBIC))


def make_rows(count: int, labeled: bool) -> Iterator[dict[str, Any]]:
    """Pictures with shades, texture, edges and noise that pack as camera frames do (some 110 kB each)."""
    for number in range(count):
        rng = np.random.default_rng([int(labeled), number])
        shape = smooth(rng, 480, 640, 2) + 0.4 * (smooth(rng, 480, 640, 6) > 0.6)
        texture = sum(smooth(rng, 480, 640, cells) / 2**level for level, cells in enumerate((12, 40, 120)))
        colours = [120 * shape + rng.uniform(30, 70) * texture + rng.normal(0, 5, shape.shape) for _ in range(3)]
        pixels = np.stack(colours, axis=-1).clip(0, 255).astype(np.uint8)
        row: dict[str, Any] = {"image": packed(Pillow.fromarray(pixels), "JPEG", quality=93)}
        if labeled:
            metres = 1.0 + 3.0 * shape.clip(0, 2)
            # Sensors tell whole steps of disparity apart, noisy ones: depth is finest near by.
            metres = 348 / np.round(348 / metres + rng.normal(0, 0.06, metres.shape))
            metres[smooth(rng, 480, 640, 8) > 0.85] = 0.0  # it does not see everything
            row["depth"] = packed(Pillow.fromarray((metres * 1000).astype(np.uint16)), "PNG")
            row["depth_scale"] = 0.001
        yield row


def packed(picture: Pillow.Image, form: str, **options: Any) -> dict[str, Any]:
    """A cell of an image column."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return {"bytes": file.getvalue(), "path": None}


def features_of(columns: Sequence[str], decode: bool = True) -> Features:
    kinds = {"image": Image(decode=decode), "depth": Image(decode=decode), "depth_scale": Value("float32")}
    return Features({column: kinds[column] for column in columns})


def write_shards(folder: Path, pattern: str | None, count: int, labeled: bool) -> list[dict[str, Any]]:
    """Write parquet files of at least `count` rows, made up or those of `pattern` again and again.

    Returns the rows, undecoded, each once.
    """
    columns = ["image", "depth", "depth_scale"] if labeled else ["image"]
    if pattern is None:
        table = Dataset.from_list(list(make_rows(MADE_ROWS, labeled)), features=features_of(columns))
    else:
        files = sorted(glob(pattern, recursive=True))  # noqa: PTH207 -- a pattern may begin at the root
        table = load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder / "cache"))
        table = table.select_columns(columns).cast(features_of(columns))
    rows = [dict(row) for row in table.cast(features_of(columns, decode=False))]
    table = concatenate_datasets([table] * -(-count // len(table)))
    for number in range(SHARDS):
        table.shard(SHARDS, number).to_parquet(folder / f"{number}.parquet")
    return rows


def square(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose image and depth are cut to the middle square."""
    cut = dict(row)
    for key, form in (("image", "JPEG"), ("depth", "PNG")):
        if key in row:
            picture = Pillow.open(io.BytesIO(row[key]["bytes"]))
            side = min(picture.size)
            left, top = ((length - side) // 2 for length in picture.size)
            cut[key] = packed(picture.crop((left, top, left + side, top + side)), form)
    return cut
