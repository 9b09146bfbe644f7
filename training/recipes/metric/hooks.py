"""Validation by domain, with and without the router, previews and saving in the training of metric models."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from transformers import DepthAnythingForDepthEstimation

from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.depth_metrics.protocols import Protocol
from semidepth.evaluation.metres import MetresScores, predict_metres, score_metres
from semidepth.evaluation.pictures import grid, metres_row
from semidepth.evaluation.relative import gather_mean
from semidepth.modeling import DepthStudentForDepthEstimation, RoutedDepthForDepthEstimation
from semidepth.prediction.models import DepthModel
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.training.engine.loop import Hooks
from semidepth.training.engine.saving import save_model
from semidepth.training.engine.tracking import Tracking
from semidepth.training.options.metric import Domain, MetricOptions
from semidepth.training.recipes.hooks import PREVIEW_IMAGES

SHOWN = ("abs_rel", "delta1", "rmse")


def make_metric_hooks(
    options: MetricOptions,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    domains: Sequence[Domain],
    *,
    validation: Sequence[Source],
    previewed: Sequence[Source],
) -> Hooks:
    """Returns the hooks of a metric model's training: validation, previews and saving.

    Args:
        options: the command's options.
        accelerator: the run's accelerator.
        preprocessing: the model's preprocessing, saved with it as an image processor.
        domains: the model's domains, in the order of its heads.
        validation: labeled sources to score, each with its domain; the processes share the images.
        previewed: sources whose first images are drawn.
    """

    def validate(model: nn.Module) -> dict[str, float]:
        scores: dict[str, float] = {}
        confusion: Counter[tuple[str, str]] = Counter()
        for domain in domains:
            sources = [source for source in validation if source.domain == domain.name]
            wrapped = DepthModel(model, preprocessing, "depth")
            if (found := _score_domain(wrapped, domain, sources, options, accelerator)) is None:
                continue
            kinds = {"": found.routed} | ({"/domain_given": found.given} if len(domains) > 1 else {})
            for suffix, kind in kinds.items():
                means = gather_mean(accelerator, kind)
                scores |= {f"{domain.name}{suffix}/{name}": means[name] for name in SHOWN}
            confusion += found.confusion
        if len(domains) > 1 and validation:
            scores["validation/router_accuracy"] = _router_accuracy(confusion, accelerator)
        return scores

    def preview(model: nn.Module, tracking: Tracking, step: int) -> None:
        if not accelerator.is_main_process:
            return
        wrapped = DepthModel(model, preprocessing, "depth")
        each = max(1, PREVIEW_IMAGES // len(previewed))
        rows = []
        for source in previewed[:PREVIEW_IMAGES]:
            for sample in evaluation_samples([source], each, size=preprocessing.size):
                with accelerator.autocast():
                    image = sample["image"][None].to(accelerator.device)
                    predicted, chosen = predict_metres(wrapped, image, None, flip=False)
                routed = [f"router: {wrapped.domains[index]}" for index in chosen if len(wrapped.domains) > 1]
                notes = [f"is {sample['domain']}", *routed]
                rows.append(metres_row(sample["image"], sample["depth"], [predicted[0]], notes))
        tracking.picture(step, "predictions", grid(rows, ["image", "ground truth", "prediction", "metres"]))

    def save(model: nn.Module, folder: Path) -> None:
        if isinstance(model, DepthStudentForDepthEstimation):
            model = model.to_depth_anything()  # stock, which loads without custom code
        assert isinstance(model, DepthAnythingForDepthEstimation | RoutedDepthForDepthEstimation)
        save_model(model, preprocessing, folder)

    return Hooks(validate=validate, preview=preview, save=save, rank=routed_abs_rel if options.keep == "best" else None)


def routed_abs_rel(scores: Mapping[str, float]) -> float:
    """Returns the mean AbsRel over the domains, by the heads that the router chose; NaN where none was scored."""
    values = [value for name, value in scores.items() if name.endswith("/abs_rel") and "/domain_given/" not in name]
    values = [value for value in values if math.isfinite(value)]
    return sum(values) / len(values) if values else math.nan


def _router_accuracy(confusion: Counter[tuple[str, str]], accelerator: Accelerator) -> float:
    """Returns the share of images, over all processes, whose own domain the router chose; NaN without images.

    Args:
        confusion: images of this process by (own domain, chosen one).
        accelerator: the run's accelerator.
    """
    right = sum(count for (own, chosen), count in confusion.items() if own == chosen)
    counts = torch.tensor([right, confusion.total()], device=accelerator.device)
    right, total = accelerator.reduce(counts, "sum").tolist()
    return right / total if total else float("nan")


def _score_domain(
    model: DepthModel,
    domain: Domain,
    sources: Sequence[Source],
    options: MetricOptions,
    accelerator: Accelerator,
) -> MetresScores | None:
    """Scores this process's share of a domain's validation images; None if the domain has no validation source."""
    if not sources:
        return None
    merged = MetresScores()
    protocol = Protocol(domain.name, domain.min_depth_m, domain.max_depth_m)
    for source in sources:
        samples = evaluation_samples([source], options.validation_images, size=model.preprocessing.size)
        share = islice(samples, accelerator.process_index, None, accelerator.num_processes)
        with accelerator.autocast():
            found = score_metres(model, share, protocol=protocol, flip=False, batch_size=options.batch_size)
        merged.routed.extend(found.routed)
        merged.given.extend(found.given)
        merged.confusion += found.confusion
    return merged
