"""From an uploaded file to its depth: the one way that the page and the API share.

Everything is a function of what was handed in, so that nobody can be shown another visitor's picture. Pictures and
predictions are kept for a while under a hash of the file's bytes: a click or a slider moved asks for them anew.
"""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from predictor import Models, Prediction
from refusal import Refusal

MOST_PIXELS = 24_000_000
# A narrow strip becomes very many patches: one picture would hold everybody else up for minutes.
SHORTEST_SIDE, LONGEST_TO_SHORTEST = 8, 8
KEPT_PIXELS = 60_000_000  # of all that is kept: 420 MB, each with its float and its colours
ROUTER = "router"


@dataclass(frozen=True)
class Seen:
    """A picture, upright, with what a model says of it."""

    image: Image.Image
    prediction: Prediction


class DepthWork:
    """Pictures to depth.

    Args:
        models: of this Space.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self._kept: OrderedDict[tuple[str, str, str], Seen] = OrderedDict()
        self._lock = threading.Lock()

    def see(self, path: str | None, model: str | None, domain: str | None = None) -> Seen:
        """Opens a picture and predicts its depth, or finds what was predicted before.

        Args:
            path: of the uploaded file.
            model: one of the Space's; None or "": the first.
            domain: whose head to use; None, "" or "router": the router chooses.

        Raises:
            Refusal: one sentence for the visitor.
        """
        model, domain = model or self.models.names[0], domain or ROUTER
        digest = digest_of(path)
        key = (digest, model, domain)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            image = next((seen.image for (other, *_), seen in self._kept.items() if other == digest), None)
        if image is None:
            image = open_image(path)
        try:
            prediction = self.models.predict(model, [image], None if domain == ROUTER else domain)[0]
        except ValueError as error:
            raise Refusal(str(error), title="No depth") from error
        seen = Seen(image, prediction)
        with self._lock:
            self._kept[key] = seen
            while (
                len(self._kept) > 1 and sum(kept.prediction.values.size for kept in self._kept.values()) > KEPT_PIXELS
            ):
                self._kept.popitem(last=False)
        return seen


def digest_of(path: str | Path | None) -> str:
    """A hash of a file's bytes; "" where there is none, which `open_image` has a sentence for."""
    try:
        with Path(path or "").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def open_image(path: str | Path | None) -> Image.Image:
    """An image as it is seen: RGB, turned as its EXIF data say, which it keeps.

    Args:
        path: of the uploaded file; None where nothing was handed in.

    Raises:
        Refusal: shown to the visitor: nothing came, it is too large, or it is no image.
    """
    if not path:
        raise Refusal("Upload a picture, take one, or click an example first.", title="There is no picture yet")
    if not Path(path).is_file():
        raise Refusal("Pictures are kept for a day, and this one is gone; upload it again.", title="Picture gone")
    try:
        with Image.open(path) as opened:
            pixels = opened.width * opened.height
            if pixels > MOST_PIXELS:
                raise Refusal(
                    f"The picture has {pixels / 1e6:.1f} megapixels and at most {MOST_PIXELS / 1e6:.0f} are taken "
                    "here; make it smaller.",
                    title="Too large",
                )
            short, long = sorted(opened.size)
            if short < SHORTEST_SIDE or long > LONGEST_TO_SHORTEST * short:
                raise Refusal(
                    f"The picture is {opened.width} x {opened.height}; at least {SHORTEST_SIDE} pixels a side are "
                    f"taken here, and one side at most {LONGEST_TO_SHORTEST} times the other.",
                    title="Shape",
                )
            upright = ImageOps.exif_transpose(opened)
            image = _to_rgb(upright)
            image.info["exif"] = upright.info.get("exif", b"")
            return image
    except Refusal:  # which is a ValueError to gradio
        raise
    except Image.DecompressionBombError as error:
        says = f"The picture is far too large; at most {MOST_PIXELS / 1e6:.0f} megapixels are taken here."
        raise Refusal(says, title="Too large") from error
    except Exception as error:  # damaged files make Pillow's decoders raise whatever they like
        raise Refusal(
            "This file cannot be read as a picture; hand in a JPEG, PNG or WebP file that is whole.",
            title="No picture",
        ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """As viewers, and `semidepth predict`, show it: 16 bits over their whole range, transparency on white."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    white = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(white, seen).convert("RGB")
