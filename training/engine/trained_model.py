"""The model of a run in all its forms (bare, wrapped for DDP or FSDP, averaged), with its optimizer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from semidepth.training.engine.optimization import average_weights
from semidepth.training.engine.sharding import evaluation_model, prepare
from semidepth.training.options.run import RunOptions

OptimizerAndSchedule = tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]


@dataclass
class TrainedModel:
    """A model in training, with its optimizer.

    Args:
        bare: the model itself.
        wrapped: the model that a training step calls; it averages gradients over processes.
        whole: the model for evaluation: the bare one or, where FSDP shards the weights, a whole copy.
        average: exponential moving average of the weights; None without --ema_decay.
        optimizer: over the wrapped model's parameters.
        scheduler: of the learning rates, stepped once per update.
    """

    bare: nn.Module
    wrapped: nn.Module
    whole: nn.Module
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler

    def modules(self) -> dict[str, nn.Module]:
        """Returns the modules that a checkpoint saves, by name."""
        return {"model": self.bare} | ({} if self.average is None else {"average": self.average})

    def evaluation_model(self) -> nn.Module:
        """Returns the model to validate, draw and save, in evaluation mode; call it in every process."""
        return evaluation_model(self.whole, self.bare) if self.average is None else self.average.module.eval()


def prepare_model(
    model: nn.Module,
    make_optimizer: Callable[[nn.Module], OptimizerAndSchedule],
    options: RunOptions,
    accelerator: Accelerator,
) -> TrainedModel:
    """Moves a model to the device, makes its optimizer, and wraps both for the run's processes and options."""
    if options.activation_checkpointing:
        _activation_checkpointing(model)
    model.to(accelerator.device)
    optimizer, scheduler = make_optimizer(model)
    average = average_weights(model, options.ema_decay) if options.ema_decay else None
    if options.compile:
        _compile(model)
    wrapped, optimizer, whole = prepare(accelerator, model, optimizer)
    return TrainedModel(model, wrapped, whole, average, optimizer, scheduler)


def _compile(model: nn.Module) -> None:
    """Compiles a model; of a metric model only the encoder, since its heads would recompile for each mix of domains."""
    core = getattr(model, "core", None)
    (model if core is None else cast(nn.Module, core.backbone)).compile()


def _activation_checkpointing(model: nn.Module) -> None:
    """Switches on activation checkpointing, which older transformers call gradient checkpointing."""
    enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
