"""Options of `semidepth segment`. Light to import."""

from dataclasses import dataclass
from pathlib import Path

from semidepth.common.options import option
from semidepth.prediction.options import Camera
from semidepth.prediction.shipped.folder import MASKS_NAME, METRIC_NAME

# Values of --format, and the end of such a result's name.
FORMATS = {
    "mask": "_mask.png",
    "cutout": "_cutout.png",
    "json": "_masks.json",
    "ply": "_cutout.ply",
    "glb": "_cutout.glb",
}
DEFAULT_FORMATS = ("mask", "cutout", "json")


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """Options of `semidepth segment`."""

    image: Path = option(positional=True, metavar="PHOTO", help="a photo")
    model: str = option(MASKS_NAME, help="Hub id or folder of a mask model")
    point: tuple[str, ...] = option((), metavar="X,Y", help="points on the thing, pixels of the upright photo")
    not_point: tuple[str, ...] = option((), name="not", metavar="X,Y", help="points off it")
    box: str | None = option(None, metavar="X1,Y1,X2,Y2", help="box round it")
    depth: str | None = option(METRIC_NAME, help="model in metres, for distance, size and 3D; none: without them")
    focal_px: float | None = option(None, help="focal length in pixels; default: of EXIF data, else assumed, and told")
    fov_deg: float | None = option(None, help="or the horizontal field of view in degrees")
    output: Path = option(Path("cut"), metavar="FOLDER", help="folder for the results")
    formats: tuple[str, ...] = option(
        (),
        name="format",
        metavar="FORMAT",
        help=f"any of {' '.join(FORMATS)}; default: {' '.join(DEFAULT_FORMATS)}, and ply with metres",
    )
    overwrite: bool = option(False, help="replace results that are there")
    device: str | None = option(None, help="default: cuda where there is one, else cpu")
    json: bool = option(False, help="print one JSON object and nothing else on stdout")

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown:
            raise ValueError(f"--format is {' '.join(unknown)!r}; choose of {', '.join(FORMATS)}.")
        if not self.point and self.box is None:
            raise ValueError("there is no --point on the thing and no --box round it; give one of the two.")
        Camera(self.focal_px, self.fov_deg)  # checks them
        for name in ("point", "not_point"):
            self.points(name)
        self.corners()

    @property
    def model_in_metres(self) -> str | None:
        """The model that --depth names; None without one."""
        return None if self.depth in (None, "none") else self.depth

    def files(self, *, metres: bool = True) -> dict[str, Path]:
        """Returns the files of the results by format; `metres` says whether there are some."""
        chosen = self.formats or (*DEFAULT_FORMATS, *(["ply"] if metres else []))
        return {name: self.output / f"{self.image.stem}{FORMATS[name]}" for name in dict.fromkeys(chosen)}

    def points(self, name: str) -> list[tuple[float, float]]:
        """Returns the points of an option, x and y."""
        flag = "--not" if name == "not_point" else "--point"
        return [(x, y) for x, y in (_numbers(flag, text, ("x", "y")) for text in getattr(self, name))]

    def corners(self) -> tuple[float, float, float, float] | None:
        """Returns the box, x1, y1, x2, y2."""
        if self.box is None:
            return None
        x1, y1, x2, y2 = _numbers("--box", self.box, ("x1", "y1", "x2", "y2"))
        return x1, y1, x2, y2


def _numbers(flag: str, text: str, names: tuple[str, ...]) -> list[float]:
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = []
    if len(found) != len(names):
        raise ValueError(f"{flag} is {text!r}; give {','.join(names)} in pixels, numbers with commas between them.")
    return found
