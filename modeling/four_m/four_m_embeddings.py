"""How each modality enters 4M's encoder and decoder, under the names of apple/ml-4m.

Every token is a content and a place: the place (position and modality) is added once more to what the decoder reads.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .configuration_four_m import GRIDS, Modality

UNKNOWN = -100  # id of what is padding or unknown; any negative one is


@dataclass
class Tokens:
    """Tokens of one modality, or of several behind each other.

    Args:
        content: (B, N, C).
        place: (B, N, C), embedding of position and modality.
        kept: (B, N) true for tokens that take part.
    """

    content: Tensor
    place: Tensor
    kept: Tensor

    @classmethod
    def join(cls, parts: list["Tokens"]) -> "Tokens":
        """Returns tokens of several modalities behind each other."""
        return cls(*(torch.cat([getattr(p, name) for p in parts], 1) for name in ("content", "place", "kept")))

    def order(self) -> Tensor:
        """Returns (B, S) the kept tokens first, in their order; S is the most of any sample, and at least 1."""
        count = max(1, int(self.kept.sum(1).max()))
        return torch.argsort((~self.kept).to(torch.uint8), dim=1, stable=True)[:, :count]

    def take(self, order: Tensor) -> "Tokens":
        """Returns the tokens of an order; what is padding there is 0."""
        kept = self.kept.gather(1, order)
        index = order[..., None].expand(-1, -1, self.content.shape[-1])
        content, place = (each.gather(1, index) * kept[..., None] for each in (self.content, self.place))
        return Tokens(content, place, kept)


def sine_positions(modality: Modality, width: int) -> Tensor:
    """Returns (1, N, C) sines and cosines: of rows, then of columns on a grid; of the number in a sequence."""
    parts = 4 if modality.kind in GRIDS else 2
    frequencies = 10000.0 ** (-torch.arange(width // parts, dtype=torch.float32) / (width // parts))
    numbers = torch.arange(modality.side if modality.kind in GRIDS else modality.max_tokens, dtype=torch.float32)
    angles = numbers[:, None] * frequencies
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    if modality.kind not in GRIDS:
        return waves[None]
    side = modality.side
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)[None]


class ModalityEmbedding(nn.Module):
    """Positions and the modality's embedding, for the encoder or the decoder."""

    def __init__(self, modality: Modality, config: Any):
        super().__init__()
        self.modality, width = modality, config.hidden_size
        self.mod_emb = nn.Parameter(torch.zeros(1, 1, width))
        if modality.learned_positions:
            self.pos_emb = nn.Parameter(torch.zeros(1, modality.num_tokens, width))
        else:
            self.register_buffer("pos_emb", sine_positions(modality, width), persistent=False)

    def places(self, kept: Tensor) -> Tensor:
        """Returns (B, N, C) of tokens; those of a sequence are counted without what is not kept."""
        sines = self.pos_emb.to(self.mod_emb.dtype)  # a buffer stays float32 where weights are loaded in half precision
        if self.modality.kind in GRIDS:
            return (sines + self.mod_emb).expand(len(kept), -1, -1)
        numbers = (kept.long().cumsum(1) - 1).clamp(0, self.modality.max_tokens - 1)
        return sines[0][numbers] + self.mod_emb

    def check_ids(self, ids: Tensor, *, read: bool) -> Tensor:
        """Returns (B, N) ids, of a map row by row.

        Args:
            ids: (B, h, w) or (B, N) of a map, (B, L) of a sequence.
            read: also look at the values, which waits for a device.

        Raises:
            ValueError: another shape, no whole numbers, or (with `read`) ids that the vocabulary does not have.
        """
        modality, side = self.modality, self.modality.side
        name, size = modality.name, modality.vocab_size or 0
        on_grid = modality.kind in GRIDS
        shape, most = tuple(ids.shape), modality.num_tokens
        fits = shape[1:] in ((side, side), (most,)) if on_grid else ids.ndim == 2
        if not fits or ids.is_floating_point():
            wanted = f"(B, {side}, {side})" if on_grid else "(B, L)"
            raise ValueError(f"{name} is {shape} of {ids.dtype}; give {wanted} token ids, whole numbers.")
        ids = ids.flatten(1)
        if not on_grid and read and int((ids >= 0).sum(1).max()) > most:
            raise ValueError(f"{name} has more than {most} tokens; shorten it to max_tokens of the configuration.")
        if read and ids.numel() and int(ids.max()) >= size:
            raise ValueError(f"{name} has the id {int(ids.max())} and its vocabulary {size}; use its own tokenizer.")
        return ids


class InputEmbedding(ModalityEmbedding):
    """What is given: patches of an image, features, tokens of a map, words, or rows of vectors."""

    def __init__(self, modality: Modality, config: Any):
        super().__init__(modality, config)
        width = config.hidden_size
        if modality.kind in ("map", "sequence"):
            self.token_emb = nn.Embedding(modality.vocab_size or 0, width)
        elif modality.kind == "embeddings":
            self.emb_proj = nn.Linear(modality.channels, width)
        else:
            patch = modality.patch_size if modality.kind == "pixels" else 1
            self.proj = nn.Linear(modality.channels * patch**2, width, bias=False)

    def forward(self, values: Tensor, seen: Tensor | None, *, read: bool) -> Tokens:
        """Embeds values.

        Args:
            values: (B, C, H, W) pixels; (B, N, E) features or embeddings; (B, h, w) or (B, L) ids, negative unknown.
            seen: (B, N) or (B, h, w) true for what is given; None: all.
            read: see [`check_ids`].
        """
        kind = self.modality.kind
        if kind in ("map", "sequence"):
            values = self.check_ids(values, read=read)
            content, kept = self.token_emb(values.clamp(min=0)), values >= 0
        else:
            values = self._patches(values) if kind == "pixels" else values
            content = self._project(values)
            kept = torch.ones(content.shape[:2], dtype=torch.bool, device=content.device)
        if seen is not None:
            kept = kept & as_row(seen, kept, self.modality.name)
        return Tokens(content, self.places(kept), kept)

    def _project(self, values: Tensor) -> Tensor:
        """Returns (B, N, C) of rows of vectors."""
        modality = self.modality
        layer = self.emb_proj if modality.kind == "embeddings" else self.proj
        most, on_grid = modality.num_tokens, modality.kind in GRIDS
        fits = values.ndim == 3 and values.shape[-1] == layer.in_features
        if not fits or values.shape[1] > most or (on_grid and values.shape[1] != most):
            raise ValueError(
                f"{modality.name} is {tuple(values.shape)}; give (B, {most}, {layer.in_features}), one vector for "
                f"each of {most} {'patches' if on_grid else 'tokens at most'}."
            )
        return layer(values.to(layer.weight.dtype))

    def _patches(self, pixels: Tensor) -> Tensor:
        """Returns (B, N, patch * patch * C) of (B, C, H, W)."""
        modality = self.modality
        patch, side = modality.patch_size, modality.side
        wanted = (modality.channels, modality.image_size, modality.image_size)
        if tuple(pixels.shape[1:]) != wanted:
            raise ValueError(f"{modality.name} is {tuple(pixels.shape)}; give (B, {', '.join(map(str, wanted))}).")
        split = pixels.reshape(len(pixels), modality.channels, side, patch, side, patch)
        return split.permute(0, 2, 4, 3, 5, 1).reshape(len(pixels), side**2, -1)


class TargetEmbedding(ModalityEmbedding):
    """What is asked for, and the logits of its tokens.

    Targets of a map carry no content but the mask token, so that its embedding of tokens, which apple/ml-4m's weights
    have, is left out here.
    """

    def __init__(self, modality: Modality, config: Any):
        super().__init__(modality, config)
        if modality.kind == "sequence":
            self.token_emb = nn.Embedding(modality.vocab_size or 0, config.hidden_size)
        self.to_logits = nn.Linear(config.hidden_size, modality.vocab_size or 0, bias=False)

    def forward(
        self, ids: Tensor, wanted: Tensor | None, mask_token: Tensor, *, read: bool
    ) -> tuple[Tokens, Tensor, Tensor]:
        """Returns queries of targets.

        Args:
            ids: (B, h, w) or (B, N) of a map; (B, L) of a sequence, whose first token is given and predicts the second.
                Negative ids are no targets.
            wanted: (B, N) true for targets; None: all.
            mask_token: (1, 1, C).
            read: see [`check_ids`].

        Returns:
            The tokens; the id that each should predict, (B, N); and the position in `ids` of that, (N,).
        """
        ids = self.check_ids(ids, read=read)
        kept = ids >= 0
        if wanted is not None:
            kept = kept & as_row(wanted, kept, self.modality.name)
        positions = torch.arange(ids.shape[1], device=ids.device)
        if self.modality.kind == "map":
            places = self.places(kept)
            return Tokens(mask_token.expand_as(places), places, kept), ids, positions
        content, places = self.token_emb(ids[:, :-1].clamp(min=0)), self.places(kept)[:, :-1]
        return Tokens(content, places, kept[:, 1:] & kept[:, :-1]), ids[:, 1:], positions[1:]


def as_row(positions: Tensor, like: Tensor, name: str) -> Tensor:
    """Returns (B, N) booleans, or ValueError where they do not fit the modality's tokens."""
    row = positions.flatten(1)
    if row.shape != like.shape or row.dtype != torch.bool:
        raise ValueError(
            f"positions of {name} are {tuple(positions.shape)} of {positions.dtype}; give {tuple(like.shape)} booleans."
        )
    return row


__all__ = ["UNKNOWN", "InputEmbedding", "TargetEmbedding", "Tokens", "sine_positions"]
