"""Which files a prediction is for: images and videos behind files, folders and globs. Light to import."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from semidepth.training.data.source_spec import IMAGE_SUFFIXES
from semidepth.training.engine.color_maps import DEFAULT_COLOR_MAP
from semidepth.training.engine.point_clouds import focal_from_fov

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
    def known(self) -> bool:
        """Whether there is something to make points with."""
        return self.focal_px is not None or self.fov_deg is not None

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

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; give at least 1.")
        if self.far_m is not None and not self.far_m > 0:
            raise ValueError(f"--far_m is {self.far_m}; give a positive number of metres.")
        needing = [name for name in IN_SPACE if name in self.formats]
        if needing and not self.camera.known:
            raise ValueError(f"--format {needing[0]} needs --fov_deg (such as 60) or --focal_px; give one of them.")

    def result_suffixes(self, file: Path) -> dict[str, str]:
        """Format -> what the name of a file's result ends with; of a video there is its colours alone."""
        if is_video(file):
            return {"color": VIDEO_RESULT}
        return {name: FORMATS[name] for name in self.formats}


def is_video(file: Path) -> bool:
    """Whether a file's name is a video's."""
    return file.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(inputs: Sequence[str], *, videos: bool = True) -> list[tuple[Path, Path]]:
    """Images and videos behind files, folders (with what is below them) and globs.

    Args:
        inputs: as given on the command line.
        videos: whether folders are searched for videos, too.

    Returns:
        (file, name of its results without suffix, relative to the output folder); the names are unique. A folder's own
        results of an earlier prediction are not among them.

    Raises:
        ValueError: if an input matches nothing.
    """
    suffixes = IMAGE_SUFFIXES | (VIDEO_SUFFIXES if videos else frozenset())
    results = (*FORMATS.values(), VIDEO_RESULT)
    found: dict[Path, Path] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in suffixes and file.is_file()]
            files = [file for file in files if not file.name.endswith(results) and not file.name.startswith(".")]
            names = [file.relative_to(path).with_suffix("") for file in files]
        else:
            files = (
                [path] if path.is_file() else [Path(file) for file in sorted(glob(text, recursive=True))]  # noqa: PTH207
            )
            files = [file for file in files if file.is_file()]
            names = [Path(file.stem) for file in files]
        if not files:
            raise ValueError(f"{text!r} matches no image or video; give files, folders or a glob in quotes.")
        found |= {file: name for file, name in zip(files, names, strict=True) if file not in found}
    taken: set[Path] = set()
    unique = []
    for file, name in found.items():
        candidate, number = name, 2
        while candidate in taken:  # a/x.jpg and b/x.jpg, or x.jpg and x.png
            candidate, number = name.with_name(f"{name.name}-{number}"), number + 1
        taken.add(candidate)
        unique.append((file, candidate))
    return unique
