"""FSDP2: wrapping a model for sharded training, and gathering its weights for checkpoints and evaluation.

accelerate shards the model (`fsdp_version: 2` in its configuration). Checkpoints hold whole tensors, so any number of
processes can load them, with or without FSDP.
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
    """Checks that a run's options work with FSDP2, if it is on, and switches off FSDP's own mixed precision.

    Args:
        accelerator: the run's accelerator, before it prepared a model.
        options: the command's options.
        find_unused_parameters: true if some weights may get no gradient on some process.

    Raises:
        ValueError: naming the option or setting that does not work with FSDP2.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return
    if not accelerator.is_fsdp2:
        # Without GPUs, accelerate falls back to DDP or a single process and gives no warning.
        raise ValueError(
            f"FSDP was requested but accelerate chose {accelerator.distributed_type}; use fsdp_version 2 on GPUs "
            f"({CONFIG}), or launch without FSDP."
        )
    plugin = accelerator.state.fsdp_plugin
    if plugin.cpu_ram_efficient_loading:
        raise ValueError(
            "fsdp_cpu_ram_efficient_loading is on, which loads teacher and frozen encoder in one process only; set it "
            f"to false as in {CONFIG}."
        )
    if options.ema_decay:
        raise ValueError("--ema_decay needs whole weights and FSDP shards them; drop --ema_decay or FSDP.")
    if options.compile:
        raise ValueError("--compile needs the whole model and FSDP shards it; drop --compile or FSDP.")
    if find_unused_parameters:
        raise ValueError(
            "FSDP needs a gradient for every weight, and a metric head without images in a batch has none; launch "
            "without FSDP."
        )
    # accelerate would also reduce gradients in the low precision; with autocast alone the results equal DDP's.
    plugin.mixed_precision_policy = MixedPrecisionPolicy()


def prepare(
    accelerator: Accelerator, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module]:
    """Wraps model and optimizer for one process, DDP or FSDP.

    Args:
        accelerator: the run's accelerator.
        model: on the device.
        optimizer: over its parameters.

    Returns:
        The wrapped model to train, its optimizer, and the model to evaluate: the bare model itself or, with FSDP, a
        whole copy that [`evaluation_model`] updates. Each process may call that one on its own.
    """
    if not accelerator.is_fsdp2:
        wrapped, optimizer = accelerator.prepare(model, optimizer)
        if isinstance(wrapped, DistributedDataParallel):
            # Our buffers do not change in training; wrapping has broadcast them once, no step needs to do it again.
            wrapped.broadcast_buffers = False
        return wrapped, optimizer, model
    whole = copy.deepcopy(model).requires_grad_(False)
    # accelerate shards a language model's embedding separately and asks for it; an image model would raise here.
    cast(Any, model).get_input_embeddings = lambda: None
    return *accelerator.prepare(model, optimizer), whole


@torch.no_grad()
def evaluation_model(whole: nn.Module, model: nn.Module) -> nn.Module:
    """Returns `whole` in evaluation mode with the current weights of `model`; call it in every process."""
    if whole is not model:
        current = whole.state_dict()
        for name, tensor in model.state_dict().items():
            current[name].copy_(gather(tensor))
    return whole.eval()


def gather(tensor: Tensor) -> Tensor:
    """Returns a sharded tensor as a whole one; other tensors are returned unchanged. Call it in every process."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, like: Tensor | None) -> Tensor:
    """Shards a whole tensor, which all processes have, as `like` is sharded; unchanged if `like` is not sharded."""
    if isinstance(like, DTensor) and like.shape == tensor.shape:
        tensor = tensor.to(like.device_mesh.device_type)
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor


def whole_tensors(state: dict[str, torch.Tensor], keep: bool) -> dict[str, torch.Tensor]:
    """Gathers tensors one by one, in all processes; returns contiguous copies on the CPU where `keep` is true.

    Copies, since safetensors refuses shared and non-contiguous tensors.
    """
    kept = {}
    for name, tensor in state.items():
        whole = gather(tensor.detach())
        if keep:
            kept[name] = whole.to("cpu", copy=True, memory_format=torch.contiguous_format)
    return kept


def split_optimizer(state: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Splits an optimizer's state into named tensors and groups that fit JSON."""
    tensors = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            tensors[f"{index}.{name}"] = torch.as_tensor(value)
    return tensors, state["param_groups"]


def join_optimizer(
    tensors: dict[str, torch.Tensor], groups: list[dict], parameters: list[torch.Tensor]
) -> dict[str, Any]:
    """Joins what [`split_optimizer`] gave into an optimizer's state, sharded as its parameters are."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        like = parameters[int(index)] if int(index) < len(parameters) else None
        state.setdefault(int(index), {})[name] = shard_like(tensor, like)
    return {"state": state, "param_groups": groups}
