"""Features of a frozen core, computed once for a fixed set of images and kept on disk beside the images' masks.

The decoder is small and the core is not: with cached features a step costs the decoder alone. The images are fixed
crops, since the core sees each only once. Features are kept as bfloat16, masks a bit a pixel.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from semidepth.common.console import CommandError, bar_interval_s
from semidepth.common.files import write_whole
from semidepth.data.streaming.mask_loading import MaskBatch
from semidepth.training.engine.step_data import Batch

logger = logging.getLogger(__name__)

INDEX = "index.json"

# Images -> the core's features, by name, (B, ...) each.
CoreFeatures = Callable[[Tensor], dict[str, Tensor]]


def cache_features(
    folder: Path, batches: Iterator[MaskBatch], core: CoreFeatures, *, images: int, made_of: dict[str, Any], tell: bool
) -> Path:
    """Computes and writes the features of the first images of a stream, unless they are there, and returns the folder.

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
    wanted = hashlib.sha256(json.dumps(made_of | {"images": images}, sort_keys=True).encode()).hexdigest()
    index = folder / INDEX
    if index.is_file() and json.loads(index.read_text())["made_of"] == wanted:
        logger.info("using the core's features of %d images in %s", images, folder)
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = 0
    files: list[dict[str, Any]] = []
    bar = tqdm(total=images, desc="core features", unit="img", disable=not tell, mininterval=bar_interval_s())
    with bar:
        for batch in batches:
            tensors, names = _as_tensors(batch, core(batch["image"]), images - done)
            file = f"part-{len(files):05d}.safetensors"
            save_file(tensors, folder / file)
            files.append({"file": file, "origins": names})
            done += len(names)
            bar.update(len(names))
            if done == images:
                break
    if done < images:
        raise CommandError(f"--cached_images is {images} and --train has only {done} for this process; give fewer.")
    write_whole(index, (json.dumps({"made_of": wanted, "parts": files}) + "\n").encode())
    return folder


def _as_tensors(
    batch: MaskBatch, features: dict[str, Tensor], most: int
) -> tuple[dict[str, Tensor], list[str]]:  # fmt: skip
    """Returns the tensors of a batch's images as a file has them, and the images' names."""
    tensors, names = {}, batch["origin"][:most]
    for row in range(len(names)):
        masks = batch["masks"][row, : batch["counts"][row]].numpy()  # (K, S, S)
        tensors[f"{row}.masks"] = torch.from_numpy(np.packbits(masks.reshape(len(masks), -1), axis=1))
        for name, feature in features.items():
            tensors[f"{row}.features.{name}"] = feature[row].to("cpu", torch.bfloat16).contiguous()
    return tensors, names


class CachedBatches:
    """Endless batches of cached images, in a new order in each pass, with some of each image's objects.

    To `StepData` it is a loader: it has a position that checkpoints save. Order and objects depend on the seed and the
    position alone.

    Args:
        folder: of [`cache_features`].
        batch_size: images in a batch.
        objects: most objects of an image in a batch; of more, some are drawn.
        size: side of the crops in pixels.
        seed: of this process.
    """

    def __init__(self, folder: Path, *, batch_size: int, objects: int, size: int, seed: int) -> None:
        parts = json.loads((folder / INDEX).read_text())["parts"]
        self._files = [safe_open(folder / part["file"], "pt") for part in parts]
        self._images = [(part, row) for part, entry in enumerate(parts) for row in range(len(entry["origins"]))]
        self._origins = [origin for part in parts for origin in part["origins"]]
        keys = list(self._files[0].keys())
        self._names = sorted(key.removeprefix("0.features.") for key in keys if key.startswith("0.features."))
        self.batch_size, self.objects, self.size, self.seed = batch_size, objects, size, seed
        self._taken = 0  # batches

    def __iter__(self) -> "CachedBatches":
        return self

    def __next__(self) -> Batch:
        """Returns `features` (name -> (B, ...) float32), `masks` (B, P, S, S) bool, empty ones as padding, `origin`."""
        each = len(self._images) // self.batch_size
        passed, number = divmod(self._taken, each)
        order = np.random.default_rng([self.seed, passed]).permutation(len(self._images))
        chosen = order[number * self.batch_size : (number + 1) * self.batch_size].tolist()
        rng = np.random.default_rng([self.seed, passed, number])
        self._taken += 1
        masks = torch.zeros(self.batch_size, self.objects, self.size, self.size, dtype=torch.bool)
        for row, image in enumerate(chosen):
            found = self._masks(image, rng)
            masks[row, : len(found)] = found
        features = {name: torch.stack([self._feature(image, name) for image in chosen]) for name in self._names}
        return {"features": features, "masks": masks, "origin": [self._origins[image] for image in chosen]}

    def state(self) -> dict[str, Any]:
        """Returns the position."""
        return {"taken": self._taken}

    def restore(self, states: Sequence[dict[str, Any]]) -> str:
        """Resumes at the position of an earlier run; returns a sentence for the log, or ""."""
        self._taken = max(state["taken"] for state in states)  # all processes have taken as many
        return ""

    def _feature(self, image: int, name: str) -> Tensor:
        part, row = self._images[image]
        return self._files[part].get_tensor(f"{row}.features.{name}").float()

    def _masks(self, image: int, rng: np.random.Generator) -> Tensor:
        """Returns (K, S, S) bool, at most `objects` of an image's masks."""
        part, row = self._images[image]
        packed = self._files[part].get_tensor(f"{row}.masks").numpy()
        if len(packed) > self.objects:
            packed = packed[np.sort(rng.permutation(len(packed))[: self.objects])]
        pixels = np.unpackbits(packed, axis=1, count=self.size * self.size)
        return torch.from_numpy(pixels.reshape(-1, self.size, self.size).astype(bool))


def first_batches(loader: Any, images: int, batch_size: int) -> Iterator[MaskBatch]:
    """Returns as many of a loader's batches as hold so many images."""
    return islice(iter(loader), -(-images // batch_size))
