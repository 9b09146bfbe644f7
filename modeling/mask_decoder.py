"""Mask decoder: two-way attention between prompts and image, and a mask for each output token.

The function is stock SAM's (arXiv 2304.02643, appendix A), and so are the parameter names, so that weights go back and
forth. What is our own: objects of several images in one batch, padded prompts masked out, finer maps of the core added
while the image is scaled up (as in SAM 2), and the last product in float32.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.utils import ModelOutput

from .configuration_prompted_mask import PromptedMaskConfig
from .mask_layers import ACTIVATION_GAIN, Attention, ChannelNorm, FeedForward, Mlp, start_with

# Scores begin close to one value.
SCORE_GAIN = 0.1


@dataclass
class PromptedMaskOutput(ModelOutput):
    """Output of the mask model; B images, P objects each, M masks each, on a grid of h x w patches.

    Args:
        loss: scalar float32, the mean over objects; only with `labels`.
        pred_masks: (B, P, M, 4h, 4w) float32 logits, above 0 on the object; only with prompts.
        iou_scores: (B, P, M) float32, each mask's predicted IoU with the truth; not bounded.
        predicted_depth: (B, H, W) float32 in the core's unit: inverse depth of a student, metres of a metric model;
            only with `output_depth=True`.
        image_embeddings: (B, C, h, w), to be given again for further prompts.
        intermediate_embeddings: the core's finer maps, (B, C / 4, 2h, 2w) and (B, C / 8, 4h, 4w), to be given again,
            too; only with `config.fine_features`.
    """

    loss: Tensor | None = None
    pred_masks: Tensor | None = None
    iou_scores: Tensor | None = None
    predicted_depth: Tensor | None = None
    image_embeddings: Tensor | None = None
    intermediate_embeddings: list[Tensor] | None = None


class TwoWayLayer(nn.Module):
    """Tokens attend to themselves and to the image, and the image to the tokens."""

    def __init__(self, config: PromptedMaskConfig, first: bool):
        super().__init__()
        width, heads, downsample = config.hidden_size, config.num_attention_heads, config.attention_downsample_rate
        self.first = first
        self.self_attn = Attention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width, eps=1e-6)
        self.cross_attn_token_to_image = Attention(width, heads, downsample)
        self.layer_norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, config.mlp_dim)
        self.layer_norm3 = nn.LayerNorm(width, eps=1e-6)
        self.layer_norm4 = nn.LayerNorm(width, eps=1e-6)
        self.cross_attn_image_to_token = Attention(width, heads, downsample)

    def forward(
        self, queries: Tensor, keys: Tensor, tokens: Tensor, positions: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Updates tokens and image.

        Args:
            queries: (O, T, C) tokens so far.
            keys: (O, h * w, C) image so far.
            tokens: (O, T, C) tokens as they came; they say where.
            positions: (h * w, C) of the image's cells.
            known: (O, T) bool, False for padding.
        """
        if self.first:  # as stock: here the tokens are their own positions, and nothing is added to
            queries = self.self_attn(queries, queries, queries, known)
        else:
            placed = queries + tokens
            queries = queries + self.self_attn(placed, placed, queries, known)
        queries = self.layer_norm1(queries)
        queries = queries + self.cross_attn_token_to_image(queries + tokens, keys + positions, keys)
        queries = self.layer_norm2(queries)
        queries = self.layer_norm3(queries + self.mlp(queries))
        keys = keys + self.cross_attn_image_to_token(keys + positions, queries + tokens, queries, known)
        return queries, self.layer_norm4(keys)


class TwoWayTransformer(nn.Module):
    """The two-way layers, and a last look of the tokens at the image."""

    def __init__(self, config: PromptedMaskConfig):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(config, index == 0) for index in range(config.num_hidden_layers))
        self.final_attn_token_to_image = Attention(
            config.hidden_size, config.num_attention_heads, config.attention_downsample_rate
        )
        self.layer_norm_final_attn = nn.LayerNorm(config.hidden_size)

    def forward(self, tokens: Tensor, image: Tensor, positions: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """(O, T, C) tokens and (O, h * w, C) image, updated."""
        queries, keys = tokens, image
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, positions, known)
        queries = queries + self.final_attn_token_to_image(queries + tokens, keys + positions, keys)
        return self.layer_norm_final_attn(queries), keys


class MaskDecoder(nn.Module):
    """Masks and their scores."""

    def __init__(self, config: PromptedMaskConfig):
        super().__init__()
        width = config.hidden_size
        self.masks = config.num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(self.masks, width)
        self.transformer = TwoWayTransformer(config)
        self.upscale_conv1 = nn.ConvTranspose2d(width, width // 4, kernel_size=2, stride=2)
        self.upscale_conv2 = start_with(
            nn.ConvTranspose2d(width // 4, width // 8, kernel_size=2, stride=2), ACTIVATION_GAIN
        )
        self.upscale_layer_norm = ChannelNorm(width // 4)
        # Fresh logits are about 1 in size: a sum over width / 8 products.
        gain = 2 / math.sqrt(width // 8)
        self.output_hypernetworks_mlps = nn.ModuleList(
            FeedForward(width, width, width // 8, 3, gain) for _ in range(self.masks)
        )
        self.iou_prediction_head = FeedForward(
            width, config.iou_head_hidden_dim, self.masks, config.iou_head_depth, SCORE_GAIN
        )

    def forward(
        self,
        image: Tensor,
        positions: Tensor,
        prompts: Tensor,
        known: Tensor,
        fine: list[Tensor] | None,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decodes O objects.

        Args:
            image: (O, C, h, w) image embedding with the dense prompt added.
            positions: (h * w, C).
            prompts: (O, T, C) tokens.
            known: (O, T) bool, False for padding.
            fine: (O, C / 4, 2h, 2w) and (O, C / 8, 4h, 4w) to add; None: nothing.
            multimask: the candidates for an ambiguous prompt; False: the one mask for a prompt that is not.

        Returns:
            (O, M, 4h, 4w) float32 logits, (O, M) float32 scores.
        """
        objects, _, height, width = image.shape
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(objects, -1, -1)
        tokens = torch.cat([own, prompts.to(own.dtype)], 1)
        known = torch.cat([known.new_ones(objects, own.shape[1]), known], 1)
        tokens, cells = self.transformer(tokens, image.flatten(2).transpose(1, 2), positions, known)
        coarse, finest = fine if fine is not None else (0.0, 0.0)
        x = self.upscale_conv1(cells.transpose(1, 2).unflatten(2, (height, width)))
        x = F.gelu(self.upscale_layer_norm(x + coarse))
        x = F.gelu(self.upscale_conv2(x) + finest)
        chosen = range(1, self.masks) if multimask else range(1)
        weights = torch.stack([self.output_hypernetworks_mlps[index](tokens[:, 1 + index]) for index in chosen], 1)
        scores = self.iou_prediction_head(tokens[:, 0])[:, list(chosen)]
        with torch.autocast(image.device.type, enabled=False):
            masks = torch.einsum("omc,ochw->omhw", weights.float(), x.float())
        return masks, scores.float()


__all__ = ["MaskDecoder", "PromptedMaskOutput"]
