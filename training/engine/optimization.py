"""Optimizers, learning rate schedules, weight averaging, and the choice of the attention kernel."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

from semidepth.training.options.metric import MetricOptions
from semidepth.training.options.run import RelativeOptions

# Up to this many tokens the attention matrix is small enough to be kept, and a fused kernel saves no time.
FEW_TOKENS = 800


def parameter_groups(model: nn.Module, rates: dict[str, tuple[str, float]], *, weight_decay: float) -> list[dict]:
    """Splits trainable parameters into optimizer groups by learning rate and weight decay.

    Biases and norms get no weight decay (assumption).

    Args:
        model: the model.
        rates: group name -> (prefix of its parameters' names, learning rate); the first matching prefix counts, so ""
            comes last.
        weight_decay: weight decay of matrices and convolution kernels.

    Returns:
        Parameter groups for an optimizer, each with a `name`.
    """
    groups: dict[str, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        group_name, rate = next((group, rate) for group, (prefix, rate) in rates.items() if name.startswith(prefix))
        decays = parameter.ndim > 1
        key = group_name if decays else f"{group_name}_no_decay"
        group = groups.setdefault(
            key, {"name": key, "params": [], "lr": rate, "weight_decay": weight_decay if decays else 0.0}
        )
        group["params"].append(parameter)
    return list(groups.values())


def relative_optimizer(
    model: nn.Module, steps: int, *, options: RelativeOptions
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Returns AdamW with linear warm-up and decay for a relative model (arXiv 2401.10891, section 4).

    The decoder's learning rate is the encoder's times `decoder_lr_factor`, 10 by default as in the paper.
    """
    rates = {
        "encoder": ("backbone.", options.learning_rate),
        "decoder": ("", options.learning_rate * options.decoder_lr_factor),
    }
    optimizer = torch.optim.AdamW(parameter_groups(model, rates, weight_decay=options.weight_decay))
    warmup = min(options.warmup_steps, steps // 2)
    return optimizer, get_linear_schedule_with_warmup(optimizer, warmup, steps)


def metric_optimizer(
    model: nn.Module, steps: int, *, options: MetricOptions
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Returns AdamW with ZoeDepth's one-cycle schedule for a metric model (arXiv 2302.12288, released configuration).

    The learning rate stays at its peak for 70 % of the steps, then falls to a 10,000th of it. Encoder, core and router
    have lower or equal peaks, by the options' factors.
    """
    peak = options.learning_rate
    encoder, core = (peak * factor for factor in (options.encoder_lr_factor, options.core_lr_factor))
    routed = options.metric_head == "bins"
    rates = {"encoder": ("core.backbone." if routed else "backbone.", encoder)}
    if routed:
        rates |= {"core": ("core.", core), "router": ("router.", peak * options.router_lr_factor)}
    rates["heads"] = ("", peak)
    groups = parameter_groups(model, rates, weight_decay=options.weight_decay)
    optimizer = torch.optim.AdamW(groups)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in groups],
        total_steps=steps + 1,  # so that the last update still has a rate above the final one
        pct_start=0.7,
        div_factor=1,
        final_div_factor=1e4,
        base_momentum=0.85,
        max_momentum=0.95,
    )
    return optimizer, scheduler


def average_weights(model: nn.Module, decay: float) -> AveragedModel:
    """Returns an exponential moving average of a model's weights, updated with `update_parameters(model)`."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=False).requires_grad_(False)


def choose_attention(model: PreTrainedModel, tokens: int, device: torch.device) -> None:
    """Switches a model to plain attention where it is faster than the fused kernel: on a CPU with few tokens.

    A step of the built-in student (24 images of 144 patches, bfloat16) took 0.39 s with plain attention and 0.51 s with
    torch's fused CPU kernel (torch 2.15), whose backward pass is slow; one of ViT-S (4 images of 784 patches, one
    thread) 5.1 s and 6.2 s. With more patches the matrices that plain attention keeps take too much memory.

    Args:
        model: changed in place; it computes the same function.
        tokens: patches per image.
        device: the device that the model will run on.
    """
    if device.type == "cpu" and tokens <= FEW_TOKENS and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("eager")


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Returns the current learning rate of each group, for the log."""
    rates = {group["name"].removesuffix("_no_decay"): group["lr"] for group in optimizer.param_groups}
    return {f"learning_rate/{name}": rate for name, rate in rates.items()}
