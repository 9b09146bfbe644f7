"""Distances in a picture, in metres, given a field of view."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from semidepth.media.point_clouds import focal_from_fov, point_at

FOV_RANGE_DEG = 1.0, 170.0
GUESSED_FOV_DEG = 60.0  # about that of a phone's main camera held upright or a webcam
FULL_FRAME_MM = math.hypot(36, 24)  # diagonal of the film that "35 mm equivalent" focal lengths mean
EXIF_IFD, FOCAL_LENGTH_35MM = 0x8769, 0xA405


@dataclass(frozen=True)
class FieldOfView:
    """A horizontal field of view.

    Args:
        degrees: between 0 and 180.
        origin: source of the angle: "given", "from the photo's EXIF data" or "guessed".
    """

    degrees: float
    origin: str

    def focal_px(self, width: int) -> float:
        """Focal length in pixels of a pinhole camera for an image of that width."""
        return focal_from_fov(self.degrees, width)


def find_field_of_view(image: Image.Image, given_deg: float | None) -> FieldOfView:
    """The given field of view, else the one in the EXIF data, else a guess.

    Args:
        image: upright, with its EXIF data.
        given_deg: horizontal, of the upright image.

    Raises:
        ValueError: for an angle that no pinhole camera has.
    """
    if given_deg is not None:
        if not FOV_RANGE_DEG[0] <= given_deg <= FOV_RANGE_DEG[1]:
            least, most = FOV_RANGE_DEG
            raise ValueError(f"The field of view is {given_deg:g} degrees; give one between {least:g} and {most:g}.")
        return FieldOfView(float(given_deg), "given")
    focal_mm = _focal_35mm(image)
    if focal_mm is not None:
        width = FULL_FRAME_MM * image.width / math.hypot(image.width, image.height)
        return FieldOfView(math.degrees(2 * math.atan(width / 2 / focal_mm)), "from the photo's EXIF data")
    return FieldOfView(GUESSED_FOV_DEG, "guessed")


def _focal_35mm(image: Image.Image) -> float | None:
    """Focal length from the EXIF data, in millimetres on 35 mm film; None where there is no usable one."""
    try:
        focal_mm = float(image.getexif().get_ifd(EXIF_IFD).get(FOCAL_LENGTH_35MM, 0))
    except Exception:  # EXIF data are whatever some camera or editor wrote, and Pillow raises as it likes
        return None
    return focal_mm if 1 <= focal_mm <= 10_000 else None


def distance_between(depth_m: np.ndarray, first: tuple[int, int], second: tuple[int, int], focal_px: float) -> float:
    """Metres between the points in space of two pixels, given as (column, row)."""
    ends = [point_at(depth_m, *point, focal_px) for point in (first, second)]
    return float(np.linalg.norm(ends[0] - ends[1]))
