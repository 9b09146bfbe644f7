"""From an uploaded file to its depth, for the page and the API alike.

Everything is a function of the upload, so that no visitor is shown another one's picture. Pictures and predictions are
cached under a hash of the file's bytes: each click and each move of a slider asks for them again.
"""

import hashlib
import threading
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from predictor import ImageDepth, Models
from reading import HALVED_PIXELS, read_picture
from refusal import Refusal

from semidepth.data.decoding import is_heic
from semidepth.data.decoding import open_picture as open_image

MOST_PIXELS = 65_000_000
# A narrow strip becomes very many patches: one picture would hold everybody else up for minutes.
SHORTEST_SIDE, LONGEST_TO_SHORTEST = 8, 8
KEPT_PIXELS = 60_000_000  # of all that is kept: 420 MB, each with its float and its colours
ROUTER = "router"
ORIENTATION, SIDEWAYS = Base.Orientation, (5, 6, 7, 8)
_ONE_LARGE = threading.Lock()  # pictures that are read at half their size are read one at a time


@dataclass(frozen=True)
class Picture:
    """An upright picture as it is worked on.

    Args:
        image: RGB, with its EXIF data but for the orientation; a large picture has half its width and height.
        size: width and height of the upright picture in the file.
    """

    image: Image.Image
    size: tuple[int, int]


@dataclass(frozen=True)
class Seen:
    """A picture and its depth.

    Args:
        picture: as it is worked on.
        prediction: at the size of `picture.image`.
    """

    picture: Picture
    prediction: ImageDepth

    @property
    def image(self) -> Image.Image:
        """The upright picture, a large one at half its width and height."""
        return self.picture.image

    def pixel(self, x: int, y: int) -> tuple[int, int]:
        """Column and row in `image` and in the prediction of a pixel of the file's upright picture."""
        (width, height), (whole_width, whole_height) = self.image.size, self.picture.size
        return x * width // whole_width, y * height // whole_height


class DepthWork:
    """Predicts depth of uploaded pictures, with a cache.

    Args:
        models: of this Space.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self._always: dict[tuple[str, str, str], Seen] = {}
        self._kept: OrderedDict[tuple[str, str, str], Seen] = OrderedDict()
        self._lock = threading.Lock()

    def see(self, path: str | None, model: str | None, domain: str | None = None, *, keep: bool = False) -> Seen:
        """Returns a picture with its depth, predicted now or found in the cache.

        Args:
            path: of the uploaded file.
            model: one of the Space's; None or "": the first.
            domain: head to use; None, "" or "router": the router chooses.
            keep: as long as this process runs, for photos that the page offers.

        Raises:
            Refusal: one sentence for the visitor.
        """
        model, domain = model or self.models.names[0], domain or ROUTER
        digest = digest_of(path)
        key = (digest, model, domain)
        with self._lock:
            if key in self._always:
                return self._always[key]
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            picture = next((seen.picture for (other, *_), seen in self._kept.items() if other == digest), None)
        seen = self._predict(picture or open_picture(path), model, domain)
        with self._lock:
            if keep:
                self._always[key] = seen
                return seen
            self._kept[key] = seen
            while (
                len(self._kept) > 1 and sum(kept.prediction.values.size for kept in self._kept.values()) > KEPT_PIXELS
            ):
                self._kept.popitem(last=False)
        return seen

    def predicted(self, path: str, model: str | None, domain: str | None) -> Seen:
        """Returns a picture with its depth, without the cache: one of many photos, which nobody asks for again.

        Args:
            path: of the uploaded file.
            model: see [`see`], as for the head.
            domain: head to use.

        Raises:
            Refusal: one sentence for the visitor.
        """
        return self._predict(open_picture(path), model or self.models.names[0], domain or ROUTER)

    def _predict(self, picture: Picture, model: str, domain: str) -> Seen:
        try:
            prediction = self.models.predict(model, [np.asarray(picture.image)], None if domain == ROUTER else domain)[
                0
            ]
        except ValueError as error:
            raise Refusal(str(error), title="No depth") from error
        return Seen(picture, prediction)


def digest_of(path: str | Path | None) -> str:
    """Returns the SHA-256 of a file's bytes; "" where there is no file, which `open_picture` refuses."""
    try:
        with Path(path or "").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def open_picture(path: str | Path | None) -> Picture:
    """Reads a picture as a viewer shows it and `semidepth predict` decodes it.

    One of more than `HALVED_PIXELS` pixels is read at half its width and height, and only one such at a time.

    Args:
        path: of the uploaded file; None where nothing was handed in.

    Raises:
        Refusal: nothing was uploaded, it is too large, or it is no image; shown to the visitor.
    """
    if not path:
        raise Refusal("Upload a picture, take one, or click an example first.", title="There is no picture yet")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        gone = "Pictures are kept for a day, and this one is gone; upload it again."
        raise Refusal(gone, title="Picture gone") from error
    try:
        with open_image(content) as opened:
            width, height = opened.size
            check_shape(width, height)
            exif = opened.getexif()
        with _ONE_LARGE if width * height > HALVED_PIXELS else nullcontext():
            pixels = read_picture(content)
    except Refusal:  # which is a ValueError to gradio
        raise
    except Image.DecompressionBombError as error:
        says = f"The picture is far too large; at most {MOST_PIXELS / 1e6:.0f} megapixels are taken here."
        raise Refusal(says, title="Too large") from error
    except Exception as error:  # damaged files make Pillow raise whatever it likes
        if is_heic(content[:12]):
            raise Refusal(
                "This HEIC photo cannot be read here; export it as JPEG (on an iPhone: Settings, Camera, "
                "Formats, Most Compatible) and hand that in.",
                title="HEIC",
            ) from error
        raise Refusal(
            "This file cannot be read as a picture; hand in a JPEG, PNG or WebP file that is whole.",
            title="No picture",
        ) from error
    image = Image.fromarray(pixels)
    turned = exif.pop(ORIENTATION, 1) in SIDEWAYS  # the pixels are turned already
    image.info["exif"] = exif.tobytes()
    return Picture(image, (height, width) if turned else (width, height))


def check_shape(width: int, height: int) -> None:
    """Raises Refusal for a picture with too many pixels, or too narrow a one."""
    if width * height > MOST_PIXELS:
        raise Refusal(
            f"The picture has {width * height / 1e6:.1f} megapixels and at most {MOST_PIXELS / 1e6:.0f} are taken "
            "here; make it smaller.",
            title="Too large",
        )
    short, long = sorted((width, height))
    if short < SHORTEST_SIDE or long > LONGEST_TO_SHORTEST * short:
        raise Refusal(
            f"The picture is {width} x {height}; at least {SHORTEST_SIDE} pixels a side are taken here, and one side "
            f"at most {LONGEST_TO_SHORTEST} times the other.",
            title="Shape",
        )
