"""Look at the footer of a parquet file before its data are read."""

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import Features
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from semidepth.data.decoding import MAX_PIXELS
from semidepth.data.source_spec import is_url

MAX_CELL_BYTES = 2**30
# Of a column's data in memory to those in the file. Runs of one number pack without limit: of real maps and encoded
# images nothing comes near it.
MOST_PACKED = 500


@lru_cache(maxsize=4096)
def check_sizes(file: str, columns: tuple[str, ...]) -> None:
    """Checks that no cell of a parquet file can be larger in memory than an image or map may be.

    A cell's own size is not told by the footer: what is looked at is the mean of each group of rows, and groups that
    are packed so tightly that one row may hold nearly all of their data.

    Args:
        file: path or URL.
        columns: that will be read.

    Raises:
        ValueError: the file, the column and the number are named.
    """
    metadata = _metadata(file)
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            name = chunk.path_in_schema.split(".")[0]
            if name in columns and group.num_rows:
                _check_chunk(file, name, chunk, group.num_rows)


def features_of(file: str) -> Features:
    """Types of the columns of a parquet file, by its footer."""
    files, path = _opened(file)
    with files.open(path, "rb") as opened:
        return Features.from_arrow_schema(pq.read_schema(opened))


def _check_chunk(file: str, name: str, chunk: Any, rows: int) -> None:
    values, packed = chunk.num_values, max(1, chunk.total_compressed_size)
    fixed = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "FLOAT": 4, "DOUBLE": 8}.get(chunk.physical_type)
    unpacked = chunk.total_uncompressed_size if fixed is None else values * fixed
    lists = chunk.path_in_schema != name and fixed is not None
    most = MAX_PIXELS * 8 if fixed is not None else MAX_CELL_BYTES
    if lists and values > MAX_PIXELS * rows:
        raise ValueError(f"{file} has {values:,} numbers in {rows:,} rows of {name}; a row may have {MAX_PIXELS:,}")
    if unpacked > most * rows or (unpacked > most and unpacked > MOST_PACKED * packed):
        raise ValueError(
            f"{file} unpacks {packed:,} bytes of {name} to {unpacked:,}, and one row may be nearly all of it; the most "
            f"that is read at once is {most:,} bytes"
        )


def _metadata(file: str) -> pq.FileMetaData:
    files, path = _opened(file)
    with files.open(path, "rb") as opened:
        return pq.read_metadata(opened)


def _opened(file: str) -> tuple[Any, str]:
    return url_to_fs(file) if is_url(file) else (LocalFileSystem(), file)


def is_whole_parquet(path: Path) -> bool:
    """True for a file that begins and ends as parquet does; a power cut leaves zeros, or nothing."""
    with path.open("rb") as file:
        head = file.read(4)
        end = file.seek(0, io.SEEK_END)
        file.seek(max(0, end - 4))
        return head == file.read() == b"PAR1" and end > 8
