"""The training loop of all commands: batch, losses, backward, clip, update, log, checkpoint, validate, save."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from semidepth.common.locks import release_folder
from semidepth.publishing.pusher import Pusher
from semidepth.training.engine.checkpoints import save_checkpoint
from semidepth.training.engine.loss_window import Losses, LossWindow
from semidepth.training.engine.optimization import learning_rates
from semidepth.training.engine.resuming import how_to_resume, resume, setting_of
from semidepth.training.engine.run_record import RunRecord
from semidepth.training.engine.saving import BestWeights, Rank
from semidepth.training.engine.sharding import gather
from semidepth.training.engine.step_data import Batch, StepData
from semidepth.training.engine.tracking import Tracking
from semidepth.training.engine.trained_model import OptimizerAndSchedule, TrainedModel, prepare_model
from semidepth.training.options.run import RunOptions

logger = logging.getLogger(__name__)

ComputeLosses = Callable[[nn.Module, Batch], Losses]


def train_step(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    batch: Batch,
    compute_losses: ComputeLosses,
    max_grad_norm: float,
) -> tuple[Losses, Tensor | None]:
    """Runs one micro-batch: losses, backward pass and, once enough gradients are accumulated, clipping and update.

    Returns:
        The losses of this micro-batch and, if it ended in an update, the gradient norm before clipping; both stay on
        the device. With float16 the norm is None: infinite gradients are normal there, and the scaler skips the update.
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
    """Functions that the loop calls with the model in evaluation mode.

    `validate` returns scores to log, `preview` draws predictions, `save` writes the model into a folder. `rank` makes
    one number of the scores, lower is better, by which the best weights are kept; None keeps the last ones.
    """

    validate: Callable[[nn.Module], dict[str, float]]
    preview: Callable[[nn.Module, Tracking, int], None]
    save: Callable[[nn.Module, Path], None]
    rank: Rank | None = None


def train(
    options: RunOptions,
    *,
    name: str,
    steps: int,
    accelerator: Accelerator,
    model: nn.Module,
    make_optimizer: Callable[[nn.Module, int], OptimizerAndSchedule],
    data: StepData,
    compute_losses: ComputeLosses,
    hooks: Hooks,
    pusher: Pusher,
) -> dict[str, Any]:
    """Trains a model for a number of updates and saves it.

    Args:
        options: the command's options.
        name: the command's name, for the progress bar and the log.
        steps: number of updates.
        accelerator: made with the options' precision, accumulation and tracker.
        model: on the CPU or the device; trainable parameters have `requires_grad`.
        make_optimizer: (model, steps) -> optimizer and its schedule, which is stepped once per update.
        data: endless micro-batches of this process, on the CPU.
        compute_losses: (wrapped model, batch on the device) -> losses.
        hooks: validation, previews and saving.
        pusher: uploads the model at checkpoints; the calling command uploads the final model.

    Returns:
        Final validation scores, mean losses since the last log line, and `run`, the run record (see [`RunRecord`]).

    Raises:
        NonFiniteLossError: if a loss term or the gradient is not finite; nothing is saved from then on.
        ValueError: if the output folder has a checkpoint that this run cannot resume from.
    """
    record = RunRecord(accelerator, accelerator.mixed_precision, options)
    pusher.known |= {"run": record.setting()}
    trained = prepare_model(model, lambda model: make_optimizer(model, steps), options, accelerator)
    start = resume(options, steps, accelerator, trained, data, record)
    best = BestWeights(Path(options.output_dir), hooks.rank, resumed=start, writes=accelerator.is_main_process)
    tracking = Tracking(accelerator, options, name=name, steps=steps, start=start)
    run = _Run(options, steps, accelerator, trained, data, compute_losses, hooks, pusher, record, tracking, best)
    try:
        run.go_on_from(start)
    except KeyboardInterrupt:
        pusher.abandon()
        raise KeyboardInterrupt(how_to_resume(Path(options.output_dir))) from None
    except BaseException:
        pusher.abandon()
        raise
    finally:
        tracking.close()
        release_folder(Path(options.output_dir))
    accelerator.wait_for_everyone()
    return run.results | {"run": record.values()}


@dataclass
class _Run:
    """The state of one call of [`train`], with a method for each phase of a step."""

    options: RunOptions
    steps: int
    accelerator: Accelerator
    trained: TrainedModel
    data: StepData
    compute_losses: ComputeLosses
    hooks: Hooks
    pusher: Pusher
    record: RunRecord
    tracking: Tracking
    best: BestWeights
    window: LossWindow = field(default_factory=LossWindow)
    results: dict[str, Any] = field(default_factory=dict)

    def go_on_from(self, start: int) -> None:
        """Runs all steps after the first `start`, and leaves the results in `results`."""
        if start == self.steps:  # the earlier run was stopped after its last checkpoint, before its end
            self.show(start)
        for step in range(start + 1, self.steps + 1):
            self.update(step)
            if self.is_logged(step):
                self.log(step)  # first, since it raises on losses that are not finite, before anything is saved
            self.show(step)
            if self.is_due(step, self.options.checkpoint_every):
                self.save_checkpoint(step)  # last, since a run that resumes from here does not validate this step again
        self.results |= self.best.finish(self.results, self.steps)

    def is_due(self, step: int, every: int) -> bool:
        """Returns true at every `every`-th step and at the last one; always false when `every` is 0."""
        return every > 0 and (step == self.steps or step % every == 0)

    def update(self, step: int) -> None:
        """Runs one update of the weights, over `gradient_accumulation_steps` micro-batches."""
        trained = self.trained
        trained.bare.train()
        for _ in range(self.options.gradient_accumulation_steps):
            batch, waited_s = _next_batch(self.data, self.accelerator.device)
            losses, norm = train_step(
                self.accelerator, trained.wrapped, trained.optimizer, trained.scheduler, batch, self.compute_losses,
                self.options.max_grad_norm,
            )  # fmt: skip
            self.window.add(step, losses, norm)
            self.tracking.advance(losses.images, waited_s)
        if trained.average is not None:
            trained.average.update_parameters(trained.bare)
        self.tracking.bar.update(1)

    def log(self, step: int) -> None:
        """Logs the mean losses since the last call; raises NonFiniteLossError if one is not finite."""
        means = mean_over_processes(self.accelerator, self.window.close())
        speed = self.tracking.log_step(step, means | learning_rates(self.trained.optimizer))
        self.results |= means | speed

    def save_checkpoint(self, step: int) -> None:
        """Saves a checkpoint to resume from and, with --push_to_hub, starts an upload of the model."""
        save_checkpoint(
            Path(self.options.output_dir), accelerator=self.accelerator, step=step, modules=self.trained.modules(),
            optimizer=self.trained.optimizer, data=self.data, keep=self.options.keep_checkpoints,
            setting=setting_of(self.options), run=self.record.values(),
        )  # fmt: skip
        if self.options.push_to_hub is not None and step < self.steps:
            self.pusher.offer(step, partial(self.hooks.save, self.trained.evaluation_model()))

    def is_logged(self, step: int) -> bool:
        """Returns true at steps whose losses are logged, and where anything is saved or looked at."""
        options = self.options
        every = (options.log_every, options.preview_every, options.checkpoint_every, options.validate_every)
        return any(self.is_due(step, number) for number in every)

    def show(self, step: int) -> None:
        """Draws previews and validates where that is due; saves the model after the last step."""
        preview = self.is_due(step, self.options.preview_every)
        validate = step == self.steps or self.is_due(step, self.options.validate_every)
        if not (preview or validate):
            return
        model = self.trained.evaluation_model()
        if step == self.steps and self.accelerator.is_main_process:
            self.hooks.save(model, Path(self.options.output_dir))
        if preview:
            self.hooks.preview(model, self.tracking, step)
        if validate:
            scores = _validate(self.hooks, model, self.tracking, step)
            self.results |= scores
            self.best.offer(step, scores, partial(self.hooks.save, model))


def _next_batch(data: StepData, device: torch.device) -> tuple[Batch, float]:
    """Returns the next micro-batch on the device and the seconds spent waiting for it."""
    asked = time.perf_counter()
    batch = next(data)
    return to_device(batch, device), time.perf_counter() - asked


def mean_over_processes(accelerator: Accelerator, values: dict[str, float]) -> dict[str, float]:
    """Returns the means over all processes; call it in every process, with the same names."""
    if accelerator.num_processes == 1:
        return values
    local = torch.tensor(list(values.values()), dtype=torch.float64, device=accelerator.device)
    means = cast(Tensor, accelerator.reduce(local, "mean")).tolist()
    return dict(zip(values, means, strict=True))


def _validate(hooks: Hooks, model: nn.Module, tracking: Tracking, step: int) -> dict[str, float]:
    scores = hooks.validate(model)
    if scores:
        tracking.log(step, scores)
        shown = ("abs_rel", "delta1", "router_accuracy", "miou@1", "miou@3", "oracle@1", "/box")
        text = ", ".join(f"{name} {value:.4f}" for name, value in scores.items() if name.endswith(shown))
        logger.info("step %d: %s", step, text)
    return scores


def to_device(batch: Any, device: torch.device) -> Any:
    """Returns a nested batch with its tensors on the device, copied without waiting."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    return batch
