"""A map as tokens and back: convolutions around finite scalar quantisation.

Finite scalar quantisation (arXiv 2309.15505) bounds each of a few numbers and rounds it to one of some levels; a token
is the number of the combination. There is no codebook to learn, so nothing in it can die and nothing must be committed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_modality_tokenizer import ModalityTokenizerConfig

COSINE_AND_L1 = 0.1  # weight of the L1 distance of normals beside their cosine


@dataclass
class ModalityTokenizerOutput(ModelOutput):
    """Output of [`ModalityTokenizer`].

    Args:
        loss: scalar, float32, where there are labels.
        values: the map as it comes back, in the shape and unit of the values.
        ids: (B, h, w) int64, its tokens.
    """

    loss: Tensor | None = None
    values: Tensor | None = None  # type: ignore[assignment]
    ids: Tensor | None = None


class FiniteScalarQuantizer(nn.Module):
    """Rounds codes to a grid with `levels[i]` values in dimension i, all in [-1, 1]; it has no weights.

    An even number of levels has one more value below 0 than above it, so that 0 is always one of them.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    def _per_level(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Returns levels and the place value of each dimension in a token, float32 or better."""
        levels = torch.tensor(self.levels, device=like.device)
        return levels, torch.tensor([math.prod(self.levels[:i]) for i in range(len(self.levels))], device=like.device)

    def forward(self, codes: Tensor) -> Tensor:
        """(..., D) any numbers -> (..., D) float32 on the grid; gradients pass the rounding as if it were not there."""
        levels, _ = self._per_level(codes)
        reach = (levels - 1) * 1.001 / 2  # a little beyond the outermost level, so that it can be reached
        offset = (levels % 2 == 0) * 0.5
        bounded = torch.tanh(codes.float() + torch.atanh(offset / reach)) * reach - offset
        return (bounded + (bounded.round() - bounded).detach()) / (levels // 2)

    def to_ids(self, codes: Tensor) -> Tensor:
        """Maps (..., D) on the grid to (...) int64."""
        levels, places = self._per_level(codes)
        return (((codes + 1) * (levels // 2)).round().long() * places).sum(-1)

    def from_ids(self, ids: Tensor) -> Tensor:
        """Maps (...) int64 to (..., D) float32 on the grid."""
        levels, places = self._per_level(ids)
        return (ids[..., None] // places % levels) / (levels // 2) - 1.0


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Maps (B, C, h, w) to the same."""
        return features + self.conv2(F.gelu(self.conv1(F.gelu(features))))


class ModalityTokenizer(PreTrainedModel):
    """Turns maps into tokens and tokens into maps.

    Values are, by the config's `modality`:

    | modality | values |
    |---|---|
    | rgb | (B, 3, H, W) float, 0 to 1 |
    | depth | (B, H, W) float, metres along the optical axis; inf sky, NaN unknown |
    | normal | (B, 3, H, W) float, unit vectors, x right, y up, z towards the camera; NaN unknown |
    | semantic | (B, H, W) int64, numbers of classes; negative unknown |

    H and W are multiples of the patch size. What is unknown counts in no loss; decoded maps have no unknown part.
    """

    config_class = ModalityTokenizerConfig
    base_model_prefix = "tokenizer"
    main_input_name = "values"

    def __init__(self, config: ModalityTokenizerConfig) -> None:
        super().__init__(config)
        width, patch, numbers = config.hidden_size, config.patch_size, len(config.levels)
        self.embed = nn.Conv2d(config.channels_in, width, patch, patch)
        self.encoder = nn.Sequential(*[ResidualBlock(width) for _ in range(config.num_hidden_layers)])
        self.to_code = nn.Conv2d(width, numbers, 1)
        self.quantizer = FiniteScalarQuantizer(config.levels)
        self.from_code = nn.Conv2d(numbers, width, 1)
        self.decoder = nn.Sequential(*[ResidualBlock(width) for _ in range(config.num_hidden_layers)])
        self.to_pixels = nn.Sequential(nn.Conv2d(width, config.channels_out * patch**2, 1), nn.PixelShuffle(patch))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
        if isinstance(module, ResidualBlock):  # after its convolutions: it begins as the identity, nearly
            module.conv2.weight.mul_(0.1)

    def encode(self, values: Tensor) -> Tensor:
        """Returns the tokens of maps, (B, h, w) int64.

        Args:
            values: see the class.

        Raises:
            ValueError: the shape is not that of the modality, no multiple of the patch size, or the weights make NaN.
        """
        codes = self._codes(values)
        if not bool(codes.isfinite().all()):  # NaN would become tokens that mean the unknown
            raise ValueError(
                f"the tokens of {self.config.modality} are not finite; the tokenizer's weights are damaged."
            )
        return self.quantizer.to_ids(codes)

    def decode(self, ids: Tensor) -> Tensor:
        """Returns the maps of tokens (B, h, w): values as the class says; sky is where it is likelier than not."""
        return self._to_values(self._pixels(self.quantizer.from_ids(ids)))

    def decode_soft(self, probabilities: Tensor) -> Tensor:
        """Returns the maps of the expected codes.

        An uncertain model's likeliest token may be far from all others that it holds possible; the mean is between.

        Args:
            probabilities: (B, h, w, V), of each token; their sum is 1.
        """
        every = torch.arange(self.config.vocab_size, device=probabilities.device)
        codes = probabilities.float() @ self.quantizer.from_ids(every)
        return self._to_values(self._pixels(codes))

    def forward(
        self, values: Tensor, labels: Tensor | None = None, return_dict: bool | None = None
    ) -> ModalityTokenizerOutput | tuple:
        """Encodes and decodes maps, and compares what comes back with labels.

        Args:
            values: see the class.
            labels: the maps that should come back, as values are: mostly the same; or those of which `values` are
                a part. Default: no loss.
            return_dict: false for a tuple.

        Raises:
            ValueError: as [`encode`].
        """
        codes = self._codes(values)
        pixels = self._pixels(codes)
        loss = None if labels is None else self.loss(pixels, labels)
        output = ModalityTokenizerOutput(loss, self._to_values(pixels.detach()), self.quantizer.to_ids(codes.detach()))
        return output if return_dict in (None, True) else output.to_tuple()

    def loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Returns the float32 mean loss over what is known; 0 where nothing is.

        RGB: L1. Depth: L1 of log metres, and the binary cross-entropy of sky. Normals: 1 - cosine + 0.1 L1.
        Classes: cross-entropy.

        Args:
            pixels: (B, C, H, W), the decoder's output before it becomes values.
            labels: see the class.
        """
        pixels = pixels.float()
        kind = self.config.modality
        if kind == "rgb":
            return (pixels - (2 * labels.float() - 1)).abs().mean()
        if kind == "semantic":
            known = labels >= 0
            wrong = F.cross_entropy(pixels, labels.clamp(min=0), reduction="none")
            return _mean(wrong, known)
        if kind == "normal":
            known = labels.isfinite().all(1)
            labels = torch.where(known[:, None], labels.float(), 0.0)
            predicted = F.normalize(pixels, dim=1, eps=1e-4)
            apart = 1 - (predicted * labels).sum(1) + COSINE_AND_L1 * (predicted - labels).abs().sum(1)
            return _mean(apart, known)
        sky, known = labels.isposinf(), ~labels.isnan()
        scale = math.log(self.config.max_depth / self.config.min_depth) / 2
        apart = (pixels[:, 0] - self._unit_log(labels)).abs() * scale
        missed = F.binary_cross_entropy_with_logits(pixels[:, 1], sky.float(), reduction="none")
        return _mean(apart, known & ~sky) + _mean(missed, known)

    def _codes(self, values: Tensor) -> Tensor:
        """Returns (B, h, w, D) codes on the grid."""
        seen = self._seen(values).to(self.embed.weight.dtype)
        return self.quantizer(self.to_code(self.encoder(self.embed(seen))).permute(0, 2, 3, 1))

    def _pixels(self, codes: Tensor) -> Tensor:
        """Maps (B, h, w, D) to (B, C, H, W)."""
        codes = codes.permute(0, 3, 1, 2).to(self.from_code.weight.dtype)
        return self.to_pixels(self.decoder(self.from_code(codes)))

    def _seen(self, values: Tensor) -> Tensor:
        """Returns what the encoder sees of values: (B, channels_in, H, W), zeros where nothing is known."""
        kind, patch = self.config.modality, self.config.patch_size
        channels = (3,) if kind in ("rgb", "normal") else ()
        if values.shape[1:-2] != channels or values.ndim < 3 or values.shape[-1] % patch or values.shape[-2] % patch:
            wanted = ", ".join(map(str, ("B", *channels, "H", "W")))
            raise ValueError(
                f"values of {kind} have the shape {tuple(values.shape)}; give ({wanted}), both sides multiples of "
                f"the patch size {patch}."
            )
        if kind == "rgb":
            return 2 * values - 1
        if kind == "semantic":
            known = values >= 0
            hot = F.one_hot(values.clamp(min=0), len(self.config.classes)).permute(0, 3, 1, 2) * known[:, None]
            return torch.cat([hot, known[:, None]], 1).float()
        if kind == "normal":
            known = values.isfinite().all(1, keepdim=True)
            return torch.cat([torch.where(known, values, 0.0), known.to(values)], 1)
        sky, known = values.isposinf(), ~values.isnan()
        return torch.stack([self._unit_log(values), sky.to(values), known.to(values)], 1)

    def _unit_log(self, metres: Tensor) -> Tensor:
        """Log depth from -1 at the least to 1 at the largest; 0 for sky and the unknown."""
        least, most = math.log(self.config.min_depth), math.log(self.config.max_depth)
        usable = metres.isfinite()
        logs = torch.where(usable, metres, 1.0).float().clamp(self.config.min_depth, self.config.max_depth).log()
        return torch.where(usable, (logs - least) / (most - least) * 2 - 1, 0.0)

    def _to_values(self, pixels: Tensor) -> Tensor:
        pixels, kind = pixels.float(), self.config.modality
        if kind == "rgb":
            return (pixels / 2 + 0.5).clamp(0, 1)
        if kind == "semantic":
            return pixels.argmax(1).masked_fill(pixels.isnan().any(1), -1)
        if kind == "normal":
            return F.normalize(pixels, dim=1)
        least, most = math.log(self.config.min_depth), math.log(self.config.max_depth)
        metres = ((pixels[:, 0].clamp(-1, 1) + 1) / 2 * (most - least) + least).exp()
        return metres.masked_fill(pixels[:, 1] > 0, torch.inf)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return torch.where(where, values, 0.0).sum() / where.sum().clamp(min=1)


__all__ = ["FiniteScalarQuantizer", "ModalityTokenizer", "ModalityTokenizerOutput"]
