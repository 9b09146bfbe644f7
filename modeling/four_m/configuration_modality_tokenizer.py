"""Configuration of the tokenizer of a map: a picture, depth, normals or classes as a grid of whole numbers."""

import math

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

# Kinds of maps, each with the shape of its values behind the batch; see [`ModalityTokenizer`].
MODALITIES = ("rgb", "depth", "normal", "semantic")


@strict
class ModalityTokenizerConfig(PreTrainedConfig):
    """Configuration of [`ModalityTokenizer`].

    Args:
        modality: "rgb", "depth", "normal" or "semantic".
        image_size: side of the square maps that it was trained on, pixels; others may be of any multiple of the patch.
        patch_size: pixels per side of a token.
        hidden_size: channels of the convolutions.
        num_hidden_layers: residual blocks of the encoder, and as many of the decoder.
        levels: values that each number of a code can take; their product is the size of the vocabulary.
        classes: names of the classes of "semantic"; of the others empty.
        min_depth: least depth in metres; what is nearer is taken for as far.
        max_depth: largest depth in metres; what is farther is taken for as near. Sky is apart.

    Raises:
        ValueError: a value is out of range.
    """

    model_type = "modality_tokenizer"

    modality: str = "depth"
    image_size: int = 224
    patch_size: int = 16
    hidden_size: int = 256
    num_hidden_layers: int = 3
    levels: list[int] | tuple[int, ...] = (8, 8, 8, 5, 5)
    classes: list[str] | tuple[str, ...] = ()
    min_depth: int | float = 0.1
    max_depth: int | float = 100.0
    initializer_range: float = 0.02

    @property
    def vocab_size(self) -> int:
        """Number of different tokens."""
        return math.prod(self.levels)

    @property
    def channels_in(self) -> int:
        """Channels that the encoder sees: of depth also what is sky and what is known, of the others what is known."""
        return {"rgb": 3, "depth": 3, "normal": 4, "semantic": len(self.classes) + 1}[self.modality]

    @property
    def channels_out(self) -> int:
        """Channels that the decoder gives: of depth log metres and sky, of classes their logits."""
        return {"rgb": 3, "depth": 2, "normal": 3, "semantic": len(self.classes)}[self.modality]

    def validate_values(self) -> None:
        """Part of `@strict` validation."""
        if self.modality not in MODALITIES:
            raise ValueError(f"modality is {self.modality!r}; give one of {', '.join(MODALITIES)}.")
        if not self.levels or min(self.levels) < 2:
            raise ValueError(f"levels are {list(self.levels)}; give one or more numbers from 2 up, such as 8 5 5 5.")
        if (self.modality == "semantic") != bool(self.classes):
            raise ValueError(
                f"modality is {self.modality!r} and there are {len(self.classes)} classes; a tokenizer of classes "
                "needs their names, and no other has any."
            )
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError(
                f"min_depth is {self.min_depth} and max_depth {self.max_depth}; give metres, the least first."
            )
        if min(self.patch_size, self.hidden_size) < 1 or self.image_size % self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} is no multiple of patch_size {self.patch_size}; give one that is."
            )


__all__ = ["MODALITIES", "ModalityTokenizerConfig"]
