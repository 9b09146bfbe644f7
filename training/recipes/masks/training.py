"""Training of a promptable mask model on a depth model, by Segment Anything's rules (arXiv 2304.02643). In each step

1. the core sees each image once, or its features come from the cache;
2. every object gets a first point or a box, and the decoder answers with masks and a predicted IoU of each;
3. the mask with the least loss learns, and the scores learn the true IoU;
4. the next point falls into what the best-scored answer got wrong, and that answer is a prompt, too; again from 2;
5. the mean loss of all rounds makes one backward pass. The core is frozen, or learns at a lower rate.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from semidepth.data.source_spec import Source
from semidepth.data.streaming.mask_loading import MaskChoice, MaskLoader, mask_samples, with_masks
from semidepth.data.streaming.plan import StreamPlan
from semidepth.evaluation.data import fingerprint, source_fingerprint
from semidepth.prediction.checkpoints import revision_of
from semidepth.prediction.preprocessing import Preprocessing
from semidepth.publishing.pusher import open_pusher
from semidepth.training.engine.loop import train
from semidepth.training.engine.loss_window import Losses
from semidepth.training.engine.optimization import parameter_groups
from semidepth.training.engine.resuming import check_resume
from semidepth.training.engine.saving import save_results
from semidepth.training.engine.setup import (
    announce,
    check_sources,
    make_accelerator,
    resolve_steps,
    run_generator,
    warn_unvalidated,
)
from semidepth.training.engine.step_data import Batch, StepData
from semidepth.training.engine.trained_model import OptimizerAndSchedule
from semidepth.training.options.masks import MaskOptions
from semidepth.training.recipes.masks.cache import CachedBatches, cache_features
from semidepth.training.recipes.masks.hooks import make_mask_hooks
from semidepth.training.recipes.masks.models import check_mask_start, make_mask_model, mask_preprocessing
from semidepth.training.recipes.masks.rounds import Rounds, RoundSettings
from semidepth.training.recipes.metric.models import resolve_student
from semidepth.training.recipes.prepared import images_there

logger = logging.getLogger(__name__)


def mask_losses(model: nn.Module, batch: Batch, *, preprocessing: Preprocessing, generator: torch.Generator) -> Losses:
    """Returns the losses of one batch.

    Args:
        model: [`Rounds`], wrapped or not.
        batch: `masks` (B, P, S, S) bool, empty where an image has fewer; `image` (B, 3, S, S) uint8, or the core's
            `features`; `origin` (B names).
        preprocessing: the model's preprocessing.
        generator: random generator on the CPU, for the prompts.
    """
    seen: dict[str, Any]
    if "features" in batch:
        seen = {"features": tuple(batch["features"][name] for name in sorted(batch["features"]))}
    else:
        seen = {"pixel_values": preprocessing.normalize(batch["image"])}
    output = model(batch["masks"], generator, **seen)
    return Losses(output.loss, output.terms, output.finite, batch["origin"], len(batch["masks"]))


def mask_optimizer(model: nn.Module, steps: int, *, options: MaskOptions) -> OptimizerAndSchedule:
    """Returns AdamW with warm-up and a cosine down to 0; a core that learns has a rate lower by `core_lr_factor`."""
    rate = options.learning_rate
    rates = {"core": ("model.core.", rate * options.core_lr_factor), "decoder": ("", rate)}
    optimizer = torch.optim.AdamW(parameter_groups(model, rates, weight_decay=options.weight_decay))
    return optimizer, get_cosine_schedule_with_warmup(optimizer, min(options.warmup_steps, steps // 2), steps)


def train_masks(options: MaskOptions) -> dict[str, Any]:
    """Trains and saves a mask model; returns the final losses and validation scores.

    Raises:
        ValueError: if the options do not fit the data or the model.
    """
    state = PartialState(cpu=options.cpu)
    pusher = open_pusher(options, options.output_dir, main_process=state.is_main_process)
    sources, validation = with_masks(options.train_sources()), with_masks(options.validation_sources())
    check_sources((*sources, *validation), labeled=False)
    for source in (*sources, *validation):
        next(iter(mask_samples([source], limit=1)))  # which says what is wrong with its masks
    warn_unvalidated(validation)
    steps = _resolve_steps(options, sources, state.num_processes)
    check_resume(options, steps)
    if options.student is not None:
        check_mask_start(options.student)
    name = resolve_student(options)
    # The mask for one prompt and those for several have weights of their own, and a step may use either alone.
    accelerator = make_accelerator(options, find_unused_parameters=True)
    accelerator.wait_for_everyone()
    config = check_mask_start(name)
    preprocessing = mask_preprocessing(name, config, options)
    set_seed(options.seed)
    model = make_mask_model(name, config, options)
    if options.freeze_core:
        model.core.requires_grad_(False)
    announce(options, accelerator, "masks")
    generator = run_generator(options, accelerator)
    data = _mask_data(options, accelerator, preprocessing, sources, model, name, generator)
    results = train(
        options, name="masks", steps=steps, accelerator=accelerator,
        model=Rounds(model, RoundSettings.of(options)), make_optimizer=partial(mask_optimizer, options=options),
        data=data, compute_losses=partial(mask_losses, preprocessing=preprocessing, generator=generator),
        hooks=make_mask_hooks(
            options, accelerator, preprocessing, validation=validation, previewed=validation or sources
        ),
        pusher=pusher,
    )  # fmt: skip
    if accelerator.is_main_process:
        save_results(Path(options.output_dir), {"steps": steps, "student": name} | results)
        logger.info("saved the mask model in %s", options.output_dir)
        pusher.finish()
    return results


def _fingerprints(sources: tuple[Source, ...]) -> list[str]:
    """Returns digests of the files of sources, and of the json of masks that one names."""
    named = [source.mask_file for source in sources if source.masks and source.mask_file.is_file()]
    return [*(source_fingerprint(source, labeled=False) for source in sources), fingerprint(named)]


def _resolve_steps(options: MaskOptions, sources: tuple[Source, ...], world: int) -> int:
    """Returns the number of updates; passes are over the cached images where there is a cache."""
    if options.steps is None and options.cached_images:
        return max(1, round(options.cached_images * options.epochs / options.batch_size))
    return resolve_steps(options, sources, labeled=False, batch_size=options.batch_size, world=world)


def _mask_data(
    options: MaskOptions,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    sources: tuple[Source, ...],
    model: Any,
    name: str,
    generator: torch.Generator,
) -> StepData:
    """Returns the batches of this process: new crops, or images whose core features are cached."""
    objects = max(1, options.objects // options.batch_size)
    plan = StreamPlan(
        sources, labeled=False, size=preprocessing.size, seed=options.seed, shuffle_buffer=options.shuffle_buffer,
        repeat=True, rank=accelerator.process_index, world_size=accelerator.num_processes,
        smallest_crop=options.smallest_crop, flip_probability=options.flip_probability,
    )  # fmt: skip
    loader = MaskLoader(
        plan, batch_size=options.batch_size, multiple=preprocessing.multiple, num_workers=options.num_workers,
        choice=MaskChoice(min_area=options.min_area, masks_per_image=64 if options.cached_images else objects),
    )  # fmt: skip
    if not options.cached_images:
        return StepData({"masks": loader}, generator)

    @torch.no_grad()
    def core(images: torch.Tensor) -> dict[str, torch.Tensor]:
        with accelerator.autocast():
            features = model.core_features(preprocessing.normalize(images.to(accelerator.device)))
        return {str(number): feature for number, feature in enumerate(features)}

    images = images_there(
        sources, options.cached_images, labeled=False, world=accelerator.num_processes, batch_size=options.batch_size,
        option="cached_images",
    )  # fmt: skip
    model.to(accelerator.device).eval()
    folder = Path(options.cache_dir or Path(options.output_dir) / "features") / f"{accelerator.process_index}"
    made_of = {
        "core": revision_of(name), "train": list(options.train), "files": _fingerprints(sources),
        "size": preprocessing.size, "seed": options.seed,
        "processes": accelerator.num_processes, "min_area": options.min_area, "flip": options.flip_probability,
        "smallest_crop": options.smallest_crop, "batch_size": options.batch_size, "workers": options.num_workers,
        "autocast": accelerator.mixed_precision,
    }  # fmt: skip
    batches: Any = loader
    cache_features(folder, batches, core, images=images, made_of=made_of, tell=accelerator.is_main_process)
    accelerator.wait_for_everyone()
    cached = CachedBatches(
        folder, batch_size=options.batch_size, objects=objects, size=preprocessing.size,
        seed=options.seed * 100_003 + accelerator.process_index,
    )  # fmt: skip
    loaders: Any = {"masks": cached}
    return StepData(loaders, generator)
