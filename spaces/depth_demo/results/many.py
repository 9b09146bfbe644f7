"""Depth of many photos as one ZIP file, with progress in words.

A photo that cannot be read stops nothing: it is named with the reason, on the page and in the file.
"""

import itertools
import json
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refusal import Refusal
from work import DepthWork

from results.clips import duration
from results.coloring import value_range
from results.result_files import new_folder, safe_stem, write_result

MOST_PHOTOS = 200
MOST_MEGABYTES = 1000  # of the ZIP file
LIST = "predictions.jsonl"  # in the ZIP file: what became of each photo


@dataclass(frozen=True)
class ManyWish:
    """Request for many photos.

    Args:
        model: one of the Space's; "": the first.
        domain: head to use, or "router".
        color_map: of the colours.
        kinds: of result files, see `result_files.KINDS`.
    """

    model: str
    domain: str | None
    color_map: str
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class ManyStep:
    """Progress: number of photos done, of all, and text for a progress bar."""

    done: int
    photos: int
    text: str


@dataclass(frozen=True)
class Pack:
    """The finished file.

    Args:
        path: of the ZIP file.
        photos: number of photos with depth in it.
        refused: name of each other photo, and why it has none.
        seconds: duration of the work.
    """

    path: str
    photos: int
    refused: list[tuple[str, str]]
    seconds: float


def depth_of_many(work: DepthWork, paths: list[str], wish: ManyWish) -> Iterator[ManyStep | Pack]:
    """Writes the depth of photos, one at a time; closing the generator early leaves no file.

    Args:
        work: of this Space.
        paths: of the uploaded files.
        wish: the request.

    Yields:
        How far it is, and last the finished file.

    Raises:
        Refusal: there is no photo, or too many, or nothing is to be written, or the file would be too large.
    """
    if not 1 <= len(paths) <= MOST_PHOTOS:
        raise Refusal(f"There are {len(paths)} photos; hand in between 1 and {MOST_PHOTOS}.", title="Photos")
    if not wish.kinds:
        raise Refusal("No kind of file is chosen; choose at least one.", title="Files")
    folder = new_folder()
    target = folder / "depth.zip"
    whole = False
    try:
        yield from _written(work, paths, wish, target)
        whole = True
    finally:
        if not whole:  # given up, or refused
            shutil.rmtree(folder, ignore_errors=True)


def _written(work: DepthWork, paths: list[str], wish: ManyWish, target: Path) -> Iterator[ManyStep | Pack]:
    """Fills the file; see [`depth_of_many`]."""
    began, rows, refused, stems = time.monotonic(), [], [], _unique_stems(paths)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # what is in it is compressed already
        for number, (path, stem) in enumerate(zip(paths, stems, strict=True)):
            left = (time.monotonic() - began) / number * (len(paths) - number) if number else None
            more = "" if left is None else f", about {duration(left)} left"
            yield ManyStep(number, len(paths), f"Photo {number + 1} of {len(paths)}{more}")
            name = Path(path).name
            try:
                rows.append({"file": name} | _add(archive, work, path, stem, wish))
            except Refusal as refusal:
                refused.append((name, refusal.message))
                rows.append({"file": name, "refused": refusal.message})
            if target.stat().st_size > MOST_MEGABYTES * 1e6:
                raise Refusal(
                    f"The results are larger than {MOST_MEGABYTES} MB after {number + 1} of {len(paths)} photos; hand "
                    "in fewer of them, or choose fewer kinds of files.",
                    title="Too large",
                )
        archive.writestr(LIST, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    yield Pack(str(target), len(paths) - len(refused), refused, time.monotonic() - began)


def _add(archive: zipfile.ZipFile, work: DepthWork, path: str, stem: str, wish: ManyWish) -> dict[str, Any]:
    """Adds one photo's files; returns its facts."""
    seen = work.predicted(path, wish.model, wish.domain)
    limits, files = value_range(seen.prediction), []
    for kind in wish.kinds:
        made = write_result(kind, seen, limits, wish.color_map, Path(str(archive.filename)).parent, stem)
        archive.write(made, made.name)
        made.unlink()
        files.append(made.name)
    prediction = seen.prediction
    return {
        "files": files, "model": prediction.model, "unit": "metres" if prediction.metric else "inverse depth",
        "domain": prediction.domain, "smallest": float(prediction.values.min()),
        "largest": float(prediction.values.max()), "beyond_share": prediction.beyond_share,
        "shown_from": limits[0], "shown_to": limits[1],
    }  # fmt: skip


def _unique_stems(paths: list[str]) -> list[str]:
    """Names for results; of photos with the same name the later ones end with a number."""
    found: list[str] = []
    for stem in map(safe_stem, paths):
        names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        found.append(next(name for name in names if name not in found))
    return found
