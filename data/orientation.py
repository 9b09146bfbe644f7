"""Turn images as their EXIF orientation says, and depth maps with the image that they belong to.

Light to import, since options of sources name a frame.
"""

from typing import TYPE_CHECKING, Literal

from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

# How a label lies: as the photo's pixels are stored, or as viewers show the photo.
LabelFrame = Literal["stored", "upright"]

_EXIF_ORIENTATION = 0x0112
# What a viewer does with (..., H, W) pixels, by EXIF orientation: whether to swap rows and columns, then what to flip.
_UPRIGHT: dict[int, tuple[bool, tuple[int, ...]]] = {
    2: (False, (-1,)),
    3: (False, (-2, -1)),
    4: (False, (-2,)),
    5: (True, ()),
    6: (True, (-1,)),
    7: (True, (-2, -1)),
    8: (True, (-2,)),
}


def orientation_of(picture: Image.Image) -> int:
    """EXIF orientation of a picture, 1 to 8.

    Pillow turns a TIFF when it is loaded and then says 1. Of a PNG it loads the pixels to answer.
    """
    found = picture.info.get("original_orientation") or picture.getexif().get(_EXIF_ORIENTATION, 1)
    return found if found in _UPRIGHT else 1


def turn_upright(pixels: "Tensor", orientation: int) -> "Tensor":
    """Turn and mirror (..., H, W) stored pixels as a viewer does.

    Args:
        pixels: of an image, or the map that lies as it does.
        orientation: of the image, 1 to 8.
    """
    swap, flipped = _UPRIGHT.get(orientation, (False, ()))
    pixels = pixels.mT if swap else pixels
    return pixels.flip(flipped) if flipped else pixels


def turn_with_image(
    depth: "Tensor", image: "Tensor", orientation: int, frame: LabelFrame | None, *, usual: LabelFrame = "stored"
) -> "Tensor":
    """Bring a depth map into the frame of its upright image.

    Args:
        depth: (h, w), as it is stored.
        image: (3, H, W), upright.
        orientation: that the image was turned by, 1 to 8.
        frame: how the map lies. None: as its shape says, where the turn makes portrait of landscape; else as `usual`.
        usual: see `frame`.

    Returns:
        (h, w) or (w, h), upright.
    """
    if frame is None:
        frame = usual
        (rows, columns), (height, width) = depth.shape, image.shape[-2:]
        side = (rows - columns) * (height - width)  # greater than 0 where both are portrait, or both landscape
        if _UPRIGHT.get(orientation, (False,))[0] and side:
            frame = "upright" if side > 0 else "stored"
    return turn_upright(depth, orientation) if frame == "stored" else depth
