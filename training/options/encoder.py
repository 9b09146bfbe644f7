"""Options of training/encoder.py."""

from dataclasses import dataclass
from typing import Literal

from semidepth.common.files import check_folder
from semidepth.common.options import check_choices, option


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """Options of the encoder's pre-training."""

    output_dir: str = option("outputs/encoder", help="Folder for the encoder.")
    objective: Literal["semantic", "masked"] = option("semantic", help="what is predicted; see above")
    steps: int = option(700, help="Updates.")
    batch_size: int = option(32, help="Scenes per step.")
    learning_rate: float = option(1e-3, help="Peak rate, cosine schedule.")
    weight_decay: float = option(0.05, help="AdamW's.")
    size: int = option(96, help="Side of the scenes in pixels.")
    patch_size: int = option(8, help="Pixels per patch side.")
    hidden_size: int = option(128, help="Width.")
    layers: int = option(4, help="Transformer layers.")
    heads: int = option(4, help="Attention heads.")
    cells: int = option(4, help="Cells per patch side that get a label each; only with semantic.")
    masked_share: float = option(0.5, help="Share of patches hidden; only with masked.")
    seed: int = option(0, help="Of weights and scenes.")
    cpu: bool = option(False, help="Train on the CPU even where there is a GPU.")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        check_choices(self)
        for name in ("steps", "batch_size", "size", "patch_size", "hidden_size", "layers", "heads", "cells"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; give at least 1.")
        if self.layers < 4 or self.size < 8:
            raise ValueError(f"--layers is {self.layers} and --size {self.size}; the decoder needs 4, the renderer 8.")
        check_folder("output_dir", self.output_dir)
        if self.size % self.patch_size or self.hidden_size % self.heads:
            raise ValueError(
                f"--size {self.size} must be a multiple of --patch_size {self.patch_size}, and --hidden_size "
                f"{self.hidden_size} of --heads {self.heads}."
            )
        if self.objective == "semantic" and self.patch_size % self.cells:
            raise ValueError(f"--patch_size {self.patch_size} must be a multiple of --cells {self.cells}.")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"--learning_rate is {self.learning_rate}; give a number between 0 and 1, such as 1e-3.")
        if not 0 < self.masked_share < 1:
            raise ValueError(f"--masked_share is {self.masked_share}; give a share between 0 and 1.")
