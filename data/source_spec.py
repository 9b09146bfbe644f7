"""Parse a data source, written as one string, and check it before anything is loaded.

scenes:indoor?style=studio&count=64          built-in scenes
frames/  photos/*.jpg  a.png                 images, with depth beside them or without
frames/*.parquet?depth_scale=0.001           parquet files (a file, a folder, a glob)
shards/*.tar                                 webdataset tars
https://host/a.parquet  hf://datasets/o/n/a.tar  s3://bucket/*.tar
org/name?split=validation&kind=disparity     a dataset on the Hub
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from semidepth.common.files import literal_part
from semidepth.common.redaction import redact
from semidepth.data.depth_coding import LabelOptions
from semidepth.data.depth_names import looks_like_depth
from semidepth.data.listing import (
    LOOKS_LIKE_DEPTH,
    THAT_ARE_MASKS,
    FileKind,
    Listing,
    kind_of_file,
    list_files,
    only_kind,
)
from semidepth.data.source_options import FILE_OPTIONS, SCENE_OPTIONS, Part

Kind = Literal["scenes", "images", "parquet", "webdataset", "hub"]

SCENE_DOMAINS = ("indoor", "outdoor")
DEPTH_SUFFIXES = (".png", ".npy", ".tiff", ".tif", ".npz", ".exr", ".pfm")
DEPTH_FOLDER = "depth"
MASK_STEM, MASK_FOLDER = "_mask", "_masks"  # what follows a photo's name
MASKS_BESIDE = ("json", "folder")

# Scenes are numbered without end. Training counts from 0, validation from HELD_OUT_START and test from twice
# that, so that no held-out scene is ever rendered for training.
HELD_OUT_START = 2**40
SCENE_SPLITS = {"train": 0, "validation": HELD_OUT_START, "test": 2 * HELD_OUT_START}

_OPTIONS = re.compile(r"[A-Za-z_]\w*=[^&]*(&[A-Za-z_]\w*=[^&]*)*")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Source(LabelOptions):
    """One parsed and checked data source.

    `spec` is the string as written, `location` the part before the options; for depth maps that lie apart from their
    photos (`MAPS?images=PHOTOS`) it is the photos' place and `maps` the maps' folder.
    `masks` says where masks of single objects are, see `masks.finding`; of scenes, which ones they are. With
    `modalities` labeled rows carry all that there is beside depth: of scenes normals, classes and a caption, of tables
    the columns `semantic` and `caption`. `fov_deg` is the horizontal field of view of photos, for normals from depth.
    `first_index` is the number of the first scene. `min_reliability` (itself included) and `max_reliability` (itself
    not) choose among pseudo labels; `part` is a fixed part, see `reading.parts`. None: the option was not given.
    """

    spec: str
    format: Kind
    location: str
    split: str | None = None
    name: str | None = None
    revision: str | None = None
    image: str | None = None
    depth: str | None = None
    maps: str | None = None
    masks: str | None = None
    modalities: bool = False
    fov_deg: float | None = None
    domain: str | None = None
    count: int | None = None
    min_reliability: float | None = None
    max_reliability: float | None = None
    part: Part | None = None
    style: str = "any"
    seed: int = 0
    size: int | None = None
    start: int = 0

    @property
    def endless(self) -> bool:
        """True for scenes without a `count`."""
        return self.format == "scenes" and self.count is None

    @property
    def asks_reliability(self) -> bool:
        """True where rows are chosen by their reliability."""
        return self.min_reliability is not None or self.max_reliability is not None

    @property
    def remote(self) -> bool:
        """True for a URL or a set on the Hub."""
        return self.format == "hub" or (is_url(self.location) and not self.location.startswith("file://"))

    @property
    def mask_file(self) -> Path:
        """The json of a folder's masks: in that folder, else as the path is written."""
        name = Path(self.masks or "").expanduser()
        inside = literal_part(self.location) / name
        return inside if inside.is_file() else name

    @property
    def first_index(self) -> int:
        """Number of the first scene: the start of the split plus `start`."""
        return SCENE_SPLITS[self.split or "train"] + self.start


def parse_source(spec: str) -> Source:
    """Parse one source and check all that can be checked without loading data.

    Args:
        spec: location, then `?key=value&key=value`. Only a last `?` that is followed by key=value pairs
            starts the options, so globs may contain `?`; `%26` stands for `&` inside a value.

    Returns:
        The checked source.

    Raises:
        ValueError: nothing at that location, an unknown option, a value out of range, or a secret.
    """
    if is_url(spec) and redact(spec) != spec:
        raise ValueError(
            f"source {redact(spec)!r} carries a password or token, which would be saved with the run; put it into "
            "~/.netrc, HF_TOKEN or the settings of the store, and leave it out here"
        )
    location, options = split_options(spec)
    if not location:
        raise ValueError(f"source {spec!r} names no location; write e.g. 'scenes:indoor', a path or a Hub id")
    maps, photos = (location, options["images"]) if "images" in options else (None, location)
    form, location = _recognise(spec, photos)
    allowed = SCENE_OPTIONS if form == "scenes" else FILE_OPTIONS
    values: dict[str, Any] = {}
    for key, text in options.items():
        if key not in allowed:
            raise ValueError(
                f"source {spec!r} has the unknown option {key!r}; known here are {', '.join(sorted(allowed))}"
            )
        try:
            values["name" if key == "config" else key] = allowed[key](text)
        except ValueError as error:
            raise ValueError(f"source {spec!r}: {key} {error}, got {text!r}") from None
    low, high = values.get("min_depth_m", 0.0), values.get("max_depth_m", math.inf)
    if low >= high:
        raise ValueError(f"source {spec!r}: min_depth_m {low} must be less than max_depth_m {high}")
    values.pop("images", None)
    source = Source(spec=spec, format=form, location=location, maps=maps, **values)
    _check_together(source)
    return source


def parse_sources(specs: Iterable[str]) -> tuple[Source, ...]:
    """Parse several sources, in order; raises ValueError for the first that is wrong, as `parse_source` does."""
    return tuple(parse_source(spec) for spec in specs)


def listing_of(source: Source) -> Listing:
    """The files of a local source, those of its `split` alone if one is given, and those that are left out.

    Args:
        source: an images, parquet or webdataset source that is not a URL.

    Returns:
        Files in sorted order; for images, depth files are left out.
    """
    kind: FileKind = source.format  # type: ignore[assignment]
    root = literal_part(source.location)
    listing = list_files(source.location)
    if kind != "images":
        listing = listing.without(only_kind(kind))
    if source.split is not None:
        split = source.split
        listing = listing.without(lambda path: None if _in_split(path, root, split) else f"not of split {split!r}")
    if kind == "images":  # whose depth files of other splits are not theirs
        listing = listing.without(lambda path: LOOKS_LIKE_DEPTH if looks_like_depth(path, root) else None)
        if source.masks == "folder":
            listing = listing.without(lambda path: THAT_ARE_MASKS if _is_mask(path) else None)
        listing = listing.without(only_kind(kind))
    return listing


def _is_mask(path: Path) -> bool:
    return path.stem.endswith(MASK_STEM) or path.parent.name.endswith(MASK_FOLDER)


def local_files(source: Source) -> list[Path]:
    """The files of a local source that are read: see [`listing_of`]."""
    return list(listing_of(source).used)


def is_url(location: str) -> bool:
    """True for a URL, False for a local path."""
    return "://" in location


def split_options(spec: str) -> tuple[str, dict[str, str]]:
    """The location of a source as written, and its options as text; raises ValueError for one given twice."""
    location, mark, tail = spec.strip().rpartition("?")
    if not mark or not _OPTIONS.fullmatch(tail):
        return spec.strip(), {}
    options: dict[str, str] = {}
    for pair in tail.split("&"):
        key, _, value = pair.partition("=")
        if key in options:
            raise ValueError(f"source {spec!r} gives the option {key!r} twice; give it once")
        options[key] = unquote(value)
    return location, options


def _recognise(spec: str, location: str) -> tuple[Kind, str]:
    """Kind of a source, and its location in the form that later steps use."""
    if location.startswith("scenes:"):
        domain = location.removeprefix("scenes:")
        if domain not in SCENE_DOMAINS:
            raise ValueError(f"source {spec!r} has the unknown domain {domain!r}; use {' or '.join(SCENE_DOMAINS)}")
        return "scenes", domain
    if is_url(location):
        form = kind_of_file(Path(location))
        if form not in ("parquet", "webdataset"):
            raise ValueError(f"source {spec!r} is a URL that ends in neither .parquet nor .tar; give one of those")
        return form, location
    path = Path(location).expanduser()
    if path.exists() or has_magic(location):
        return _format_of_files(spec, path), str(path)
    if _HUB_ID.fullmatch(location) and kind_of_file(path) is None:
        return "hub", location
    raise ValueError(f"source {spec!r}: there is nothing at {location!r}; give an existing path, a URL or org/name")


def _format_of_files(spec: str, path: Path) -> Kind:
    listing = list_files(str(path))
    kinds = {kind_of_file(file) for file in listing.used} - {None}
    if not kinds and any(file.suffix.lower() in DEPTH_SUFFIXES for file in listing.used):
        raise ValueError(f"source {spec!r} holds depth maps but no photo; say where the photos are with ?images=FOLDER")
    if not kinds:
        left_out = listing.without(only_kind("images")).told()
        found = f" (found: {left_out})" if left_out else ""
        raise ValueError(f"source {spec!r} holds no image, .parquet or .tar file{found}; point it at some")
    if len(kinds) > 1 and not path.is_dir():
        raise ValueError(f"source {spec!r} matches files of several kinds ({', '.join(map(str, kinds))}); narrow it")
    order: tuple[Kind, ...] = ("parquet", "webdataset", "images")
    return next(form for form in order if form in kinds)


def _in_split(path: Path, root: Path, split: str) -> bool:
    """True if the name of a file, or of a folder below the root, has the split as a word, as in `datasets`."""
    inside = path.relative_to(root).as_posix() if path != root and path.is_relative_to(root) else path.name
    return re.search(rf"(^|[^A-Za-z0-9]){re.escape(split)}([^A-Za-z0-9]|$)", inside) is not None


def _check_together(source: Source) -> None:
    """Checks that look at more than one field."""
    spec = source.spec
    try:
        source.coding()
    except ValueError as error:
        raise ValueError(f"source {spec!r}: {error}") from None
    _check_maps(source)
    named = source.format == "images" and source.masks not in (None, *MASKS_BESIDE)
    if named and (source.mask_file.suffix.lower() != ".json" or not source.mask_file.is_file()):
        raise ValueError(
            f"source {spec!r}: masks={source.masks} is no json file; name COCO's, in the photos' folder or as a path, "
            "or say masks=json or masks=folder for masks beside each photo"
        )
    if source.format == "scenes":
        from semidepth.data.scenes.render import STYLES

        if source.style not in (*STYLES, "any"):
            raise ValueError(
                f"source {spec!r} has the unknown style {source.style!r}; known are any, {', '.join(STYLES)}"
            )
        if source.split is not None and source.split not in SCENE_SPLITS:
            raise ValueError(f"source {spec!r} has the unknown split {source.split!r}; use {', '.join(SCENE_SPLITS)}")
        if source.start + (source.count or 0) > HELD_OUT_START:
            raise ValueError(f"source {spec!r} runs past scene {HELD_OUT_START}, where the next split begins")
        return
    if source.format != "hub" and (source.name or source.revision):
        raise ValueError(f"source {spec!r}: config, name and revision are for Hub datasets; leave them out")
    if source.format != "hub" and is_url(source.location):
        if source.split is not None:
            raise ValueError(f"source {spec!r}: a URL has no splits; leave split out and name the file")
    elif source.format != "hub" and not (listing := listing_of(source)).used:
        of = f" of split {source.split!r}" if source.split else ""
        raise ValueError(f"source {spec!r} holds no usable file{of} (found: {listing.told()}); check the path")


def _check_maps(source: Source) -> None:
    """Checks the options of maps that lie apart from their photos."""
    spec = source.spec
    if source.maps is None:
        if source.map is not None:
            raise ValueError(f"source {spec!r}: map is for maps apart from their photos; add images=FOLDER")
        return
    if source.format != "images":
        raise ValueError(f"source {spec!r}: images={source.location} holds no photos; name a folder of them")
    if not Path(source.maps).expanduser().is_dir():
        raise ValueError(f"source {spec!r}: there is no folder {source.maps!r}; write MAPS?images=PHOTOS")
    if source.map is not None and source.map.count("{}") != 1:
        raise ValueError(f"source {spec!r}: map must hold {{}} once, for the photo's name, as map={{}}_depth.npy does")
