"""Scores of inverse depth after alignment to the label, and means over images."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from semidepth.data.samples import Sample, to_array, to_disparity
from semidepth.evaluation.data import Place, depth_label
from semidepth.evaluation.depth_metrics.formulas import (
    SCORE_NAMES,
    Align,
    Space,
    aligned_disparity,
    relative_scores,
    scored_pixels,
)
from semidepth.evaluation.pictures import color_errors, shrink
from semidepth.evaluation.tasks import Cells, ImageScores, Task, require_finite
from semidepth.media.color_maps import colorize, display_range
from semidepth.prediction.batching import batches_of_one_size
from semidepth.prediction.models import DepthModel

Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class RelativeTask(Task):
    """Inverse depth, aligned to the label.

    Args:
        align: alignment to the label, as in [`relative_scores`].
        spaces: compare in "depth", "disparity" or both.
        max_depth_m: depth cap, metres; None: each image's own largest label.
    """

    mode = "relative"
    align: Align = "least_squares"
    spaces: tuple[Space, ...] = ("depth", "disparity")
    max_depth_m: float | None = None

    def settings(self) -> dict[str, Any]:
        return {"align": self.align, "space": list(self.spaces), "max_depth_m": self.max_depth_m}

    def columns(self) -> dict[str, Any]:
        return {"align": self.align, "protocol": "", "max_depth_m": self.max_depth_m}

    def score(self, model: DepthModel, batch: Sequence[tuple[Place, Sample]]) -> list[ImageScores]:
        found = score_relative_batch(
            model.predict_disparity, [sample for _, sample in batch], device=model.device, spaces=self.spaces,
            align=self.align, max_depth_m=self.max_depth_m,
        )  # fmt: skip
        return [
            ImageScores(place, sample["origin"], sample["domain"], "", {
                ("", space): {name: per_image[number] for name, per_image in scores.items()}
                for space, scores in found.items()
            })
            for number, (place, sample) in enumerate(batch)
        ]  # fmt: skip

    def draw(self, model: DepthModel, item: Sample) -> tuple[Cells, str]:
        depth = depth_label(item)
        disparity = model.predict_disparity(item["image"][None].to(model.device)).cpu()
        predicted = aligned_disparity(disparity, depth[None], align=self.align, max_depth_m=self.max_depth_m)[0]
        scored = scored_pixels(depth[None], max_depth_m=self.max_depth_m)[0]
        in_depth = (1 / predicted - depth).abs() / depth
        in_disparity = (predicted - 1 / depth).abs() * depth
        error = torch.where(scored, in_depth if self.spaces[0] == "depth" else in_disparity, torch.nan)
        truth = to_disparity(depth.double())
        low, high = display_range(torch.where(scored, truth, torch.nan).numpy())
        maps = [colorize(shrink(each), (low, high)) for each in (truth, predicted)]
        note = f"{1 / max(high, 1e-9):.2g} to {1 / max(low, 1e-9):.2g} m"
        return [to_array(item["image"]), *maps, color_errors(shrink(error))], note


@dataclass
class Scores:
    """Scores of one source in one space.

    `per_image` maps the name of each score to one value per image, in the order of `origins`; an image without a
    labeled pixel has NaN and is left out of the means.
    """

    origins: list[str] = field(default_factory=list)
    per_image: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in SCORE_NAMES})

    @property
    def images(self) -> int:
        """Number of images with a scored pixel."""
        return sum(not math.isnan(value) for value in self.per_image["abs_rel"])

    def add(self, origins: Sequence[str], values: Mapping[str, Sequence[float]]) -> None:
        """Adds images: their origins, and each score's value for each of them."""
        self.origins += origins
        for name, per_image in values.items():
            self.per_image[name] += per_image

    def extend(self, other: "Scores") -> None:
        """Adds another source's images."""
        self.add(other.origins, other.per_image)

    def mean(self) -> dict[str, float]:
        """Mean over images of every score; NaN without any image."""
        means = {}
        for name, values in self.per_image.items():
            known = [value for value in values if not math.isnan(value)]
            # fsum: the same to the last bit in whatever order several processes scored the images.
            means[name] = math.fsum(known) / len(known) if known else math.nan
        return means


def score_relative(
    predict_disparity: Predict, samples: Iterable[Sample], *, device: torch.device, batch_size: int = 16
) -> Scores:
    """Scores inverse depth, aligned by least squares in disparity space and compared in depth, as papers do.

    Args:
        predict_disparity: (B, 3, H, W) uint8 on `device` -> (B, H, W) inverse depth, larger is nearer.
        samples: labeled samples of any sizes.
        device: of the model.
        batch_size: images per forward pass, where consecutive ones have one size.

    Returns:
        Scores per image.

    Raises:
        ValueError: a sample has no label, or a prediction is not finite.
    """
    scores = Scores()
    for batch in batches_of_one_size(samples, batch_size, lambda sample: sample["image"]):
        found = score_relative_batch(predict_disparity, batch, device=device, spaces=("depth",))
        scores.add([sample["origin"] for sample in batch], found["depth"])
    return scores


def score_relative_batch(
    predict_disparity: Predict,
    batch: Sequence[Sample],
    *,
    device: torch.device,
    spaces: Sequence[Space],
    align: Align = "least_squares",
    max_depth_m: float | None = None,
) -> dict[Space, dict[str, list[float]]]:
    """Scores inverse depth of labeled images of one size against their labels in metres.

    Args:
        predict_disparity: (B, 3, H, W) uint8 on `device` -> (B, H, W) inverse depth, larger is nearer.
        batch: the images.
        device: of the model.
        spaces: compare in "depth", "disparity" or both.
        align: alignment to the label, as in [`relative_scores`].
        max_depth_m: cap of the data set, metres; None: each image's own largest label.

    Returns:
        Space -> name of a score -> one value per image.

    Raises:
        ValueError: a sample has no label, or a prediction is not finite.
    """
    images = torch.stack([sample["image"] for sample in batch]).to(device)  # (B, 3, H, W)
    depth = torch.stack([depth_label(sample) for sample in batch]).to(device)  # (B, H, W)
    disparity = predict_disparity(images)
    require_finite(disparity, batch)
    scores = {}
    for space in spaces:
        values = relative_scores(disparity, depth, space=space, align=align, max_depth_m=max_depth_m)
        scores[space] = {name: per_image.tolist() for name, per_image in values.items()}
    return scores


def gather_mean(accelerator: Accelerator, scores: Scores) -> dict[str, float]:
    """Mean over the images of all processes; every process gets it."""
    sums = []
    for values in scores.per_image.values():
        known = [value for value in values if not math.isnan(value)]
        sums.append([sum(known), float(len(known))])
    total = accelerator.reduce(torch.tensor(sums, dtype=torch.float64, device=accelerator.device), "sum").cpu()
    return {
        name: (total[index, 0] / total[index, 1]).item() if total[index, 1] else math.nan
        for index, name in enumerate(scores.per_image)
    }
