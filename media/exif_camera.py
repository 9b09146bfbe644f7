"""Field of view of a photo, from the focal length that its camera wrote into the EXIF data."""

import math
from pathlib import Path

from PIL import Image

FULL_FRAME_MM = math.hypot(36, 24)  # diagonal of the film that "35 mm equivalent" focal lengths mean
GUESSED_FOV_DEG = 60.0  # about that of a phone's main camera held upright or a webcam, for photos that do not tell
EXIF_IFD, FOCAL_LENGTH_35MM = 0x8769, 0xA405


def fov_from_exif(photo: Image.Image | str | Path, width: int, height: int) -> float | None:
    """Horizontal field of view of a photo in degrees; None where its EXIF data hold no usable 35 mm focal length.

    Args:
        photo: with its EXIF data, or its path.
        width: of the upright photo, pixels; the angle is that over this side.
        height: of the upright photo, pixels.
    """
    focal_mm = _focal_35mm(photo)
    if focal_mm is None:
        return None
    width_mm = FULL_FRAME_MM * width / math.hypot(width, height)
    return math.degrees(2 * math.atan(width_mm / 2 / focal_mm))


def _focal_35mm(photo: Image.Image | str | Path) -> float | None:
    """Focal length in millimetres on 35 mm film."""
    try:
        if isinstance(photo, str | Path):
            with Image.open(photo) as opened:
                exif = opened.getexif()
        else:
            exif = photo.getexif()
        focal_mm = float(exif.get_ifd(EXIF_IFD).get(FOCAL_LENGTH_35MM, 0))
    except Exception:  # EXIF data are whatever some camera or editor wrote, and Pillow raises as it likes
        return None
    return focal_mm if 1 <= focal_mm <= 10_000 else None
