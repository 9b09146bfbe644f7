"""Optimizer, schedule and weight averaging: two learning rates, linear warm-up and decay, optional EMA; attention."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import PreTrainedModel

# Up to here the attention matrix is so small that not storing it gains nothing.
FEW_TOKENS = 400


def parameter_groups(
    model: nn.Module,
    *,
    encoder_prefix: str,
    learning_rate: float,
    decoder_lr_factor: float,
    weight_decay: float,
) -> list[dict]:
    """Splits trainable parameters by encoder or decoder, and by whether they decay.

    The paper's decoder learns 10 times as fast as its pretrained encoder (arXiv 2401.10891, section 4). Biases and
    norms do not decay (assumption; the paper is silent).

    Args:
        model: the model.
        encoder_prefix: how the names of the encoder's parameters begin.
        learning_rate: the encoder's.
        decoder_lr_factor: the decoder's rate over the encoder's.
        weight_decay: of matrices and kernels.

    Returns:
        Up to four groups for an optimizer, with a `name` each.
    """
    groups: dict[str, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        encoder = name.startswith(encoder_prefix)
        decays = parameter.ndim > 1
        key = f"{'encoder' if encoder else 'decoder'}{'' if decays else '_no_decay'}"
        group = groups.setdefault(
            key,
            {
                "name": key,
                "params": [],
                "lr": learning_rate * (1 if encoder else decoder_lr_factor),
                "weight_decay": weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def average_weights(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a model's weights, updated with `update_parameters(model)`."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=False).requires_grad_(False)


def choose_attention(model: PreTrainedModel, tokens: int, device: torch.device) -> None:
    """Plain attention instead of the fused kernel, on a CPU with few tokens, where it is the faster one.

    A step of the built-in student (24 images of 144 patches, bfloat16) took 0.39 s with it and 0.51 s with torch's
    fused CPU kernel (torch 2.15), whose backward pass is the slow part.

    Args:
        model: changed in place; it computes the same function.
        tokens: patches per image.
        device: where the model is going to run.
    """
    if device.type == "cpu" and tokens <= FEW_TOKENS and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("eager")


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Current rate of encoder and decoder, for the log."""
    rates = {group["name"].removesuffix("_no_decay"): group["lr"] for group in optimizer.param_groups}
    return {f"learning_rate/{name}": rate for name, rate in rates.items()}
