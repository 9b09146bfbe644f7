"""FSDP2: each process keeps a piece of the weights; here they are made whole for files and for looking at.

accelerate shards the model (its `fsdp_version: 2` configs). Checkpoints hold whole tensors, so that they do not depend
on how many processes wrote them, or on whether the weights were dealt out at all.
"""

import copy
import os
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from semidepth.training.options.run import RunOptions

CONFIG = "training/configs/accelerate/fsdp2.yaml"


def prepare_sharding(accelerator: Accelerator, options: RunOptions, *, find_unused_parameters: bool) -> None:
    """Checks that a run's options go with FSDP2, where that is asked for, and leaves precision to autocast.

    Args:
        accelerator: just made.
        options: of the command.
        find_unused_parameters: whether some weights get no gradient on some processes.

    Raises:
        ValueError: naming the option or setting that does not go with it.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return
    if not accelerator.is_fsdp2:
        # accelerate takes DDP on CPUs, and one process as it is, without a word.
        raise ValueError(
            f"FSDP is asked for but cannot be had here ({accelerator.distributed_type}); take fsdp_version 2 and GPUs "
            f"({CONFIG}), or launch without FSDP."
        )
    plugin = accelerator.state.fsdp_plugin
    if plugin.cpu_ram_efficient_loading:
        raise ValueError(
            "fsdp_cpu_ram_efficient_loading is on, which leaves teacher and frozen encoder unloaded on all processes "
            f"but one; set it to false as {CONFIG} has it."
        )
    if options.ema_decay:
        raise ValueError("--ema_decay averages whole weights and FSDP deals them out; leave one of the two out.")
    if options.compile:
        raise ValueError("--compile takes the model whole and FSDP deals it out; leave one of the two out.")
    if find_unused_parameters:
        raise ValueError(
            "heads without images on a process have no gradient there, which FSDP cannot do; launch without FSDP."
        )
    # accelerate would compute and reduce gradients in the low precision throughout; autocast alone gives DDP's numbers.
    plugin.mixed_precision_policy = MixedPrecisionPolicy()


def prepare(
    accelerator: Accelerator, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module]:
    """Wraps model and optimizer for the processes there are.

    Args:
        accelerator: of the run.
        model: on the device.
        optimizer: of its parameters.

    Returns:
        The model to train, its optimizer, and a model to look at outside of training: the bare one, or with FSDP a
        whole copy, which [`look_at`] brings up to date. Processes may run it as often as each likes.
    """
    if not accelerator.is_fsdp2:
        wrapped, optimizer = accelerator.prepare(model, optimizer)
        if isinstance(wrapped, DistributedDataParallel):
            # No buffer of ours changes while a model trains: sent round once, by the wrapping, and not at every step.
            wrapped.broadcast_buffers = False
        return wrapped, optimizer, model
    whole = copy.deepcopy(model).requires_grad_(False)
    # accelerate gives a language model's embedding a group of its own; an image model has none and raises.
    cast(Any, model).get_input_embeddings = lambda: None
    return *accelerator.prepare(model, optimizer), whole


@torch.no_grad()
def look_at(whole: nn.Module, model: nn.Module) -> nn.Module:
    """The model to look at, in evaluation mode, with the present weights; every process calls it."""
    if whole is not model:
        current = whole.state_dict()
        for name, tensor in model.state_dict().items():
            current[name].copy_(gather(tensor))
    return whole.eval()


def gather(tensor: Tensor) -> Tensor:
    """A tensor made whole from its pieces; every process calls it. One that is whole already stays as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def deal_like(tensor: Tensor, like: Tensor | None) -> Tensor:
    """This process's piece of a whole tensor that all processes have, cut as `like` is; whole where that is whole."""
    if isinstance(like, DTensor) and like.shape == tensor.shape:
        tensor = tensor.to(like.device_mesh.device_type)
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor
