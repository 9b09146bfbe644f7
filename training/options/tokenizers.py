"""Options of `semidepth train tokenizers`, and those that it shares with `semidepth train four-m`."""

from dataclasses import dataclass
from typing import Literal

from semidepth.common.option_checks import check_at_least, check_share
from semidepth.common.options import option
from semidepth.training.options.run import BUILT_IN_SCENES, SquareOptions

MapKind = Literal["rgb", "depth", "normal", "semantic"]


@dataclass(frozen=True, kw_only=True)
class ModalityOptions(SquareOptions):
    """Options that the commands share which train on all modalities of pictures."""

    train: tuple[str, ...] = option(
        BUILT_IN_SCENES, help="Sources with metric depth; of tables the columns semantic and caption are taken, too."
    )
    images: int = option(
        1000, help="Training pictures per process that are prepared once and kept in cache_dir: fixed crops."
    )
    pictures_seed: int = option(
        0, help="Seed of which pictures are prepared, apart from --seed: runs with other seeds share a cache_dir."
    )
    cache_dir: str | None = option(None, help="Folder of prepared pictures. Default: cache/ in --output_dir.")
    preview_every: int = option(0, help="No pictures are drawn of these models; 0 alone.")
    warmup_steps: int = option(50, help="Steps of linear warm-up; then a cosine down to 0.")

    def __post_init__(self) -> None:
        """Checks every value; see [`RunOptions`]."""
        super().__post_init__()
        check_at_least(self, "images", 1)
        check_at_least(self, "pictures_seed", 0)
        if self.images < self.batch_size:
            raise ValueError(f"--images is {self.images}, less than --batch_size {self.batch_size}; give more.")
        if self.preview_every:
            raise ValueError(f"--preview_every is {self.preview_every}; nothing is drawn of these models, give 0.")


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions(ModalityOptions):
    """Options of `semidepth train tokenizers`."""

    output_dir: str = option("outputs/tokenizers", help="Folder of the tokenizers, one folder each.")
    size: int | None = option(224, help="Side of the square pictures in pixels.")
    modalities: tuple[MapKind, ...] = option(
        ("rgb", "depth", "normal", "semantic"), help="Maps to make tokenizers of; words are made where captions are."
    )
    classes: tuple[str, ...] = option(
        (), help="Names of the classes of the column semantic, in order. Default: those of the built-in scenes."
    )
    patch_size: int = option(16, help="Pixels per side of a token.")
    hidden_size: int = option(256, help="Channels of the convolutions.")
    layers: int = option(3, help="Residual blocks of the encoder, and of the decoder.")
    levels: tuple[int, ...] = option(
        (8, 8, 8, 5, 5), help="Values of each number of a code; their product is the vocabulary."
    )
    sparse_share: float = option(
        0.25, help="Share of training depth maps of which the tokenizer sees scattered pixels or holes alone."
    )
    vocab_size: int = option(30000, help="Most words of captions.")
    learning_rate: float = option(1e-3, help="Peak learning rate.")

    def __post_init__(self) -> None:
        """Checks every value; see [`RunOptions`]."""
        super().__post_init__()
        for name, least in (("patch_size", 2), ("hidden_size", 8), ("layers", 1), ("vocab_size", 32)):
            check_at_least(self, name, least)
        check_share(self, "sparse_share", least=0)
        if not self.levels or min(self.levels) < 2:
            raise ValueError(f"--levels is {self.levels}; give one or more numbers from 2 up, such as 8 5 5 5.")
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"--modalities is {' '.join(self.modalities)}; give at least one, each once.")
        if self.size is None or self.size % self.patch_size:
            raise ValueError(f"--size is {self.size}; give a multiple of --patch_size {self.patch_size}.")
