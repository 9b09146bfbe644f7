"""A short clip to try, made of one of the page's photos: a camera that goes along it and comes nearer."""

from pathlib import Path

import numpy as np
from PIL import Image

from results.result_files import new_folder, safe_stem
from semidepth.media.video_writing import VideoWriter

FRAMES, FPS = 30, 12
SIZE = (448, 336)  # width and height, pixels
FIRST_SHARE, LAST_SHARE = 0.9, 0.7  # of the largest part of the photo of that shape: what a frame shows


def example_clip(photo: Path) -> str:
    """Writes the clip; returns the path of an MP4 file without sound, of about 100 kB.

    Args:
        photo: path of a picture.
    """
    with Image.open(photo) as opened:
        picture = opened.convert("RGB")
    path = new_folder() / f"{safe_stem(photo)}_clip.mp4"
    with VideoWriter(path, *SIZE, FPS) as writer:
        for number in range(FRAMES):
            frame = picture.resize(SIZE, Image.Resampling.BICUBIC, box=seen_part(picture.size, number / (FRAMES - 1)))
            writer.write(np.asarray(frame), number / FPS)
    return str(path)


def seen_part(size: tuple[int, int], share: float) -> tuple[float, float, float, float]:
    """Left, upper, right and lower end of what a frame shows, from left to right and ever less of it.

    Args:
        size: width and height of the photo.
        share: of the clip that is over, 0 to 1.
    """
    scale = min(size[0] / SIZE[0], size[1] / SIZE[1]) * (FIRST_SHARE + share * (LAST_SHARE - FIRST_SHARE))
    wide, high = SIZE[0] * scale, SIZE[1] * scale
    left, top = (size[0] - wide) * share, (size[1] - high) / 2
    return left, top, left + wide, top + high
