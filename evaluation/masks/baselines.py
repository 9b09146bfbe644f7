"""Segmenters that learn nothing, at the same clicks as a model: superpixels, flood fill, and the filled box.

A model that does not beat them has learned nothing worth its weights. Their settings are tuned on training data.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image
from scipy.ndimage import label

from semidepth.evaluation.masks.annotator import Answer, Clicks, first_clicks
from semidepth.evaluation.masks.metrics import mask_iou

# Settings that are tried; the best on the training data is used.
SUPERPIXEL_SETTINGS: Mapping[str, Sequence[float]] = {"scale": (50, 100, 200, 400, 800, 1600), "sigma": (0.5, 1.0)}
FLOOD_SETTINGS: Mapping[str, Sequence[float]] = {"tolerance": (4, 8, 12, 18, 26, 36, 50, 70)}


class Segmenter(Protocol):
    """A segmenter to be scored: it looks at an image once, then answers clicks and boxes on it."""

    name: str
    takes_clicks: bool

    def look(self, image: np.ndarray) -> None:
        """Takes an image, (H, W, 3) uint8 RGB."""

    def click(self, clicks: Clicks, objects: np.ndarray) -> Answer:
        """Returns masks for clicks on some objects; in each round of clicks the objects keep their numbers."""

    def box(self, boxes: np.ndarray) -> Answer | None:
        """Returns masks for (P, 4) boxes, x1, y1, x2, y2 in pixels; None if it takes no boxes."""


def boxes_of(targets: np.ndarray) -> np.ndarray:
    """Returns the boxes round objects.

    Args:
        targets: (P, H, W) bool, none empty.

    Returns:
        (P, 4) float32, x1, y1, x2, y2 in pixels; they enclose whole pixels.
    """
    found = []
    for target in targets:
        rows, columns = target.any(1).nonzero()[0], target.any(0).nonzero()[0]
        found.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return np.array(found, np.float32).reshape(-1, 4)


class FilledBox:
    """The box itself as the mask."""

    name = "filled box"
    takes_clicks = False

    def look(self, image: np.ndarray) -> None:
        """Takes an image, of which only the size counts."""
        self._size = image.shape[:2]

    def click(self, clicks: Clicks, objects: np.ndarray) -> Answer:
        """Raises NotImplementedError: it is for boxes alone."""
        raise NotImplementedError("the filled box takes no clicks")

    def box(self, boxes: np.ndarray) -> Answer:
        """Returns the pixels whose centres lie in each box."""
        rows, columns = np.arange(self._size[0])[:, None] + 0.5, np.arange(self._size[1])[None] + 0.5
        x1, y1, x2, y2 = (side[:, None, None] for side in boxes.T)
        return _single((columns > x1) & (columns < x2) & (rows > y1) & (rows < y2))


class _OfRegions(ABC):
    """A segmenter whose every click stands for a region: clicks on the object add theirs, others take theirs away.

    Args:
        side: shorter side in pixels at which it sees larger images, as a model does; its settings then fit all sizes.
    """

    takes_clicks = True

    def __init__(self, side: int) -> None:
        self.side = side

    def look(self, image: np.ndarray) -> None:
        """Takes an image, (H, W, 3) uint8 RGB, and prepares it at its own size."""
        height, width = image.shape[:2]
        scale = min(1.0, self.side / min(height, width))
        size = (round(height * scale), round(width * scale))
        # The row and column of each pixel in what it sees, and back: the nearest.
        self._rows, self._columns = (
            ((np.arange(old) + 0.5) * new / old).astype(int) for old, new in zip((height, width), size, strict=True)
        )
        small = image if scale == 1 else np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))
        self._known: dict[tuple[int, int], np.ndarray] = {}  # each round of clicks asks for those before, too
        self.prepare(small)

    def click(self, clicks: Clicks, objects: np.ndarray) -> Answer:
        """Returns the regions of the clicks on the object without those of the others."""
        masks = []
        for points, positive in zip(clicks.points, clicks.positive, strict=True):
            regions = [self._region(int(self._columns[int(x)]), int(self._rows[int(y)])) for x, y in points.tolist()]
            on = np.logical_or.reduce([region for region, good in zip(regions, positive, strict=True) if good])
            off = [region for region, good in zip(regions, positive, strict=True) if not good]
            mask = on & ~np.logical_or.reduce(off) if off else on
            masks.append(mask[self._rows][:, self._columns])
        return _single(np.array(masks))

    def box(self, boxes: np.ndarray) -> Answer | None:
        """Returns None: regions are for clicks."""
        return None

    def _region(self, column: int, row: int) -> np.ndarray:
        if (column, row) not in self._known:
            self._known[column, row] = self.region(column, row)
        return self._known[column, row]

    @abstractmethod
    def prepare(self, image: np.ndarray) -> None:
        """Takes an image at the size at which it is seen."""

    @abstractmethod
    def region(self, column: int, row: int) -> np.ndarray:
        """Returns the region round a pixel, (h, w) bool."""


class Superpixels(_OfRegions):
    """Felzenszwalb and Huttenlocher's superpixels (2004), of scikit-image; a click stands for the one that it hits.

    Args:
        side: see above.
        scale: larger makes larger ones.
        sigma: of the blur before, pixels.
    """

    name = "superpixel"

    def __init__(self, side: int, scale: float, sigma: float) -> None:
        super().__init__(side)
        self.scale, self.sigma = scale, sigma

    def prepare(self, image: np.ndarray) -> None:
        """Cuts an image into superpixels."""
        from skimage.segmentation import felzenszwalb  # an extra, and takes a second

        self._numbers = felzenszwalb(image, scale=self.scale, sigma=self.sigma, min_size=20)

    def region(self, column: int, row: int) -> np.ndarray:
        """Returns the superpixel round a pixel."""
        return self._numbers == self._numbers[row, column]


class FloodFill(_OfRegions):
    """Pixels that hang together with the clicked one and have a like colour.

    Args:
        side: see above.
        tolerance: largest difference in each channel, of 255.
    """

    name = "flood fill"

    def __init__(self, side: int, tolerance: float) -> None:
        super().__init__(side)
        self.tolerance = tolerance

    def prepare(self, image: np.ndarray) -> None:
        """Takes an image."""
        self._image = image.astype(np.int16)

    def region(self, column: int, row: int) -> np.ndarray:
        """Returns the pixels that a fill from a pixel reaches."""
        alike = (np.abs(self._image - self._image[row, column]) <= self.tolerance).all(-1)
        numbers, _ = label(alike)
        return numbers == numbers[row, column]


@dataclass
class Tuned:
    """A baseline with the settings that are best on training data, and its mean IoU there at the first click."""

    segmenter: Segmenter
    settings: dict[str, float]
    iou: float


def tune(
    kind: type[Any],
    settings: Mapping[str, Sequence[float]],
    images: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    side: int,
) -> Tuned:
    """Returns a baseline with the best of several settings at one click.

    Args:
        kind: the baseline's class.
        settings: name -> values to try, in all combinations.
        images: training images, (H, W, 3) uint8, each with its objects, (P, H, W) bool.
        side: shorter side at which it sees larger images.

    Raises:
        ValueError: there is no object to tune on.
    """
    tried = [dict(zip(settings, values, strict=True)) for values in itertools.product(*settings.values())]
    ious: list[list[float]] = [[] for _ in tried]
    for image, targets in images:
        if not len(targets):
            continue
        clicks = first_clicks(targets)
        for found, values in zip(ious, tried, strict=True):
            segmenter = kind(side, **values)
            segmenter.look(image)
            masks = segmenter.click(clicks, np.arange(len(targets))).masks[:, 0]
            found.extend(mask_iou(masks, targets).tolist())
    if not ious[0]:
        raise ValueError("there is no object to tune the baselines on; give training data with masks.")
    means = [float(np.mean(found)) for found in ious]
    best = int(np.argmax(means))
    return Tuned(kind(side, **tried[best]), tried[best], means[best])


def _single(masks: np.ndarray) -> Answer:
    return Answer(masks[:, None], np.full((len(masks), 1), np.nan))
