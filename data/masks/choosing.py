"""Choose masks of a picture, at the size and in the crop that the picture is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from semidepth.data.masks.layers import ImageMasks, Layer, Mask
from semidepth.data.preparing import View

TOO_SMALL, TOO_LARGE, LOW_SCORE = "too small", "too large", "of a low score"


@dataclass(frozen=True)
class MaskChoice:
    """Rules for which masks of a picture are given.

    Args:
        min_area: least share of the picture, after its crop.
        max_area: largest share of it.
        masks_per_image: of more masks so many are drawn at random.
        min_score: masks that a model gave a lower score are left out; those without a score stay.

    Raises:
        ValueError: a number out of range.
    """

    min_area: float = 0.002
    max_area: float = 0.9
    masks_per_image: int = 64
    min_score: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_area < self.max_area <= 1 or self.masks_per_image < 1:
            raise ValueError(
                f"min_area {self.min_area} and max_area {self.max_area} must be shares of a picture, the first the "
                f"smaller one, and masks_per_image {self.masks_per_image} at least 1"
            )


@dataclass(frozen=True)
class MaskSample:
    """One picture with masks.

    Args:
        image: (3, H, W) uint8 RGB.
        masks: (K, H, W) bool, K at least 1; they may overlap.
        names: of the K classes, such as "chair" or "chair/seat"; "" where the source does not say.
        levels: K times "thing" or "part", "" where the source does not say.
        domain: of the source.
        origin: the picture's name.
    """

    image: Tensor
    masks: Tensor
    names: tuple[str, ...]
    levels: tuple[str, ...]
    domain: str
    origin: str


class MaskBatch(TypedDict):
    """A training batch: `image` (B, 3, S, S) uint8; `masks` (B, M, S, S) bool, of which `masks[b, : counts[b]]` are
    there; `counts` (B,) int64, at least 1; the others hold one entry for each picture, as in `MaskSample`."""

    image: Tensor
    masks: Tensor
    counts: Tensor
    names: list[tuple[str, ...]]
    levels: list[tuple[str, ...]]
    domain: list[str]
    origin: list[str]


def choose_masks(
    found: ImageMasks, view: View, choice: MaskChoice, rng: np.random.Generator
) -> tuple[Tensor, tuple[Mask, ...]]:
    """Returns the masks of a picture as they lie in a view of it, each once.

    What is left out is counted in `found.left_out`.

    Args:
        found: the picture's.
        view: the part of it that is shown, and its size.
        choice: which masks.
        rng: draws some of many.

    Returns:
        (K, H, W) bool, in the order of the source, and what is known of each.
    """
    every = [(layer, mask) for layer in found.layers for mask in layer.masks]
    shown: dict[int, Tensor | None] = {}
    kept: dict[bytes, tuple[int, Tensor]] = {}
    for place in rng.permutation(len(every)).tolist():
        if len(kept) == choice.masks_per_image:
            break
        layer, mask = every[place]
        if mask.score < choice.min_score:
            found.left_out[LOW_SCORE] += 1
            continue
        numbers = _shown(found, layer, view, shown)
        if numbers is None:
            continue
        inside = numbers == mask.number
        share = inside.sum().item() / inside.numel()
        if not choice.min_area <= share <= choice.max_area or share == 0:
            found.left_out[TOO_LARGE if share > choice.max_area else TOO_SMALL] += 1
            continue
        key = np.packbits(inside.numpy()).tobytes()
        if key not in kept or place < kept[key][0]:
            kept[key] = (place, inside)
    chosen = sorted(kept.values(), key=lambda each: each[0])
    if not chosen:
        return torch.zeros(0, *view.sides, dtype=torch.bool), ()
    return torch.stack([inside for _, inside in chosen]), tuple(every[place][1] for place, _ in chosen)


def _shown(found: ImageMasks, layer: Layer, view: View, shown: dict[int, Tensor | None]) -> Tensor | None:
    """The numbers of a layer in a view; kept for the layer's other masks."""
    if id(layer) in shown:
        return shown[id(layer)]
    numbers = found.numbers(layer)
    numbers = None if numbers is None else view.of_map(numbers)
    if len(layer.masks) > 1:
        shown[id(layer)] = numbers
    return numbers


def collate_masks(samples: Sequence[MaskSample]) -> MaskBatch:
    """Stacks samples of one size; pictures with fewer masks than others get empty ones behind theirs."""
    counts = [len(sample.masks) for sample in samples]
    masks = torch.zeros(len(samples), max(counts), *samples[0].masks.shape[-2:], dtype=torch.bool)
    for row, sample in zip(masks, samples, strict=True):
        row[: len(sample.masks)] = sample.masks
    return MaskBatch(
        image=default_collate([sample.image.permute(1, 2, 0) for sample in samples]).permute(0, 3, 1, 2),
        masks=masks,
        counts=torch.tensor(counts),
        names=[sample.names for sample in samples],
        levels=[sample.levels for sample in samples],
        domain=[sample.domain for sample in samples],
        origin=[sample.origin for sample in samples],
    )
