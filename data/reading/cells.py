"""Turn the cells of a table into undecoded rows."""

import math
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from semidepth.data.decoding import MAX_PIXELS, BrokenSampleError
from semidepth.data.reading.columns import (
    DOMAIN_COLUMN,
    KEY_COLUMN,
    RELIABILITY_COLUMN,
    SCALE_COLUMN,
    SHIFT_COLUMN,
    number_in,
)
from semidepth.data.reading.rows import Row
from semidepth.data.reading.tables import Table
from semidepth.data.reading.tars import FAULT_COLUMN
from semidepth.data.source_spec import Source

REMOTE = ("https://", "http://", "hf://", "s3://")


def table_row(source: Source, table: Table, cells: dict[str, Any], file: str, number: int) -> Row:
    """One undecoded row. What is wrong with a cell takes its place, and is told when the row's turn comes.

    Args:
        source: the row's.
        table: opened.
        cells: by column; Arrow's scalars, or plain values.
        file: name of the shard.
        number: of the row in it.
    """
    values = {name: plain(cell) for name, cell in cells.items()}
    key = values.get(KEY_COLUMN)
    origin = f"{file}#row {number}" if key is None else f"{file}#{key}"
    try:
        if values.get(FAULT_COLUMN) is not None:
            raise BrokenSampleError(values[FAULT_COLUMN])
        image, depth, scale, shift = _content(values.get(table.image)), None, None, None
        beside = {name: _masks(values.get(name)) for name in table.beside}
        masks = None if table.masks is None else _masks(values.get(table.masks))
        domain = source.domain or _domain(values.get(DOMAIN_COLUMN), table)
        if table.depth is not None:
            depth = _content(values.get(table.depth))
            shift = _number(values.get(SHIFT_COLUMN), SHIFT_COLUMN)
            if source.depth_scale is None:
                scale = _number(values.get(SCALE_COLUMN), SCALE_COLUMN)
    except BrokenSampleError as fault:
        image, depth, scale, shift, domain, masks, beside = fault, None, None, None, "", None, {}
    return Row(
        image=image, depth=depth, depth_scale=scale, depth_shift=shift, domain=domain, origin=origin, masks=masks,
        beside=beside,
    )  # fmt: skip


def reliable_enough(source: Source, cells: dict[str, Any]) -> bool | None:
    """True for a row within the reliability that its source asks for; None for one without reliability."""
    if not source.asks_reliability:
        return True
    try:
        reliability = _number(plain(cells[RELIABILITY_COLUMN]), RELIABILITY_COLUMN)
    except BrokenSampleError:
        reliability = None
    if reliability is None:
        return None
    above = source.min_reliability is None or reliability >= source.min_reliability
    return above and (source.max_reliability is None or reliability < source.max_reliability)


def plain(cell: Any) -> Any:
    """A cell as Python has it, lists of numbers as arrays; the fault of one that cannot be used."""
    if not isinstance(cell, pa.Scalar):
        return cell
    try:
        if isinstance(cell, pa.ExtensionScalar):  # of Array2D
            return plain(cell.value)
        return _array(cell.values) if isinstance(cell, pa.ListScalar) and cell.is_valid else cell.as_py()
    except BrokenSampleError as error:
        return error


def _array(values: pa.Array) -> Any:
    """Nested lists as one array; a NULL among floats becomes NaN."""
    if len(values) > MAX_PIXELS:
        raise BrokenSampleError(f"has a list of {len(values):,} numbers; the most that is decoded is {MAX_PIXELS:,}")
    kind = values.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if values.null_count:
            raise BrokenSampleError("has a NULL in place of a row of numbers")
        lengths = values.value_lengths().unique().to_pylist() if not pa.types.is_fixed_size_list(kind) else [0]
        if len(lengths) > 1:
            raise BrokenSampleError(f"has lists of different lengths ({lengths[0]} and {lengths[1]} numbers)")
        inner = _array(values.flatten())
        return inner.reshape(len(values), -1, *inner.shape[1:]) if isinstance(inner, np.ndarray) else inner
    if values.null_count and pa.types.is_integer(kind):
        raise BrokenSampleError("has NULL among integers; store a number for unknown, and name it with unknown=")
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return values.to_numpy(zero_copy_only=False)
    if pa.types.is_null(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind):
        raise BrokenSampleError(f"has a list of {kind} values, which are no numbers")
    return values.to_pylist()


def _content(value: Any) -> Any:
    """Content of an undecoded cell: the bytes or the URL of an image, else the cell itself.

    A table may come from anyone, so it may name files on the web and the Hub but no local ones: those are missing here.
    """
    if isinstance(value, BrokenSampleError):
        raise value
    if isinstance(value, list):
        raise BrokenSampleError(f"has a list of {len(value)} values in place of one image or map")
    if isinstance(value, dict) and "bytes" in value:
        value = value["bytes"] if value["bytes"] is not None else value["path"]
    if isinstance(value, bool | int | float | dict | date):
        raise BrokenSampleError(f"has {str(value)[:60]} ({type(value).__name__}) in place of an image or map")
    return None if isinstance(value, str) and not value.startswith(REMOTE) else value


def _masks(value: Any) -> Any:
    """Content of an undecoded cell of masks, classes or words: the bytes of a picture, else the cell itself."""
    if isinstance(value, BrokenSampleError):
        raise value
    return value["bytes"] if isinstance(value, dict) and value.get("bytes") is not None else value


def _number(value: Any, name: str) -> float | None:
    """The number in a cell, which may be written as text, as in a tar."""
    if value is None:
        return None
    number = number_in(value)
    if not math.isfinite(number):
        raise BrokenSampleError(f"has {name} {value!r}, which is no number")
    return number


def _domain(value: Any, table: Table) -> str:
    if table.domain_names is not None and isinstance(value, int):
        if not 0 <= value < len(table.domain_names):
            raise BrokenSampleError(f"has the domain number {value}, of {len(table.domain_names)} domains")
        return table.domain_names[value]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace").strip()
    return "" if value is None else str(value)
