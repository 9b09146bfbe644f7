"""Pictures that are prepared once and kept on disk, and endless batches of them."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from semidepth.data.modalities.loading import ModalityBatch
from semidepth.training.recipes.prepared import Part, Passes, Prepared

TEXTS = ("caption", "domain", "origin")

# Values of a map as they are kept: half the depth's bytes at a relative error of 0.05 %, normals to half a degree.
NORMAL_STEPS = 127


def pack(batch: ModalityBatch) -> dict[str, Tensor]:
    """Returns a batch's maps in fewer bytes; [`unpack`] gives them back."""
    normal = (batch["normal"] * NORMAL_STEPS).round().nan_to_num(nan=-128)
    return {
        "image": batch["image"], "depth": batch["depth"].half(), "normal": normal.to(torch.int8),
        "semantic": batch["semantic"].to(torch.int16),
    }  # fmt: skip


def unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the values of packed maps as tokenizers take them, by kind."""
    normal = packed["normal"].float()
    known = (packed["normal"] != -128).all(1, keepdim=True)
    return {
        "rgb": packed["image"].float() / 255, "depth": packed["depth"].float(),
        "normal": torch.where(known, torch.nn.functional.normalize(normal, dim=1), torch.nan),
        "semantic": packed["semantic"].long(),
    }  # fmt: skip


def part_of_batch(batch: ModalityBatch, tensors: dict[str, Tensor], most: int) -> Part:
    """Returns what is kept of a batch: tensors with a row for each picture, and its texts."""
    about: dict[str, list[Any]] = {name: list(batch[name])[:most] for name in TEXTS}  # type: ignore[literal-required]
    return Part({name: rows[:most].cpu().contiguous() for name, rows in tensors.items()}, about)


class CachedPictures(Passes):
    """Endless batches of prepared pictures; see [`Passes`].

    Args:
        kept: the pictures.
        batch_size: pictures in a batch.
        seed: of this process.
    """

    def __init__(self, kept: Prepared, *, batch_size: int, seed: int) -> None:
        super().__init__(len(kept), batch_size=batch_size, seed=seed)
        self.kept = kept
        self._names = sorted(kept.files[0].keys())

    def __next__(self) -> dict[str, Any]:
        """Returns the tensors of the next pictures, and `origin`, `caption` and `domain` as lists."""
        chosen, _ = self.draw()
        return self.rows(chosen) | {name: [values[each] for each in chosen] for name, values in self.kept.about.items()}

    def rows(self, numbers: Iterable[int]) -> dict[str, Tensor]:
        """Returns the tensors of some pictures, stacked."""
        places = [self.kept.places[number] for number in numbers]
        return {
            name: torch.stack([self.kept.files[part].get_slice(name)[row] for part, row in places])
            for name in self._names
        }
