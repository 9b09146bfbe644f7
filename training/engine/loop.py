"""The training loop that teacher and student share: batch, losses, backward, clip, step, log, validate, save."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from semidepth.training.engine.arguments import TrainingArguments
from semidepth.training.engine.checkpoints import list_checkpoints, load_checkpoint, save_checkpoint
from semidepth.training.engine.optimization import average_weights, learning_rates, parameter_groups
from semidepth.training.engine.tracking import Tracking

logger = logging.getLogger(__name__)


class NonFiniteLossError(RuntimeError):
    """A loss term became NaN or infinite."""


@dataclass
class Losses:
    """What one forward pass gave.

    Args:
        total: scalar that is minimised.
        terms: scalars for the log, detached or not.
        finite: (N,) bool, whether each image's prediction is finite.
        origins: name of each of these images.
        images: images that count for the speed (labeled and unlabeled).
    """

    total: Tensor
    terms: dict[str, Tensor]
    finite: Tensor
    origins: list[str]
    images: int


Batch = dict[str, Any]
ComputeLosses = Callable[[nn.Module, Batch], Losses]


class LossWindow:
    """The loss terms since the last look, kept on the device so that training waits for nothing until then."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, Losses]] = []

    def add(self, step: int, losses: Losses) -> None:
        """Remembers one forward pass."""
        terms = {name: value.detach() for name, value in losses.terms.items()}
        self._steps.append((step, Losses(losses.total.detach(), terms, losses.finite, losses.origins, losses.images)))

    def close(self) -> dict[str, float]:
        """Means of all terms since the last call, in one transfer from the device.

        Raises:
            NonFiniteLossError: naming the first step, the term and the samples, if any term was not finite.
        """
        if not self._steps:
            return {}
        names = ["loss", *self._steps[0][1].terms]
        rows = [torch.stack([losses.total, *losses.terms.values()]).float() for _, losses in self._steps]
        values = torch.stack(rows).cpu()  # (steps, terms)
        bad = (~values.isfinite()).nonzero()
        if len(bad):
            step, losses = self._steps[int(bad[0, 0])]
            _raise_non_finite(step, dict(zip(names, values[bad[0, 0]].tolist(), strict=True)), losses)
        self._steps = []
        return dict(zip(names, values.mean(0).tolist(), strict=True))


def _raise_non_finite(step: int, values: dict[str, float], losses: Losses) -> None:
    terms = [name for name, value in values.items() if name != "loss" and not math.isfinite(value)] or ["loss"]
    broken = [name for name, fine in zip(losses.origins, losses.finite.tolist(), strict=True) if not fine]
    raise NonFiniteLossError(
        f"step {step}: {', '.join(terms)} is not finite, with {', '.join(broken or losses.origins)}; the last "
        "checkpoint is intact: look at these samples, or go on from it with a lower --learning_rate or in bf16."
    )


def train_step(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    batch: Batch,
    compute_losses: ComputeLosses,
    max_grad_norm: float,
) -> Losses:
    """One micro-batch: losses, backward, and, when the accumulated gradients are complete, clip and update.

    Returns:
        The losses of this micro-batch, still on the device.
    """
    with accelerator.accumulate(model):
        with accelerator.autocast():
            losses = compute_losses(model, batch)
        accelerator.backward(losses.total)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), max_grad_norm)
        optimizer.step()
        if accelerator.sync_gradients:
            scheduler.step()
        optimizer.zero_grad()
    return losses


@dataclass
class Hooks:
    """What the loop calls back: `validate` gives scores to log, `preview` draws; both get the model to look at."""

    validate: Callable[[nn.Module], dict[str, float]]
    preview: Callable[[nn.Module, Tracking, int], None]
    save: Callable[[nn.Module], None]


def train(
    arguments: TrainingArguments,
    *,
    name: str,
    steps: int,
    accelerator: Accelerator,
    model: nn.Module,
    batches: Iterator[Batch],
    compute_losses: ComputeLosses,
    hooks: Hooks,
) -> dict[str, float]:
    """Trains a model for a number of updates and saves it.

    Args:
        arguments: the command's options.
        name: the command's, for bar and log.
        steps: updates.
        accelerator: made with the options' precision, accumulation and tracker.
        model: on the CPU or the device, trainable parts with `requires_grad`.
        batches: endless micro-batches of this process, on the CPU.
        compute_losses: (wrapped model, batch on the device) -> losses.
        hooks: validation, previews and saving.

    Returns:
        Final scores and means over the last logged steps.

    Raises:
        NonFiniteLossError: if a loss term is not finite.
        ValueError: if a checkpoint to resume from does not fit.
    """
    output_dir = Path(arguments.output_dir)
    encoder_prefix = "backbone."
    optimizer = torch.optim.AdamW(
        parameter_groups(
            model,
            encoder_prefix=encoder_prefix,
            learning_rate=arguments.learning_rate,
            decoder_lr_factor=arguments.decoder_lr_factor,
            weight_decay=arguments.weight_decay,
        )
    )
    scheduler = get_linear_schedule_with_warmup(optimizer, min(arguments.warmup_steps, steps // 2), steps)
    if arguments.activation_checkpointing:
        _activation_checkpointing(model)
    model.to(accelerator.device)
    average = average_weights(model, arguments.ema_decay) if arguments.ema_decay else None
    if arguments.compile:
        model.compile()
    bare = model
    model, optimizer = accelerator.prepare(model, optimizer)
    saved = {"model": bare} | ({"average": average} if average is not None else {})
    looked_at = bare if average is None else average.module

    start = _resume(arguments, output_dir, accelerator, saved, optimizer, scheduler)
    tracking = Tracking(accelerator, output_dir, name=name, steps=steps, start=start, options=asdict(arguments))
    window = LossWindow()
    results: dict[str, float] = {}
    try:
        model.train()
        for step in range(start + 1, steps + 1):
            for _ in range(arguments.gradient_accumulation_steps):
                asked = time.perf_counter()
                batch = next(batches)
                waited_s = time.perf_counter() - asked
                batch = to_device(batch, accelerator.device)
                losses = train_step(
                    accelerator, model, optimizer, scheduler, batch, compute_losses, arguments.max_grad_norm
                )
                window.add(step, losses)
                tracking.advance(losses.images, waited_s)
            if average is not None:
                average.update_parameters(bare)
            tracking.bar.update(1)

            def due(every: int, step: int = step) -> bool:
                return step == steps or (every > 0 and step % every == 0)

            if due(arguments.log_every) or due(arguments.checkpoint_every) or due(arguments.validate_every):
                means = window.close()
                results |= means | tracking.log_step(step, means | learning_rates(optimizer))
            if arguments.preview_every and due(arguments.preview_every):
                hooks.preview(looked_at.eval(), tracking, step)
            if due(arguments.validate_every):
                results |= _validate(hooks, looked_at, tracking, step)
            if due(arguments.checkpoint_every) and arguments.checkpoint_every:
                save_checkpoint(
                    output_dir, accelerator=accelerator, step=step, modules=saved, optimizer=optimizer,
                    scheduler=scheduler, keep=arguments.keep_checkpoints,
                )  # fmt: skip
            bare.train()
    finally:
        tracking.close()
    if accelerator.is_main_process:
        hooks.save(looked_at.eval())
    accelerator.wait_for_everyone()
    return results


def _validate(hooks: Hooks, model: nn.Module, tracking: Tracking, step: int) -> dict[str, float]:
    scores = hooks.validate(model.eval())
    if scores:
        tracking.log(step, scores)
        text = ", ".join(
            f"{name} {value:.4f}" for name, value in scores.items() if name.endswith(("abs_rel", "delta1"))
        )
        logger.info("step %d: %s", step, text)
    return scores


def _resume(
    arguments: TrainingArguments,
    output_dir: Path,
    accelerator: Accelerator,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
) -> int:
    """Loads the newest checkpoint where there is one; returns the number of steps done."""
    checkpoints = list_checkpoints(output_dir)
    if not checkpoints or not arguments.resume:
        return 0
    step, _ = load_checkpoint(
        checkpoints[-1], accelerator=accelerator, modules=modules, optimizer=optimizer, scheduler=scheduler
    )
    logger.info("going on from %s; the streams start over in the order of another seed", checkpoints[-1])
    return step


def to_device(batch: Any, device: torch.device) -> Any:
    """Moves the tensors of a nested batch, without waiting."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    return batch


def _activation_checkpointing(model: nn.Module) -> None:
    """Newer transformers call it activation checkpointing, older ones gradient checkpointing."""
    enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
