"""The held-out part of a source: `photos/?part=held_out`, and what is left for training, `photos/?part=train`.

The part is a twentieth of the source, at most 200 samples, and the same in every run: groups of samples are taken in
the order of a digest of their names until it is full. Groups hold what is alike. They are the first of these that a
source has and that divides well: scenes (a column `scene`), folders, files, and else single images or rows.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from semidepth.data.source_options import Part
from semidepth.data.source_spec import Source, is_url, split_options

SCENE_COLUMN = "scene"
SHARE = 0.05
MOST_SAMPLES = 200
# A smaller source is not cut, nor is one of fewer files where their lengths are not known.
LEAST_SAMPLES = 10
LEAST_FILES = 20

Rule = Literal["scene", "folder", "file", "image", "row"]


@dataclass(frozen=True)
class Cut:
    """Rule that says which samples of a source are held out.

    Args:
        rule: what was kept together: samples of a scene, images of a folder, rows of a file; "image" and "row":
            nothing.
        held: paths of held-out images or table files, or names of held-out scenes; empty for the rule "row".
        count: held-out samples; None where the length of files is not known.
        every: for the rule "row": of so many rows one is held out.
        starts: for the rule "row": number of rows before each file.
    """

    rule: Rule
    held: frozenset[str]
    count: int | None
    every: int = 0
    starts: tuple[int, ...] = ()

    def holds_row(self, file: str, shard: int, number: int, scene: object) -> bool:
        """True if a table's row is held out."""
        if self.rule == "row":
            return (self.starts[shard] + number) % self.every == self.every // 2
        return (str(scene) if self.rule == "scene" else file) in self.held


def wanted_samples(total: int) -> int:
    """Samples to hold out of so many: a twentieth, at least one, at most 200."""
    return max(1, min(MOST_SAMPLES, round(total * SHARE)))


def choose_groups(sizes: Mapping[str, int]) -> frozenset[str]:
    """Chooses groups that together have about as many samples as are wanted.

    Args:
        sizes: name of each group -> samples in it.

    Returns:
        Names of the chosen groups, the same for the same sizes. Empty where no groups have from half to twice as many
        samples as wanted (and at most 200), or there are fewer than 10 samples in all.
    """
    total = sum(sizes.values())
    wanted = wanted_samples(total)
    held: list[str] = []
    samples = 0
    for name in sorted(sizes, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()):
        if samples + sizes[name] <= min(2 * wanted, MOST_SAMPLES):
            held.append(name)
            samples += sizes[name]
        if samples >= wanted:
            break
    return frozenset(held) if total >= LEAST_SAMPLES and samples >= wanted / 2 else frozenset()


def cut_images(paths: Iterable[str], root: Path) -> Cut | None:
    """Cuts images by their folders, else one by one.

    Args:
        paths: all images of a source.
        root: location of the source, so that the cut stays the same where a folder is moved.

    Returns:
        The cut; None for fewer than 10 images.
    """
    names = {path: _name_in(root, path) for path in paths}
    folders = {path: str(Path(name).parent) for path, name in names.items()}
    rules: tuple[tuple[Rule, dict[str, str]], ...] = (("folder", folders), ("image", names))
    for rule, groups in rules:
        chosen = choose_groups(Counter(groups.values()))
        if chosen:
            held = frozenset(path for path, group in groups.items() if group in chosen)
            return Cut(rule, held, len(held))
    return None


@lru_cache(maxsize=16)
def cut_table(source: Source, files: tuple[str, ...]) -> Cut | None:
    """Cuts a table by scenes, else by files, else by rows.

    Args:
        source: a parquet, webdataset or Hub source.
        files: its files, in order; empty for the Hub.

    Returns:
        The cut; None where it cannot be told beforehand what would be held out: fewer than 20 tars or URLs, whose
        lengths are not known; a dataset on the Hub; labels chosen by reliability; fewer than 10 rows.
    """
    if source.asks_reliability:
        return None
    if source.format != "parquet" or is_url(source.location):
        if source.count is not None or len(files) < LEAST_FILES:
            return None
        return _cut_by_file(source, dict.fromkeys(files, 1), counted=False)
    sizes = {file: pq.read_metadata(file).num_rows for file in files}
    total = min(sum(sizes.values()), source.count or sum(sizes.values()))
    if total < LEAST_SAMPLES:
        return None
    scenes = Counter(_scenes(files, total))
    chosen = choose_groups(scenes)
    if chosen:
        return Cut("scene", chosen, sum(scenes[name] for name in chosen))
    by_file = _cut_by_file(source, sizes, counted=True) if source.count is None else None
    if by_file is not None:
        return by_file
    every = total // wanted_samples(total)
    starts = [0]
    for file in files[:-1]:
        starts.append(starts[-1] + sizes[file])
    return Cut("row", frozenset(), len(range(every // 2, total, every)), every, tuple(starts))


def part_of(source: Source, part: Part) -> Source:
    """Returns a part of a source, which its `spec` names as well."""
    mark = "&" if split_options(source.spec)[1] else "?"
    return dataclasses.replace(source, spec=f"{source.spec}{mark}part={part}", part=part)


def uncut(source: Source) -> ValueError:
    """The error for a part of a source that is not cut."""
    return ValueError(
        f"source {source.spec!r} has no held-out part: it is too small, or the lengths of its files are not known; "
        "leave out part=, and name images to hold out as a source of their own"
    )


def _cut_by_file(source: Source, sizes: Mapping[str, int], *, counted: bool) -> Cut | None:
    names = {file: _name_in(Path(source.location), file) for file in sizes}
    totals: Counter[str] = Counter()
    for file, name in names.items():
        totals[name] += sizes[file]
    chosen = choose_groups(totals)
    held = frozenset(file for file, name in names.items() if name in chosen)
    return Cut("file", held, sum(sizes[file] for file in held) if counted else None) if chosen else None


def _scenes(files: Iterable[str], total: int) -> list[str]:
    """Scene of each of the first rows, as text; empty where a file lacks the column."""
    found: list[str] = []
    for file in files:
        if len(found) >= total:
            break
        if SCENE_COLUMN not in pq.read_schema(file).names:
            return []
        found += map(str, pq.read_table(file, columns=[SCENE_COLUMN])[SCENE_COLUMN].to_pylist())
    return found[:total]


def _name_in(root: Path, file: str) -> str:
    """A path as seen from its source; its last two parts where the source is a pattern or a URL."""
    path = Path(file)
    inside = path.relative_to(root) if path.is_relative_to(root) and path != root else Path(*path.parts[-2:])
    return inside.as_posix()
