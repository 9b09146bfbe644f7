"""Options of `semidepth train four-m`."""

from dataclasses import dataclass
from typing import Literal

from semidepth.common.option_checks import check_at_least, check_positive, check_share
from semidepth.common.options import option
from semidepth.training.options.tokenizers import ModalityOptions

Target = Literal["tok_rgb", "tok_depth", "tok_normal", "tok_semantic", "caption"]


@dataclass(frozen=True, kw_only=True)
class FourMOptions(ModalityOptions):
    """Options of `semidepth train four-m`; defaults are 4M's where it has them (arXiv 2312.06647, 2406.09406)."""

    output_dir: str = option("outputs/four_m", help="Folder for weights, checkpoints and logs.")
    size: int | None = option(224, help="Side of the square pictures in pixels.")
    start: str | None = option(
        None, help="Folder of a 4M model to go on from, with its tokenizers, encoder and sizes. Default: a fresh one."
    )
    tokenizers: str | None = option(
        None, help="Folder of `semidepth train tokenizers`. Default: tokenizers trained first, in --tokenizers_dir."
    )
    tokenizers_dir: str = option(
        "outputs/tokenizers", help="Folder of the tokenizers that are trained first without --tokenizers."
    )
    rgb: Literal["features", "pixels"] = option(
        "features", help="What pictures are to the model: patches of a frozen encoder, seen once, or pixels."
    )
    encoder: str = option(
        "semidepth-small", help="Depth model whose encoder gives the features (Hub id or folder of a student)."
    )
    modalities: tuple[Target, ...] = option(
        ("tok_rgb", "tok_depth", "tok_normal", "tok_semantic", "caption"),
        help="What is predicted and, but for pictures, given; those alone that the tokenizers have.",
    )
    only_from_rgb: bool = option(False, help="Give pictures alone: a model of tasks, to compare with.")
    hidden_size: int = option(384, help="Width of the transformer.")
    encoder_layers: int = option(6, help="Layers of its encoder.")
    decoder_layers: int = option(6, help="Layers of its decoder.")
    heads: int = option(6, help="Heads of each attention.")
    input_tokens: int = option(128, help="Tokens that a step sees of each picture, of all modalities together.")
    target_tokens: int = option(128, help="Tokens that it predicts.")
    alpha: float = option(0.5, help="Of the Dirichlet draws of both; small ones take most from few modalities.")
    full_share: float = option(0.25, help="Share of steps that give one whole modality, half of them the picture.")
    beside_share: float = option(0.5, help="Of these, the share that also gives a part of another map.")
    source_share: float = option(0.5, help="Of the other steps, the share that sees patches of the picture alone.")
    sparse_share: float = option(
        0.5, help="Share of given depth whose tokens are those of scattered pixels or of a map with holes."
    )
    learning_rate: float = option(1e-4, help="Peak learning rate; 4M's is 1e-4 for each 256 pictures of a batch.")
    weight_decay: float = option(0.05, help="Weight decay of AdamW, on matrices only.")

    def __post_init__(self) -> None:
        """Checks every value; see [`RunOptions`]."""
        super().__post_init__()
        for name, least in (("input_tokens", 1), ("target_tokens", 1), ("hidden_size", 8), ("heads", 1),
                            ("encoder_layers", 1), ("decoder_layers", 1)):  # fmt: skip
            check_at_least(self, name, least)
        for name in ("full_share", "beside_share", "source_share", "sparse_share"):
            check_share(self, name, least=0)
        check_positive(self, "alpha")
        if self.hidden_size % 4 or self.hidden_size % self.heads:
            raise ValueError(f"--hidden_size is {self.hidden_size}; give a multiple of 4 and of --heads {self.heads}.")
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"--modalities is {' '.join(self.modalities)}; give at least one, each once.")
        if self.start is not None and self.tokenizers is not None:
            raise ValueError(
                f"--start {self.start!r} brings its own tokenizers, so --tokenizers {self.tokenizers!r} would not be "
                "used; leave out one of the two."
            )
        if self.size is None:
            raise ValueError("--size is none; give the side of the pictures in pixels, such as 224.")
