"""Parts of a source that are looked at apart: its files, or the first folders that tell its images apart."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semidepth.data.reading.rows import Row
from semidepth.data.reading.sources import OpenedSource, printable
from semidepth.data.source_spec import is_url

LEAST_SAMPLES = 4  # of a part, or nothing is said of it


@dataclass(frozen=True)
class Parts:
    """Parts of a source.

    Args:
        images: numbers of the images in each part; empty for tables, and where all images lie in one folder.
        folders: name of the part that each folder of images belongs to.
        location: of tables, that their files are named from.
    """

    images: Mapping[str, Sequence[int]]
    folders: Mapping[str, str]
    location: str

    def name_of(self, row: Row) -> str:
        """The part of a row, as a path within its source; "" for images that all lie in one."""
        if isinstance(row["image"], Path):
            return self.folders.get(str(row["image"].parent), "")
        file = row["origin"].rpartition("#")[0]
        inside = not is_url(file) and Path(file).is_relative_to(self.location) and file != self.location
        return os.path.relpath(file, self.location) if inside else file.rpartition("/")[2]


def parts_of(opened: OpenedSource, paths: Sequence[str]) -> Parts:
    """Finds the parts of a source.

    Args:
        opened: the source.
        paths: of its images; empty for tables and scenes.
    """
    of_folder = [os.path.dirname(path) for path in paths]  # noqa: PTH120 -- for each of up to millions
    folders = set(of_folder)
    if len(folders) < 2:
        return Parts({}, {}, opened.source.location)
    common = os.path.commonpath(folders)
    names = {folder: printable(_below(Path(common), Path(folder))) for folder in folders}
    images: defaultdict[str, list[int]] = defaultdict(list)
    for number, folder in enumerate(of_folder):
        images[names[folder]].append(number)
    return Parts(images, names, opened.source.location) if len(images) > 1 else Parts({}, {}, opened.source.location)


def _below(common: Path, folder: Path) -> str:
    """The name of the first folder on the way down; of a folder that all others lie in, its own."""
    inside = folder.relative_to(common).parts
    return inside[0] if inside else common.name
