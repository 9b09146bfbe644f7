"""Warnings before anything expensive: a run that would work, and most likely not as it is meant."""

import logging
from collections.abc import Sequence

from semidepth.data.source_spec import Source
from semidepth.training.options.run import BUILT_IN_ENCODER, NO_VALIDATION, RelativeOptions
from semidepth.training.options.student import StudentOptions

logger = logging.getLogger(__name__)

# From ten times the rate of a warm start on, what was learned may be lost before it is refined.
WARM_RATE, TOO_WARM = 5e-6, 10


def warn(options: RelativeOptions, validation: Sequence[Source], *, world: int) -> None:
    """Logs what is odd about a run, a sentence each, with what to do.

    Args:
        options: the command's options.
        validation: sources to validate on.
        world: number of processes.
    """
    for text in odd_options(options, validation, world=world):
        logger.warning("%s", text)


def odd_options(options: RelativeOptions, validation: Sequence[Source], *, world: int) -> list[str]:
    """Returns what is odd about a run's options, a sentence each."""
    found = []
    rate, decoder = options.learning_rate, options.learning_rate * options.decoder_lr_factor
    if options.start is not None and max(rate, decoder / 10) > TOO_WARM * WARM_RATE:
        found.append(
            f"--learning_rate {rate:g} (decoder {decoder:g}) is high for a warm start and may undo what "
            f"{options.start} has learned; its usual rates are {WARM_RATE:g} and ten times that"
        )
    if options.batch_size * options.gradient_accumulation_steps * world == 1:
        found.append(
            "an update sees a batch of one, so its gradient is that of a single image; give a larger --batch_size or "
            "--gradient_accumulation_steps"
        )
    if isinstance(options, StudentOptions) and options.unlabeled_batch_size == 1 and options.cutmix_probability:
        found.append("CutMix finds no second image in a batch of one; give a larger --batch_size")
    if not validation and options.validation != NO_VALIDATION:
        found.append(
            "there is no validation, so this run ends without scores and with its last weights; name labeled images "
            "with --validation, or none to turn it off"
        )
    names = [*options.labeled, *getattr(options, "unlabeled", ()), *getattr(options, "pseudo_labels", ())]
    if options.encoder == BUILT_IN_ENCODER and not all(name.startswith("scenes:") for name in names):
        found.append(
            "the built-in encoder has only seen rendered scenes; for photos give --encoder facebook/dinov2-small, or "
            "go on from a whole model with --start"
        )
    return found
