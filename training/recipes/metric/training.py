"""Training of a metric model: a relative student with a head for each domain, and a router that picks the head.

The method is ZoeDepth's (arXiv 2302.12288), with the learning rates of Depth Anything's metric models. In each step

1. a batch mixes images of all domains by their weights; images are rotated a little and their colours changed;
2. each image goes through the head of its own domain, and the router predicts the domain;
3. the SILog loss compares predicted metres with the labels, domain by domain; cross-entropy trains the router;
4. the heads have a high learning rate, the pretrained core a low one (or none: --freeze_core), on a one-cycle schedule.
"""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig

from semidepth.data.preparing import prepare_sample
from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import BatchLoader, evaluation_samples
from semidepth.data.streaming.stream import natural_weights
from semidepth.modeling.losses import known_depth, silog_loss_by_domain
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.publishing.pusher import open_pusher
from semidepth.training.augmentation.metric import augment_metric
from semidepth.training.engine.held_out import split_sources
from semidepth.training.engine.loop import train
from semidepth.training.engine.loss_window import Losses
from semidepth.training.engine.optimization import choose_attention, metric_optimizer
from semidepth.training.engine.resuming import check_resume
from semidepth.training.engine.saving import save_results
from semidepth.training.engine.setup import (
    announce,
    check_sources,
    make_accelerator,
    make_run_loader,
    resolve_steps,
    warn_unvalidated,
)
from semidepth.training.engine.step_data import Batch, StepData
from semidepth.training.options.metric import Domain, MetricOptions
from semidepth.training.options.run import NO_VALIDATION
from semidepth.training.recipes.metric.hooks import make_metric_hooks
from semidepth.training.recipes.metric.labels import check_labels
from semidepth.training.recipes.metric.models import (
    RELATIVE_TYPES,
    check_student,
    freeze_untrained,
    make_metric_model,
    resolve_metric_preprocessing,
    resolve_student,
)

logger = logging.getLogger(__name__)

# Images per source for measuring the scale of the core's feature maps, and how many of them at once.
SCALE_SAMPLES, SCALE_BATCH = 16, 4


def within_range(depth: Tensor, domains: Sequence[Domain]) -> tuple[Tensor, Tensor]:
    """Returns the labels within the range of their domain's head, and the share of known labels outside it.

    Args:
        depth: (B, H, W) metres; unknown where NaN, 0 or infinite.
        domains: (B,) the domain of each image.

    Returns:
        (B, H, W) metres with 0 where unknown or out of range, and the share (0 to 1) as a scalar on the same device.
    """
    limits = torch.tensor([(domain.min_depth_m, domain.max_depth_m) for domain in domains], dtype=depth.dtype)
    low, high = limits.to(depth.device, non_blocking=True)[:, :, None, None].unbind(1)  # (B, 1, 1) each
    known = known_depth(depth)
    counts = known & (depth >= low) & (depth <= high)
    beyond = 1 - counts.sum() / known.sum().clamp(min=1)
    return torch.where(counts, depth, 0.0), torch.where(known.any(), beyond, 0.0)


def metric_losses(
    model: nn.Module,
    batch: Batch,
    *,
    domains: Sequence[Domain],
    preprocessing: Preprocessing,
    generator: torch.Generator,
    options: MetricOptions,
    train_router: bool = True,
    router_batch: Batch | None = None,
) -> Losses:
    """Returns the losses of one batch of labeled images of several domains.

    Args:
        model: the metric model, wrapped or not.
        batch: `image` (B, 3, H, W) uint8, `depth` (B, H, W) metres, `domain` and `origin` (B names each).
        domains: the model's domains, in the order of its heads.
        preprocessing: the model's preprocessing.
        generator: random generator on the CPU, for the augmentation.
        options: the command's options.
        train_router: false leaves the router's cross-entropy out of the total.
        router_batch: `image`, `domain` and `origin` of images without depth, for the router's cross-entropy alone.

    Returns:
        The total is SILog plus the router's weighted cross-entropy. The terms also have the router's accuracy and the
        share of labels outside their head's range, which the loss ignores.
    """
    names = [domain.name for domain in domains]
    labeled = len(batch["image"])
    if router_batch is not None:
        batch = _joined(batch, router_batch)
    chosen = [names.index(name) for name in batch["domain"]]  # on the host, so that nothing waits for the device
    own = [domains[index] for index in chosen]
    brightness = [domain.brightness if options.color_augmentation else 0.0 for domain in own]
    images, depth = augment_metric(
        batch["image"].float() / 255, batch["depth"], brightness, generator, options.augmentation()
    )
    labels, beyond = within_range(depth, own)

    routed = options.metric_head == "bins"
    output = model(
        pixel_values=preprocessing.normalize(images), **({"domain_labels": chosen} if routed else {})
    )  # fmt: skip
    silog = silog_loss_by_domain(output.predicted_depth[:labeled], labels[:labeled], chosen[:labeled])
    total, terms = silog, {"silog": silog}
    if len(domains) > 1:
        target = torch.tensor(chosen).to(silog.device, non_blocking=True)
        terms["router"] = F.cross_entropy(output.domain_logits, target)
        terms["router_accuracy"] = (output.domain_logits.detach().argmax(1) == target).float().mean()
        total = silog + options.router_loss_weight * terms["router"] if train_router else silog
    terms["beyond_range"] = beyond
    return Losses(
        total=total,
        terms=terms,
        finite=output.predicted_depth.detach().isfinite().flatten(1).all(1),
        origins=batch["origin"],
        images=len(images),
    )


def _joined(batch: Batch, router_batch: Batch) -> Batch:
    """Returns labeled images, then images whose depth is unknown everywhere."""
    image = router_batch["image"]
    depth = torch.full_like(image[:, 0], torch.nan, dtype=batch["depth"].dtype)
    return {
        "image": torch.cat([batch["image"], image]),
        "depth": torch.cat([batch["depth"], depth]),
        "domain": [*batch["domain"], *router_batch["domain"]],
        "origin": [*batch["origin"], *router_batch["origin"]],
    }


def prepare_core(
    model: Any,
    config: PreTrainedConfig,
    options: MetricOptions,
    preprocessing: Preprocessing,
    device: torch.device,
) -> None:
    """Freezes the pretrained part with --freeze_core, and chooses the attention kernel of a student's encoder."""
    routed = options.metric_head == "bins"
    if options.freeze_core:
        (model.core if routed else model.backbone).requires_grad_(False)
    if config.model_type in RELATIVE_TYPES:
        tokens = (preprocessing.size // preprocessing.multiple) ** 2
        choose_attention((model.core if routed else model).backbone, tokens, device)


def measure_scales(model: Any, sources: Sequence[Source], preprocessing: Preprocessing, device: torch.device) -> None:
    """Measures the scale of the core's feature maps and stores it in the model, so that new heads get unit scale.

    It uses the first images of every source, the same ones in each process.
    """
    size, batches = preprocessing.size, []
    model.to(device)
    for source in sources:
        samples = [
            prepare_sample(sample, size, np.random.default_rng(0), train=True, multiple=preprocessing.multiple)
            for sample in evaluation_samples([source], SCALE_SAMPLES, size=size)
        ]
        images = preprocessing.normalize(torch.stack([sample["image"] for sample in samples]).to(device))
        batches += images.split(SCALE_BATCH)
    scales = model.measure_core_scales(*batches).tolist()
    logger.info("the core's feature maps are divided by %s", ", ".join(f"{scale:.3g}" for scale in scales))


def train_metric(options: MetricOptions) -> dict[str, Any]:
    """Trains and saves a metric model; returns the final losses and validation scores.

    Raises:
        ValueError: if the options do not fit the data or the model.
    """
    state = PartialState(cpu=options.cpu)
    pusher = open_pusher(options, options.output_dir, main_process=state.is_main_process)
    sources, validation = split_sources(
        options.train_sources(), options.validation_sources(), images=options.validation_images
    )
    check_sources([*sources, *validation])
    check_sources(options.router_sources(), labeled=False)
    if options.validation != NO_VALIDATION:
        warn_unvalidated(validation)
    steps = resolve_steps(options, sources, labeled=True, batch_size=options.batch_size, world=state.num_processes)
    check_resume(options, steps)
    if options.student is None:
        # Check the labels before a student is trained, which takes long.
        check_labels(sources, options.domain_list(), None, tell=False)
    else:
        check_student(options.student, options)
    # Training a student first makes an accelerator of its own, and accelerate's state is shared by both.
    name = resolve_student(options)
    # A batch without images of some domain leaves that domain's head without gradients.
    accelerator = make_accelerator(options, find_unused_parameters=True)
    accelerator.wait_for_everyone()
    config = check_student(name, options)
    preprocessing = resolve_metric_preprocessing(name, config, options)
    set_seed(options.seed)  # new heads start with the same weights whether or not a student was trained first
    model, domains, fresh = make_metric_model(name, config, options)
    check_labels(sources, domains, preprocessing, tell=accelerator.is_main_process)
    announce(options, accelerator, "metric")

    generator = torch.Generator().manual_seed(options.seed * 100_003 + accelerator.process_index)
    loaders = make_loaders(options, accelerator, preprocessing, sources, domains)
    prepare_core(model, config, options, preprocessing, accelerator.device)
    train_router = freeze_untrained(model, domains, options)
    if options.router_images and not train_router:
        raise ValueError(
            "--router_images teach the router, and this run keeps it, as --train has not all of the model's domains; "
            "leave them out, or add sources of the other domains."
        )
    if fresh:
        measure_scales(model, sources, preprocessing, accelerator.device)
    results = train(
        options,
        name="metric",
        steps=steps,
        accelerator=accelerator,
        model=model,
        make_optimizer=partial(metric_optimizer, options=options),
        data=StepData(loaders, generator, by_name=True),
        compute_losses=lambda model, batch: metric_losses(
            model, batch["labeled"], domains=domains, preprocessing=preprocessing, generator=generator,
            options=options, train_router=train_router, router_batch=batch.get("router"),
        ),
        hooks=make_metric_hooks(
            options, accelerator, preprocessing, domains, validation=validation, previewed=validation or sources
        ),
        pusher=pusher,
    )  # fmt: skip
    if accelerator.is_main_process:
        save_results(Path(options.output_dir), {"steps": steps, "student": name} | results)
        logger.info("saved the metric model in %s", options.output_dir)
        pusher.finish()
    return results


def make_loaders(
    options: MetricOptions,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    sources: Sequence[Source],
    domains: Sequence[Domain],
) -> dict[str, BatchLoader]:
    """Returns the loader of labeled images and, with --router_images, one of half as many images for the router."""
    make = partial(make_run_loader, options, accelerator, preprocessing)
    loaders = {"labeled": make(sources, weights=source_weights(sources, domains))}
    if options.router_images:
        images = options.router_sources()
        loaders["router"] = make(
            images, labeled=False, batch_size=max(1, options.batch_size // 2), seed=options.seed + 1,
            weights=source_weights(images, domains, labeled=False),
        )  # fmt: skip
    return loaders


def source_weights(sources: Sequence[Source], domains: Sequence[Domain], *, labeled: bool = True) -> list[float]:
    """Returns the sampling weight of each source: its domain's weight, divided among the sources by their sizes."""
    weights = [0.0] * len(sources)
    for domain in domains:
        members = [index for index, source in enumerate(sources) if source.domain == domain.name]
        if not members:  # a head that this run does not train
            continue
        sizes = natural_weights([sources[index] for index in members], labeled=labeled)
        for index, size in zip(members, sizes, strict=True):
            weights[index] = domain.weight * size / sum(sizes)
    return weights
