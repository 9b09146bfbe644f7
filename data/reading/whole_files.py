"""Detect parquet files and tars that were cut off: readers take a tar cut between two members for complete."""

import tarfile
from functools import cache

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from semidepth.data.source_spec import is_url

BLOCK_BYTES = 512  # of which a tar is made; an empty one ends it
_PARQUET_ENDS = (b"PAR1", b"PARE")


def require_whole_end(file: str) -> None:
    """Raises ValueError if a file was cut off; reads only its end.

    Args:
        file: path or URL of a parquet file or tar. One whose server cannot give parts of it is let by, and so is a
            compressed tar, whose decompression notices.

    Raises:
        ValueError: the file was cut off; it is named.
    """
    files, path = url_to_fs(file) if is_url(file) else (LocalFileSystem(), file)
    size = files.size(path)
    if size is None:  # a server that does not say
        return
    missing = ""
    try:
        with files.open(path, "rb") as opened:
            opened.seek(max(0, size - BLOCK_BYTES))
            end = opened.read(BLOCK_BYTES)
            if file.lower().endswith(".parquet"):
                missing = "" if end.endswith(_PARQUET_ENDS) else "the mark that ends a parquet file"
            elif size == 0:
                missing = "any content"
            elif any(end):
                opened.seek(257)
                missing = "the empty block that ends a tar" if opened.read(5) == b"ustar" else ""
    except ValueError:  # no seeking: a server that only gives whole files
        return
    if missing:
        raise ValueError(f"{file} was cut off: it lacks {missing}; write or fetch it anew")


@cache
def require_readable_tar(path: str) -> None:
    """Raises ValueError for a local tar with a damaged header, which readers take for its end.

    Args:
        path: of the tar. A compressed one is let by.

    Raises:
        ValueError: a header is damaged; the file and the place are named.
    """
    try:
        with tarfile.open(path, "r:") as tar, open(path, "rb") as raw:  # noqa: PTH123 - a name may be any bytes
            while tar.next() is not None:
                tar.members = []  # type: ignore[attr-defined]  # or all of them are kept
            raw.seek(tar.offset)
            damaged = any(raw.read(BLOCK_BYTES))
    except tarfile.ReadError:
        return
    if damaged:
        raise ValueError(f"{path} is damaged at byte {tar.offset}: what follows cannot be read; write or fetch it anew")
