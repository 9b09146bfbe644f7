"""Read webdataset tars sample by sample, undecoded.

In place of the reader of `datasets`, which decodes what it reads: `.npy` members become Python lists, torch files are
loaded, and what is a picture depends on the case of its ending.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from datasets import BuilderConfig, DatasetInfo, Features, GeneratorBasedBuilder, SplitGenerator, Value
from fsspec.compression import compr
from fsspec.utils import infer_compression

from semidepth.data.reading.columns import KEY_COLUMN, is_rival

logger = logging.getLogger(__name__)

# What is wrong with a sample as a whole: it holds more than its columns say.
FAULT_COLUMN = "__fault__"
MAX_MEMBER_BYTES = 2**30  # of a map of `MAX_PIXELS` in 64-bit floats, and half as much again
FIRST_SAMPLES = 5  # whose members tell the columns

Sample = dict[str, Any]
Members = Iterable[tuple[str, IO[bytes]]]


@dataclass
class TarConfig(BuilderConfig):
    """`columns` are the members to read, all if None; `one_picture` finds fault with samples that have several."""

    columns: list[str] | None = None
    one_picture: bool = True


class TarSamples(GeneratorBasedBuilder):
    """Samples of tars: the members whose names are equal up to the first dot, as bytes.

    Columns are the rest of those names in small letters (`jpg`, `depth.png`), and the key. A member that is not like
    those of the first samples is not read; if it is a picture that might be meant, the sample's fault says so.
    """

    BUILDER_CONFIG_CLASS = TarConfig

    def _info(self) -> DatasetInfo:
        return DatasetInfo()

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:
        paths = list(self.config.data_files["train"])
        members = [dl_manager.iter_archive(path) for path in paths]
        columns = [*(self.config.columns or _columns_of(paths[0], members[0])), FAULT_COLUMN]
        texts = (KEY_COLUMN, FAULT_COLUMN)
        self.info.features = Features({name: Value("string" if name in texts else "large_binary") for name in columns})
        return [SplitGenerator(name="train", gen_kwargs={"tar_paths": paths, "tar_iterators": members})]

    def _generate_shards(self, tar_paths: list[str], tar_iterators: list[Members]) -> Iterator[str]:
        del tar_iterators
        yield from tar_paths

    def _generate_examples(self, tar_paths: list[str], tar_iterators: list[Members]) -> Iterator[tuple[str, Sample]]:
        columns = list(self.info.features)
        for index, (path, members) in enumerate(zip(tar_paths, tar_iterators, strict=True)):
            for number, sample in enumerate(samples_of(path, members, columns, self.config.one_picture)):
                yield f"{index}_{number}", sample


def samples_of(
    path: str, members: Members, columns: list[str] | None = None, one_picture: bool = True
) -> Iterator[Sample]:
    """Reads the samples of one tar.

    Args:
        path: of the tar, for errors and the log.
        members: names and opened files, in order.
        columns: which to read, None where a sample lacks one; without them, all that it has.
        one_picture: whether further pictures are a sample's fault.

    Returns:
        An iterator over the columns of each sample.

    Raises:
        ValueError: a member occurs twice in a sample, or its name is not UTF-8.
    """
    sample: Sample = {}
    nameless: list[str] = []
    for name, file in members:
        if not _is_utf8(name):
            raise ValueError(f"{path} has the member {name!r}, whose name is not UTF-8; rename it")
        key, column = split_name(name)
        if not column:
            nameless.append(name)
            continue
        if sample and sample[KEY_COLUMN] != key:
            yield _finished(sample, columns, one_picture)
            sample = {}
        if column in sample:
            raise ValueError(f"Duplicate field {column!r} for sample {key!r} in TAR archive {path!r}")
        sample[KEY_COLUMN] = key
        sample[column] = b"" if columns is not None and column not in columns else _content(name, file)
    if sample:
        yield _finished(sample, columns, one_picture)
    if nameless:
        logger.warning(
            "%s: %d members without an ending are not read, the first is %s", path, len(nameless), nameless[0]
        )


def split_name(name: str) -> tuple[str, str]:
    """`a/x.Depth.png` -> `a/x` and `depth.png`; the second is empty for a name without a dot."""
    found = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", name)
    return (found[1], found[2].lower()) if found else (name, "")


def _columns_of(path: str, members: Members) -> list[str]:
    """The columns that a tar's first samples have; raises ValueError if there is none, or they differ."""
    first = list(islice(samples_of(path, members), FIRST_SAMPLES))
    if not first:
        raise ValueError(f"{path} has no member that is named KEY.EXT")
    for sample in first:
        if sample.keys() != first[0].keys():
            raise ValueError(
                f"{path} has samples of different members, {_told(first[0])} and {_told(sample)}: a sample is all "
                "members whose names are equal up to the first dot; give all the same endings, and no other dot to "
                "the names (clip_0000.jpg for clip.0000.jpg)"
            )
    return [*(name for name in first[0] if name != KEY_COLUMN), KEY_COLUMN]


def _told(sample: Sample) -> str:
    names = [name for name in sample if name != KEY_COLUMN]
    return f"{sample[KEY_COLUMN]} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"


def _finished(sample: Sample, columns: list[str] | None, one_picture: bool) -> Sample:
    """A sample with exactly the columns that are asked for, and its fault."""
    if columns is None:
        return sample
    fault = None
    large = [name for name, content in sample.items() if content is None]
    more = [name for name in sample if name not in columns and is_rival(name)]
    if large:
        fault = f"has a member of more than {MAX_MEMBER_BYTES:,} bytes ({', '.join(large)})"
    elif more and one_picture:
        usual = [name for name in columns if is_rival(name)]
        fault = f"has more pictures than the first samples: {', '.join(more)}"
        if usual and not any(name in sample for name in usual):
            fault = f"has no image {' or '.join(usual)} as the first samples have, but {', '.join(more)}"
    return {name: sample.get(name) for name in columns} | {FAULT_COLUMN: fault}


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _content(name: str, file: IO[bytes]) -> bytes | None:
    """Content of a member, uncompressed; None if it is larger than any image or map, as a sparse one may be."""
    compression = infer_compression(name)
    if compression in (None, "zip"):
        content = file.read(MAX_MEMBER_BYTES + 1)
    else:
        with compr[compression](file, mode="rb") as unpacked:
            content = unpacked.read(MAX_MEMBER_BYTES + 1)
    return None if len(content) > MAX_MEMBER_BYTES else content
