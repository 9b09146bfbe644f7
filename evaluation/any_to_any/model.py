"""A 4M model with its tokenizers: values of modalities in, values out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from semidepth.data.modalities.words import read_words, sentinel_ids, stack_words
from semidepth.modeling import FourMForAnyToAny, ModalityTokenizer
from semidepth.prediction.preprocessing import Preprocessing, preprocessing_of

TOKENIZERS = "tokenizers"  # folder beside a model's weights
WORDS = "caption"
SOURCE = "rgb"
# Modalities of tokens, and the kind of map that they are.
KINDS = {"tok_rgb": "rgb", "tok_depth": "depth", "tok_normal": "normal", "tok_semantic": "semantic"}
UNKNOWN = -100


def fit_map(values: Tensor, kind: str, size: int) -> Tensor:
    """Returns maps at a tokenizer's size: pictures by the mean of pixels, all others by the nearest.

    Args:
        values: (B, 3, H, W) or (B, H, W).
        kind: "rgb", "depth", "normal" or "semantic".
        size: side in pixels.
    """
    if values.shape[-2:] == (size, size):
        return values
    if kind == "rgb":
        return F.interpolate(values, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    rows, columns = (
        (2 * torch.arange(size, device=values.device) + 1) * old // (2 * size) for old in values.shape[-2:]
    )
    return values.index_select(-2, rows).index_select(-1, columns)


def known_patches(values: Tensor, patch: int) -> Tensor:
    """Returns (B, h, w) true for patches with a known pixel of depth or normals (not NaN) or classes (not negative)."""
    known = ~values.isnan() if values.is_floating_point() else values >= 0
    known = known.all(1) if known.ndim == 4 else known
    return F.max_pool2d(known[:, None].float(), patch)[:, 0] > 0


@torch.no_grad()
def tokens_of(tokenizer: ModalityTokenizer, values: Tensor) -> Tensor:
    """Returns the tokens of maps, (B, h, w) int64; -100 where nothing of a patch is known."""
    config = tokenizer.config
    values = fit_map(values, config.modality, config.image_size)
    ids = tokenizer.encode(values)
    return ids.masked_fill(~known_patches(values, config.patch_size), UNKNOWN)


@dataclass
class AnyToAny:
    """A 4M model, the tokenizers of its maps by modality, and its words.

    Args:
        model: in evaluation mode.
        tokenizers: modality -> tokenizer.
        words: of captions; None for a model without.
        preprocessing: of pictures.
    """

    model: FourMForAnyToAny
    tokenizers: dict[str, ModalityTokenizer]
    words: PreTrainedTokenizerBase | None
    preprocessing: Preprocessing
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.names = tuple(each.name for each in self.model.config.modality_list)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @torch.no_grad()
    def inputs_of(self, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Returns what the model takes of pictures, by modality; what it does not know is left out.

        Args:
            values: "image" (B, 3, S, S) uint8, "depth", "normal", "semantic" as in `ModalityBatch`, "caption" B
                sentences; any of them.
        """
        found: dict[str, Tensor] = {}
        if "image" in values and SOURCE in self.names:
            pixels = self.preprocessing.normalize(values["image"].to(self.device))
            kind = self.model.config.modality(SOURCE).kind
            found[SOURCE] = self.model.encode_features(pixels) if kind == "features" else pixels
        found |= self.tokens_of(values)
        if "caption" in values and self.words is not None and WORDS in self.names:
            found[WORDS] = self.captions(values["caption"]).to(self.device)
        return found

    def tokens_of(self, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Returns the tokens of maps, by modality; `values` as in [`inputs_of`]."""
        found: dict[str, Tensor] = {}
        for name, tokenizer in self.tokenizers.items():
            kind = KINDS[name]
            key = "image" if kind == "rgb" else kind
            if key in values:
                given = values[key].to(self.device)
                found[name] = tokens_of(tokenizer, given.float() / 255 if kind == "rgb" else given)
        return found

    def captions(self, texts: Any) -> Tensor:
        """Returns whole captions as they are given, (B, L): words and the end; -100 alone for none."""
        assert self.words is not None
        end = int(self.words.eos_token_id)  # type: ignore[call-overload]
        rows = [[*self.words(text)["input_ids"], end] if text else [] for text in texts]
        return stack_words(rows, self.model.config.modality(WORDS).max_tokens)

    def targets_of(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the true targets that inputs of [`inputs_of`] make: maps as they are, captions from their start."""
        found = {name: ids for name, ids in inputs.items() if name in KINDS}
        if WORDS in inputs:
            assert self.words is not None
            start = torch.full((len(inputs[WORDS]), 1), sentinel_ids(self.words)[0], device=self.device)
            start = torch.where(inputs[WORDS][:, :1] >= 0, start, UNKNOWN)
            found[WORDS] = torch.cat([start, inputs[WORDS]], 1)
        return found

    @torch.no_grad()
    def predict_map(self, inputs: Mapping[str, Tensor], name: str, *, soft: bool = True) -> Tensor:
        """Returns maps (values as the tokenizer's) predicted in one step; soft ones are of the expected codes.

        Where tokens of the map itself are among the inputs they stay.
        """
        modality, tokenizer = self.model.config.modality(name), self.tokenizers[name]
        side = modality.side
        batch = len(next(iter(inputs.values())))
        given = inputs.get(name, torch.full((batch, side, side), UNKNOWN, device=self.device))
        wanted = (given < 0).flatten(1)
        encoded = self.model.encode(inputs)
        zeros = torch.zeros(batch, side, side, dtype=torch.int64, device=self.device)
        logits, _, index = self.model.decode(encoded, {name: zeros}, {name: wanted})[name]
        shares = F.one_hot(given.flatten(1).clamp(min=0), modality.vocab_size).float()
        shares[index[:, 0], index[:, 1]] = logits.float().softmax(-1)
        shares = shares.reshape(batch, side, side, -1)
        return tokenizer.decode_soft(shares) if soft else tokenizer.decode(shares.argmax(-1))

    @torch.no_grad()
    def predict_caption(self, inputs: Mapping[str, Tensor]) -> list[str]:
        """Returns the likeliest sentence of each picture, word by word."""
        assert self.words is not None
        end, most = self.words.eos_token_id, self.model.config.modality(WORDS).max_tokens
        encoded = self.model.encode({name: given for name, given in inputs.items() if name != WORDS})
        batch = len(encoded.hidden)
        ids = torch.full((batch, 1), sentinel_ids(self.words)[0], device=self.device)
        ended = torch.zeros(batch, dtype=torch.bool, device=self.device)
        while not ended.all() and ids.shape[1] < most:
            asked = torch.cat([ids, torch.zeros_like(ids[:, :1])], 1)  # the last one is only to be predicted
            logits, _, index = self.model.decode(encoded, {WORDS: asked})[WORDS]
            last = logits[index[:, 1] == ids.shape[1]].argmax(-1)
            ids = torch.cat([ids, last[:, None]], 1)
            ended |= last == end
        return [read_words(self.words, row) for row in ids[:, 1:].tolist()]  # type: ignore[arg-type]


def load_any_to_any(folder: str | Path, device: torch.device | str = "cpu") -> AnyToAny:
    """Returns the 4M model in a folder, with the tokenizers that lie beside its weights.

    Raises:
        ValueError: it holds no 4M model, or no tokenizers.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file() or AutoConfig.from_pretrained(folder).model_type != "four_m":
        raise ValueError(f"{folder} holds no 4M model; give the folder of one that `semidepth train four-m` saved.")
    if not (folder / TOKENIZERS).is_dir():
        raise ValueError(f"{folder} holds a 4M model without its tokenizers; give a folder with {TOKENIZERS}/ in it.")
    model = FourMForAnyToAny.from_pretrained(folder).to(device).eval()
    tokenizers, words = load_tokenizers(folder / TOKENIZERS)
    return AnyToAny(
        model, {name: each.to(device) for name, each in tokenizers.items()}, words,
        preprocessing_of(str(folder), model.config),
    )  # fmt: skip


def load_tokenizers(folder: Path) -> tuple[dict[str, ModalityTokenizer], PreTrainedTokenizerBase | None]:
    """Returns the tokenizers of a folder of `semidepth train tokenizers`, by modality, and its words if it has any."""
    found = {
        name: ModalityTokenizer.from_pretrained(folder / kind).eval().requires_grad_(False)
        for name, kind in KINDS.items()
        if (folder / kind / "config.json").is_file()
    }
    words = AutoTokenizer.from_pretrained(folder / WORDS) if (folder / WORDS).is_dir() else None
    if not found:
        raise ValueError(f"{folder} holds no tokenizers; give a folder of `semidepth train tokenizers`.")
    return found, words
