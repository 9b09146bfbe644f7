"""Open a source as a stream of raw rows: undecoded image and depth, and the sample's name for logs.

All kinds come out as a `datasets.IterableDataset` of `Row`s in several shards. Nothing is decoded here, so
that rows are cheap to shuffle, and nothing is split among readers: `streaming` does that.

Depth is paired with the images of a folder by name. For `a/name.jpg` the first of these that exists is taken:
`a/name_depth.EXT`, `a/name.depth.EXT`, and, where a folder in the path is called images, image or rgb, the
same path with that folder called depth (`images/x/name.jpg` -> `depth/x/name.EXT`); EXT is png, npy, tiff or
tif.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from tarfile import TarError
from typing import Any, TypedDict

from datasets import IterableDataset
from torch import Tensor

from semidepth.training.data.source_spec import (
    DEPTH_FOLDER,
    DEPTH_SUFFIXES,
    HELD_OUT_START,
    IMAGE_FOLDERS,
    Source,
    local_files,
    parse_source,
)
from semidepth.training.data.tables import (
    DOMAIN_COLUMN,
    KEY_COLUMN,
    SCALE_COLUMN,
    Table,
    count_rows,
    open_table,
    unopened,
)

__all__ = ["HELD_OUT_START", "Row", "Source", "count_samples", "open_source", "parse_source", "rows_of"]

DEFAULT_SCENE_SIZE = 96
SCENES_PER_CHUNK = 16
ENDLESS_SCENE_SHARDS = 4096  # each is endless in itself: as many readers as this can share them
IMAGE_SHARDS = 1024
ROWS_PER_READ = 16
REMOTE = ("https://", "http://", "hf://")
CACHED_SCENE_BYTES = 64 * 2**20


class Row(TypedDict):
    """One undecoded sample. `depth` is None when not asked for, `depth_scale` when the set does not say."""

    image: bytes | str | Tensor | None
    depth: bytes | str | Tensor | list[Any] | None
    depth_scale: float | None
    domain: str
    origin: str


def open_source(
    source: Source | str, *, labeled: bool, size: int | None = None, shards: Sequence[int] | None = None
) -> IterableDataset:
    """Open one source as a stream of undecoded `Row`s.

    Args:
        source: parsed, or as written.
        labeled: whether rows carry depth. Images of a folder that have no depth file are then left out.
        size: side of the square that scenes are rendered at when the source does not say, in pixels.
        shards: numbers of the shards to read, in this order; by default all.

    Returns:
        The stream. Endless scenes have endless shards, of which a loop only ever sees the first. Read it with
        `rows_of`: a plain loop inside a loader's worker lets `datasets` split it once more.

    Raises:
        ValueError: the source cannot be opened, or lacks the image or depth that is asked for.
    """
    source = parse_source(source) if isinstance(source, str) else source
    if labeled and source.depth == "none":
        raise ValueError(f"source {source.spec!r} says depth=none but is used with labels; drop the option or the use")
    generate, total = _SHARDS[source.format](source, labeled)
    stream = IterableDataset.from_generator(
        generate,
        gen_kwargs={
            "source": source,
            "labeled": labeled,
            "size": size,
            "shards": list(range(total) if shards is None else shards),
        },
    )
    counted_by_rows = source.format in ("parquet", "webdataset", "hub") and source.count is not None
    return stream.take(source.count) if counted_by_rows else stream


def count_samples(source: Source | str, *, labeled: bool = False) -> int | None:
    """How many samples one pass over a source has, where that is cheap to know.

    Args:
        source: parsed, or as written.
        labeled: count the samples with depth, as `open_source` has it.

    Returns:
        The number, broken samples included; None for endless scenes, tars, URLs, and Hub sets that do not
        say.
    """
    source = parse_source(source) if isinstance(source, str) else source
    if source.format == "scenes":
        return source.count
    if source.format == "images":
        return len(_image_files(source, labeled))
    total = count_rows(source)
    return total if total is None or source.count is None else min(total, source.count)


def rows_of(stream: IterableDataset) -> Iterator[Row]:
    """The rows of an opened source, all of them, also inside a loader's worker.

    Args:
        stream: from `open_source`, or any streaming dataset.

    Returns:
        An iterator over its rows.
    """
    # A loop over the dataset itself would let `datasets` hand each worker its own shards; `iter` does not.
    for batch in stream.iter(batch_size=ROWS_PER_READ):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))  # type: ignore[misc]


# Scenes


def _scene_shards(source: Source, labeled: bool) -> tuple[Callable[..., Iterator[Row]], int]:
    chunks = ENDLESS_SCENE_SHARDS if source.count is None else -(-source.count // SCENES_PER_CHUNK)
    return _scene_rows, chunks


def _scene_rows(source: Source, labeled: bool, size: int | None, shards: list[int]) -> Iterator[Row]:
    side = source.size or size or DEFAULT_SCENE_SIZE
    render = _render
    if source.count is not None and source.count * side * side * 7 <= CACHED_SCENE_BYTES:
        render = _render_once  # a few scenes that come by again in each pass: drawing them once is enough
    for chunk in _chunks(source, shards):
        first = chunk * SCENES_PER_CHUNK
        last = first + SCENES_PER_CHUNK if source.count is None else min(first + SCENES_PER_CHUNK, source.count)
        images, depths = render(source, side, source.first_index + first, source.first_index + last)
        for offset, (image, depth) in enumerate(zip(images, depths, strict=True)):
            number = source.start + first + offset
            split = "" if source.split in (None, "train") else f"/{source.split}"
            yield Row(
                image=image,
                depth=depth if labeled else None,
                depth_scale=None,
                domain=source.domain or source.location,
                origin=f"scenes:{source.location}{split}#{number}",
            )


def _chunks(source: Source, shards: list[int]) -> Iterator[int]:
    """Numbers of the chunks in some shards; of endless shards the first one given never ends."""
    if source.count is not None:
        return iter(shards)
    return (chunk for shard in shards for chunk in itertools.count(shard, ENDLESS_SCENE_SHARDS))


def _render(source: Source, side: int, first: int, last: int) -> tuple[Tensor, Tensor]:
    from semidepth.training.data.scenes import render_scenes

    batch = render_scenes(
        source.location, range(first, last), seed=source.seed, style=source.style, height=side, width=side
    )
    return batch.image, batch.depth


_render_once = lru_cache(maxsize=256)(_render)


# Folders of images


def _image_shards(source: Source, labeled: bool) -> tuple[Callable[..., Iterator[Row]], int]:
    return _image_rows, min(len(_image_files(source, labeled)), IMAGE_SHARDS)


def _image_rows(source: Source, labeled: bool, size: int | None, shards: list[int]) -> Iterator[Row]:
    files = _image_files(source, labeled)
    total = min(len(files), IMAGE_SHARDS)
    for shard in shards:
        for image, depth in files[shard * len(files) // total : (shard + 1) * len(files) // total]:
            yield Row(image=image, depth=depth, depth_scale=None, domain=source.domain or "", origin=image)


@lru_cache(maxsize=16)
def _image_files(source: Source, labeled: bool) -> list[tuple[str, str | None]]:
    """Paths of image and depth, in order; without depth when it is not asked for."""
    images, root = local_files(source), Path(source.location)
    if not labeled:
        return [(str(path), None) for path in images[: source.count]]
    pairs = [(str(path), str(depth)) for path in images if (depth := _depth_beside(path, root)) is not None]
    if not pairs:
        raise ValueError(
            f"source {source.spec!r} has no depth beside its {len(images)} images; name it NAME_depth.png "
            "(or npy, tiff), or put it into a folder 'depth' that mirrors 'images'"
        )
    return pairs[: source.count]  # type: ignore[return-value]


def _depth_beside(image: Path, root: Path) -> Path | None:
    stems = [image.with_name(f"{image.stem}{mark}") for mark in ("_depth", ".depth")]
    folders = image.relative_to(root).parts[:-1] if image.is_relative_to(root) else image.parent.parts[-2:]
    start = len(image.parts) - 1 - len(folders)
    for place, folder in enumerate(folders):
        if folder in IMAGE_FOLDERS:
            parts = list(image.parts)
            parts[start + place] = DEPTH_FOLDER
            stems.append(Path(*parts).with_suffix(""))
    candidates = (Path(f"{stem}{suffix}") for stem in stems for suffix in DEPTH_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


# Tables: parquet files, webdataset tars, the Hub


def _table_shards(source: Source, labeled: bool) -> tuple[Callable[..., Iterator[Row]], int]:
    return _table_rows, open_table(source, labeled).rows.num_shards


def _table_rows(source: Source, labeled: bool, size: int | None, shards: list[int]) -> Iterator[Row]:
    table = open_table(source, labeled)
    total = table.rows.num_shards
    for shard in shards:
        split = f"{source.split} " if source.split else ""
        file = table.files[shard] if table.files else f"{source.location}#{split}shard {shard}"
        try:
            for number, row in enumerate(rows_of(table.rows.shard(total, shard))):
                yield _table_row(source, table, dict(row), file, number)
        except (OSError, ValueError, EOFError, TarError) as error:
            raise ValueError(unopened(source, error, file)) from error


def _table_row(source: Source, table: Table, row: dict[str, Any], file: str, number: int) -> Row:
    domain = row.get(DOMAIN_COLUMN)
    if domain is not None and table.domain_names is not None:
        domain = table.domain_names[domain]
    return Row(
        image=_content(row.get(table.image)),
        depth=None if table.depth is None else _content(row.get(table.depth)),
        depth_scale=row.get(SCALE_COLUMN),
        domain=source.domain or str(domain or ""),
        origin=f"{file}#{row[KEY_COLUMN]}" if KEY_COLUMN in row else f"{file}#row {number}",
    )


def _content(value: Any) -> Any:
    """What an undecoded cell holds: the bytes or the address of an image, else the cell itself.

    A table may come from anyone, so it may name files on the web and the Hub but no local ones: those are missing here.
    """
    if isinstance(value, dict) and "bytes" in value:
        value = value["bytes"] if value["bytes"] is not None else value["path"]
    return None if isinstance(value, str) and not value.startswith(REMOTE) else value


_SHARDS = {
    "scenes": _scene_shards,
    "images": _image_shards,
    "parquet": _table_shards,
    "webdataset": _table_shards,
    "hub": _table_shards,
}
