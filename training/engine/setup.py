"""What the training commands do around the loop: accelerator, sizes, steps, validation, previews, saving."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from transformers import AutoConfig

from semidepth.common.console import first_line
from semidepth.common.options import save_options
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import BatchLoader
from semidepth.data.streaming.plan import StreamPlan
from semidepth.prediction.checkpoints import refuse_pickled
from semidepth.prediction.preprocessing import Preprocessing, check_size, preprocessing_of
from semidepth.training.engine.sharding import prepare_sharding
from semidepth.training.options.run import RelativeOptions, RunOptions

logger = logging.getLogger(__name__)


def make_accelerator(options: RunOptions, *, find_unused_parameters: bool = False) -> Accelerator:
    """The run's accelerator, with the random generators seeded alike in every process (they draw the same weights).

    Args:
        options: of the command.
        find_unused_parameters: whether some trainable weights may get no gradient on some processes in some steps.

    Raises:
        ValueError: if the machine cannot do the precision that is asked for, or FSDP with these options.
    """
    if options.mixed_precision == "fp16" and (options.cpu or not torch.cuda.is_available()):
        raise ValueError("--mixed_precision fp16 needs a CUDA device and there is none in use; take bf16 or no.")
    accelerator = Accelerator(
        mixed_precision=options.mixed_precision,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        cpu=options.cpu,
        log_with=None if options.tracker == "none" else options.tracker,
        project_dir=options.output_dir,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=find_unused_parameters)],
    )
    prepare_sharding(accelerator, options, find_unused_parameters=find_unused_parameters)
    set_seed(options.seed)
    return accelerator


def resolve_preprocessing(options: RelativeOptions, encoder: str) -> Preprocessing:
    """Crop size, patch multiple and normalisation for a student on this encoder.

    Raises:
        ValueError: if the encoder cannot be found, or the size is no multiple of its patch size.
    """
    refuse_pickled(encoder)
    try:
        config = AutoConfig.from_pretrained(encoder)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--encoder {encoder!r} could not be loaded ({first_line(error)}); give a Hub id or a local folder."
        ) from error
    if not hasattr(config, "patch_size") or not hasattr(config, "image_size"):
        raise ValueError(
            f"--encoder {encoder!r} is a {config.model_type} model; give a bare image encoder of patches, such as "
            "facebook/dinov2-small."
        )
    found = preprocessing_of(encoder, config)
    patch = config.patch_size if isinstance(config.patch_size, int) else config.patch_size[0]
    size = options.size or int(config.image_size if isinstance(config.image_size, int) else config.image_size[0])
    check_size(size, patch, "the encoder's patch size")
    return Preprocessing(size=size, multiple=patch, mean=found.mean, std=found.std)


def resolve_steps(options: RunOptions, sources: Sequence[Source], *, labeled: bool, batch_size: int, world: int) -> int:
    """The number of updates: --steps, or --epochs over sources of known size.

    Raises:
        ValueError: if neither is known.
    """
    if options.steps is not None:
        return options.steps
    counts = [(source.spec, count_samples(source, labeled=labeled)) for source in sources]
    unknown = [spec for spec, count in counts if count is None]
    if unknown:
        raise ValueError(f"the number of samples in {', '.join(unknown)} is not known beforehand; give --steps.")
    total = sum(count for _, count in counts if count is not None)
    per_step = batch_size * world * options.gradient_accumulation_steps
    steps = math.ceil(total * options.epochs / per_step)
    logger.info("%d samples x %g epochs / %d per step = %d steps", total, options.epochs, per_step, steps)
    return max(1, steps)


def make_run_loader(
    options: RunOptions,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    sources: Sequence[Source],
    *,
    labeled: bool = True,
    batch_size: int | None = None,
    seed: int | None = None,
    weights: Sequence[float] | None = None,
) -> BatchLoader:
    """A loader of training batches for this process.

    Args:
        options: of the command.
        accelerator: of the run.
        preprocessing: the model's.
        sources: parsed.
        labeled: whether batches carry labels.
        batch_size: samples in a batch; by default the option's.
        seed: random seed for order, crops and flips; by default the option's.
        weights: how often each source is read, relative to the others; by default in proportion to its size.
    """
    plan = StreamPlan(
        tuple(sources),
        labeled=labeled,
        size=preprocessing.size,
        seed=options.seed if seed is None else seed,
        shuffle_buffer=options.shuffle_buffer,
        repeat=True,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        weights=None if weights is None else tuple(weights),
    )
    batch_size = options.batch_size if batch_size is None else batch_size
    return BatchLoader(plan, batch_size=batch_size, multiple=preprocessing.multiple, num_workers=options.num_workers)


def check_sources(sources: Sequence[Source], *, labeled: bool = True) -> None:
    """Opens every source to check that it exists, is not empty and has labels if they are needed.

    Raises:
        ValueError: naming the first source that fails.
    """
    for source in sources:
        if open_source(source, labeled=labeled).num_shards == 0 or count_samples(source, labeled=labeled) == 0:
            raise ValueError(f"source {source.spec!r} is empty; name one with {'labeled ' if labeled else ''}images.")


def announce(options: RunOptions, accelerator: Accelerator, name: str) -> None:
    """Echoes the options and saves them with the run."""
    if accelerator.is_main_process:
        text = save_options(options, Path(options.output_dir) / f"{name}.yaml")
        logger.info("%s with these options (saved in %s/%s.yaml):\n%s", name, options.output_dir, name, text)
