"""Scores of metres: no alignment, a protocol's pixels and range, and how often the router was right."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from semidepth.data.samples import Sample
from semidepth.evaluation.depth_metrics.formulas import metres_scores
from semidepth.evaluation.depth_metrics.protocols import Protocol
from semidepth.evaluation.relative import (
    Scores,
    image_size,
    labels_of,
    require_finite,
)
from semidepth.prediction.batching import batches_of_one_size
from semidepth.prediction.models import DepthModel


@dataclass
class MetricScores:
    """Scores of one source.

    Args:
        routed: with the head that the router chose, or the model's only one.
        given: with the head of each image's own domain; empty where that is not known.
        confusion: (domain of the image, domain that the router chose) -> images; empty without a router.
    """

    routed: Scores = field(default_factory=Scores)
    given: Scores = field(default_factory=Scores)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)


def router_accuracy(confusion: Counter[tuple[str, str]]) -> float:
    """Share of images for which the router chose their own domain; NaN without any."""
    total = confusion.total()
    return sum(count for (own, chosen), count in confusion.items() if own == chosen) / total if total else float("nan")


def predict_metres(
    model: DepthModel, images: Tensor, domains: list[int] | None, *, flip: bool
) -> tuple[Tensor, list[int]]:
    """Metres of a batch, and the head that each image went through.

    Args:
        model: of kind "depth".
        images: (B, 3, H, W) uint8 on its device.
        domains: index of each image's head; None lets the router choose.
        flip: average with the prediction of the mirrored image, through the same head.

    Returns:
        (B, H, W) float32 metres, and (B,) indices (all 0 for a model without heads of its own).
    """
    inputs = {} if domains is None else {"domain_labels": domains}
    predicted, output = model.forward(images, **inputs)
    chosen = output.domain.tolist() if model.domains else [0] * len(images)
    if flip:
        inputs = {"domain_labels": chosen} if model.domains else {}
        mirrored, _ = model.forward(images.flip(-1), **inputs)
        predicted = (predicted + mirrored.flip(-1)) / 2
    return predicted, chosen


def score_metric(
    model: DepthModel,
    samples: Iterable[Sample],
    *,
    device: torch.device,
    protocol: Protocol,
    flip: bool = True,
    batch_size: int = 8,
) -> MetricScores:
    """Scores metric predictions against labels in metres.

    Each map is predicted at the size that the model's image processor gives it, resized bilinearly (corners aligned) to
    the label's, clamped to the protocol's range, and scored alone.

    Args:
        model: on the device.
        samples: labeled samples of any sizes.
        device: of the model.
        protocol: crops and range.
        flip: average with the prediction of the mirrored image.
        batch_size: images at a time, where consecutive ones have one size.

    Returns:
        Scores per image.

    Raises:
        ValueError: if the model predicts inverse depth, its prediction is not finite, or the protocol does not fit.
    """
    if model.kind != "depth":
        raise ValueError(
            "this model predicts inverse depth, which has no unit; score it without --protocol (aligned), or train "
            "metric heads on it with training/metric.py."
        )
    result = MetricScores()
    for batch in batches_of_one_size(samples, batch_size, image_size):
        found = score_metric_batch(model, batch, device=device, protocol=protocol, flip=flip)
        origins = [sample["origin"] for sample in batch]
        result.routed.add(origins, found.routed)
        result.given.add([origins[place] for place in found.known], found.given)
        result.confusion.update((batch[place]["domain"], found.chosen[place]) for place in found.known)
    return result


@dataclass(frozen=True)
class MetricBatch:
    """Scores of some images.

    Args:
        chosen: name of the head that each image went through; "" for a model without a choice.
        routed: metric -> one value per image, with that head.
        known: numbers of the images whose own domain is a head of a model with several.
        given: metric -> one value for each of those, with the head of their own domain.
    """

    chosen: list[str]
    routed: dict[str, list[float]]
    known: list[int]
    given: dict[str, list[float]]


def score_metric_batch(
    model: DepthModel, batch: list[Sample], *, device: torch.device, protocol: Protocol, flip: bool
) -> MetricBatch:
    """Scores the metres of images of one size; arguments and errors as in [`score_metric`]."""
    images = protocol.cut(torch.stack([sample["image"] for sample in batch])).to(device)
    depth = protocol.cut(torch.stack([labels_of(sample) for sample in batch])).to(device)
    depth = torch.where(protocol.mask(*depth.shape[1:]).to(device), depth, torch.nan)
    names = model.domains
    predicted, chosen = predict_metres(model, images, None, flip=flip)
    routed = _values(predicted, depth, batch, protocol)
    known = [place for place, sample in enumerate(batch) if len(names) > 1 and sample["domain"] in names]
    given: dict[str, list[float]] = {}
    if known:
        own = [names.index(batch[place]["domain"]) for place in known]
        predicted, depth = predicted[known], depth[known]
        if own != [chosen[place] for place in known]:
            predicted, _ = predict_metres(model, images[known], own, flip=flip)
        given = _values(predicted, depth, [batch[place] for place in known], protocol)
    return MetricBatch([names[index] if len(names) > 1 else "" for index in chosen], routed, known, given)


def _values(predicted: Tensor, depth: Tensor, batch: list[Sample], protocol: Protocol) -> dict[str, list[float]]:
    require_finite(predicted, batch)
    values = metres_scores(predicted, depth, max_depth_m=protocol.max_depth_m, min_depth_m=protocol.min_depth_m)
    return {name: per_image.tolist() for name, per_image in values.items()}
