"""Scores of a depth model over a stream of labeled samples: per image, then the mean over images."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor

from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks import PointPairs
from semidepth.evaluation.depth_metrics.formulas import (
    SCORE_NAMES,
    Align,
    Space,
    relative_scores,
)
from semidepth.evaluation.depth_metrics.ordinal_metrics import ordinal_hits
from semidepth.prediction.batching import batches_of_one_size

Predict = Callable[[Tensor], Tensor]


@dataclass
class Scores:
    """Relative scores of one source in one space.

    `per_image` maps each metric to one value per image, in the order of `origins`; an image without a single labeled
    pixel has NaN and counts in no mean.
    """

    origins: list[str] = field(default_factory=list)
    per_image: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in SCORE_NAMES})

    @property
    def images(self) -> int:
        """Images that had something to score."""
        return sum(not math.isnan(value) for value in self.per_image["abs_rel"])

    def add(self, origins: Sequence[str], values: Mapping[str, Sequence[float]]) -> None:
        """Adds images: their origins, and each metric's value for each of them."""
        self.origins += origins
        for name, per_image in values.items():
            self.per_image[name] += per_image

    def extend(self, other: "Scores") -> None:
        """Adds another source's images."""
        self.add(other.origins, other.per_image)

    def mean(self) -> dict[str, float]:
        """Mean over images of every metric; NaN where there was none."""
        means = {}
        for name, values in self.per_image.items():
            known = [value for value in values if not math.isnan(value)]
            # fsum: the same to the last bit in whatever order several processes have scored the images.
            means[name] = math.fsum(known) / len(known) if known else math.nan
        return means


def score_relative(
    predict_disparity: Predict, samples: Iterable[Sample], *, device: torch.device, batch_size: int = 16
) -> Scores:
    """Scores inverse depth as papers do: aligned by least squares in disparity space, compared in depth.

    Args:
        predict_disparity: (B, 3, H, W) uint8 on `device` -> (B, H, W) inverse depth, larger is nearer.
        samples: labeled samples of any sizes.
        device: of the model.
        batch_size: images at a time, where consecutive ones have one size.

    Returns:
        Scores per image.
    """
    scores = Scores()
    for batch in batches_of_one_size(samples, batch_size, image_size):
        found = score_relative_batch(predict_disparity, batch, device=device, spaces=("depth",))
        scores.add([sample["origin"] for sample in batch], found["depth"])
    return scores


def score_relative_batch(
    predict_disparity: Predict,
    batch: list[Sample],
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
        spaces: where to compare after the alignment: "depth", "disparity" or both.
        align: how the prediction is brought to the label's scale, as `relative_scores` has it.
        max_depth_m: cap of the data set, metres; None: each image's own largest label.

    Returns:
        Space -> metric -> one value per image.
    """
    images = torch.stack([sample["image"] for sample in batch]).to(device)
    depth = torch.stack([labels_of(sample) for sample in batch]).to(device)
    disparity = predict_disparity(images)
    require_finite(disparity, batch)
    scores = {}
    for space in spaces:
        values = relative_scores(disparity, depth, space=space, align=align, max_depth_m=max_depth_m)
        scores[space] = {name: per_image.tolist() for name, per_image in values.items()}
    return scores


def score_ordinal(predict_disparity: Predict, pairs: PointPairs, *, device: torch.device) -> dict[str, float]:
    """Scores one image's inverse depth against pairs of points.

    Returns:
        `ordinal_accuracy`, a share, and `pairs`, their number, by which images weigh in a set's accuracy.
    """
    disparity = predict_disparity(pairs.image[None].to(device))[0]
    nearer, farther = (torch.as_tensor(points, device=device) for points in (pairs.nearer, pairs.farther))
    hits = ordinal_hits(disparity, nearer, farther)
    return {"ordinal_accuracy": hits.double().mean().item(), "pairs": float(len(hits))}


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


def require_finite(predicted: Tensor, batch: list[Sample]) -> None:
    """A prediction that is not finite must not pass for an image without labels, which counts in no mean."""
    fine = predicted.isfinite().flatten(1).all(1).tolist()
    broken = [sample["origin"] for sample, finite in zip(batch, fine, strict=True) if not finite]
    if broken:
        raise ValueError(f"the model's prediction is not finite for {', '.join(broken)}; this checkpoint is broken.")


def image_size(sample: Sample) -> torch.Size:
    """Channels, height and width of a sample's image."""
    return sample["image"].shape


def labels_of(sample: Sample) -> Tensor:
    """(H, W) metres of a labeled sample."""
    if sample["depth"] is None:
        raise ValueError(f"{sample['origin']} has no depth label; score a labeled source.")
    return sample["depth"]
