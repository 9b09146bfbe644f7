"""Preparation of a training run: accelerator, preprocessing, number of steps, data loaders, checks of sources."""

import logging
import math
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs, set_seed

from semidepth.common.console import first_line
from semidepth.common.options import option_words, save_options
from semidepth.data.reading.sources import count_samples, open_source
from semidepth.data.source_spec import Source
from semidepth.data.streaming.loading import BatchLoader
from semidepth.data.streaming.plan import StreamPlan
from semidepth.evaluation.source_report.report import tell_sources
from semidepth.prediction.checkpoints import load_config, refuse_pickled
from semidepth.prediction.preprocessing import Preprocessing, check_size, preprocessing_of
from semidepth.training.engine.precision import resolve_precision
from semidepth.training.engine.sharding import prepare_sharding
from semidepth.training.options.run import RelativeOptions, RunOptions

logger = logging.getLogger(__name__)


def make_accelerator(options: RunOptions, *, find_unused_parameters: bool = False) -> Accelerator:
    """Returns the run's accelerator and seeds all random generators, so that all processes draw the same weights.

    Args:
        options: the command's options.
        find_unused_parameters: true if some trainable weights may get no gradient on some process in some steps.

    Raises:
        ValueError: if the machine does not support the requested precision, or FSDP does not support these options.
    """
    precision = resolve_precision(options.mixed_precision, PartialState(cpu=options.cpu))
    accelerator = Accelerator(
        mixed_precision=precision,
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
    """Returns crop size, patch size and normalisation for a model with this encoder.

    Raises:
        ValueError: if the encoder cannot be loaded, or --size is not a multiple of its patch size.
    """
    refuse_pickled(encoder)
    try:
        config = load_config(encoder)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--encoder {encoder!r} could not be loaded ({first_line(error)}); give a Hub id or a local folder."
        ) from error
    if not hasattr(config, "patch_size") or not hasattr(config, "image_size"):
        raise ValueError(
            f"--encoder {encoder!r} is a {config.model_type} model; give a vision transformer without a head, such "
            "as facebook/dinov2-small, or name a whole depth model with --start."
        )
    found = preprocessing_of(encoder, config)
    patch = config.patch_size if isinstance(config.patch_size, int) else config.patch_size[0]
    size = options.size or int(config.image_size if isinstance(config.image_size, int) else config.image_size[0])
    check_size(size, patch, "the encoder's patch size")
    return Preprocessing(size=size, multiple=patch, mean=found.mean, std=found.std)


def resolve_steps(options: RunOptions, sources: Sequence[Source], *, labeled: bool, batch_size: int, world: int) -> int:
    """Returns the number of updates: --steps, or --epochs times the number of samples in the sources.

    Raises:
        ValueError: without --steps, if the number of samples in a source is unknown.
    """
    if options.steps is not None:
        return options.steps
    counts = [(source.spec, count_samples(source, labeled=labeled)) for source in sources]
    unknown = [spec for spec, count in counts if count is None]
    if unknown:
        raise ValueError(f"the number of samples in {', '.join(unknown)} is unknown; give --steps.")
    total = sum(count for _, count in counts if count is not None)
    per_step = batch_size * world * options.gradient_accumulation_steps
    steps = math.ceil(total * options.epochs / per_step)
    logger.info("%d samples x %g epochs / %d per step = %d steps", total, options.epochs, per_step, steps)
    return max(1, steps)


def run_generator(options: RunOptions, accelerator: Accelerator) -> torch.Generator:
    """Returns the CPU generator of what this process draws batch by batch: it goes into checkpoints."""
    return torch.Generator().manual_seed(options.seed * 100_003 + accelerator.process_index)


def make_run_loader(
    options: RunOptions,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    sources: Sequence[Source],
    *,
    labeled: bool = True,
    batch_size: int | None = None,
    seed: int | None = None,
    smallest_crop: float = 1.0,
    flip_probability: float = 0.5,
    weights: Sequence[float] | None = None,
) -> BatchLoader:
    """Returns an endless loader of this process's training batches.

    Args:
        options: the command's options.
        accelerator: the run's accelerator.
        preprocessing: the model's preprocessing.
        sources: parsed sources.
        labeled: true for batches with labels.
        batch_size: samples in a batch. Default: --batch_size.
        seed: random seed for order, crops and flips. Default: --seed.
        smallest_crop: of the training crop, as a share of the shorter side.
        flip_probability: share of samples flipped left to right.
        weights: relative sampling rate of each source. Default: in proportion to its size.
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
        smallest_crop=smallest_crop,
        flip_probability=flip_probability,
    )
    batch_size = options.batch_size if batch_size is None else batch_size
    return BatchLoader(plan, batch_size=batch_size, multiple=preprocessing.multiple, num_workers=options.num_workers)


def check_sources(sources: Sequence[Source], *, labeled: bool = True) -> None:
    """Checks that every source can be opened, is not empty and has labels if they are needed.

    What is found in them, and what looks wrong there, is told in the log.

    Raises:
        ValueError: naming the first source that fails.
    """
    for source in sources:
        if open_source(source, labeled=labeled).num_shards == 0 or count_samples(source, labeled=labeled) == 0:
            raise ValueError(f"source {source.spec!r} is empty; name one with {'labeled ' if labeled else ''}images.")
    tell_sources(sources, labeled=labeled)


def warn_unvalidated(validation: Sequence[Source]) -> None:
    """Warns, in the first process, where there is nothing to validate on."""
    if not validation and PartialState().is_main_process:
        logger.warning(
            "there is no validation, so this run ends without scores and with its last weights; name sources with "
            "--validation"
        )


def announce(options: RunOptions, accelerator: Accelerator, name: str) -> None:
    """Saves all options in the output folder as NAME.yaml, and logs those that differ from their default."""
    if accelerator.is_main_process:
        path = Path(options.output_dir) / f"{name}.yaml"
        save_options(options, path)
        given = textwrap.fill(
            shlex.join(option_words(options)), 116, break_long_words=False, break_on_hyphens=False,
            initial_indent="    ", subsequent_indent="    ",
        )  # fmt: skip
        logger.info("%s: all options are in %s; those that differ from their default:\n%s", name, path, given)
