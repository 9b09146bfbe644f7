"""Resize, crop and flip samples without changing label values; stack them to batches."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate
from torchvision.transforms.v2 import functional as transforms

from semidepth.data.samples import Batch, Sample


def prepare_sample(
    sample: Sample,
    size: int,
    rng: np.random.Generator | None,
    *,
    train: bool,
    multiple: int = 1,
    smallest_crop: float = 1.0,
    flip_probability: float = 0.5,
) -> Sample:
    """Resize one sample to the model's input size.

    For training: a random square as large as the shorter side is resized to `size` x `size` and flipped left to
    right with `flip_probability`; nothing else is done to it. That is the papers' resize of the shorter side and crop,
    but no pixel is resized that the crop leaves out. With `smallest_crop` the square is smaller by chance: a narrower
    field of view. For evaluation: the image alone is resized, its shorter side to
    `size` and both sides to the nearest multiple; depth keeps its own size, to be scored there.

    Images are resized bilinearly with antialiasing and stay uint8; depth by nearest neighbour, so that no
    value is made up between two others and NaN and inf stay what they are.

    Args:
        sample: decoded.
        size: side in pixels, a multiple of `multiple`.
        rng: draws crop and flip; needed for training only.
        train: which of the two.
        multiple: what both sides must be a multiple of: the encoder's patch size.
        smallest_crop: for training, the square's side is drawn evenly between this share of the shorter side and all
            of it, in (0, 1]; 1 draws nothing.
        flip_probability: for training, in [0, 1].

    Returns:
        A new sample.

    Raises:
        ValueError: `size` is no multiple, or training without `rng`.
    """
    image, depth = sample["image"], sample["depth"]
    view = draw_view(
        image, size, rng, train=train, multiple=multiple, smallest_crop=smallest_crop, flip_probability=flip_probability
    )
    if train and depth is not None:
        depth = view.of_map(depth)  # (H, W) -> (S, S)
    return {**sample, "image": view.of_image(image), "depth": depth}


class View(NamedTuple):
    """The part of a picture that is shown, its height and width as shown, and whether it is mirrored left to right."""

    rows: slice
    columns: slice
    sides: tuple[int, int]
    flip: bool = False

    def of_image(self, image: Tensor) -> Tensor:
        """(3, H, W) -> (3, *sides), uint8, bilinear with antialiasing."""
        shown = _resize_image(image[:, self.rows, self.columns], self.sides)
        return shown.flip(-1) if self.flip else shown

    def of_map(self, values: Tensor) -> Tensor:
        """(H, W) -> sides, by nearest neighbour."""
        return _resize_nearest(values[self.rows, self.columns], self.sides, self.flip)


def draw_view(
    image: Tensor,
    size: int,
    rng: np.random.Generator | None,
    *,
    train: bool,
    multiple: int = 1,
    smallest_crop: float = 1.0,
    flip_probability: float = 0.5,
) -> View:
    """Draws how a picture is shown; arguments and errors as in [`prepare_sample`]."""
    if size < 1 or size % multiple:
        raise ValueError(f"size {size} is not a positive multiple of {multiple}; choose one, the patch size divides it")
    height, width = image.shape[-2:]
    side = min(height, width)
    if not train:
        scale = size / side
        rows, columns = (max(multiple, round(length * scale / multiple) * multiple) for length in (height, width))
        return View(slice(height), slice(width), (rows, columns))
    if rng is None:
        raise ValueError("training draws a crop and a flip, but rng is None; give a numpy Generator")
    if smallest_crop < 1:
        side = max(1, round(side * rng.uniform(smallest_crop, 1.0)))
    top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
    flip = bool(rng.random() < flip_probability)
    return View(slice(top, top + side), slice(left, left + side), (size, size), flip)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack prepared samples.

    Args:
        samples: all of one size, all with depth or all without.

    Returns:
        The batch; `depth`, `disparity` and `labels` only with labels. `image` lies in memory as (B, S, S, 3).
    """
    # default_collate, because in a worker it stacks into shared memory, from where the main process takes the batch
    # as it is. Images keep the order (H, W, 3) of memory that decoding and resizing give them: to turn them would
    # take longer than to stack them.
    pixels = default_collate([sample["image"].permute(1, 2, 0) for sample in samples])
    batch = Batch(
        image=pixels.permute(0, 3, 1, 2),  # (B, S, S, 3) -> (B, 3, S, S)
        domain=[sample["domain"] for sample in samples],
        origin=[sample["origin"] for sample in samples],
    )
    depths = [sample["depth"] for sample in samples if sample["depth"] is not None]
    if depths:
        batch["labels"] = [sample.get("labels") for sample in samples]
        batch["depth"] = default_collate(depths)
        # Decoded depth is positive, NaN or inf, so that its inverse needs no mask.
        batch["disparity"] = default_collate([depth.reciprocal() for depth in depths])
    return batch


def _resize_image(image: Tensor, sides: Sequence[int]) -> Tensor:
    if tuple(image.shape[-2:]) == tuple(sides):
        return image
    # Of three orders of memory, torchvision resizes whole (H, W, 3) pixels two to three times as fast as the others.
    image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    return transforms.resize(image, list(sides), antialias=True)


def _resize_nearest(depth: Tensor, sides: Sequence[int], flip: bool = False) -> Tensor:
    """Resize by nearest neighbour, at the centre of each new pixel; `flip` mirrors left to right."""
    rows, columns = (
        (2 * torch.arange(new) + 1) * old // (2 * new) for new, old in zip(sides, depth.shape, strict=True)
    )
    return depth.index_select(0, rows).index_select(1, columns.flip(0) if flip else columns)
