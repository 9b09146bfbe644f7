"""Options of `semidepth predict`: inputs, model, formats, colours, camera, limits. Light to import."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.media.color_maps import DEFAULT_COLOR_MAP
from semidepth.media.exif_camera import fov_from_exif
from semidepth.media.point_clouds import focal_from_fov
from semidepth.prediction.checkpoints import Kind
from semidepth.prediction.shipped.folder import METRIC_NAME, default_name

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})
# Values of --format, and the end of such a result's name.
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
Runtime = Literal["torch", "onnx", "openvino", "auto"]
RUNTIME_HELP = "library that runs the model on a CPU; auto: the fastest that is installed, measured once"
ColorMap = Literal["magma", "cividis", "turbo", "spectral", "gray"]


@dataclass(frozen=True)
class Camera:
    """Camera of the images; without either value that of each photo's EXIF data is taken for points and meshes.

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
        """Name of the option that was given, None where the camera is unknown."""
        if self.focal_px is not None:
            return "--focal_px"
        return None if self.fov_deg is None else "--fov_deg"

    def focal(self, width: int, height: int, photo: Path) -> float:
        """Focal length in pixels of an upright image of that size.

        Args:
            width: of the image, pixels.
            height: of the image, pixels.
            photo: its file, whose EXIF data count where nothing was given.

        Raises:
            ValueError: nothing was given, and the file does not say it.
        """
        if self.focal_px is not None:
            return self.focal_px
        fov_deg = fov_from_exif(photo, width, height) if self.fov_deg is None else self.fov_deg
        if fov_deg is None:
            raise ValueError("its EXIF data hold no 35 mm focal length; give --fov_deg (such as 60) or --focal_px")
        return focal_from_fov(fov_deg, width)


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """Formats, colours, camera and limits of the results of each input.

    `formats` may be empty or hold several words with commas between them; afterwards it holds each format once.

    Raises:
        ValueError: one sentence naming the option, what came and what was expected.
    """

    formats: tuple[str, ...] = option(
        (),
        name="format",
        metavar="FORMAT",
        help=f"any of {' '.join(FORMATS)}, also with commas; default: {' '.join(DEFAULT_FORMATS)}, and ply where the "
        "camera is given",
    )
    domain: str | None = option(None, help="metric head for all images of a routed model; default: its router chooses")
    focal_px: float | None = option(None, help="focal length in pixels, for points and meshes; default: of EXIF data")
    fov_deg: float | None = option(None, help="or the horizontal field of view in degrees")
    far_m: float | None = option(None, help="leave out points and meshes farther than this; default: none")
    max_jump: float | None = option(None, help="cut meshes where depth jumps by this factor; default: 1.05")
    color_map: ColorMap = option(DEFAULT_COLOR_MAP, help="colours of pictures and videos; cividis is colour-blind safe")
    legend: bool = option(False, help="draw a bar with numbers below coloured pictures")
    side_by_side: bool = option(False, help="show the source to the left of its depth in videos")
    batch_size: int = option(4, help="images of one size in a forward pass")
    threads: int = option(2, help="threads that decode, and as many that write")
    overwrite: bool = option(False, help="replace results that are there")

    def __post_init__(self) -> None:
        words = [word for text in self.formats for word in text.split(",") if word]
        unknown = [word for word in words if word not in FORMATS]
        if unknown or (self.formats and not words):
            raise ValueError(f"--format is {' '.join(unknown or self.formats)!r}; choose of {', '.join(FORMATS)}.")
        chosen = words or [*DEFAULT_FORMATS, *(["ply"] if self.camera.option else [])]
        object.__setattr__(self, "formats", tuple(dict.fromkeys(chosen)))  # frozen from here on
        self._check_numbers()
        self._check_users()

    @property
    def camera(self) -> Camera:
        """Camera of the images, for points and meshes."""
        return Camera(self.focal_px, self.fov_deg)

    def _check_numbers(self) -> None:
        for name in ("batch_size", "threads"):
            check_at_least(self, name, 1)
        if self.far_m is not None and not self.far_m > 0:
            raise ValueError(f"--far_m is {self.far_m}; give a positive number of metres.")
        if self.max_jump is not None and not self.max_jump > 1:
            raise ValueError(f"--max_jump is {self.max_jump}; give a factor above 1, such as 1.05.")

    def _check_users(self) -> None:
        """Raises ValueError for an option whose formats are not asked for, and for a format that lacks its option."""
        for name, given, users in (
            (self.camera.option, self.camera.option, IN_SPACE),
            ("--far_m", self.far_m, IN_SPACE),
            ("--max_jump", self.max_jump, ("glb",)),
            ("--legend", self.legend or None, ("color",)),
            ("--side_by_side", self.side_by_side or None, ("color",)),
            ("--color_map", None if self.color_map == DEFAULT_COLOR_MAP else self.color_map, ("color",)),
        ):
            if given is not None and not set(users) & set(self.formats):
                raise ValueError(f"{name} is for --format {' or '.join(users)}; add one of them or leave it out.")

    def result_suffixes(self, file: Path) -> dict[str, str]:
        """Format -> end of the name of a file's result. A video has only its colours."""
        if is_video(file):
            return {"color": VIDEO_RESULT}
        return {name: FORMATS[name] for name in self.formats}

    def that_matter(self, name: str, file: Path) -> dict[str, Any]:
        """The options that change a file's result in a format, as JSON has them."""
        matter: dict[str, Any] = {"domain": self.domain}
        if name == "color":
            own = {"side_by_side": self.side_by_side} if is_video(file) else {"legend": self.legend}
            matter |= {"color_map": self.color_map} | own
        if name in IN_SPACE:
            matter |= {"focal_px": self.camera.focal_px, "fov_deg": self.camera.fov_deg, "far_m": self.far_m}
        return matter | ({"max_jump": self.max_jump} if name == "glb" else {})


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Options for the inputs, the model and the folder of the results."""

    inputs: tuple[str, ...] = option(positional=True, metavar="INPUT", help="images, videos, folders or globs")
    model: str | None = option(
        None, help="Hub id or folder of any depth-estimation model; default: the one that comes with semidepth"
    )
    metres: bool = option(False, help="metres instead of inverse depth, of the model that comes with semidepth")
    output: Path = option(Path("depth"), metavar="FOLDER", help="folder for the results")
    kind: Kind | None = option(None, help="what the model predicts, where it is not known")
    trust_remote_code: bool = option(False, help="run code that the model brings along; read it first")
    device: str | None = option(None, help="default: cuda where there is one, else cpu")
    runtime: Runtime = option("torch", help=RUNTIME_HELP)
    json: bool = option(False, help="print one JSON object and nothing else on stdout")


@dataclass(frozen=True, kw_only=True)
class PredictOptions(ResultOptions, InputOptions):  # the fields of the last base come first
    """Options of `semidepth predict`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.metres and self.model is not None:
            raise ValueError(
                f"--metres is for the model that comes with semidepth and --model is {self.model!r}; leave one out."
            )

    @property
    def model_name(self) -> str:
        """Model to predict with: the one named, else the one that comes with semidepth."""
        return self.model or (METRIC_NAME if self.metres else default_name())


def is_video(file: Path) -> bool:
    """True for a file whose name is a video's."""
    return file.suffix.lower() in VIDEO_SUFFIXES
