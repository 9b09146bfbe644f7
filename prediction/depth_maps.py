"""Predict depth of one image or of many in one line of Python.

import semidepth
depth = semidepth.predict("photo.jpg")                          # with the model that comes with semidepth
depth = semidepth.predict("photo.jpg", "outputs/demo/metric")
depth.values, depth.unit, depth.domain   # (H, W) float32, "m", "indoor"
depth.picture().save("depth.png")
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semidepth.data.decoding import BrokenSampleError, decode_image
from semidepth.media.color_maps import DEFAULT_COLOR_MAP, colorize
from semidepth.prediction.checkpoints import Kind
from semidepth.prediction.inputs import why_nothing
from semidepth.prediction.models import DepthModel, load_depth_model
from semidepth.prediction.options import VIDEO_SUFFIXES
from semidepth.prediction.predictor import (
    NotFinite,
    Predictor,
    Unit,
    Unreadable,
    disparity_of,
)

ImageLike = str | Path | Image.Image | np.ndarray | Tensor


@dataclass(frozen=True)
class DepthMap:
    """Depth of one image, at the size of the upright image.

    Args:
        values: (H, W) float32: metres, larger is farther; or inverse depth, larger is nearer, up to an unknown scale
            and shift.
        unit: "m" or "inverse depth".
        domain: name of the metric head that was used, such as "indoor"; None for models without heads.
        probabilities: of each head, by the router; empty for models without one.
    """

    values: np.ndarray
    unit: Unit
    domain: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)

    def picture(self, color_map: str = DEFAULT_COLOR_MAP) -> Image.Image:
        """Picture of the map in colours, near is bright; `color_map` is a key of `media.color_maps.COLOR_MAPS`."""
        return Image.fromarray(colorize(disparity_of(self.values, self.unit), name=color_map))


@overload
def predict(  # type: ignore[overload-overlap]  # text and arrays are iterables, too
    images: ImageLike,
    model: str | Path | DepthModel | None = None,
    *,
    domain: str | None = ...,
    kind: Kind | None = ...,
    device: str | torch.device | None = ...,
    batch_size: int = ...,
    threads: int = ...,
) -> DepthMap: ...
@overload
def predict(
    images: Iterable[ImageLike],
    model: str | Path | DepthModel | None = None,
    *,
    domain: str | None = ...,
    kind: Kind | None = ...,
    device: str | torch.device | None = ...,
    batch_size: int = ...,
    threads: int = ...,
) -> list[DepthMap]: ...
def predict(
    images: ImageLike | Iterable[ImageLike],
    model: str | Path | DepthModel | None = None,
    *,
    domain: str | None = None,
    kind: Kind | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 4,
    threads: int = 2,
) -> DepthMap | list[DepthMap]:
    """Depth of one image or of many, of any sizes.

    Args:
        images: a path, a PIL image, an array (H, W, 3), (H, W, 4) or (H, W) of uint8, a tensor (3, H, W) of uint8; or a
            list, or any other iterable, of those; or a batch, (B, H, W, 3) or a tensor (B, 3, H, W). Transparent ones
            are put on white. Folders, globs and videos are for the command, `semidepth predict`.
        model: Hub id or folder, which each call loads; or the result of `semidepth.load_model`, for many calls. None:
            the model that comes with semidepth, see [`load_depth_model`].
        domain: metric head for all images, instead of the router's choice.
        kind: what the model predicts, "disparity" or "depth", where it is not known.
        device: device for a model that is loaded here; None: a GPU if there is one.
        batch_size: images of one size in a forward pass.
        threads: number of decoding threads.

    Returns:
        A map for one image; a list in the order of the images for many.

    Raises:
        ValueError: an image cannot be read, the model cannot be loaded, or a prediction is not finite; the first that
            fails is named.
    """
    for name, number in (("batch_size", batch_size), ("threads", threads)):
        if number < 1:
            raise ValueError(f"{name} is {number}; give at least 1.")
    batch = isinstance(images, np.ndarray | Tensor) and images.ndim == 4
    single = isinstance(images, str | bytes | Path | Image.Image | np.ndarray | Tensor) and not batch
    single = single or not isinstance(images, Iterable)  # `to_pixels` says what it is
    given: Iterable[Any] = [images] if single else images  # type: ignore[assignment]
    if not isinstance(model, DepthModel | str | Path | None):
        raise ValueError(f"model is a {type(model).__name__}; give a Hub id, a folder, or what load_model gives.")
    if not isinstance(model, DepthModel):
        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        model = load_depth_model(model, device=place, kind=kind)
    predictor = Predictor(model, batch_size=batch_size, threads=threads, domain=domain)
    maps: dict[int, DepthMap] = {}
    for result in predictor.run(enumerate(given), lambda pair: to_pixels(pair[1], f"image {pair[0]}")):
        if isinstance(result, NotFinite):
            number, image = result.item
            name = str(image) if isinstance(image, str | Path) else f"image {number}"
            raise ValueError(f"{name}: {result.reason}.")
        if isinstance(result, Unreadable):
            raise ValueError(result.reason)
        maps[result.item[0]] = DepthMap(result.full_size(), predictor.unit, result.domain, result.probabilities)
    return maps[0] if single else [maps[number] for number in sorted(maps)]


def to_pixels(image: ImageLike, name: str) -> Tensor:
    """(3, H, W) uint8 of a path, PIL image, array or tensor; raises BrokenSampleError, which calls it `name`."""
    if isinstance(image, Tensor):
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
            raise BrokenSampleError(
                f"{name} is a tensor of {image.dtype} and shape {tuple(image.shape)}; give (3, H, W) of uint8, 0 to 255"
            )
    elif isinstance(image, np.ndarray):
        image = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
        channels = image.shape[2] if image.ndim == 3 else 1
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in (1, 3, 4) or image.size == 0:
            raise BrokenSampleError(
                f"{name} is an array of {image.dtype} and shape {image.shape}; give (H, W, 3) of uint8, 0 to 255"
            )
        image = Image.fromarray(image)
    elif not isinstance(image, str | Path | Image.Image):
        raise BrokenSampleError(f"{name} is a {type(image).__name__}; give a path, a PIL image, an array or a tensor")
    if isinstance(image, str | Path):
        what = _no_image_file(str(image))
        if what:
            raise BrokenSampleError(
                f"{image}: {what}; give an image file, a PIL image, an array or a tensor (folders, globs and videos "
                "are for the command, `semidepth predict`)"
            )
    return decode_image(image, name=None if isinstance(image, str | Path) else name)


def _no_image_file(text: str) -> str | None:
    """Reason why a path is no image file, without opening it; None if it may be one."""
    path = Path(text)
    if path.is_dir():
        return "is a folder"
    if path.is_file():
        return "is a video" if path.suffix.lower() in VIDEO_SUFFIXES else None
    return "is a glob" if has_magic(text) and "://" not in text else why_nothing(text)
