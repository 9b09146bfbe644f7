"""Whether a tar is whole: readers take one that was cut off between two members for one that ends there."""

from fsspec.core import url_to_fs

BLOCK_BYTES = 512  # of which a tar is made; an empty one ends it


def require_whole(file: str) -> None:
    """Looks at the end of a tar without reading the rest.

    Args:
        file: path or URL. One whose server cannot give parts of it is let by, and so is a compressed one, whose
            decompression notices.

    Raises:
        ValueError: the tar was cut off.
    """
    files, path = url_to_fs(file)
    size = files.size(path) or 0
    try:
        with files.open(path, "rb") as opened:
            opened.seek(max(0, size - BLOCK_BYTES))
            if not any(opened.read(BLOCK_BYTES)):
                return
            opened.seek(257)
            plain = opened.read(5) == b"ustar"
    except ValueError:  # no seeking: a server that only gives whole files
        return
    if plain:
        raise ValueError(f"{file} was cut off: it lacks the empty block that ends a tar; write or fetch it anew")
