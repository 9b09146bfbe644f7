"""Tell pictures unlike the photos that models are trained on, whose depth means less."""

import numpy as np
from PIL import Image

WIDE = 2.0  # one side of a panorama is so many times the other
LOOKED_AT = 512  # pixels of the longer side
SAME = 2  # of 3 x 255: neighbours whose colours differ by no more are alike
# Share of pixels like the one above and the one to the left. The page's photos have 0.14 at most, line drawings 0.6 and
# more, also as JPEG.
FLAT = 0.4
PANORAMA = "This looks like a panorama. Models learn from photos of one camera, so depth and distances may be far off."
DRAWING = "This looks like a drawing or a screenshot. Models learn from photos, so its depth may mean little."


def hint(image: Image.Image) -> str:
    """Returns a sentence for a picture unlike a photo of one camera, "" for others."""
    if max(image.size) >= WIDE * min(image.size):
        return PANORAMA
    return DRAWING if flat_share(image) >= FLAT else ""


def flat_share(image: Image.Image) -> float:
    """Returns the share of pixels that have the colour of their neighbours; a photo's grain leaves few."""
    step = max(1, max(image.size) // LOOKED_AT)
    pixels = np.asarray(image.convert("RGB"))[::step, ::step].astype(np.int16)
    above = np.abs(pixels[1:, 1:] - pixels[:-1, 1:]).sum(-1)
    left = np.abs(pixels[1:, 1:] - pixels[1:, :-1]).sum(-1)
    return float((above + left <= SAME).mean()) if above.size else 0.0
