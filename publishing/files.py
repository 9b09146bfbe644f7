"""What of a folder goes up to the Hub: chosen by name, kept within the folder, without secrets, nothing pickled.

A model folder's weights, configuration, image processor, remote code, card, options and results go up; checkpoints,
logs and previews stay, but for the pictures that the card shows. A pseudo-label set and a Space go up whole.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import get_token
from safetensors import SafetensorError, safe_open

from semidepth.common.redaction import has_secret
from semidepth.prediction.checkpoints import PICKLED, pickled_names

Kind = Literal["model", "dataset", "space"]

OPTIONS = ("student.yaml", "teacher.yaml", "metric.yaml")
DESCRIPTION = ("config.json", "preprocessor_config.json", "processor_config.json", "LICENSE")
SCORES = ("results.json", "scores/results.json", "scores/table.md", "scores/examples.png")
CARD = "README.md"
INDEX = "model.safetensors.index.json"
PSEUDO_LABELS = "pseudo_labels.json"

_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
_TEXT = frozenset({"", ".json", ".yaml", ".yml", ".md", ".py", ".txt", ".toml", ".cfg", ".html", ".css", ".js"})
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)[^)]*\)|<img[^>]*?\bsrc=[\"']([^\"']+)")


@dataclass(frozen=True)
class HubFile:
    """One file on its way: its path in the repository, and where it lies."""

    path: str
    source: Path

    @property
    def size(self) -> int:
        """Bytes."""
        return self.source.stat().st_size


def kind_of_folder(folder: Path) -> Kind:
    """Whether a folder is a model or a pseudo-label set.

    Raises:
        ValueError: it is neither, or not there.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; name the one that a training command or pseudo_label.py wrote.")
    if (folder / PSEUDO_LABELS).is_file():
        return "dataset"
    if (folder / "config.json").is_file():
        return "model"
    raise ValueError(
        f"{folder} has neither config.json (a model) nor {PSEUDO_LABELS} (a set of labels); name the folder that a "
        "training command or pseudo_label.py wrote."
    )


def model_files(folder: Path) -> list[HubFile]:
    """What of a model folder goes up, in the order of its names; the card is not made here.

    Raises:
        ValueError: weights are missing, broken or pickled, a path leads out of the folder, or a file holds a secret.
    """
    names = [*weight_names(folder), *code_names(folder)]
    names += [name for name in (*DESCRIPTION, *OPTIONS, *SCORES, CARD) if (folder / name).is_file()]
    if (folder / CARD).is_file():
        card = _within(folder / CARD, folder.resolve()).read_text(encoding="utf-8", errors="replace")
        names += pictures_of(card, folder)
    return checked_files(folder, names)


def dataset_files(folder: Path) -> list[HubFile]:
    """The files of a pseudo-label set: its record, its card and its finished parts.

    Raises:
        ValueError: there is no part, a path leads out of the folder, or a file holds a secret.
    """
    parts = [path.relative_to(folder).as_posix() for path in folder.glob("data/*.parquet")]
    if not parts:
        raise ValueError(f"{folder} has no finished part (data/*.parquet); let pseudo_label.py finish one.")
    return checked_files(folder, [*parts, *(name for name in (PSEUDO_LABELS, CARD) if (folder / name).is_file())])


def space_files(folder: Path, root: Path) -> list[HubFile]:
    """All files of a Space in this repository; its links into the repository are followed.

    Args:
        folder: the Space's.
        root: the repository's, out of which no link may lead.

    Raises:
        ValueError: as in [`model_files`].
    """
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = [
        path.as_posix()
        for path in inside
        if "__pycache__" not in path.parts and not any(part.startswith(".") for part in path.parts)
    ]
    return checked_files(folder, names, root)


def weight_names(folder: Path) -> list[str]:
    """The safetensors files of a model, and their index where they are several.

    Raises:
        ValueError: there are none, or not all that the index names.
    """
    if (folder / INDEX).is_file():
        try:
            shards = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise ValueError(f"{folder / INDEX} cannot be read ({error}); save the model anew.") from error
        missing = [name for name in shards if not _WEIGHTS.fullmatch(str(name)) or not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{folder} lacks {missing[0]}, which its index names; save the model anew.")
        return [*shards, INDEX]
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    pickled = pickled_names(folder)
    if pickled:
        raise ValueError(
            f"{folder} has its weights pickled ({pickled[0]}), and what is pickled is never published; save them as "
            "model.safetensors first."
        )
    raise ValueError(f"{folder} has no model.safetensors; let the training finish, or name a folder that has one.")


def code_names(folder: Path) -> list[str]:
    """The Python files that a model's configuration sends its loader to, and those that they import."""
    from transformers.dynamic_module_utils import get_relative_import_files  # here: half a second

    try:
        auto_map = json.loads((folder / "config.json").read_text()).get("auto_map", {})
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{folder / 'config.json'} cannot be read ({error}); save the model anew.") from error
    # "module.Class", of another repository "org/name--module.Class"
    modules = {str(value).split(".")[0] for value in auto_map.values() if "--" not in str(value)}
    names: set[str] = set()
    for module in modules:
        if not (folder / f"{module}.py").is_file():
            raise ValueError(f"{folder} lacks {module}.py, which its config.json names; save the model anew.")
        names |= {f"{module}.py", *(Path(path).name for path in get_relative_import_files(folder / f"{module}.py"))}
    return sorted(names)


def pictures_of(card: str, folder: Path) -> list[str]:
    """Files of the folder that a card shows, by the paths that it gives."""
    shown = [first or second for first, second in _PICTURE.findall(card)]
    return sorted({name for name in shown if "://" not in name and (folder / name).is_file()})


def preview_names(folder: Path) -> list[str]:
    """The newest picture of a training's predictions, for a card to show; none where there is none."""
    return [path.relative_to(folder).as_posix() for path in sorted((folder / "previews").glob("*.png"))[-1:]]


def left_out(folder: Path, files: Iterable[HubFile]) -> list[str]:
    """What at the top of a folder stays: folders with a slash at their end."""
    going = {file.path.split("/")[0] for file in files} | {file.path for file in files}
    return sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if path.name not in going)


def is_stale(path: str, going: Iterable[str], kind: Kind = "model") -> bool:
    """Whether a file of a repository belongs to what the files on their way replace.

    Of a model: weights (a loader prefers model.safetensors to shards, whichever came later), and exports and scores,
    which were another model's. Of a set of pseudo labels: its parts, which another teacher may have made.
    """
    if path in set(going):
        return False
    if kind == "dataset":
        return path.startswith("data/") and path.endswith(".parquet")
    return kind == "model" and (
        _WEIGHTS.fullmatch(path) is not None or path in SCORES or path.startswith("onnx/model.")
    )


def checked_files(folder: Path, names: Iterable[str], root: Path | None = None) -> list[HubFile]:
    """The named files of a folder, each looked at.

    Args:
        folder: where the names are.
        names: paths below it.
        root: folder out of which no link may lead; by default the folder itself.

    Raises:
        ValueError: one leads out of there, is pickled, is no whole safetensors file or holds a secret.
    """
    files = [HubFile(name, _within(folder / name, (root or folder).resolve())) for name in sorted(set(names))]
    for file in files:
        if file.source.suffix in PICKLED:
            raise ValueError(f"{folder / file.path} is pickled, and what is pickled is never published; take it out.")
        if file.source.suffix == ".safetensors":
            _check_safetensors(file.source)
    for path, number in secrets_in(files):
        raise ValueError(
            f"{folder / path} holds what looks like a password or token in line {number}; take it out before it is "
            "published, and make a new one if others have seen it."
        )
    return files


def _within(path: Path, root: Path) -> Path:
    found = path.resolve()
    if not found.is_relative_to(root):
        raise ValueError(f"{path} leads out of {root}; put a copy of the file in its place, or take it out.")
    return found


def _check_safetensors(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no whole safetensors file ({error}); save the model anew.") from error


def secrets_in(files: Iterable[HubFile], has: Callable[[str], bool] = has_secret) -> Iterator[tuple[str, int]]:
    """Text files with something like a token in them, and the line; the token in use is looked for as it is."""
    own = get_token()
    for file in files:
        if file.source.suffix not in _TEXT:
            continue
        text = file.source.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if has(line) or (own and own in line):
                yield file.path, number
                break
