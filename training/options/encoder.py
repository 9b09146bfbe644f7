"""Options of the command that pre-trains the built-in encoder, training/encoder.py."""

from dataclasses import dataclass
from typing import Literal

from semidepth.common.files import check_folder
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import check_choices, option


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """Options of the encoder's pre-training."""

    output_dir: str = option("outputs/encoder", help="Folder for the encoder.")
    objective: Literal["semantic", "masked"] = option(
        "semantic",
        help="Prediction target: surface classes in each part of a patch (semantic) or pixels of hidden patches "
        "(masked).",
    )
    steps: int = option(700, help="Number of updates.")
    batch_size: int = option(32, help="Scenes per step.")
    learning_rate: float = option(1e-3, help="Peak learning rate; the schedule is cosine.")
    weight_decay: float = option(0.05, help="Weight decay of AdamW.")
    size: int = option(96, help="Side of the scenes in pixels.")
    patch_size: int = option(8, help="Side of a patch in pixels.")
    hidden_size: int = option(128, help="Width of the transformer.")
    layers: int = option(4, help="Number of transformer layers.")
    heads: int = option(4, help="Number of attention heads.")
    cells: int = option(4, help="Cells per patch side, each with a label of its own; only with --objective semantic.")
    masked_share: float = option(0.5, help="Share of patches that are hidden; only with --objective masked.")
    seed: int = option(0, help="Random seed for weights and scenes.")
    cpu: bool = option(False, help="Train on the CPU even if there is a GPU.")

    def __post_init__(self) -> None:
        """Raises ValueError for a value that cannot work."""
        check_choices(self)
        for name in ("steps", "batch_size", "size", "patch_size", "hidden_size", "layers", "heads", "cells"):
            check_at_least(self, name, 1)
        if self.layers < 4 or self.size < 8:
            raise ValueError(
                f"--layers is {self.layers} and --size {self.size}; give at least 4 layers (for the decoder) and a "
                "size of at least 8 pixels (for the renderer)."
            )
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
