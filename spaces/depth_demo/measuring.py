"""Distances in a picture, in metres, given a field of view."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from semidepth.media.exif_camera import GUESSED_FOV_DEG, fov_from_exif
from semidepth.media.point_clouds import focal_from_fov, point_at

FOV_RANGE_DEG = 1.0, 170.0
LEAST_OUTDOORS_M = 20.0  # heads that end before are for rooms, where there is no sky
NEAR_REACH = 0.98  # of a head's largest depth: a head that stops there says of all that is beyond it that it is there


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
    found_deg = fov_from_exif(image, image.width, image.height)
    if found_deg is not None:
        return FieldOfView(found_deg, "from the photo's EXIF data")
    return FieldOfView(GUESSED_FOV_DEG, "guessed")


def too_far(values: np.ndarray, most_m: float | None) -> np.ndarray | None:
    """(H, W) bool: the sky, and what the model cannot tell from it; None where there is nothing like it.

    Args:
        values: (H, W) metres.
        most_m: largest depth that the head was made for; None where that is not known, and for models without a unit:
            nobody knows where the sky is on a scale of unknown shift, whose 0 is the far wall of many a room.
    """
    found = None if most_m is None or most_m < LEAST_OUTDOORS_M else values >= NEAR_REACH * most_m
    return found if found is not None and found.any() else None


def distance_between(depth_m: np.ndarray, first: tuple[int, int], second: tuple[int, int], focal_px: float) -> float:
    """Metres between the points in space of two pixels, given as (column, row)."""
    ends = [point_at(depth_m, *point, focal_px) for point in (first, second)]
    return float(np.linalg.norm(ends[0] - ends[1]))
