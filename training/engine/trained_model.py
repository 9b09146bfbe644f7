"""The model of a run in its several forms: bare, wrapped for the processes there are, averaged; with its optimizer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from semidepth.training.engine.optimization import average_weights
from semidepth.training.engine.sharding import look_at, prepare
from semidepth.training.options.run import RunOptions

OptimizerAndSchedule = tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]


@dataclass
class TrainedModel:
    """A model that is trained.

    Args:
        bare: the model itself.
        wrapped: what a training step calls: it brings the gradients of several processes together.
        whole: what is looked at outside of training, once it is up to date: the bare one, or a copy where FSDP deals
            out the weights.
        average: moving average of the weights, where that is asked for.
        optimizer: of the wrapped model's parameters.
        scheduler: of its rates, stepped once per update.
    """

    bare: nn.Module
    wrapped: nn.Module
    whole: nn.Module
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler

    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds of the weights."""
        return {"model": self.bare} | ({} if self.average is None else {"average": self.average})

    def shown(self) -> nn.Module:
        """The model to validate, draw and save, in evaluation mode; every process calls it."""
        return look_at(self.whole, self.bare) if self.average is None else self.average.module.eval()


def prepare_model(
    model: nn.Module,
    make_optimizer: Callable[[nn.Module], OptimizerAndSchedule],
    options: RunOptions,
    accelerator: Accelerator,
) -> TrainedModel:
    """Brings a model to the device and wraps it, as the options and the processes want it."""
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
    """A metric model's heads group images by domain, which would compile anew for every mixture: its encoder alone."""
    core = getattr(model, "core", None)
    (model if core is None else cast(nn.Module, core.backbone)).compile()


def _activation_checkpointing(model: nn.Module) -> None:
    """Newer transformers call it activation checkpointing, older ones gradient checkpointing."""
    enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
