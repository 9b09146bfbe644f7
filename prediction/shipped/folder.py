"""The folder of a model, by the name that people give it: the model that comes with semidepth, a folder, a Hub id.

    semidepth-small          relative: inverse depth; what `load_model()` gives
    semidepth-small-metric   the same with metric heads on it, where they are shipped: metres
    semidepth-small-masks    the same with a mask decoder on it, where it is shipped: masks of what is pointed at

All lie in model_cards/semidepth-small: the heads in its folder metres, the decoder in masks. Light to import.
"""

import hashlib
import json
import logging
from functools import lru_cache
from importlib import resources
from pathlib import Path

from semidepth import model_cards

logger = logging.getLogger(__name__)

NAME, METRIC_NAME, MASKS_NAME = "semidepth-small", "semidepth-small-metric", "semidepth-small-masks"
# A strict editable installation links each file; the folder itself is where the files lie.
FOLDER = (Path(str(resources.files(model_cards))) / NAME / "README.md").resolve().parent
METRES, MASKS = "metres", "masks"
PLACES = {NAME: "", METRIC_NAME: METRES, MASKS_NAME: MASKS}
# Bytes and sha256 of each file of weights, by its path in the folder.
RECORD = "weights.json"
HEADS = "heads.safetensors"
WEIGHTS = "model.safetensors"
LFS = b"version https://git-lfs"
AGAIN = "install semidepth again, or in a clone run `git checkout HEAD -- model_cards` on a full checkout"


def find_model(name: str | Path | None = None) -> str:
    """The folder of a shipped model for its name; any other name as it is.

    Args:
        name: Hub id or folder, or the name of a shipped model; None: the shipped one, without metres. A
            `Path` is always a folder, and so is text such as "./semidepth-small".

    Returns:
        A folder or Hub id that loaders take.

    Raises:
        ValueError: in one sentence, where a shipped model is asked for and is not there, or its weights are missing,
            cut or damaged.
    """
    if isinstance(name, Path):
        return str(name)
    name = name or default_name()
    if name not in PLACES:
        return name
    if (Path(name) / "config.json").is_file():
        tell_apart(name, Path(name).resolve())
    record = read_record()
    parts = [WEIGHTS] if name == NAME else [WEIGHTS, f"{PLACES[name]}/{HEADS}"]
    for part in parts:
        if part not in record:
            raise ValueError(
                f"{name!r} does not come with this installation of semidepth, which has no {part} of it; name {NAME!r} "
                "for inverse depth, or another model."
            )
        check_weights(FOLDER / part, record[part])
    return str(FOLDER / PLACES[name])


@lru_cache
def tell_apart(name: str, here: Path) -> None:
    """Warns once that a name means the shipped model and not the folder of the same name."""
    if here != FOLDER.resolve():
        logger.warning("%s is the model that comes with semidepth; write ./%s for the folder here", name, name)


def default_name() -> str:
    """Name of the model that is taken where none is named.

    The relative one: it is sharper, and right about shape where metres are far off, such as for a cup that the router
    takes for a street.
    """
    return NAME


def shipped_names() -> list[str]:
    """Returns names of the depth models that this installation should have, the default first; empty without any."""
    return [name for name in shipped_models() if name != MASKS_NAME]


def shipped_models() -> list[str]:
    """Names of all models that this installation should have: those of depth, then that of masks; empty without any."""
    if not (FOLDER / RECORD).is_file():
        return []
    record = read_record()
    return [NAME, *(name for name, place in PLACES.items() if f"{place}/{HEADS}" in record)]


def shown_name(folder: str) -> str:
    """Name of a shipped model for its folder; any other name as it is."""
    return {str(FOLDER / place): name for name, place in PLACES.items()}.get(folder, folder)


def is_heads(folder: str | Path) -> bool:
    """Returns true for a folder with metric heads, or a mask decoder, alone."""
    return (Path(folder) / HEADS).is_file()


def weight_files(folder: Path) -> list[Path]:
    """Files that hold the weights of a folder of heads: of their core, in the folder above, and their own.

    Raises:
        ValueError: the core is missing.
    """
    core = folder.resolve().parent / WEIGHTS
    if not core.is_file():
        raise ValueError(f"{folder} holds heads and their core is missing ({core}); keep both folders together.")
    return [core, folder / HEADS]


def read_record() -> dict[str, dict[str, int | str]]:
    """Bytes and sha256 of each shipped file of weights.

    Raises:
        ValueError: no model comes with this installation.
    """
    path = FOLDER / RECORD
    if not path.is_file():
        raise ValueError(
            f"no model comes with this installation of semidepth ({path} is missing); name one, such as "
            "--model outputs/demo/student, or install a version with semidepth-small."
        )
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {AGAIN}.") from error


def check_weights(path: Path, expected: dict[str, int | str]) -> None:
    """Raises ValueError, with what to do, unless a file of weights is whole.

    Args:
        path: of the file.
        expected: its `bytes` and `sha256`.
    """
    if not path.is_file():
        raise ValueError(f"the weights {path} are missing; {AGAIN}.")
    state = path.stat()
    with path.open("rb") as file:
        if file.read(len(LFS)) == LFS:
            raise ValueError(f"the weights {path} are a pointer of git-lfs; run `git lfs pull` in the clone.")
    if state.st_size != expected["bytes"]:
        raise ValueError(f"the weights {path} are cut: {state.st_size} of {expected['bytes']} bytes; {AGAIN}.")
    if sha256_of(path, state.st_size, state.st_mtime_ns) != expected["sha256"]:
        raise ValueError(f"the weights {path} are damaged: their sha256 is not the recorded one; {AGAIN}.")


@lru_cache
def sha256_of(path: Path, size: int, modified_ns: int) -> str:
    """The sha256 of a file, computed once for each size and time of change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
