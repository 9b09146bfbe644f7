"""Features of a frozen core, computed once for a fixed set of images and kept on disk beside the images' masks.

The decoder is small and the core is not: with cached features a step costs the decoder alone. The images are fixed
crops, since the core sees each only once. Features are kept as bfloat16, masks a bit a pixel.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semidepth.data.streaming.mask_loading import MaskBatch
from semidepth.training.engine.step_data import Batch
from semidepth.training.recipes.prepared import Part, Passes, Prepared, prepare_once

# Images -> the core's features, by name, (B, ...) each.
CoreFeatures = Callable[[Tensor], dict[str, Tensor]]


def cache_features(
    folder: Path, batches: Iterable[MaskBatch], core: CoreFeatures, *, images: int, made_of: dict[str, Any], tell: bool
) -> None:
    """Computes and writes the features of the first images of a stream, unless they are there.

    Args:
        folder: for the files.
        batches: of the training stream, with fixed crops.
        core: uint8 images (B, 3, S, S) -> features.
        images: number of images.
        made_of: what decides the features: the core's weights, the sources, size and seed. Features made of something
            else are replaced.
        tell: true if this process shows a bar.

    Raises:
        CommandError: the stream ends before it has so many images.
    """
    prepare_once(
        folder, batches, lambda batch, most: _as_part(batch, core(batch["image"]), most), images=images,
        made_of=made_of, what="core features", option="cached_images", tell=tell,
    )  # fmt: skip


def _as_part(batch: MaskBatch, features: dict[str, Tensor], most: int) -> Part:
    """Returns a batch as a file has it: of each image the features, and the masks a bit a pixel."""
    tensors, names = {}, batch["origin"][:most]
    for row in range(len(names)):
        masks = batch["masks"][row, : batch["counts"][row]].numpy()  # (K, S, S)
        tensors[f"{row}.masks"] = torch.from_numpy(np.packbits(masks.reshape(len(masks), -1), axis=1))
        for name, feature in features.items():
            tensors[f"{row}.features.{name}"] = feature[row].to("cpu", torch.bfloat16).contiguous()
    return Part(tensors, {"origin": names})


class CachedBatches(Passes):
    """Endless batches of cached images, with some of each image's objects; see [`Passes`].

    Args:
        folder: of [`cache_features`].
        batch_size: images in a batch.
        objects: most objects of an image in a batch; of more, some are drawn.
        size: side of the crops in pixels.
        seed: of this process.
    """

    def __init__(self, folder: Path, *, batch_size: int, objects: int, size: int, seed: int) -> None:
        self._kept = Prepared(folder)
        super().__init__(len(self._kept), batch_size=batch_size, seed=seed)
        keys = list(self._kept.files[0].keys())
        self._names = sorted(key.removeprefix("0.features.") for key in keys if key.startswith("0.features."))
        self.objects, self.size = objects, size

    def __next__(self) -> Batch:
        """Returns `features` (name -> (B, ...) float32), `masks` (B, P, S, S) bool, empty ones as padding, `origin`."""
        chosen, rng = self.draw()
        masks = torch.zeros(self.batch_size, self.objects, self.size, self.size, dtype=torch.bool)
        for row, image in enumerate(chosen):
            found = self._masks(image, rng)
            masks[row, : len(found)] = found
        features = {name: torch.stack([self._feature(image, name) for image in chosen]) for name in self._names}
        return {"features": features, "masks": masks, "origin": [self._kept.about["origin"][image] for image in chosen]}

    def _feature(self, image: int, name: str) -> Tensor:
        part, row = self._kept.places[image]
        return self._kept.files[part].get_tensor(f"{row}.features.{name}").float()

    def _masks(self, image: int, rng: np.random.Generator) -> Tensor:
        """Returns (K, S, S) bool, at most `objects` of an image's masks."""
        part, row = self._kept.places[image]
        packed = self._kept.files[part].get_tensor(f"{row}.masks").numpy()
        if len(packed) > self.objects:
            packed = packed[np.sort(rng.permutation(len(packed))[: self.objects])]
        pixels = np.unpackbits(packed, axis=1, count=self.size * self.size)
        return torch.from_numpy(pixels.reshape(-1, self.size, self.size).astype(bool))
