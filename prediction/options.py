"""Options of a prediction: formats, colours, camera, limits."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semidepth.media.color_maps import DEFAULT_COLOR_MAP
from semidepth.media.point_clouds import focal_from_fov

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
