"""Any modality of any other: what a visitor hands in, and pictures of that and of what a model makes of it."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from predictor import ModelCard, Models
from refusal import Refusal
from work import open_picture
from zero_gpu import gpu

from semidepth.data.decoding import open_picture as open_image
from semidepth.data.depth_coding import LabelOptions
from semidepth.data.depth_decoding import decode_depth
from semidepth.media.class_maps import class_picture, classes_of
from semidepth.media.color_maps import colorize
from semidepth.media.normals import normals_of, normals_picture
from semidepth.prediction.any_to_any.conversion import Converted, convert
from semidepth.prediction.any_to_any.model import AnyToAny, load_any_to_any
from semidepth.prediction.predictor import disparity_of

# Name -> what people read.
LABELS = {
    "image": "photo",
    "rgb": "colours",
    "depth": "depth",
    "normals": "normals",
    "semantics": "classes",
    "caption": "sentence",
}
GIVEN, MADE = "#4f46e5", "#d97706"  # frames of what was given and of what was predicted
FRAME = 0.015  # of the longer side
INTEGERS = (".png", ".tif", ".tiff")  # depth in whole numbers, which need a unit
_LOADED: dict[tuple[str, str], AnyToAny] = {}
_ONE = threading.Lock()


@dataclass(frozen=True)
class Handed:
    """What a visitor hands in; paths of uploads, None without one.

    Args:
        photo: a picture.
        depth: a depth map; unknown pixels are 0 or NaN.
        unit_m: metres that 1 means, of a depth map in whole numbers.
        normals: their picture.
        classes: their picture, a number per pixel.
        sentence: "" without one.
    """

    photo: str | None = None
    depth: str | None = None
    unit_m: float = 0.001
    normals: str | None = None
    classes: str | None = None
    sentence: str = ""


@dataclass(frozen=True)
class Shown:
    """Framed pictures with their captions, those given first, and the sentence, None where none was asked for."""

    pictures: list[tuple[Image.Image, str]]
    sentence: str | None


def converting_models(models: Models) -> list[ModelCard]:
    """Returns cards of the models that make any modality of any other."""
    return [card for card in (models.card(name) for name in models.names) if card.any_to_any]


def convert_handed(
    models: Models, name: str, handed: Handed, to: list[str], *, steps: int, temperature: float
) -> Shown:
    """Makes modalities of what was handed in.

    Args:
        models: of this Space.
        name: of one of [`converting_models`].
        handed: by the visitor.
        to: what to make, of `LABELS`.
        steps: of each map.
        temperature: 0: the likeliest.

    Raises:
        Refusal: nothing was handed in or asked for, a file is not what it should be, or the model has no such modality.
    """
    if not to:
        raise Refusal("Tick what is to be made.", title="Nothing asked for")
    try:
        card = models.card(name)
        classes = class_names(card)
        given = read_handed(handed, len(classes))
        if not given:
            raise Refusal("Hand in a photo, a depth map, or a sentence first.", title="Nothing to start from")
        made = run_conversion(card, models.device, given, list(to), steps, temperature)
    except Refusal:  # which is a ValueError to gradio
        raise
    except (ValueError, OSError) as error:
        raise Refusal(str(error)) from error
    pictures = [(framed(picture, GIVEN), f"{label}, given") for label, picture in pictures_of(given, len(classes))]
    found = {key: getattr(made, key) for key in to if key != "caption"}
    pictures += [(framed(picture, MADE), label) for label, picture in pictures_of(found, len(classes))]
    return Shown(pictures, made.caption)


def class_names(card: ModelCard) -> list[str]:
    """Returns names of a model's classes; empty without any."""
    from transformers import AutoConfig

    entries = AutoConfig.from_pretrained(card.place).modalities
    return next((list(each["classes"]) for each in entries if each.get("classes")), [])


def read_handed(handed: Handed, classes: int) -> dict[str, Any]:
    """Returns what was handed in as `semidepth.convert` takes it, by the names of its arguments, a photo as "image".

    Raises:
        ValueError: a file is not what it should be.
    """
    given: dict[str, Any] = {}
    if handed.photo:
        given["image"] = np.asarray(open_picture(handed.photo).image)
    if handed.depth:
        scale = handed.unit_m if Path(handed.depth).suffix.lower() in INTEGERS else None
        coding = LabelOptions(depth_scale=scale).coding()
        given["depth"] = decode_depth(handed.depth, coding, "the depth map").numpy()
    if handed.normals:
        given["normals"] = normals_of(np.asarray(open_picture(handed.normals).image))
    if handed.classes:
        given["semantics"] = classes_of(open_image(Path(handed.classes).read_bytes()), classes, "the classes")
    if handed.sentence.strip():
        given["caption"] = handed.sentence.strip()
    return given


@gpu
def run_conversion(
    card: ModelCard, device: str, given: dict[str, Any], to: list[str], steps: int, temperature: float
) -> Converted:
    """Runs one conversion, one at a time; depth of which all is known is not made again."""
    with _ONE:
        key = (card.place, device)
        if key not in _LOADED:
            _LOADED[key] = load_any_to_any(card.place, device)
        return convert(to=to, model=_LOADED[key], steps=steps, temperature=temperature, **given)


def pictures_of(values: dict[str, Any], classes: int) -> list[tuple[str, Image.Image]]:
    """Returns label and picture of each modality that has one, in the order given."""
    makers: dict[str, Any] = {
        "image": Image.fromarray,
        "rgb": Image.fromarray,
        "depth": lambda metres: Image.fromarray(colorize(disparity_of(metres, "m"))),
        "normals": lambda vectors: Image.fromarray(normals_picture(vectors)),
        "semantics": lambda numbers: class_picture(numbers, classes).convert("RGB"),
    }
    return [(LABELS[key], makers[key](value)) for key, value in values.items() if key in makers]


def framed(picture: Image.Image, colour: str) -> Image.Image:
    """Returns the picture in a frame, small ones enlarged so that the frame is not most of it."""
    if max(picture.size) < 256:
        factor = -(-256 // max(picture.size))
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    return ImageOps.expand(picture, max(4, round(FRAME * max(picture.size))), colour)


__all__ = ["GIVEN", "LABELS", "MADE", "Handed", "Shown", "convert_handed", "converting_models"]
