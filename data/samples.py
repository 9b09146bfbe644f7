"""Types of decoded samples and training batches, and conversions of their tensors."""

from typing import NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor

from semidepth.data.depth_coding import LabelType
from semidepth.data.masks.layers import ImageMasks


def to_array(image: Tensor) -> np.ndarray:
    """Convert a (3, H, W) uint8 tensor to an (H, W, 3) uint8 array."""
    return image.cpu().permute(1, 2, 0).numpy()


class Beside(TypedDict, total=False):
    """What a sample has beside image and depth, of the image's size.

    `normal` is (3, H, W) float32, unit vectors, x right, y up, z towards the camera, NaN unknown; `semantic` is (H, W)
    int64, numbers of classes, negative unknown; `caption` is a sentence.
    """

    normal: Tensor
    semantic: Tensor
    caption: str


class Sample(TypedDict):
    """One decoded sample.

    `image` is (3, H, W) uint8 RGB; `depth` is (H, W) float32 in metres, NaN where unknown and inf for sky, or
    None when unlabeled; `masks` are those of single objects, of unlabeled samples whose source has them; `labels` is
    the type of its label, where the source says it; `beside` has further modalities and `fov_deg` the horizontal
    field of view, of sources that are asked for them; `origin` names the sample in logs;
    `meeting` (number of the source, pass, shard, row) differs
    in every pass and does not depend on the reader: it seeds crop and flip.
    """

    image: Tensor
    depth: Tensor | None
    domain: str
    origin: str
    labels: NotRequired[LabelType | None]
    masks: NotRequired[ImageMasks]
    beside: NotRequired[Beside]
    fov_deg: NotRequired[float | None]
    meeting: NotRequired[tuple[int, int, int, int]]


class Batch(TypedDict, total=False):
    """A training batch.

    `image` is (B, 3, S, S) uint8 RGB. With labels, `depth` is (B, S, S) float32 in metres (NaN unknown, inf
    sky), `disparity` is its inverse in 1/m, larger is nearer (NaN unknown, 0 sky), and `labels` is a list of the
    labels' types, None where a source does not say. `domain` and `origin` are lists.
    """

    image: Tensor
    depth: Tensor
    disparity: Tensor
    domain: list[str]
    origin: list[str]
    labels: list[LabelType | None]


def to_disparity(depth: Tensor) -> Tensor:
    """Convert depth to inverse depth.

    Args:
        depth: any shape, metres, larger is farther; NaN, 0 or less unknown, inf sky.

    Returns:
        The same shape, 1/m, larger is nearer; NaN unknown, 0 sky.
    """
    return torch.where(depth > 0, 1.0 / depth, torch.nan)
