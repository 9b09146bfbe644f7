"""Images that a training prepares once and keeps on disk, and the endless order in which it takes them.

What of an image does not change from step to step, such as features of a frozen encoder, is computed once for a fixed
set of crops. Runs with the same data find it again.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from semidepth.common.console import CommandError, bar_interval_s
from semidepth.common.files import write_whole
from semidepth.data.reading.sources import count_samples
from semidepth.data.source_spec import Source

logger = logging.getLogger(__name__)

INDEX = "index.json"
FORM = 2  # of the files; those of another form are made anew


class Part(NamedTuple):
    """What one file has: its tensors, and lists with an entry for each of its images, `origin` among them."""

    tensors: dict[str, Tensor]
    about: dict[str, list[Any]]


def prepare_once(
    folder: Path,
    batches: Iterable[Any],
    prepare: Callable[[Any, int], Part],
    *,
    images: int,
    made_of: dict[str, Any],
    what: str,
    option: str,
    tell: bool,
) -> None:
    """Prepares the first images of a stream and writes them, unless they are there.

    Args:
        folder: for the files.
        batches: of the training stream, with fixed crops.
        prepare: a batch, and how many of its images to take at most -> a part.
        images: number of images.
        made_of: what decides the result; what is made of something else is replaced.
        what: the images are called, such as "core features".
        option: that says how many.
        tell: true if this process shows a bar.

    Raises:
        CommandError: the stream ends before it has so many images.
    """
    decided = json.dumps(made_of | {"images": images, "form": FORM}, sort_keys=True)
    wanted = hashlib.sha256(decided.encode()).hexdigest()
    index = folder / INDEX
    if index.is_file() and json.loads(index.read_text())["made_of"] == wanted:
        logger.info("using %s of %d images in %s", what, images, folder)
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = 0
    parts: list[dict[str, Any]] = []
    with tqdm(total=images, desc=what, unit="img", disable=not tell, mininterval=bar_interval_s()) as bar:
        for batch in batches:
            part = prepare(batch, images - done)
            file = f"part-{len(parts):05d}.safetensors"
            save_file(part.tensors, folder / file)
            parts.append({"file": file, "about": part.about})
            count = len(part.about["origin"])
            done += count
            bar.update(count)
            if done == images:
                break
    if done < images:
        raise CommandError(f"--{option} is {images} and --train has only {done} for this process; give fewer.")
    write_whole(index, (json.dumps({"made_of": wanted, "parts": parts}) + "\n").encode())


def images_there(
    sources: Sequence[Source], images: int, *, labeled: bool, world: int, batch_size: int, option: str
) -> int:
    """Returns how many images each process prepares: as many as are asked for, or its share of what there is.

    The share is of whole batches, one at least; that it is smaller is logged.

    Args:
        sources: of the images.
        images: asked for.
        labeled: those with depth alone are counted.
        world: processes.
        batch_size: images in a batch.
        option: that asks for them.
    """
    counts = [count_samples(source, labeled=labeled) for source in sources]
    if any(count is None for count in counts):
        return images
    share = max(batch_size, sum(count or 0 for count in counts) // world // batch_size * batch_size)
    if share < images:
        logger.info("--%s is %d; there are %d for each process, in whole batches", option, images, share)
    return min(images, share)


class Prepared:
    """The images in a folder of [`prepare_once`].

    Attributes:
        files: opened, one for each part.
        places: of each image, the number of its file and its row there.
        about: what the parts say of their images, one list each over all of them.
    """

    def __init__(self, folder: Path) -> None:
        parts = json.loads((folder / INDEX).read_text())["parts"]
        self.files = [safe_open(folder / part["file"], "pt") for part in parts]
        self.places = [
            (number, row) for number, part in enumerate(parts) for row in range(len(part["about"]["origin"]))
        ]
        self.about = {name: [each for part in parts for each in part["about"][name]] for name in parts[0]["about"]}

    def __len__(self) -> int:
        return len(self.places)


class Passes:
    """Endless batches of numbers of images, in a new order in each pass.

    To `StepData` a subclass with `__next__` is a loader: it has a position that checkpoints save. The order depends on
    the seed and the position alone.

    Args:
        images: how many there are.
        batch_size: images in a batch.
        seed: of this process.
    """

    def __init__(self, images: int, *, batch_size: int, seed: int) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self._taken = 0  # batches

    def __iter__(self) -> Any:
        return self

    def draw(self) -> tuple[list[int], np.random.Generator]:
        """Returns the numbers of the next batch, and a generator for what else is drawn for it."""
        passed, number = divmod(self._taken, self.images // self.batch_size)
        order = np.random.default_rng([self.seed, passed]).permutation(self.images)
        self._taken += 1
        chosen = order[number * self.batch_size : (number + 1) * self.batch_size].tolist()
        return chosen, np.random.default_rng([self.seed, passed, number])

    def state(self) -> dict[str, Any]:
        """Returns the position."""
        return {"taken": self._taken}

    def restore(self, states: Sequence[dict[str, Any]]) -> str:
        """Resumes at the position of an earlier run; returns a sentence for the log, or ""."""
        self._taken = max(state["taken"] for state in states)  # all processes have taken as many
        return ""
