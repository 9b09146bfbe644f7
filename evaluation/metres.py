"""Scores of metres without alignment: a protocol's pixels and range, and the router's choices."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from semidepth.data.samples import Sample, to_array
from semidepth.evaluation.data import Place, depth_label
from semidepth.evaluation.depth_metrics.formulas import metres_scores, scored_pixels
from semidepth.evaluation.depth_metrics.protocols import Protocol
from semidepth.evaluation.pictures import color_errors, colorize_metres, metre_range, shrink
from semidepth.evaluation.relative import Scores
from semidepth.evaluation.tasks import Cells, ImageScores, Task, require_finite
from semidepth.prediction.batching import batches_of_one_size
from semidepth.prediction.models import DepthModel


@dataclass(frozen=True, kw_only=True)
class MetresTask(Task):
    """Metres as they are, by a protocol.

    Args:
        protocol: crop and depth range.
        flip: average with the prediction of the mirrored image.
    """

    mode = "metric"
    protocol: Protocol
    flip: bool = True

    def settings(self) -> dict[str, Any]:
        return {"protocol": asdict(self.protocol), "flip": self.flip}

    def columns(self) -> dict[str, Any]:
        return {"align": "none", "protocol": self.protocol.name, "max_depth_m": self.protocol.max_depth_m}

    def score(self, model: DepthModel, batch: Sequence[tuple[Place, Sample]]) -> list[ImageScores]:
        samples = [sample for _, sample in batch]
        found = score_metres_batch(model, samples, protocol=self.protocol, flip=self.flip)
        head = "router" if len(model.domains) > 1 else ""
        rows = [{(head, "depth"): _of_image(found.routed, number)} for number in range(len(batch))]
        for number, image in enumerate(found.known):
            rows[image]["domain given", "depth"] = _of_image(found.given, number)
        return [
            ImageScores(place, sample["origin"], sample["domain"], chosen, row)
            for (place, sample), chosen, row in zip(batch, found.chosen, rows, strict=True)
        ]

    def draw(self, model: DepthModel, item: Sample) -> tuple[Cells, str]:
        image, depth = self.protocol.cut(item["image"]), self.protocol.cut(depth_label(item))
        low, high = self.protocol.min_depth_m, self.protocol.max_depth_m
        metres, _ = predict_metres(model, image[None].to(model.device), None, flip=self.flip)
        predicted = metres[0].cpu().double().clamp(low, high)
        in_range = scored_pixels(depth[None], min_depth_m=low, max_depth_m=high)[0]
        scored = in_range & self.protocol.mask(*depth.shape)
        error = torch.where(scored, (predicted - depth).abs() / depth, torch.nan)
        limits = metre_range(torch.where(scored, depth.double(), torch.nan))
        maps = [colorize_metres(shrink(each), limits) for each in (depth, predicted)]
        return [to_array(image), *maps, color_errors(shrink(error))], f"{limits[0]:.2g} to {limits[1]:.2g} m"


@dataclass
class MetresScores:
    """Scores of one source.

    Args:
        routed: with the head that the router chose, or the model's only one.
        given: with the head of each image's own domain; empty where that is not known.
        confusion: (domain of the image, domain that the router chose) -> images; empty without a router.
    """

    routed: Scores = field(default_factory=Scores)
    given: Scores = field(default_factory=Scores)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(frozen=True)
class MetresBatch:
    """Scores of some images.

    Args:
        chosen: name of the head used for each image; "" for a model without a choice.
        routed: name of a score -> one value per image, with that head.
        known: indices of the images whose own domain is a head of a model with several.
        given: name of a score -> one value for each of those, with the head of their own domain.
    """

    chosen: list[str]
    routed: dict[str, list[float]]
    known: list[int]
    given: dict[str, list[float]]


def score_metres(
    model: DepthModel, samples: Iterable[Sample], *, protocol: Protocol, flip: bool = True, batch_size: int = 8
) -> MetresScores:
    """Scores predicted metres against labels in metres, as validation does while a model is trained.

    Each map is predicted at the size of the model's image processor, resized bilinearly (corners aligned) to the
    label's size and clamped to the protocol's range. Each image is scored on its own.

    Args:
        model: of kind "depth", on its device.
        samples: labeled samples of any sizes.
        protocol: crop and depth range.
        flip: average with the prediction of the mirrored image.
        batch_size: images per forward pass, where consecutive ones have one size.

    Returns:
        Scores per image.

    Raises:
        ValueError: the model predicts inverse depth, a prediction is not finite, or the protocol does not fit.
    """
    require_metres(model.kind, "this model")
    result = MetresScores()
    for batch in batches_of_one_size(samples, batch_size, lambda sample: sample["image"]):
        found = score_metres_batch(model, batch, protocol=protocol, flip=flip)
        origins = [sample["origin"] for sample in batch]
        result.routed.add(origins, found.routed)
        result.given.add([origins[image] for image in found.known], found.given)
        result.confusion.update((batch[image]["domain"], found.chosen[image]) for image in found.known)
    return result


def score_metres_batch(model: DepthModel, batch: Sequence[Sample], *, protocol: Protocol, flip: bool) -> MetresBatch:
    """Scores the metres of images of one size; arguments and errors as in [`score_metres`]."""
    device, names = model.device, model.domains
    images = protocol.cut(torch.stack([sample["image"] for sample in batch])).to(device)  # (B, 3, H, W)
    depth = protocol.cut(torch.stack([depth_label(sample) for sample in batch])).to(device)  # (B, H, W)
    depth = torch.where(protocol.mask(*depth.shape[1:]).to(device), depth, torch.nan)
    predicted, chosen = predict_metres(model, images, None, flip=flip)
    routed = _scores(predicted, depth, batch, protocol)
    known = [image for image, sample in enumerate(batch) if len(names) > 1 and sample["domain"] in names]
    given: dict[str, list[float]] = {}
    if known:
        own = [names.index(batch[image]["domain"]) for image in known]
        predicted, depth = predicted[known], depth[known]
        if own != [chosen[image] for image in known]:
            predicted, _ = predict_metres(model, images[known], own, flip=flip)
        given = _scores(predicted, depth, [batch[image] for image in known], protocol)
    return MetresBatch([names[index] if len(names) > 1 else "" for index in chosen], routed, known, given)


def predict_metres(
    model: DepthModel, images: Tensor, domains: list[int] | None, *, flip: bool
) -> tuple[Tensor, list[int]]:
    """Predicts metres for a batch, and tells the head used for each image.

    Args:
        model: of kind "depth".
        images: (B, 3, H, W) uint8 on its device.
        domains: index of each image's head; None lets the router choose.
        flip: average with the prediction of the mirrored image, through the same head.

    Returns:
        (B, H, W) float32 metres, larger is farther; and (B,) indices of heads (all 0 for a model without heads).
    """
    inputs = {} if domains is None else {"domain_labels": domains}
    predicted, output = model.forward(images, **inputs)
    heads = output.domain if model.domains else None
    chosen = [0] * len(images) if heads is None else heads.tolist()
    if flip:
        inputs = {"domain_labels": chosen} if model.domains else {}
        mirrored, _ = model.forward(images.flip(-1), **inputs)
        predicted = (predicted + mirrored.flip(-1)) / 2
    return predicted, chosen


def router_accuracy(confusion: Counter[tuple[str, str]]) -> float:
    """Fraction of images for which the router chose their own domain; NaN without any."""
    total = confusion.total()
    return sum(count for (own, chosen), count in confusion.items() if own == chosen) / total if total else math.nan


def require_metres(kind: str, name: str) -> None:
    """Raises ValueError for a model that does not predict metres."""
    if kind != "depth":
        raise ValueError(
            f"{name} predicts inverse depth, which has no unit; score it without --protocol (aligned), or train "
            "metric heads on it with training/metric.py."
        )


def _scores(
    predicted: Tensor, depth: Tensor, batch: Sequence[Sample], protocol: Protocol
) -> dict[str, list[float]]:  # fmt: skip
    require_finite(predicted, batch)
    values = metres_scores(predicted, depth, max_depth_m=protocol.max_depth_m, min_depth_m=protocol.min_depth_m)
    return {name: per_image.tolist() for name, per_image in values.items()}


def _of_image(scores: dict[str, list[float]], number: int) -> dict[str, float]:
    return {name: per_image[number] for name, per_image in scores.items()}
