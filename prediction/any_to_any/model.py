"""A 4M model with all that belongs to it: values of modalities in, values out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from semidepth.common.console import first_line
from semidepth.data.modalities.words import read_words, stack_words
from semidepth.modeling import FourMForAnyToAny, ModalityTokenizer
from semidepth.prediction.checkpoints import check_nothing_missing, loading_errors, read_config, refuse_pickled
from semidepth.prediction.preprocessing import Preprocessing, preprocessing_of

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


@dataclass
class AnyToAny:
    """A 4M model with the tokenizers of its maps in it, its words, and how it sees pictures.

    Args:
        model: in evaluation mode.
        words: of captions; None for a model without.
        preprocessing: of pictures.
    """

    model: FourMForAnyToAny
    words: PreTrainedTokenizerBase | None
    preprocessing: Preprocessing

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities."""
        return tuple(each.name for each in self.model.config.modality_list)

    @property
    def tokenizers(self) -> dict[str, Any]:
        """Modality -> its [`semidepth.modeling.ModalityTokenizer`]."""
        return dict(self.model.tokenizers.items())

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
            found[SOURCE] = self.picture(values["image"])
        found |= self.tokens_of(values)
        if "caption" in values and self.words is not None and WORDS in self.names:
            found[WORDS] = self.captions(values["caption"]).to(self.device)
        return found

    def picture(self, images: Tensor) -> Tensor:
        """Returns what the model takes of pictures (B, 3, S, S) uint8: features, seen once, or pixels."""
        pixels = self.preprocessing.normalize(images.to(self.device))
        features = self.model.config.modality(SOURCE).kind == "features"
        return self.model.encode_features(pixels) if features else pixels

    def tokens_of(self, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Returns the tokens of maps, by modality, -100 where nothing is known; `values` as in [`inputs_of`]."""
        found: dict[str, Tensor] = {}
        for name, tokenizer in self.tokenizers.items():
            kind = KINDS[name]
            key = "image" if kind == "rgb" else kind
            if key in values:
                given = values[key].to(self.device)
                given = given.float() / 255 if kind == "rgb" else given
                found[name] = fit_map(given, kind, tokenizer.config.image_size)
        return self.model.tokenize(found)

    def captions(self, texts: Any) -> Tensor:
        """Returns whole captions as they are given, (B, L): words and the end; -100 alone for none."""
        assert self.words is not None
        end = int(self.words.eos_token_id)
        rows = [[*self.words(text)["input_ids"], end] if text else [] for text in texts]
        return stack_words(rows, self.model.config.modality(WORDS).max_tokens)

    def targets_of(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the true targets that inputs of [`inputs_of`] make: maps as they are, captions from their start."""
        found = {name: ids for name, ids in inputs.items() if name in KINDS}
        if WORDS in inputs:
            start = torch.full_like(inputs[WORDS][:, :1], self.model.config.modality(WORDS).start_id or 0)
            start = torch.where(inputs[WORDS][:, :1] >= 0, start, UNKNOWN)
            found[WORDS] = torch.cat([start, inputs[WORDS]], 1)
        return found

    def predict_map(self, inputs: Mapping[str, Tensor], name: str) -> Tensor:
        """Returns maps, values as the tokenizer's, predicted in one step by the expected codes; known tokens stay."""
        found = self.model.generate(inputs, [name])[name].values
        assert found is not None  # it has a tokenizer
        return found

    def predict_caption(self, inputs: Mapping[str, Tensor]) -> list[str]:
        """Returns the likeliest sentence of each picture, word by word."""
        return self.sentences(self.model.generate(inputs, [WORDS])[WORDS].ids)

    def sentences(self, ids: Tensor) -> list[str]:
        """Returns the sentences of tokens that the model wrote, (B, L)."""
        assert self.words is not None
        rows = ids.tolist()
        return [read_words(self.words, [word for word in row if word >= 0]) for row in rows]  # type: ignore[arg-type]


def load_any_to_any(folder: str | Path, device: torch.device | str = "cpu") -> AnyToAny:
    """Returns the 4M model in a folder, as `semidepth train four-m` saves it.

    Raises:
        ValueError: it holds no 4M model, one without tokenizers or words, or one that is damaged or not whole.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file() or read_config(str(folder)).model_type != "four_m":
        raise ValueError(f"{folder} holds no 4M model; give the folder of one that `semidepth train four-m` saved.")
    model = _load_whole(FourMForAnyToAny, folder).to(device)
    if not len(model.tokenizers):
        raise ValueError(f"{folder} holds a 4M model without tokenizers; give one of `semidepth train four-m`.")
    words = _load_words(folder) if WORDS in (each.name for each in model.config.modality_list) else None
    if words is not None and len(words) != model.config.modality(WORDS).vocab_size:
        raise ValueError(
            f"{folder} has {len(words)} words in tokenizer.json and {model.config.modality(WORDS).vocab_size} in its "
            "config.json; keep the files of one model together."
        )
    return AnyToAny(model, words, preprocessing_of(str(folder), model.config))


def load_tokenizers(folder: Path) -> tuple[dict[str, ModalityTokenizer], PreTrainedTokenizerBase | None]:
    """Returns the tokenizers of a folder of `semidepth train tokenizers`, by modality, and its words if it has any.

    Raises:
        ValueError: it has none, or one that is damaged or not whole.
    """
    found: dict[str, ModalityTokenizer] = {}
    for name, kind in KINDS.items():
        if (folder / kind / "config.json").is_file():
            read_config(str(folder / kind))
            found[name] = _load_whole(ModalityTokenizer, folder / kind).requires_grad_(False)
    if not found:
        raise ValueError(f"{folder} holds no tokenizers; give a folder of `semidepth train tokenizers`.")
    return found, _load_words(folder / WORDS) if (folder / WORDS).is_dir() else None


def _load_whole(kind: Any, folder: Path) -> Any:
    """Returns a model of a folder with all its weights, in evaluation mode."""
    refuse_pickled(str(folder))
    try:
        model, info = kind.from_pretrained(folder, use_safetensors=True, output_loading_info=True)
    except loading_errors() as error:
        raise ValueError(
            f"{folder} could not be loaded ({first_line(error)}); give a folder with config.json and model.safetensors "
            "as they were saved."
        ) from error
    check_nothing_missing(str(folder), info)
    return model.eval()


def _load_words(folder: Path) -> PreTrainedTokenizerBase:
    # The class is named, or a folder could name code of its own for it.
    try:
        return PreTrainedTokenizerFast.from_pretrained(folder)
    except Exception as error:  # the library's own class derives from nothing narrower
        raise ValueError(
            f"the words in {folder} could not be loaded ({first_line(error)}); save them again."
        ) from error
