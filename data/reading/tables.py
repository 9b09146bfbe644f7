"""Open parquet files, webdataset tars and Hub datasets with `datasets`, and find their columns."""

import re
from dataclasses import dataclass
from functools import lru_cache, partial
from glob import has_magic
from pathlib import Path
from typing import Any

import datasets.config
import numpy as np
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, IterableDataset, Value, load_dataset, load_dataset_builder
from datasets.data_files import DataFilesDict, DataFilesList
from fsspec.core import url_to_fs
from huggingface_hub import HfApi
from pyarrow.dataset import ParquetFragmentScanOptions

import semidepth.common.http_files  # noqa: F401  (registers itself)
from semidepth.common.retrying import describe, retry
from semidepth.data.reading.columns import (
    DOMAIN_COLUMN,
    KEY_COLUMN,
    MODALITY_COLUMNS,
    RELIABILITY_COLUMN,
    SCALE_COLUMN,
    SHIFT_COLUMN,
    depth_column,
    image_column,
    named_column,
    number_in,
)
from semidepth.data.reading.parquet_files import check_sizes, features_of
from semidepth.data.reading.parts import SCENE_COLUMN, Cut, cut_table, uncut
from semidepth.data.reading.tars import TarSamples
from semidepth.data.reading.whole_files import require_whole_end
from semidepth.data.source_spec import (
    Source,
    is_url,
    local_files,
)

# Twenty tries at fixed waits of 5 to 60 seconds are the library's own; ours grow, and are told by what failed.
datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = 1
datasets.config.STREAMING_READ_RETRY_INTERVAL = datasets.config.STREAMING_OPEN_RETRY_INTERVAL = 0
datasets.config.STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL = 0
datasets.config.STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL = 0

# Rows that a parquet file is read in, so that a file written as one group is not held whole.
_PARQUET_BATCH = 64


@dataclass(frozen=True)
class Table:
    """An opened table.

    `rows` are undecoded; `image`, `depth` and `masks` name their columns (None: not asked for); `domain_names`
    are the names behind a ClassLabel column; `files` has one path or URL to a shard, and is empty for the Hub; `cut`
    tells the rows of a source's part; `beside` are the columns of further modalities.
    """

    rows: IterableDataset
    image: str
    depth: str | None
    domain_names: tuple[str, ...] | None
    files: tuple[str, ...]
    cut: Cut | None
    masks: str | None
    beside: tuple[str, ...] = ()


@lru_cache(maxsize=16)
def open_table(source: Source, labeled: bool) -> Table:
    """Open a parquet, webdataset or Hub source with only the columns that are needed, nothing decoded.

    Args:
        source: the source.
        labeled: whether depth is needed.

    Returns:
        The opened table, kept for the next call.

    Raises:
        ValueError: it cannot be opened, or has no column for image or depth.
    """
    files = _files(source)
    if not source.remote:  # of a remote tar when it has been read
        _check_local(source, files)
    rows = _load(source, files)
    names = _column_names(rows)
    features = rows.features or Features()
    masks = None if labeled or source.masks is None else named_column(source, "masks", source.masks, names)
    image = image_column(source, features, [name for name in names if name != masks])
    depth = depth_column(source, features, names) if labeled else None
    if source.asks_reliability:
        named_column(source, "min_reliability or max_reliability", RELIABILITY_COLUMN, names)
    beside = tuple(name for name in MODALITY_COLUMNS if source.modalities and labeled and name in names)
    wanted = (*beside, image, depth, masks, SCALE_COLUMN, SHIFT_COLUMN, RELIABILITY_COLUMN, DOMAIN_COLUMN, KEY_COLUMN)
    used = [name for name in names if name in wanted or (name == SCENE_COLUMN and source.part is not None)]
    rows = _with_columns(source, files, rows, used)
    domain = (rows.features or {}).get(DOMAIN_COLUMN)
    domain_names = tuple(domain.names) if isinstance(domain, ClassLabel) else None
    cut = None if source.part is None else _require_cut(source, files)
    return Table(rows, image, depth, domain_names, files, cut, masks, beside)


def _with_columns(source: Source, files: tuple[str, ...], rows: IterableDataset, used: list[str]) -> IterableDataset:
    """The table with some of its columns, undecoded: decoding would turn float depth into uint8."""
    if source.format == "webdataset":
        return _load(source, files, columns=used, one_picture=source.image is None)
    if source.format == "parquet":  # the reader then skips the other columns on disk, too
        features = _known_features(files, rows.features, used)
        for file in () if source.remote else files:
            check_sizes(file, tuple(used))
        rows = _load(source, files, columns=used, features=features, batch_size=_PARQUET_BATCH)
    else:
        rows = rows.select_columns(used)
    return (rows.decode(False) if rows.features else rows).with_format("arrow")


def _known_features(files: tuple[str, ...], features: Features, used: list[str]) -> Features:
    """Types of columns, from a later file where the first has nothing but NULL in a column and so does not say."""
    known = {name: features[name] for name in used}
    for file in files[1:]:
        unknown = [name for name, feature in known.items() if feature == Value("null")]
        if not unknown:
            break
        found = features_of(file)
        known |= {name: found[name] for name in unknown if name in found}
    return Features(known)


def count_rows(source: Source) -> int | None:
    """Number of rows of a table, if files or the Hub tell it without reading the data; `count` is ignored.

    Args:
        source: a parquet, webdataset or Hub source.

    Returns:
        The number, or None for tars, URLs and Hub sets that do not say.

    Raises:
        ValueError: the source cannot be opened.
    """
    try:
        if source.format == "hub":
            splits = retry(partial(_hub_splits, source), source.spec)
            info = splits.get(source.split or "train")
            return info.num_examples if info is not None and info.num_examples else None
        if source.format == "parquet" and not is_url(source.location):
            total = sum(_rows_in(path, source) for path in local_files(source))
            return total if source.part is None else _rows_of_part(source, total)
    except Exception as error:  # files, the network or the Hub: each has its own kinds of error
        raise ValueError(unopened(source, error)) from error
    return None


def _rows_of_part(source: Source, total: int) -> int:
    held = _require_cut(source, _files(source)).count or 0
    return held if source.part == "held_out" else min(total, source.count or total) - held


def _require_cut(source: Source, files: tuple[str, ...]) -> Cut:
    cut = cut_table(source, files)
    if cut is None:
        raise uncut(source)
    return cut


def _require_hub(source: Source) -> None:
    """Asks the Hub for the dataset first: `load_dataset` reports a missing file where the Hub is down or refuses."""
    HfApi().dataset_info(source.location, revision=source.revision)


def _hub_splits(source: Source) -> dict[str, Any]:
    _require_hub(source)
    return load_dataset_builder(source.location, source.name, revision=source.revision).info.splits or {}


def _rows_in(path: Path, source: Source) -> int:
    require_whole_end(str(path))
    if not source.asks_reliability:
        return pq.read_metadata(path).num_rows
    low, high, reliability = source.min_reliability, source.max_reliability, _reliability(path)
    chosen = (reliability >= (-np.inf if low is None else low)) & (reliability < (np.inf if high is None else high))
    return int(chosen.sum())


def _reliability(path: Path) -> np.ndarray:
    """(rows,) the reliability of each row of a parquet file, NaN where it has none."""
    column = pq.read_table(path, columns=[RELIABILITY_COLUMN])[RELIABILITY_COLUMN]
    try:
        return column.to_numpy().astype(np.float64)
    except (TypeError, ValueError):  # text
        return np.array([number_in(value) for value in column.to_pylist()])


def count_unmeasured(source: Source) -> int:
    """Number of rows that are left out since the source asks for a reliability and they have none.

    Rows of tars, URLs and Hub sets are not counted here: they are told as they are read.
    """
    if not source.asks_reliability or source.format != "parquet" or is_url(source.location):
        return 0
    return sum(int(np.isnan(_reliability(path)).sum()) for path in local_files(source))


def unopened(source: Source, error: Exception, file: str | None = None) -> str:
    """The sentence for a source that cannot be read, with the cause.

    Args:
        source: the source.
        error: what its reader raised.
        file: the file of the source that was being read.

    Returns:
        The sentence.
    """
    where = "is no local path and cannot be read from the Hub" if source.format == "hub" else "cannot be read"
    at = f" at {file}" if file else ""
    todo = "install the package that it names" if isinstance(error, ImportError) else "check it and its name"
    return f"source {source.spec!r} {where}{at} ({describe(error)}); {todo}"


def _files(source: Source) -> tuple[str, ...]:
    """The paths or URLs of a source that is not on the Hub, in a fixed order."""
    if source.format == "hub":
        return ()
    if not is_url(source.location):
        return tuple(str(path) for path in local_files(source))
    try:
        found = [file for name in expand_numbers(source.location) for file in _glob(name)]
    except Exception as error:  # each file system has its own kinds of error
        raise ValueError(unopened(source, error)) from error
    if not found:
        raise ValueError(f"source {source.spec!r} matches no file; check the pattern")
    return tuple(found)


def _check_local(source: Source, files: tuple[str, ...]) -> None:
    """Raises ValueError for local files that were cut off, before a run starts rather than hours into it."""
    for file in files:
        try:
            file.encode()
            require_whole_end(file)
        except UnicodeEncodeError as error:
            raise ValueError(f"source {source.spec!r}: the name of {file!r} is not UTF-8; rename it") from error
        except (OSError, ValueError) as error:
            raise ValueError(unopened(source, error)) from error


def _glob(url: str) -> list[str]:
    files, path = url_to_fs(url)
    if not has_magic(url):
        retry(partial(files.info, path), url)  # raises if it is not there, before a run starts
        return [url]
    if retry(partial(files.exists, path), url):  # a name with the signs of a pattern
        return [url]
    return sorted(files.unstrip_protocol(name) for name in retry(partial(files.glob, path), url))


def _load(source: Source, files: tuple[str, ...], **options: Any) -> IterableDataset:
    """Opens a table; a remote one with retries."""
    try:
        if source.remote:
            return retry(lambda: _load_once(source, files, **options), source.spec)
        return _load_once(source, files, **options)
    except Exception as error:  # files, the network or the Hub: each has its own kinds of error
        raise ValueError(unopened(source, error)) from error


def _load_once(source: Source, files: tuple[str, ...], **options: Any) -> IterableDataset:
    if source.format == "hub":
        _require_hub(source)
        return load_dataset(
            source.location, source.name, split=source.split or "train", revision=source.revision, streaming=True
        )
    # As DataFilesList they are names; a plain list would be taken for patterns.
    names = files if source.remote else [str(Path(file.removeprefix("file://")).absolute()) for file in files]
    data_files = {"train": DataFilesList(list(names), [()] * len(names))}
    if source.format == "webdataset":
        tars = TarSamples(dataset_name="tars", data_files=DataFilesDict(data_files), **options)
        return tars.as_streaming_dataset(split="train")
    # Checksums of pages: most files have none, sets of pseudo labels do.
    options["fragment_scan_options"] = ParquetFragmentScanOptions(page_checksum_verification=True)
    return load_dataset("parquet", data_files=data_files, split="train", streaming=True, **options)


def expand_numbers(location: str) -> list[str]:
    """`shard-{000..119}.tar` as 120 names, as webdataset does; other names unchanged."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", location)
    if found is None:
        return [location]
    first, last = found.groups()
    numbers = [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return [name for n in numbers for name in expand_numbers(location[: found.start()] + n + location[found.end() :])]


def _column_names(rows: IterableDataset) -> list[str]:
    if rows.features:
        return list(rows.features)
    return list(next(iter(rows), {}))
