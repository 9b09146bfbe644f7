"""Which files a prediction is for: images and videos behind files, folders and globs. Light to import."""

import logging
import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from semidepth.training.data.source_spec import IMAGE_SUFFIXES
from semidepth.training.engine.color_maps import DEFAULT_COLOR_MAP
from semidepth.training.engine.point_clouds import focal_from_fov
from semidepth.training.engine.prediction_record import RECORD, read_record

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})
# What `--format` names, and what such a result's name ends with.
FORMATS = {
    "png16": "_depth.png",
    "npy": "_depth.npy",
    "color": "_color.png",
    "ply": "_points.ply",
    "glb": "_mesh.glb",
}
DEFAULT_FORMATS = ("png16", "npy", "color")
VIDEO_RESULT = "_color.mp4"
IN_SPACE = ("ply", "glb")


@dataclass(frozen=True)
class Camera:
    """What the pictures were taken with; points and meshes need one of the two.

    Args:
        focal_px: focal length in pixels of the image as it is seen.
        fov_deg: horizontal field of view, degrees.

    Raises:
        ValueError: for both at once, or a value that no camera has.
    """

    focal_px: float | None = None
    fov_deg: float | None = None

    def __post_init__(self) -> None:
        if self.focal_px is not None and self.fov_deg is not None:
            raise ValueError("--focal_px and --fov_deg say the same thing; give one of them.")
        if self.focal_px is not None and not 0 < self.focal_px < math.inf:
            raise ValueError(f"--focal_px is {self.focal_px}; give a positive number of pixels.")
        if self.fov_deg is not None and not 0 < self.fov_deg < 180:
            raise ValueError(f"--fov_deg is {self.fov_deg}; give an angle between 0 and 180 degrees, such as 60.")

    @property
    def option(self) -> str | None:
        """The option that says so, None where nothing is known."""
        if self.focal_px is not None:
            return "--focal_px"
        return None if self.fov_deg is None else "--fov_deg"

    def focal(self, width: int) -> float:
        """Focal length in pixels for an image of that width."""
        if self.focal_px is not None:
            return self.focal_px
        if self.fov_deg is None:
            raise ValueError("neither focal length nor field of view is known; give --fov_deg or --focal_px.")
        return focal_from_fov(self.fov_deg, width)


@dataclass(frozen=True)
class PredictionOptions:
    """How files are predicted and what is written.

    Args:
        formats: keys of `FORMATS`.
        overwrite: replace results that are there; else what has all of its results is not predicted again.
        camera: for points and meshes.
        domain: of all images, instead of what a router would choose.
        color_map: of the coloured pictures.
        legend: put what the colours mean below them.
        side_by_side: videos show the source to the left of its depth.
        batch_size: images of one size in a forward pass.
        threads: that decode, and as many that write.
        far_m: points and meshes end here, metres; None: nowhere.
        max_jump: meshes are cut where depth jumps by more than this factor; None: `meshes.MAX_JUMP`.

    Raises:
        ValueError: one sentence naming the option, what came and what was expected.
    """

    formats: tuple[str, ...] = DEFAULT_FORMATS
    overwrite: bool = False
    camera: Camera = Camera()
    domain: str | None = None
    color_map: str = DEFAULT_COLOR_MAP
    legend: bool = False
    side_by_side: bool = False
    batch_size: int = 4
    threads: int = 2
    far_m: float | None = None
    max_jump: float | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; give at least 1.")
        if self.far_m is not None and not self.far_m > 0:
            raise ValueError(f"--far_m is {self.far_m}; give a positive number of metres.")
        if self.max_jump is not None and not self.max_jump > 1:
            raise ValueError(f"--max_jump is {self.max_jump}; give a factor above 1, such as 1.05.")
        needing = [name for name in IN_SPACE if name in self.formats]
        if needing and self.camera.option is None:
            raise ValueError(f"--format {needing[0]} needs --fov_deg (such as 60) or --focal_px; give one of them.")
        for option, given, users in (
            (self.camera.option, self.camera.option, IN_SPACE),
            ("--far_m", self.far_m, IN_SPACE),
            ("--max_jump", self.max_jump, ("glb",)),
            ("--legend", self.legend or None, ("color",)),
            ("--side_by_side", self.side_by_side or None, ("color",)),
            ("--color_map", None if self.color_map == DEFAULT_COLOR_MAP else self.color_map, ("color",)),
        ):
            if given is not None and not set(users) & set(self.formats):
                raise ValueError(f"{option} is for --format {' or '.join(users)}; add one of them or leave it out.")

    def result_suffixes(self, file: Path) -> dict[str, str]:
        """Format -> what the name of a file's result ends with; of a video there is its colours alone."""
        if is_video(file):
            return {"color": VIDEO_RESULT}
        return {name: FORMATS[name] for name in self.formats}

    def that_matter(self, name: str, file: Path) -> dict[str, Any]:
        """The options on which a file's result in a format depends, JSON-able."""
        matter: dict[str, Any] = {"domain": self.domain}
        if name == "color":
            own = {"side_by_side": self.side_by_side} if is_video(file) else {"legend": self.legend}
            matter |= {"color_map": self.color_map} | own
        if name in IN_SPACE:
            matter |= {"focal_px": self.camera.focal_px, "fov_deg": self.camera.fov_deg, "far_m": self.far_m}
        return matter | ({"max_jump": self.max_jump} if name == "glb" else {})


def is_video(file: Path) -> bool:
    """Whether a file's name is a video's."""
    return file.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(
    inputs: Sequence[str], *, videos: bool = True, missing: dict[Path, str] | None = None
) -> list[tuple[Path, Path]]:
    """Images and videos behind files, folders (with what is below them) and globs.

    Folders that are links are followed, each once; hidden files and folders in a folder are left out. Results of
    earlier predictions, as `predictions.jsonl` above them tells, are not among them; it is logged how many.

    Args:
        inputs: as given on the command line.
        videos: whether folders are searched for videos, too.
        missing: is filled with inputs behind which there is nothing, and why; None: the first one is an error.

    Returns:
        (file, name of its results without suffix, relative to the output folder). A file that was given by its name or
        by a glob has its own, one from a folder also has its path in there. Where several have one name, all of them
        keep their suffix (`x.jpg`, `x.png`), then their folder (`a/x.jpg`), then all their folders: whatever order they
        come in.

    Raises:
        ValueError: if there is no input behind all that was given, or only results.
    """
    suffixes = IMAGE_SUFFIXES | (VIDEO_SUFFIXES if videos else frozenset())
    found: dict[Path, tuple[Path, Path]] = {}  # where it lies -> file, name
    folders: dict[Path, Path] = {}  # resolved ones
    records: dict[Path, frozenset[str]] = {}
    results = 0
    absent: dict[Path, str] = {}
    for text in inputs:
        matching = list(_matching(text, suffixes, absent))
        if not matching:
            absent.setdefault(Path(text), why_nothing(text))
        for file, name in matching:
            if file.parent not in folders:
                folders[file.parent] = file.parent.resolve()
            place = folders[file.parent] / file.name  # two links to one file are two
            if _is_result(place, records):
                results += 1
            else:
                found.setdefault(place, (file, name))
    if absent and (missing is None or not (found or results)):
        first, why = next(iter(absent.items()))
        more = "" if len(absent) == 1 else f", and {len(absent) - 1} more"
        raise ValueError(f"{str(first)!r}: {why}{more}; give files, folders or a glob in quotes.")
    if not found:
        raise ValueError(f"{inputs[0]!r} matches only results of earlier predictions, says {RECORD}; give others.")
    if results:
        logger.warning("%d files are results of earlier predictions, says %s, and are no inputs.", results, RECORD)
    if missing is not None:
        missing.update(absent)
    return _unique(found)


def _matching(text: str, suffixes: frozenset[str], absent: dict[Path, str]) -> Iterator[tuple[Path, Path]]:
    """Files behind one input, each with the name that its results should have."""
    path = Path(text)
    if text and _is(path, stat.S_ISDIR):
        for file in sorted(_below(path, absent)):
            if file.suffix.lower() in suffixes and _is(file, stat.S_ISREG):
                yield file, file.relative_to(path).with_suffix("")
    elif _is(path, stat.S_ISREG):
        yield path, Path(path.stem)
    else:
        for file in map(Path, sorted(glob(text, recursive=True))):  # noqa: PTH207
            if _is(file, stat.S_ISREG):
                yield file, Path(file.stem)


def _below(folder: Path, absent: dict[Path, str]) -> Iterator[Path]:
    """All files in a folder and those below it, also behind links to folders; none of them twice, none hidden."""

    def note(error: OSError) -> None:
        absent[Path(error.filename)] = error.strerror or str(error)

    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        # A folder within has the name that it has there, and not that of a link to it: links come last.
        for place, folders, names in os.walk(waiting.pop(0), onerror=note):
            real = Path(place).resolve()
            inside = [Path(place, name) for name in sorted(folders) if not name.startswith(".") and real not in seen]
            folders[:] = [each.name for each in inside if not each.is_symlink()]
            waiting += [each for each in inside if each.is_symlink()]
            if real not in seen:
                yield from (Path(place, name) for name in names if not name.startswith("."))
            seen.add(real)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):  # it is not there, or its name is none
        return False


def why_nothing(text: str) -> str:
    """What is said of an input behind which no file was found."""
    path = Path(text)
    if not text:
        return "an empty name"
    if text == "-" or (path.exists() and not path.is_dir()):
        return "is not a regular file"
    if path.is_dir():
        return "this folder holds no image or video"
    if "://" in text:
        return "addresses are not fetched"
    if path.is_symlink():
        return "no such file (it is a link to nothing)"
    return "matches no file" if has_magic(text) else "no such file"


def _is_result(place: Path, records: dict[Path, frozenset[str]]) -> bool:
    """Whether a record in one of the folders above names a file, or is it; `records` remembers what was read."""
    for folder in place.parents:
        if folder not in records:
            records[folder] = frozenset(read_record(folder))
        if records[folder] and place.relative_to(folder).as_posix() in records[folder]:
            return True
    return place.name == RECORD


def _unique(found: dict[Path, tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Files with names of which no two are equal, out of: where it lies -> file, name that it should have."""

    def candidate(place: Path, name: Path, level: int) -> tuple[bool, Path]:
        named = (name, name.with_name(place.name), Path(place.parent.name, place.name), place.relative_to(place.anchor))
        return is_video(place), named[level]  # results of images and of videos never have one name

    levels = [0] * len(found)
    while True:
        named = [candidate(place, name, level) for (place, (_, name)), level in zip(found.items(), levels, strict=True)]
        count = Counter(named)
        if max(count.values()) == 1:
            return [(file, name) for (file, _), (_, name) in zip(found.values(), named, strict=True)]
        levels = [min(level + (count[key] > 1), 3) for level, key in zip(levels, named, strict=True)]
