"""The Space's work without its page: from an uploaded file to depth, and from depth to pictures, files and distances.

Everything is a function of what was handed in, so that the page and the API are the same thing and nobody can be shown
another visitor's picture. Predictions are kept for a while under a hash of the picture's bytes.
"""

import hashlib
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import numpy as np
from color_maps import colorize, display_range, legend
from measuring import FieldOfView, distance_between, find_field_of_view
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError
from predictor import Models, Prediction

MOST_PIXELS = 24_000_000
KEPT_PREDICTIONS = 6
MAX_16_BIT = 65535
ROUTER = "router"


@dataclass(frozen=True)
class Seen:
    """A picture with what a model says of it."""

    image: Image.Image
    prediction: Prediction


class DepthWork:
    """What the page's buttons and the API's endpoints do.

    Args:
        models: of this Space.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self._kept: OrderedDict[tuple[str, str, str], Prediction] = OrderedDict()
        self._lock = threading.Lock()

    def see(self, path: str | None, model: str, domain: str | None = None) -> Seen:
        """Opens a picture and predicts its depth, or finds what was predicted before.

        Args:
            path: of the uploaded file.
            model: one of the Space's.
            domain: whose head to use; None, "" or "router": the router chooses.

        Raises:
            gr.Error: one sentence for the visitor.
        """
        image = open_image(path)
        assert path is not None
        key = (hashlib.sha256(Path(path).read_bytes()).hexdigest(), model, domain or ROUTER)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return Seen(image, self._kept[key])
        try:
            predictor = self.models.get(model)
            wanted = None if (domain or ROUTER) == ROUTER else domain
            if wanted is not None and wanted not in predictor.domains:
                has = f"has {', '.join(predictor.domains)}" if predictor.domains else "has no domains"
                raise ValueError(f"The domain {wanted!r} is not known: {model} {has}.")
            prediction = predictor.predict(image, wanted)
        except ValueError as error:
            raise gr.Error(str(error), title="No depth") from error
        with self._lock:
            self._kept[key] = prediction
            while len(self._kept) > KEPT_PREDICTIONS:
                self._kept.popitem(last=False)
        return Seen(image, prediction)


def open_image(path: str | Path | None) -> Image.Image:
    """An image as it is seen: RGB, turned as its EXIF data say.

    Args:
        path: of the uploaded file; None where nothing was handed in.

    Raises:
        gr.Error: shown to the visitor: nothing came, it is too large, or it is no image.
    """
    if not path:
        raise gr.Error("There is no picture yet: upload one, take one, or click an example.", title="No picture")
    try:
        with Image.open(path) as opened:
            pixels = opened.width * opened.height
            if pixels > MOST_PIXELS:
                raise gr.Error(
                    f"The picture has {pixels / 1e6:.1f} megapixels and at most {MOST_PIXELS / 1e6:.0f} are taken here; "
                    "make it smaller.",
                    title="Too large",
                )
            return ImageOps.exif_transpose(opened).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise gr.Error(
            "This file cannot be read as a picture; hand in a JPEG, PNG or WebP file that is whole.", title="No picture"
        ) from error


def value_range(prediction: Prediction) -> tuple[float, float]:
    """The range that colours are spread over unless somebody says otherwise."""
    low, high = display_range(prediction.values)
    return low, max(high, low + 1e-6)


def limits_of(prediction: Prediction, near: float | None, far: float | None) -> tuple[float, float]:
    """The values at the two ends of the colours.

    Args:
        prediction: whose values.
        near: metres, or for inverse depth 0 to 100 per cent of the way from the nearest to the farthest value; None: the
            prediction's own end.
        far: likewise; the larger.

    Returns:
        Low and high value.

    Raises:
        gr.Error: if the near end is not before the far one.
    """
    low, high = value_range(prediction)
    if prediction.metric:
        near, far = (low if near is None else near), (high if far is None else far)
    else:
        near, far = (0.0 if near is None else near), (100.0 if far is None else far)
    if not near < far:
        raise gr.Error(f"The near end ({near:g}) has to lie before the far end ({far:g}).", title="Range")
    if prediction.metric:
        return near, far
    return high - (high - low) * far / 100, high - (high - low) * near / 100


def depth_picture(prediction: Prediction, limits: tuple[float, float], color_map: str) -> np.ndarray:
    """(H, W, 3) uint8, near is bright."""
    return colorize(prediction.values, limits, color_map, reverse=prediction.metric)


def depth_legend(prediction: Prediction, limits: tuple[float, float], color_map: str) -> Image.Image:
    """A bar that says what the colours mean."""
    unit = "m" if prediction.metric else None
    return legend(limits, color_map, unit=unit, reverse=prediction.metric, width=640)


def read_out(seen: Seen, points: list[tuple[int, int]], fov: FieldOfView) -> dict:
    """What is known of one or two points.

    Args:
        seen: picture and prediction.
        points: (column, row) pixels of the upright picture, one or two.
        fov: of the camera.

    Returns:
        `points` with `x`, `y` and `distance_m` or `inverse_depth`; of two points `between_m` too, or which is nearer;
        `fov_deg` and `fov_from`; `text` for people.
    """
    prediction, (height, width) = seen.prediction, seen.prediction.values.shape
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise gr.Error(f"The point ({x}, {y}) lies outside of the picture of {width} x {height}.", title="Point")
    found: dict = {"model": prediction.model, "domain": prediction.domain}
    values = [float(prediction.values[y, x]) for x, y in points]
    name = "distance_m" if prediction.metric else "inverse_depth"
    found["points"] = [{"x": x, "y": y, name: value} for (x, y), value in zip(points, values, strict=True)]
    if not prediction.metric:
        found["text"] = "This model tells near from far, not metres: choose a metric model to measure."
        if len(points) == 2:
            found["nearer"] = 1 if values[0] >= values[1] else 2
            found["text"] = f"Point {found['nearer']} is nearer. " + found["text"]
        return found
    found |= {"fov_deg": fov.degrees, "fov_from": fov.origin}
    told = " · ".join(f"point {number}: **{value:.2f} m** away" for number, value in enumerate(values, 1))
    if len(points) == 2:
        between = distance_between(prediction.values, points[0], points[1], fov.focal_px(width))
        found["between_m"] = between
        told += f" · **{between:.2f} m** between them (field of view {fov.degrees:.0f}°, {fov.origin})"
    found["text"] = told[0].upper() + told[1:]
    return found


def with_points(image: Image.Image, points: list[tuple[int, int]]) -> Image.Image:
    """The picture with numbered marks, and a line between two."""
    marked = image.copy()
    draw = ImageDraw.Draw(marked)
    radius = max(4, max(image.size) // 100)
    if len(points) == 2:
        draw.line(points, fill="white", width=max(2, radius // 2))
    for number, (x, y) in enumerate(points, 1):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#e5484d", outline="white", width=2)
        draw.text((x + radius + 2, y), str(number), fill="white", stroke_width=2, stroke_fill="black", anchor="lm",
                  font_size=3 * radius)  # fmt: skip
    return marked


def result_files(seen: Seen, colors: np.ndarray, stem: str) -> list[str]:
    """Files to take home: 16-bit PNG (millimetres; of inverse depth its own range), float32 .npy, coloured PNG."""
    folder, values = Path(tempfile.mkdtemp(prefix="depth-")), seen.prediction.values
    if seen.prediction.metric:
        stored = np.clip(np.rint(values * 1000.0), 0, MAX_16_BIT)
    else:
        low, high = float(values.min()), float(values.max())
        stored = np.rint((values - low) / max(high - low, 1e-12) * MAX_16_BIT)
    paths = [folder / f"{stem}_depth.png", folder / f"{stem}_depth.npy", folder / f"{stem}_color.png"]
    Image.fromarray(stored.astype(np.uint16)).save(paths[0])
    np.save(paths[1], values.astype(np.float32), allow_pickle=False)
    Image.fromarray(colors).save(paths[2])
    return [str(path) for path in paths]


def field_of_view(image: Image.Image, given_deg: float | None) -> FieldOfView:
    """[`find_field_of_view`] with its complaint shown to the visitor."""
    try:
        return find_field_of_view(image, given_deg)
    except ValueError as error:
        raise gr.Error(str(error), title="Field of view") from error
