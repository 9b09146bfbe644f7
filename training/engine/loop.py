"""The training loop that all commands share: batch, losses, backward, clip, step, log, validate, save."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from semidepth.training.engine.arguments import RunArguments
from semidepth.training.engine.checkpoints import check_setting, list_checkpoints, load_checkpoint, save_checkpoint
from semidepth.training.engine.losses import Losses, LossWindow
from semidepth.training.engine.optimization import average_weights, learning_rates
from semidepth.training.engine.pushing import Pusher
from semidepth.training.engine.run_record import RunRecord
from semidepth.training.engine.sharding import gather, look_at, prepare
from semidepth.training.engine.step_data import Batch, StepData
from semidepth.training.engine.tracking import Tracking

logger = logging.getLogger(__name__)

# Options in which a resumed run must not differ from its checkpoint. Rates and steps may.
SETTING = (
    "encoder",
    "size",
    "seed",
    "labeled",
    "unlabeled",
    "pseudo_labels",
    "teacher",
    "student",
    "train",
    "domains",
    "freeze_core",
)

ComputeLosses = Callable[[nn.Module, Batch], Losses]
MakeOptimizer = Callable[[nn.Module, int], tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]]


def train_step(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    batch: Batch,
    compute_losses: ComputeLosses,
    max_grad_norm: float,
) -> tuple[Losses, Tensor | None]:
    """One micro-batch: losses, backward, and, when the accumulated gradients are complete, clip and update.

    Returns:
        The losses of this micro-batch and, where it ended in an update, the norm of the gradient before clipping; both
        still on the device. With float16 there is no norm: the scaler meets infinite gradients by design and skips it.
    """
    norm = None
    with accelerator.accumulate(model):
        with accelerator.autocast():
            losses = compute_losses(model, batch)
        accelerator.backward(losses.total)
        if accelerator.sync_gradients:
            norm = gather(accelerator.clip_grad_norm_(model.parameters(), max_grad_norm))
        optimizer.step()
        if accelerator.sync_gradients:
            scheduler.step()
        optimizer.zero_grad()
    return losses, None if accelerator.scaler is not None else norm


@dataclass
class Hooks:
    """What the loop calls back, each with the model to look at.

    `validate` gives scores to log, `preview` draws, `save` writes the model into a folder.
    """

    validate: Callable[[nn.Module], dict[str, float]]
    preview: Callable[[nn.Module, Tracking, int], None]
    save: Callable[[nn.Module, Path], None]


def train(
    arguments: RunArguments,
    *,
    name: str,
    steps: int,
    accelerator: Accelerator,
    model: nn.Module,
    make_optimizer: MakeOptimizer,
    data: StepData,
    compute_losses: ComputeLosses,
    hooks: Hooks,
    pusher: Pusher,
) -> dict[str, Any]:
    """Trains a model for a number of updates and saves it.

    Args:
        arguments: the command's options.
        name: the command's, for bar and log.
        steps: updates.
        accelerator: made with the options' precision, accumulation and tracker.
        model: on the CPU or the device, trainable parts with `requires_grad`.
        make_optimizer: (model, steps) -> optimizer and its schedule, stepped once per update.
        data: endless micro-batches of this process, on the CPU.
        compute_losses: (wrapped model, batch on the device) -> losses.
        hooks: validation, previews and saving.
        pusher: gets the model at checkpoints; the finished one is left to the command.

    Returns:
        Final scores and means over the last logged steps; and `run`, how long it took on what, see [`RunRecord`].

    Raises:
        NonFiniteLossError: if a loss term or the gradient is not finite; nothing is saved after it happened.
        ValueError: if there is a checkpoint that this run cannot go on from.
    """
    output_dir = Path(arguments.output_dir)
    record = RunRecord(accelerator, arguments.mixed_precision, asdict(arguments))
    if arguments.activation_checkpointing:
        _activation_checkpointing(model)
    model.to(accelerator.device)
    optimizer, scheduler = make_optimizer(model, steps)
    average = average_weights(model, arguments.ema_decay) if arguments.ema_decay else None
    if arguments.compile:
        _compile(model)
    bare = model
    model, optimizer, whole = prepare(accelerator, model, optimizer)
    saved = {"model": bare} | ({"average": average} if average is not None else {})

    start = _resume(arguments, steps, accelerator, saved, optimizer, scheduler, data, record)
    tracking = Tracking(accelerator, output_dir, name=name, steps=steps, start=start, options=asdict(arguments))
    window = LossWindow()
    results: dict[str, Any] = {}

    def shown_now() -> nn.Module:
        return average.module.eval() if average is not None else look_at(whole, bare)

    def show(step: int, *, preview: bool, validate: bool) -> None:
        """Saves at the end, and looks at the model."""
        shown = shown_now()
        if step == steps and accelerator.is_main_process:
            hooks.save(shown, output_dir)
        if preview:
            hooks.preview(shown, tracking, step)
        if validate:
            results.update(_validate(hooks, shown, tracking, step))

    try:
        if start == steps:  # stopped between its last checkpoint and its end
            show(steps, preview=False, validate=True)
        for step in range(start + 1, steps + 1):
            bare.train()
            for _ in range(arguments.gradient_accumulation_steps):
                batch, waited_s = _next_batch(data, accelerator.device)
                losses, norm = train_step(
                    accelerator, model, optimizer, scheduler, batch, compute_losses, arguments.max_grad_norm
                )
                window.add(step, losses, norm)
                tracking.advance(losses.images, waited_s)
            if average is not None:
                average.update_parameters(bare)
            tracking.bar.update(1)

            last = step == steps
            preview, checkpoint = (
                every > 0 and (last or step % every == 0)
                for every in (arguments.preview_every, arguments.checkpoint_every)
            )
            validate = last or (arguments.validate_every > 0 and step % arguments.validate_every == 0)
            if validate or preview or checkpoint or step % arguments.log_every == 0:
                # First of all: what is not finite is neither saved nor looked at.
                means = mean_over_processes(accelerator, window.close())
                results |= means | tracking.log_step(step, means | learning_rates(optimizer))
            if checkpoint:
                save_checkpoint(
                    output_dir, accelerator=accelerator, step=step, modules=saved, optimizer=optimizer,
                    data=data, keep=arguments.keep_checkpoints, setting=_setting(arguments), run=record.values(),
                )  # fmt: skip
                if arguments.push_to_hub is not None and not last:
                    pusher.offer(step, partial(hooks.save, shown_now()))
            if validate or preview:
                show(step, preview=preview, validate=validate)
    except BaseException:
        pusher.abandon()
        raise
    finally:
        tracking.close()
    accelerator.wait_for_everyone()
    return results | {"run": record.values()}


def _next_batch(data: StepData, device: torch.device) -> tuple[Batch, float]:
    """The next micro-batch on the device, and the seconds that were spent waiting for it."""
    asked = time.perf_counter()
    batch = next(data)
    return to_device(batch, device), time.perf_counter() - asked


def mean_over_processes(accelerator: Accelerator, values: dict[str, float]) -> dict[str, float]:
    """Means over all processes, whose samples differ; every process calls it with the same names."""
    if accelerator.num_processes == 1:
        return values
    local = torch.tensor(list(values.values()), dtype=torch.float64, device=accelerator.device)
    means = cast(Tensor, accelerator.reduce(local, "mean")).tolist()
    return dict(zip(values, means, strict=True))


def _validate(hooks: Hooks, model: nn.Module, tracking: Tracking, step: int) -> dict[str, float]:
    scores = hooks.validate(model)
    if scores:
        tracking.log(step, scores)
        shown = ("abs_rel", "delta1", "router_accuracy")
        text = ", ".join(f"{name} {value:.4f}" for name, value in scores.items() if name.endswith(shown))
        logger.info("step %d: %s", step, text)
    return scores


def _setting(arguments: RunArguments) -> dict[str, Any]:
    """What a run must share with its checkpoint to be the same run."""
    values = asdict(arguments)
    return {name: values[name] for name in SETTING if name in values}


def check_resume(arguments: RunArguments, steps: int) -> Path | None:
    """The checkpoint that a run will go on from, None where there is none.

    Raises:
        ValueError: if there is one that it cannot go on from. Called before anything expensive, and again by [`train`].
    """
    checkpoints = list_checkpoints(Path(arguments.output_dir))
    if not checkpoints:
        return None
    newest = checkpoints[-1]
    if not arguments.resume:
        raise ValueError(f"{newest} is of an earlier run; remove it, or give another --output_dir, to start afresh.")
    done = check_setting(newest, _setting(arguments))
    if done > steps or (done == steps and (Path(arguments.output_dir) / "results.json").is_file()):
        raise ValueError(f"{newest} has all of {steps} steps done; give more --steps, or another --output_dir.")
    return newest


def _resume(
    arguments: RunArguments,
    steps: int,
    accelerator: Accelerator,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    data: StepData,
    record: RunRecord,
) -> int:
    """Loads the newest checkpoint where there is one; returns the number of steps done."""
    newest = check_resume(arguments, steps)
    if newest is None:
        return 0
    step = load_checkpoint(
        newest, accelerator=accelerator, modules=modules, optimizer=optimizer, scheduler=scheduler, data=data
    )
    record.go_on_from(newest)
    logger.info("going on from %s", newest)
    return step


def to_device(batch: Any, device: torch.device) -> Any:
    """Moves the tensors of a nested batch, without waiting."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    return batch


def _compile(model: nn.Module) -> None:
    """A metric model's heads group images by domain, which would compile anew for every mixture: its encoder alone."""
    core = getattr(model, "core", None)
    (model if core is None else cast(nn.Module, core.backbone)).compile()


def _activation_checkpointing(model: nn.Module) -> None:
    """Newer transformers call it activation checkpointing, older ones gradient checkpointing."""
    enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
