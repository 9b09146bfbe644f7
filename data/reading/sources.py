"""Open a source as shards of undecoded rows.

Every kind has shards that can be read from any row on. Nothing is decoded here, so that rows are cheap to shuffle, and
nothing is split among readers: `readers` does that.
"""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import Tensor

from semidepth.common.retrying import read_on
from semidepth.data.listing import Listing
from semidepth.data.masks.finding import mask_finder
from semidepth.data.masks.layers import SceneMasks
from semidepth.data.reading.cells import plain, reliable_enough, table_row
from semidepth.data.reading.image_folders import find_images, image_files
from semidepth.data.reading.parts import SCENE_COLUMN, Cut, cut_images, cut_table
from semidepth.data.reading.rows import Row
from semidepth.data.reading.tables import Table, count_rows, open_table, unopened
from semidepth.data.reading.whole_files import require_readable_tar, require_whole_end
from semidepth.data.source_spec import Source, is_url, listing_of

logger = logging.getLogger(__name__)

DEFAULT_SCENE_SIZE = 96
SCENES_PER_CHUNK = 16
ENDLESS_SCENE_SHARDS = 4096  # each is endless in itself: as many readers as this can share them
IMAGE_SHARDS = 1024
ROWS_PER_READ = 16
CACHED_SCENE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class OpenedSource(ABC):
    """A source whose undecoded rows can be read shard by shard.

    Args:
        source: what was opened.
        labeled: whether rows carry depth. Images of a folder that have no depth file are then left out.
        size: side of the square that scenes are rendered at when the source does not say, in pixels.
    """

    source: Source
    labeled: bool
    size: int | None = None

    @property
    @abstractmethod
    def num_shards(self) -> int:
        """Number of shards, which can be read independently."""

    @property
    def files(self) -> int:
        """Number of files; a resumed run compares it to see that the source is unchanged."""
        return self.num_shards

    @abstractmethod
    def rows(self, shard: int, start: int = 0, step: int = 1) -> Iterator[tuple[int, Row]]:
        """Rows of one shard with their numbers in it: `start`, `start + step` and so on, to the shard's end.

        Raises:
            ValueError: the shard cannot be read.
        """


def open_source(source: Source, *, labeled: bool, size: int | None = None) -> OpenedSource:
    """Open one source.

    Args:
        source: parsed.
        labeled: whether rows carry depth.
        size: side of the square that scenes are rendered at when the source does not say, in pixels.

    Returns:
        Its shards. Endless scenes have endless shards.

    Raises:
        ValueError: the source cannot be opened, or lacks the image or depth that is asked for.
    """
    if labeled and source.depth == "none":
        raise ValueError(f"source {source.spec!r} says depth=none but is used with labels; drop the option or the use")
    opened = _KINDS[source.format](source, labeled, size)
    _ = opened.num_shards  # opens it, so that what is wrong is told here
    return opened


def count_samples(source: Source, *, labeled: bool = False) -> int | None:
    """Number of samples in one pass over a source, if it can be had without reading the data.

    Args:
        source: parsed.
        labeled: count the samples with depth, as `open_source` has it.

    Returns:
        The number, broken samples included; None for endless scenes, tars, URLs, and Hub sets that do not
        say.
    """
    if source.format == "scenes":
        return source.count
    if source.format == "images":
        return len(image_files(source, labeled))
    total = count_rows(source)
    return total if total is None or source.count is None else min(total, source.count)


def files_of(source: Source, *, labeled: bool = False) -> Listing | None:
    """The files of a source that are read, and those that are left out with the reason.

    Args:
        source: parsed.
        labeled: whether depth is needed; images without it are then left out.

    Returns:
        The listing; None for scenes and what is read over a network.
    """
    if source.format == "scenes" or source.remote or is_url(source.location):
        return None
    return find_images(source, labeled).listing if source.format == "images" else listing_of(source)


def cut_of(source: Source, *, labeled: bool) -> Cut | None:
    """Finds the samples of a source that `part=held_out` holds; None for one that has no such part, such as scenes.

    Raises:
        ValueError: the source cannot be opened.
    """
    if source.format == "scenes":
        return None
    if source.format == "images":
        return cut_images((image for image, _ in image_files(source, labeled)), Path(source.location))
    return cut_table(source, open_table(source, labeled).files)


class SceneRows(OpenedSource):
    """Rendered scenes. A shard is a chunk of scenes; in an endless source it is every 4096th chunk, without end."""

    @property
    def num_shards(self) -> int:
        total = self.source.count
        return ENDLESS_SCENE_SHARDS if total is None else -(-total // SCENES_PER_CHUNK)

    def rows(self, shard: int, start: int = 0, step: int = 1) -> Iterator[tuple[int, Row]]:
        total = self.source.count
        side = self.source.size or self.size or DEFAULT_SCENE_SIZE
        render = _render
        pixel_bytes = 27 if self.source.modalities else 7
        if total is not None and total * side * side * pixel_bytes <= CACHED_SCENE_BYTES:
            render = _render_once  # a few scenes that come by again in each pass: drawing them once is enough
        for part in count(start // SCENES_PER_CHUNK) if total is None else range(1):
            inside = range(part * SCENES_PER_CHUNK, (part + 1) * SCENES_PER_CHUNK)
            first = (shard + part * ENDLESS_SCENE_SHARDS) * SCENES_PER_CHUNK - inside.start
            numbers = [
                number for number in inside
                if number >= start and (number - start) % step == 0 and (total is None or first + number < total)
            ]  # fmt: skip
            if numbers:
                rendered = render(self.source, side, tuple(first + number for number in numbers))
                for number, *pictures in zip(numbers, *rendered, strict=True):
                    yield number, self._row(first + number, *pictures)

    def _row(self, scene: int, image: Tensor, depth: Tensor, *more: Any) -> Row:
        source = self.source
        split = "" if source.split in (None, "train") else f"/{source.split}"
        return Row(
            image=image,
            depth=depth if self.labeled else None,
            depth_scale=None,
            depth_shift=None,
            domain=source.domain or source.location,
            origin=f"scenes:{source.location}{split}#{source.start + scene}",
            masks=SceneMasks(source.location, more[0], more[1], source.masks) if source.masks else None,
            beside=dict(zip(("normal", "semantic", "caption"), more[-3:], strict=True)) if source.modalities else {},
        )


def _render(source: Source, side: int, scenes: tuple[int, ...]) -> tuple[Any, ...]:
    """Images and depths; for a source with masks numbers of parts and things, with modalities normals to captions."""
    from semidepth.data.scenes.render import Truth, render_scenes

    numbers = [source.first_index + scene for scene in scenes]
    truths: set[Truth] = set() if source.masks is None else {"masks"}
    truths |= {"normals", "captions"} if source.modalities else set()
    batch = render_scenes(
        source.location, numbers, seed=source.seed, style=source.style, height=side, width=side, truths=truths
    )
    more = (batch.part, batch.thing) if source.masks is not None else ()
    return (batch.image, batch.depth, *more, *((batch.normal, batch.semantic, batch.caption) * source.modalities))


_render_once = lru_cache(maxsize=256)(_render)


class ImageRows(OpenedSource):
    """Images of a folder or glob, as paths."""

    @property
    def num_shards(self) -> int:
        return min(len(image_files(self.source, self.labeled)), IMAGE_SHARDS)

    @property
    def files(self) -> int:
        return len(image_files(self.source, self.labeled))

    def rows(self, shard: int, start: int = 0, step: int = 1) -> Iterator[tuple[int, Row]]:
        files, total = image_files(self.source, self.labeled), self.num_shards
        part = files[shard * len(files) // total : (shard + 1) * len(files) // total]
        masks_of = None if self.source.masks is None else mask_finder(self.source)
        for number in range(start, len(part), step):
            image, depth = part[number]
            yield number, Row(
                image=Path(image), depth=None if depth is None else Path(depth), depth_scale=None, depth_shift=None,
                domain=self.source.domain or "", origin=printable(image),
                masks=None if masks_of is None else masks_of(Path(image)),
            )  # fmt: skip


def printable(path: str) -> str:
    """A path that can be logged and written: bytes that are not UTF-8 become `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class TableRows(OpenedSource):
    """Parquet files, webdataset tars and Hub sets. A shard is a file; with `count` there is one shard."""

    @property
    def num_shards(self) -> int:
        shards = open_table(self.source, self.labeled).rows.num_shards
        return shards if self.source.count is None else min(shards, 1)

    def rows(self, shard: int, start: int = 0, step: int = 1) -> Iterator[tuple[int, Row]]:
        table, source = open_table(self.source, self.labeled), self.source
        file, cut = _file(source, table, shard), table.cut
        if cut is not None and cut.rule == "file" and (file in cut.held) != (source.part == "held_out"):
            return
        unmeasured = 0
        try:
            for number, cells in self._numbered(table, shard, start):
                if (number - start) % step:
                    continue
                if not (reliable := reliable_enough(source, cells)):
                    unmeasured += reliable is None
                    continue
                held = cut is not None and cut.holds_row(file, shard, number, plain(cells.get(SCENE_COLUMN)))
                if cut is None or held == (source.part == "held_out"):
                    yield number, table_row(source, table, cells, file, number)
            if source.format == "webdataset" and source.count is None:
                (require_whole_end if is_url(file) else require_readable_tar)(file)
        except Exception as error:  # files, the network, the Hub, parsers: each has its own kinds
            raise ValueError(unopened(source, error, file)) from error
        if unmeasured and (source.format != "parquet" or is_url(file)):  # of local files it is told beforehand
            _tell_unmeasured(source.spec, file, unmeasured)

    def _numbered(self, table: Table, shard: int, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows of a shard from a number on; a remote shard is reopened where its connection breaks."""
        rows, limit = table.rows, self.source.count
        rows = rows.shard(rows.num_shards, shard) if limit is None else rows.take(limit)

        def read(first: int) -> Iterator[tuple[int, dict[str, Any]]]:
            # A loop over the dataset itself would let `datasets` hand each worker its own shards; `iter` does not.
            numbers = count(first)
            for batch in rows.skip(first).iter(batch_size=ROWS_PER_READ):
                columns = (
                    dict(zip(batch.column_names, batch.columns, strict=True)) if isinstance(batch, pa.Table) else batch
                )
                for values in zip(*columns.values(), strict=True):
                    yield next(numbers), dict(zip(columns, values, strict=True))

        return read_on(read, start, self.source.spec) if self.source.remote else read(start)


@lru_cache(maxsize=4096)
def _tell_unmeasured(spec: str, file: str, count: int) -> None:
    logger.warning("source %s: %d rows of %s have no reliability and are left out", spec, count, file)


def _file(source: Source, table: Table, shard: int) -> str:
    """Name of a shard: its file if the source has files."""
    if source.count is not None:
        return source.location
    split = f"{source.split} " if source.split else ""
    return table.files[shard] if table.files else f"{source.location}#{split}shard {shard}"


_KINDS: dict[str, type[OpenedSource]] = {
    "scenes": SceneRows,
    "images": ImageRows,
    "parquet": TableRows,
    "webdataset": TableRows,
    "hub": TableRows,
}
