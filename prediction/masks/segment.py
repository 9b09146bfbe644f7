"""Cut a thing out of a photo in one line of Python.

import semidepth
cup = semidepth.segment("photo.jpg", points=[(410, 230)])
cup.mask, cup.distance_m, cup.size_m
cup.picture().save("cup.png")
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from semidepth.media.exif_camera import GUESSED_FOV_DEG, fov_from_exif
from semidepth.prediction.depth_maps import ImageLike, predict, to_pixels
from semidepth.prediction.masks.answers import ImagePrompts, MaskPredictor, Masks
from semidepth.prediction.masks.cutouts import Cutout
from semidepth.prediction.masks.loading import load_mask_predictor
from semidepth.prediction.models import DepthModel
from semidepth.prediction.options import Camera
from semidepth.prediction.shipped.folder import MASKS_NAME, METRIC_NAME

# Points on one thing. More are a slip: an annotator who needs a dozen is better off with a new box.
MOST_POINTS = 100
Point = tuple[float, float]
Box = tuple[float, float, float, float]


def segment(
    image: ImageLike,
    model: str | Path | MaskPredictor = MASKS_NAME,
    *,
    points: Sequence[Point] = (),
    not_points: Sequence[Point] = (),
    box: Box | None = None,
    depth: str | Path | DepthModel | None = METRIC_NAME,
    focal_px: float | None = None,
    fov_deg: float | None = None,
    device: str | torch.device | None = None,
) -> Cutout:
    """Cuts a thing out of a photo.

    Args:
        image: as [`semidepth.predict`] takes one.
        model: a mask model: Hub id or folder, which each call loads; or what [`load_mask_predictor`] gives. Default:
            the one that comes with semidepth.
        points: (x, y) on it, in pixels of the upright photo, (0, 0) its upper left corner; the first one counts most.
        not_points: (x, y) off it, such as on what was cut out too much.
        box: x1, y1, x2, y2 round it.
        depth: a model that predicts metres, which tells how far and how large it is; None: neither.
        focal_px: focal length in pixels of the upright photo.
        fov_deg: or the horizontal field of view; None of both: of the photo's EXIF data, else 60 degrees are assumed.
        device: for models that are loaded here; None: a GPU if there is one.

    Returns:
        The mask, its score, distance and size.

    Raises:
        ValueError: in one sentence, for no prompt, a prompt outside of the photo, an image or a model that cannot be
            read.
    """
    Camera(focal_px, fov_deg)  # checks them
    pixels = to_pixels(image, "the image").permute(1, 2, 0).numpy()
    height, width = pixels.shape[:2]
    check_prompts(points, not_points, box, width=width, height=height)
    predictor = model if isinstance(model, MaskPredictor) else load_mask_predictor(model, device)
    predictor.look(pixels)
    found = _answer(predictor, points, not_points, box)
    order = found.scores[0].argsort()[::-1]
    if focal_px is not None:
        fov_deg = math.degrees(2 * math.atan(width / 2 / focal_px))
    exif = fov_from_exif(image, width, height) if isinstance(image, str | Path | Image.Image) else None
    chosen = next((each, source) for each, source in
                  ((fov_deg, "given"), (exif, "EXIF"), (GUESSED_FOV_DEG, "assumed")) if each is not None)  # fmt: skip
    metres = None
    if depth is not None:
        seen = predict(pixels, depth, device=device)
        metres = seen.values if seen.unit == "m" else None
    return Cutout(
        found.masks[0, order[0]], float(found.scores[0, order[0]]), pixels, found.masks[0, order],
        found.scores[0, order], metres, *chosen,
    )  # fmt: skip


def check_prompts(
    points: Sequence[Point], not_points: Sequence[Point], box: Box | None, *, width: int, height: int
) -> None:
    """Raises ValueError, in one sentence, for prompts that a photo of this size cannot have."""
    if not points and box is None:
        raise ValueError("there is no point on the thing and no box round it; give one of the two.")
    count = len(points) + len(not_points)
    if count > MOST_POINTS:
        raise ValueError(f"there are {count} points on one thing; give {MOST_POINTS} at most, or a box.")
    size = f"the photo is {width} pixels wide and {height} high"
    for x, y in (*points, *not_points):
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f"a point is at x {x:g}, y {y:g} and {size}; give points in it, x first.")
    if box is None:
        return
    x1, y1, x2, y2 = box
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        told = ", ".join(f"{each:g}" for each in box)
        raise ValueError(f"the box is ({told}) and {size}; give x1, y1, x2, y2 in it, with x1 < x2 and y1 < y2.")


def _answer(
    predictor: MaskPredictor, points: Sequence[Point], not_points: Sequence[Point], box: Box | None
) -> Masks:  # fmt: skip
    """Returns the answer to all prompts, which are shown one after another as in training."""
    clicks = [(point, True) for point in points] + [(point, False) for point in not_points]
    boxes = None if box is None else np.array([box], np.float32)
    found = None
    for count in range(0 if boxes is not None else 1, len(clicks) + 1):
        shown = clicks[:count]
        prompts = ImagePrompts(
            np.array([[point for point, _ in shown]], np.float32) if shown else None,
            np.array([[on for _, on in shown]]) if shown else None,
            boxes,
            None if found is None else found.logits,
        )
        found = predictor.answer(prompts, candidates=found is None and boxes is None)
    assert found is not None  # there is a point or a box
    return found
