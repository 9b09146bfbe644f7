"""Pictures that are prepared once and kept on disk, and endless batches of them."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from semidepth.data.modalities.loading import ModalityBatch
from semidepth.data.reading.sources import count_samples
from semidepth.data.source_spec import Source

logger = logging.getLogger(__name__)

INDEX = "index.json"
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


def make_cache(
    folder: Path,
    batches: Iterable[ModalityBatch],
    prepare: Callable[[ModalityBatch], dict[str, Tensor]],
    *,
    images: int,
    made_of: dict[str, Any],
    tell: bool,
) -> None:
    """Prepares the first pictures of a stream and writes them, unless they are there.

    Args:
        folder: for the files.
        batches: of the training stream.
        prepare: a batch -> tensors with one row for each picture.
        images: number of pictures.
        made_of: what decides the result; what is made of something else is replaced.
        tell: true if this process shows a bar.

    Raises:
        CommandError: the stream ends before it has so many pictures.
    """
    wanted = hashlib.sha256(json.dumps(made_of | {"images": images}, sort_keys=True).encode()).hexdigest()
    index = folder / INDEX
    if index.is_file() and json.loads(index.read_text())["made_of"] == wanted:
        logger.info("using %d prepared pictures in %s", images, folder)
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files: list[dict[str, Any]] = []
    done = 0
    with tqdm(total=images, desc="pictures", unit="img", disable=not tell, mininterval=bar_interval_s()) as bar:
        for batch in batches:
            count = min(images - done, len(batch["origin"]))
            file = f"part-{len(files):05d}.safetensors"
            save_file({name: rows[:count].cpu().contiguous() for name, rows in prepare(batch).items()}, folder / file)
            texts: dict[str, Any] = {name: list(batch[name])[:count] for name in TEXTS}  # type: ignore[literal-required]
            files.append({"file": file, "count": count} | texts)
            done += count
            bar.update(count)
            if done == images:
                break
    if done < images:
        raise CommandError(f"--images is {images} and --train has only {done} for this process; give fewer.")
    write_whole(index, (json.dumps({"made_of": wanted, "parts": files}) + "\n").encode())


def pictures_there(sources: Sequence[Source], images: int, world: int, batch_size: int) -> int:
    """Returns how many pictures a process keeps: as many as are asked for, or its share of what there is."""
    counts = [count_samples(source, labeled=True) for source in sources]
    if any(count is None for count in counts):
        return images
    share = sum(count or 0 for count in counts) // world // batch_size * batch_size
    return max(batch_size, min(images, share))


class Cache:
    """The pictures in a folder of [`make_cache`], by number."""

    def __init__(self, folder: Path) -> None:
        parts = json.loads((folder / INDEX).read_text())["parts"]
        self._files = [safe_open(folder / part["file"], "pt") for part in parts]
        self._places = [(part, row) for part, entry in enumerate(parts) for row in range(entry["count"])]
        self.texts = {name: [text for part in parts for text in part[name]] for name in TEXTS}
        self.names = sorted(self._files[0].keys())

    def __len__(self) -> int:
        return len(self._places)

    def rows(self, numbers: Iterable[int]) -> dict[str, Tensor]:
        """Returns the tensors of some pictures, stacked."""
        places = [self._places[number] for number in numbers]
        return {
            name: torch.stack([self._files[part].get_slice(name)[row] for part, row in places]) for name in self.names
        }


class CachedPictures:
    """Endless batches of numbers of pictures, in a new order in each pass; to `StepData` it is a loader.

    Args:
        cache: the pictures.
        batch_size: pictures in a batch.
        seed: of this process.
    """

    def __init__(self, cache: Cache, *, batch_size: int, seed: int) -> None:
        self.cache, self.batch_size, self.seed = cache, batch_size, seed
        self._taken = 0  # batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        """Returns the tensors of the next pictures, and `origin`, `caption` and `domain` as lists."""
        each = len(self.cache) // self.batch_size
        passed, number = divmod(self._taken, each)
        order = np.random.default_rng([self.seed, passed]).permutation(len(self.cache))
        chosen = order[number * self.batch_size : (number + 1) * self.batch_size].tolist()
        self._taken += 1
        texts = {name: [values[picture] for picture in chosen] for name, values in self.cache.texts.items()}
        return self.cache.rows(chosen) | texts

    def state(self) -> dict[str, Any]:
        """Returns the position."""
        return {"taken": self._taken}

    def restore(self, states: Sequence[dict[str, Any]]) -> str:
        """Resumes at the position of an earlier run; returns a sentence for the log, or ""."""
        self._taken = max(state["taken"] for state in states)  # all processes have taken as many
        return ""
