"""Images that a training prepares once and keeps on disk, and the endless order in which it takes them.

What of an image does not change from step to step, such as features of a frozen encoder, is computed once for a fixed
set of crops. Runs with the same data find it again.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from semidepth.common.console import CommandError, bar_interval_s, first_line
from semidepth.common.files import checksum, sync, write_whole
from semidepth.common.locks import folder_held
from semidepth.data.reading.sources import count_samples
from semidepth.data.source_spec import Source

logger = logging.getLogger(__name__)

INDEX = "index.json"
FORM = 3  # of the files; those of another form are made anew


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

    They carry checksums: what is damaged is made anew.

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
        CommandError: the stream ends before it has so many images, or they cannot be written.
        ValueError: another run writes into the folder.
    """
    decided = json.dumps(made_of | {"images": images, "form": FORM}, sort_keys=True)
    wanted = hashlib.sha256(decided.encode()).hexdigest()
    with folder_held("cache_dir", folder):
        if _is_there(folder, wanted):
            logger.info("using %s of %d images in %s", what, images, folder)
            return
        folder.mkdir(parents=True, exist_ok=True)  # only the first process's is made by its lock
        parts = _write(folder, batches, prepare, images=images, what=what, option=option, tell=tell)
        with _written(folder):
            write_whole(folder / INDEX, (json.dumps({"made_of": wanted, "parts": parts}) + "\n").encode())


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    """Makes one sentence of what the disk says."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CommandError(
            f"prepared images could not be written into {folder} ({first_line(error)}); free disk space, or give "
            "another --cache_dir, and run the same command again."
        ) from error


def _is_there(folder: Path, wanted: str) -> bool:
    """True for a folder of what is wanted, as it was written; what is damaged is told."""
    index = folder / INDEX
    if not index.is_file():
        return False
    try:
        record = json.loads(index.read_text())
        if record["made_of"] != wanted:
            return False
        damaged = [part["file"] for part in record["parts"] if checksum(folder / part["file"]) != part["crc32"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        damaged = [f"{INDEX}, {first_line(error)}"]
    if damaged:
        logger.warning("%s is damaged (content has changed: %s); it is made anew", folder, ", ".join(damaged))
    return not damaged


def _write(
    folder: Path,
    batches: Iterable[Any],
    prepare: Callable[[Any, int], Part],
    *,
    images: int,
    what: str,
    option: str,
    tell: bool,
) -> list[dict[str, Any]]:
    """Writes all parts in the place of what is there, and returns what the index says of them.

    Arguments and errors are as in [`prepare_once`].
    """
    (folder / INDEX).unlink(missing_ok=True)  # first: without it nothing else counts
    for old in folder.glob("part-*.safetensors"):
        old.unlink()
    done = 0
    parts: list[dict[str, Any]] = []
    with tqdm(total=images, desc=what, unit="img", disable=not tell, mininterval=bar_interval_s()) as bar:
        for batch in batches:
            part = prepare(batch, images - done)
            file = f"part-{len(parts):05d}.safetensors"
            with _written(folder):
                save_file(part.tensors, folder / file)
                sync(folder / file)
            parts.append({"file": file, "about": part.about, "crc32": checksum(folder / file)})
            count = len(part.about["origin"])
            done += count
            bar.update(count)
            if done == images:
                break
    if done < images:
        raise CommandError(f"--{option} is {images} and --train has only {done} for this process; give fewer.")
    return parts


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
