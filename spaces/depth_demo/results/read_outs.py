"""Distances of one or two points of a picture: as numbers, as text, and drawn into it."""

import math
import re
from typing import Any

import numpy as np
from measuring import FieldOfView, distance_between, find_field_of_view
from PIL import Image, ImageDraw
from refusal import Refusal, shown
from trust import rounded
from work import Seen

from semidepth.media.point_clouds import point_at

Point = tuple[int, int]
TOO_FAR = "sky or too far to tell"
HINTS = {
    True: "Click a point to read its distance, and a second one for the distance between the two. Further clicks move "
    "the point that is nearer to them.",
    False: "Click two points to learn which of them is nearer.",
}


def field_of_view(image: Image.Image, given_deg: float | None) -> FieldOfView:
    """[`find_field_of_view`], whose ValueError becomes a Refusal."""
    try:
        return find_field_of_view(image, given_deg)
    except ValueError as error:
        raise Refusal(str(error), title="Field of view") from error


def number_of(text: str | None, what: str) -> float | None:
    """The number in a text field; None for an empty one.

    Raises:
        Refusal: it is no number.
    """
    if not (text or "").strip():
        return None
    try:
        number = float(str(text).strip().rstrip("°m% ").replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refusal(f"The {what} is {shown(text)}; write a number, such as 60.")
    return number


def points_text(points: list[Point]) -> str:
    """Points as [`points_of`] reads them."""
    return "; ".join(f"{x}, {y}" for x, y in points)


def points_of(text: str) -> list[Point]:
    """The points of a text such as "120, 80; 300, 200"; the last two where there are more.

    Raises:
        Refusal: it is no such text.
    """
    numbers = re.split(r"[\s,;]+", text.strip(" ,;"))
    if numbers == [""]:
        return []
    if len(numbers) % 2 or not all(re.fullmatch(r"\d{1,6}", number) for number in numbers):
        raise Refusal(f"The points are {shown(text)}; write x and y of one or two, such as 120, 80; 300, 200.")
    pairs = [int(number) for number in numbers]
    return list(zip(pairs[::2], pairs[1::2], strict=True))[-2:]


def read_out(seen: Seen, points: list[Point], given_deg: float | None) -> dict[str, Any]:
    """Distances of one or two points.

    Args:
        seen: picture and prediction.
        points: (column, row) pixels of the upright picture, one or two.
        given_deg: horizontal field of view; None: from the EXIF data, else guessed.

    Returns:
        `points` with `x`, `y`, `beyond` (sky or too far to tell), and `inverse_depth`, or `distance_m` along the
        camera's axis and `straight_m` from the camera, None beyond; of two points `between_m` too, or which is nearer;
        `fov_deg` and `fov_from`; for people `text` and `notes` of metres, in as many digits as the model's typical
        error leaves true.

    Raises:
        Refusal: a point lies outside.
    """
    prediction, (width, height) = seen.prediction, seen.picture.size
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise Refusal(f"The point ({x}, {y}) lies outside of the picture of {width} x {height}.")
    found: dict[str, Any] = {"model": prediction.model, "domain": prediction.domain}
    places = [seen.pixel(x, y) for x, y in points]
    far = [prediction.beyond is not None and bool(prediction.beyond[y, x]) for x, y in places]
    found["points"] = [{"x": x, "y": y, "beyond": beyond} for (x, y), beyond in zip(points, far, strict=True)]
    told = _metres(found, seen, places, given_deg) if prediction.metric else _order(found, seen, places)
    return found | {"text": told}


def _order(found: dict[str, Any], seen: Seen, places: list[Point]) -> str:
    """Writes down the inverse depth of points and which is nearer; returns it in words.

    Args:
        found: by [`read_out`] so far.
        seen: picture and prediction.
        places: pixels of the prediction.
    """
    for point, (x, y) in zip(found["points"], places, strict=True):
        point["inverse_depth"] = float(seen.prediction.values[y, x])
    unit = "This model tells near from far, not metres: choose a metric model to measure."
    if len(places) < 2:
        return unit
    first, second = (point["inverse_depth"] for point in found["points"])
    found["nearer"] = 1 if first >= second else 2
    return f"Point {found['nearer']} is **nearer**. {unit}"


def _metres(found: dict[str, Any], seen: Seen, places: list[Point], given_deg: float | None) -> str:
    """Writes down the metres of points, None for those beyond; returns them in words. Arguments as in [`_order`]."""
    values, error, fov = seen.prediction.values, seen.prediction.error, field_of_view(seen.image, given_deg)
    found |= {"fov_deg": fov.degrees, "fov_from": fov.origin, "notes": []}
    focal_px, about, told = fov.focal_px(values.shape[1]), "about " if error else "", []
    for number, (point, (x, y)) in enumerate(zip(found["points"], places, strict=True), 1):
        known = not point["beyond"]
        point["distance_m"] = float(values[y, x]) if known else None
        point["straight_m"] = float(np.linalg.norm(point_at(values, x, y, focal_px))) if known else None
        found["notes"].append(rounded(point["distance_m"], error) if known else TOO_FAR)
        told.append(f"Point {number}: {about}**{found['notes'][-1]}** away" if known else f"Point {number}: {TOO_FAR}")
    if any(point["beyond"] for point in found["points"]):
        return f"{' · '.join(told)}\n\nThe model does not tell how far that is."
    if len(places) == 2:
        found["between_m"] = distance_between(values, *places, focal_px)
        found["notes"].append(rounded(found["between_m"], error))
        told.append(f"{about}**{found['notes'][-1]}** apart")
    else:
        told.append(f"{about}{rounded(found['points'][0]['straight_m'], error)} in a straight line")
    along = "“Away” is along the camera's axis; the other distance goes by a field of view of"
    return f"{' · '.join(told)}\n\n{along} {fov.degrees:.0f}°, {fov.origin}."


def notes_of(found: dict[str, Any]) -> list[str]:
    """Texts to draw into the picture: one for each point, then one for the two together.

    Args:
        found: by [`read_out`].
    """
    if "notes" in found:
        return list(found["notes"])
    if "nearer" not in found:
        return [""]
    return ["nearer" if number == found["nearer"] else "farther" for number in (1, 2)]


def with_points(
    image: Image.Image, points: list[Point], full_size: tuple[int, int], notes: list[str] | None = None
) -> Image.Image:
    """A copy of a picture with numbered marks, and a line between two.

    Args:
        image: to draw on, perhaps smaller than the points are meant for.
        points: (column, row) pixels of the full picture.
        full_size: width and height of that.
        notes: written beside each point, and the last one, if there is one more, beside the line.
    """
    marked = image.copy()
    draw = ImageDraw.Draw(marked)
    radius = max(4, max(image.size) // 45)  # to be seen on a phone, too
    scale = np.array(image.size) / np.array(full_size)
    places = [tuple((np.array(point) + 0.5) * scale) for point in points]
    if len(places) == 2:
        draw.line(places, fill="black", width=max(3, radius // 2 + 2))
        draw.line(places, fill="white", width=max(1, radius // 2))
    for x, y in places:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#e5484d", outline="white", width=2)
    texts = [f"{number}  {note}".strip() for number, note in enumerate((notes or [""] * 2)[: len(places)], 1)]
    for text, (x, y) in zip(texts, places, strict=True):
        _write(draw, text, (x + radius + 3, y), image.size, radius)
    if notes and len(notes) > len(places):
        (x1, y1), (x2, y2) = places
        crowded = abs(y1 - y2) < 8 * radius  # a note in the middle would lie on the points' own
        below = max(y1, y2) + 3 * radius
        fits = below + 2 * radius < image.height
        y = (below if fits else min(y1, y2) - 3 * radius) if crowded else (y1 + y2) / 2
        _write(draw, notes[-1], ((x1 + x2) / 2 + radius, y), image.size, radius)
    return marked


def _write(
    draw: ImageDraw.ImageDraw, text: str, place: tuple[float, float], size: tuple[int, int], radius: int
) -> None:
    """Draws text, white with a black rim, moved to where it fits.

    Args:
        draw: on the picture.
        text: a line.
        place: of its left end's middle.
        size: of the picture.
        radius: of the marks.
    """
    options: dict[str, Any] = {"anchor": "lm", "font_size": 2 * radius, "stroke_width": max(2, radius // 7)}
    left, top, right, bottom = draw.textbbox(place, text, **options)
    over = right - size[0]
    x = place[0] if over <= 0 else max(0.0, place[0] - (right - left) - 2 * radius - 6)  # to the left of its point
    y = place[1] - max(0, bottom - size[1]) + max(0, -top)
    draw.text((x, y), text, fill="white", stroke_fill="black", **options)
