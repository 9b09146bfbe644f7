"""Files that are published: chosen by name, inside their folder, free of secrets and never pickled.

Of a model folder these are weights, configuration, image processor, remote code, card, options and results.
Checkpoints, logs and previews stay, but for the preview on the card of a run that saw nothing but rendered scenes:
others show the photos that it was trained on. A set of pseudo labels is published whole.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from semidepth.common.options import read_options
from semidepth.data.public_names import SOURCE_OPTIONS, split_source
from semidepth.prediction.checkpoints import PICKLED, pickled_names
from semidepth.publishing.secret_lines import first_secret

Kind = Literal["model", "dataset", "space"]

OPTIONS = ("student.yaml", "teacher.yaml", "metric.yaml", "masks.yaml", "four_m.yaml")
PROCESSOR = "preprocessor_config.json"
WORDS = ("tokenizer.json", "tokenizer_config.json")
DESCRIPTION = ("config.json", PROCESSOR, "processor_config.json", "LICENSE", *WORDS)
EXAMPLES, PREVIEWS = "scores/examples.png", "previews/*.png"
SCORES = ("results.json", "scores/results.json", "scores/table.md", EXAMPLES)
CARD = "README.md"
INDEX = "model.safetensors.index.json"
PSEUDO_LABELS = "pseudo_labels.json"

_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)[^)]*\)|<img[^>]*?\bsrc=[\"']([^\"']+)")


@dataclass(frozen=True)
class HubFile:
    """A file to upload.

    Attributes:
        path: in the repository.
        source: on this machine.
    """

    path: str
    source: Path

    @property
    def size(self) -> int:
        """Bytes."""
        return self.source.stat().st_size


def kind_of_folder(folder: Path) -> Kind:
    """Returns the kind of repository that a folder belongs in: a model, or a dataset of pseudo labels.

    Raises:
        ValueError: the folder is missing or holds neither.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one that a training command or semidepth pseudo-label wrote.")
    if (folder / PSEUDO_LABELS).is_file():
        return "dataset"
    if (folder / "config.json").is_file():
        return "model"
    raise ValueError(
        f"{folder} has neither config.json (a model) nor {PSEUDO_LABELS} (a set of labels); give a folder that a "
        "training command or semidepth pseudo-label wrote."
    )


def model_files(folder: Path) -> list[HubFile]:
    """Returns the files of a model folder that are published, sorted by name. The card is included if it is there.

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
    """Returns the files of a pseudo-label set: its record, its card and its finished parts.

    Raises:
        ValueError: there is no part, a path leads out of the folder, or a file holds a secret.
    """
    parts = [path.relative_to(folder).as_posix() for path in folder.glob("data/*.parquet")]
    if not parts:
        raise ValueError(f"{folder} has no finished part (data/*.parquet); let semidepth pseudo-label finish one.")
    return checked_files(folder, [*parts, *(name for name in (PSEUDO_LABELS, CARD) if (folder / name).is_file())])


def weight_names(folder: Path) -> list[str]:
    """Returns the names of a model's safetensors files, and of their index if there is one.

    Raises:
        ValueError: there are none, or one that the index names is missing.
    """
    if (folder / INDEX).is_file():
        try:
            shards = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise ValueError(f"{folder / INDEX} cannot be read ({error}); save the model again.") from error
        missing = [name for name in shards if not _WEIGHTS.fullmatch(str(name)) or not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{folder} lacks {missing[0]}, which its index names; save the model again.")
        return [*shards, INDEX]
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    pickled = pickled_names(folder)
    if pickled:
        raise ValueError(
            f"{folder} has pickled weights ({pickled[0]}), and pickled files are never published; save the model as "
            "model.safetensors first."
        )
    raise ValueError(f"{folder} has no model.safetensors; let the training finish, or give a folder that has one.")


def code_names(folder: Path) -> list[str]:
    """Returns the names of a model's remote code: the modules in config.json's auto_map and those that they import."""
    from transformers.dynamic_module_utils import get_relative_import_files  # here: half a second

    try:
        auto_map = json.loads((folder / "config.json").read_text()).get("auto_map", {})
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{folder / 'config.json'} cannot be read ({error}); save the model again.") from error
    # "module.Class"; of another repository "org/name--module.Class"
    modules = {str(value).split(".")[0] for value in auto_map.values() if "--" not in str(value)}
    names: set[str] = set()
    for module in modules:
        if not (folder / f"{module}.py").is_file():
            raise ValueError(f"{folder} lacks {module}.py, which its config.json names; save the model again.")
        names |= {f"{module}.py", *(Path(path).name for path in get_relative_import_files(folder / f"{module}.py"))}
    return sorted(names)


def pictures_of(card: str, folder: Path) -> list[str]:
    """Returns the paths of the pictures on a card that are files of the folder."""
    shown = [first or second for first, second in _PICTURE.findall(card)]
    return sorted({name for name in shown if "://" not in name and (folder / name).is_file()})


def preview_names(folder: Path) -> list[str]:
    """Returns the path of the newest preview of a run on rendered scenes alone, as a list of one; else an empty list.

    Previews of other runs show photos of the person who trained, and stay where they are.
    """
    options = [read_options(folder / name) for name in OPTIONS if (folder / name).is_file()]
    sources = [text for values in options for name in SOURCE_OPTIONS for text in values.get(name) or ()]
    rendered = sources and all(split_source(text)[1].startswith("scenes:") for text in sources)
    return [path.relative_to(folder).as_posix() for path in sorted(folder.glob(PREVIEWS))[-1:]] if rendered else []


def left_out(folder: Path, files: Iterable[HubFile]) -> list[str]:
    """Returns the names at the top of a folder that are not published; names of folders end with a slash."""
    going = {file.path.split("/")[0] for file in files} | {file.path for file in files}
    return sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if path.name not in going)


def is_stale(path: str, going: Iterable[str], kind: Kind = "model") -> bool:
    """Returns True for a file of a repository that a new upload makes obsolete.

    In a model these are other weights (a loader prefers model.safetensors to shards, whichever is newer), and exports
    and scores of the model before. In a set of pseudo labels these are parts that another teacher may have made.
    """
    if path in set(going):
        return False
    if kind == "dataset":
        return path.startswith("data/") and path.endswith(".parquet")
    return kind == "model" and (
        _WEIGHTS.fullmatch(path) is not None or path in SCORES or path.startswith("onnx/model.")
    )


def checked_files(folder: Path, names: Iterable[str]) -> list[HubFile]:
    """Returns the named files of a folder after checking each.

    Args:
        folder: that holds the files.
        names: paths below it.

    Raises:
        ValueError: a file lies outside of the folder, is pickled, is a broken safetensors file or holds a secret.
    """
    files = [HubFile(name, _within(folder / name, folder.resolve())) for name in sorted(set(names))]
    for file in files:
        if file.source.suffix in PICKLED:
            raise ValueError(f"{folder / file.path} is pickled, and pickled files are never published; remove it.")
        if file.source.suffix == ".safetensors":
            _check_safetensors(file.source)
    for file in files:
        number = first_secret(file.source)
        if number is not None:
            raise ValueError(
                f"{folder / file.path} holds what looks like a password or token in line {number}; remove it before "
                "publishing, and replace the token if others have seen it."
            )
    return files


def _within(path: Path, root: Path) -> Path:
    found = path.resolve()
    if not found.is_relative_to(root):
        raise ValueError(f"{path} leads out of {root}; put a copy of the file in its place, or remove it.")
    return found


def _check_safetensors(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no whole safetensors file ({error}); save the model again.") from error


def check_finite(files: Iterable[HubFile]) -> None:
    """Checks that a model's weights and the statistics of its image processor can be computed with.

    Args:
        files: of the model.

    Raises:
        ValueError: naming the first weight that has NaN or infinite values, or the statistic that is not usable.
    """
    for file in files:
        if file.source.suffix == ".safetensors":
            _check_weights(file.source)
        elif file.path == PROCESSOR:
            from semidepth.prediction.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing  # here: torch

            try:
                stored = json.loads(file.source.read_text(encoding="utf-8"))
                mean, std = stored.get("image_mean") or IMAGENET_MEAN, stored.get("image_std") or IMAGENET_STD
                Preprocessing(size=1, multiple=1, mean=tuple(mean), std=tuple(std))
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{file.source} cannot be published: {error}") from error


def _check_weights(path: Path) -> None:
    with safe_open(path, framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118 - it is no dict
            tensor = weights.get_tensor(name)
            if tensor.is_floating_point() and tensor.itemsize > 1 and not tensor.isfinite().all():
                raise ValueError(
                    f"{path} holds values that are not finite in {name}, so the model predicts nothing; publish an "
                    "earlier checkpoint, or train it again."
                )
