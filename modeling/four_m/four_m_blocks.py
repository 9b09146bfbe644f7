"""Blocks of 4M's encoder and decoder, under the names of apple/ml-4m."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer


def norm(width: int, config: Any) -> nn.LayerNorm:
    """Returns a layer norm as the configuration has them."""
    return nn.LayerNorm(width, eps=config.layer_norm_eps, bias=config.norm_bias)


class Mlp(nn.Module):
    """Two layers with a GELU, or SwiGLU of three."""

    def __init__(self, config: Any):
        super().__init__()
        width, hidden = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
        hidden = int(2 * hidden / 3) if config.gated_mlp else hidden
        self.fc1 = nn.Linear(width, hidden, bias=config.mlp_bias)
        self.fc2 = nn.Linear(hidden, width, bias=config.mlp_bias)
        self.fc3 = nn.Linear(width, hidden, bias=config.mlp_bias) if config.gated_mlp else None

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, N, C) to the same."""
        if self.fc3 is None:
            return self.fc2(F.gelu(self.fc1(tokens)))
        return self.fc2(F.silu(self.fc1(tokens)) * self.fc3(tokens))


class Attention(nn.Module):
    """Attention of tokens to themselves, or to a context."""

    def __init__(self, config: Any, *, to_context: bool = False):
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        if to_context:
            self.q = nn.Linear(width, width, bias=config.qkv_bias)
            self.kv = nn.Linear(width, 2 * width, bias=config.qkv_bias)
        else:
            self.qkv = nn.Linear(width, 3 * width, bias=config.qkv_bias)
        self.proj = nn.Linear(width, width, bias=config.proj_bias)
        joined: Any = self.kv if to_context else self.qkv
        joined.parts = 2 if to_context else 3  # drawn each for itself
        self.q_norm = norm(width // self.heads, config) if config.qk_norm else nn.Identity()
        self.k_norm = norm(width // self.heads, config) if config.qk_norm else nn.Identity()

    def keys_and_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a context, each (B, heads, M, C / heads): the same for every step of a generation."""
        key, value = self._split(self.kv(context), 2)
        return self.k_norm(key), value

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        context: tuple[Tensor, Tensor] | None = None,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Attends.

        Args:
            tokens: (B, N, C).
            mask: (B, 1, N or 1, M) true where a token may look; None: everywhere.
            context: keys and values by [`keys_and_values`]; None: of the tokens themselves.
            past: keys and values of earlier tokens, which come first.

        Returns:
            (B, N, C), and the keys and values that were attended to.
        """
        if context is None:
            query, key, value = self._split(self.qkv(tokens), 3)
            key = self.k_norm(key)
            if past is not None:
                key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        else:
            (query,), (key, value) = self._split(self.q(tokens), 1), context
        attended = F.scaled_dot_product_attention(self.q_norm(query), key, value, attn_mask=mask)
        return self.proj(attended.transpose(1, 2).flatten(2)), (key, value)

    def _split(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        batch, count, _ = projected.shape
        return projected.view(batch, count, parts, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


class EncoderBlock(GradientCheckpointingLayer):
    """Self-attention and an MLP."""

    def __init__(self, config: Any):
        super().__init__()
        self.norm1 = norm(config.hidden_size, config)
        self.attn = Attention(config)
        self.norm2 = norm(config.hidden_size, config)
        self.mlp = Mlp(config)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Maps (B, S, C) to the same; the mask as in [`Attention`]."""
        tokens = tokens + self.attn(self.norm1(tokens), mask)[0]
        return tokens + self.mlp(self.norm2(tokens))


class DecoderBlock(GradientCheckpointingLayer):
    """Self-attention among targets, attention to the encoder's tokens, and an MLP."""

    def __init__(self, config: Any):
        super().__init__()
        self.norm1 = norm(config.hidden_size, config)
        self.self_attn = Attention(config)
        self.query_norm = norm(config.hidden_size, config)
        self.context_norm = norm(config.hidden_size, config)
        self.cross_attn = Attention(config, to_context=True)
        self.norm2 = norm(config.hidden_size, config)
        self.mlp = Mlp(config)

    def read(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the keys and values that this block takes of the encoder's (B, S, C)."""
        return self.cross_attn.keys_and_values(self.context_norm(context))

    def forward(self, tokens: Tensor, context: Tensor, mask: Tensor, context_mask: Tensor) -> Tensor:
        """Maps (B, T, C) to the same; the masks as in [`Attention`]."""
        return self.step(tokens, self.read(context), mask, context_mask)[0]

    def step(
        self,
        tokens: Tensor,
        context: tuple[Tensor, Tensor],
        mask: Tensor | None,
        context_mask: Tensor,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """[`forward`] with the context already read and the keys and values of earlier tokens; gives them back."""
        attended, kept = self.self_attn(self.norm1(tokens), mask, past=past)
        tokens = tokens + attended
        tokens = tokens + self.cross_attn(self.query_norm(tokens), context_mask, context)[0]
        return tokens + self.mlp(self.norm2(tokens)), kept


__all__ = ["Attention", "DecoderBlock", "EncoderBlock", "Mlp", "norm"]
