"""Spaces as folders that work alone: the app, and beside it the modules of semidepth that it imports.

A Space installs requirements.txt before its own files are there, so that it cannot install semidepth from a wheel among
them. The demo gets the modules as a package `semidepth/` beside app.py, found by following its imports. The metric is
loaded by `evaluate.load`, which takes single files beside the script; it gets those of evaluation/depth_metrics.
"""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from huggingface_hub import RepoCard, constants

from semidepth.prediction.shipped import folder as shipped
from semidepth.publishing.files import CARD, HubFile, checked_files

Name = Literal["demo", "metrics"]
# The rooms' folders lie beside each other both in the source tree and in the installed package.
ROOT = Path(__file__).resolve().parents[1]
FACE = Path(str(sys.modules["semidepth"].__file__)).resolve()  # semidepth/__init__.py
FOLDERS = {"demo": "depth_demo", "metrics": "depth_metrics"}
FORMULAS = ("evaluation", "depth_metrics")
EXTRA = "space"
CARDS = "semidepth/model_cards"  # where a Space's own semidepth has the models that come with it
# Packages whose import has another name.
PACKAGES = {"PIL": "pillow", "yaml": "pyyaml"}
INDIRECT = ("torchvision", "safetensors")  # transformers imports them
GIVEN = ("gradio",)  # a Space has it, in the version of its front matter


def space_files(name: Name, room: Path, repo: str | None = None) -> tuple[list[HubFile], str]:
    """Composes a Space.

    Args:
        name: demo or metrics.
        room: empty folder for files that are made.
        repo: id on the Hub; None: not chosen yet.

    Returns:
        The files, and the Space's sdk.

    Raises:
        ValueError: the Space is missing, its README does not name an sdk, or `evaluate` could not load it from `repo`.
    """
    folder = ROOT / "spaces" / FOLDERS[name]
    if not (folder / CARD).is_file():
        raise ValueError(f"the Space {name} is not part of this installation ({folder} has no {CARD}).")
    sdk = RepoCard.load(folder / CARD).data.get("sdk")
    if sdk not in constants.SPACES_SDK_TYPES:
        raise ValueError(f"{folder / CARD} has the sdk {sdk!r}; give one of {', '.join(constants.SPACES_SDK_TYPES)}.")
    files = checked_files(folder, _own_names(folder))
    if name == "demo":
        modules, imported = _needed_modules(file.source for file in files if file.path.endswith(".py"))
        files += [*_package_files(modules), *_shipped_files()]
        requirements = room / "requirements.txt"
        requirements.write_text("".join(f"{line}\n" for line in _requirements(imported)))
        files.append(HubFile(requirements.name, requirements))
    else:
        formulas = ROOT.joinpath(*FORMULAS)
        files += checked_files(formulas, [path.name for path in formulas.glob("*.py") if path.name != "__init__.py"])
        if repo is not None and repo.split("/")[-1] != FOLDERS[name]:
            raise ValueError(
                f"--repo is {repo}, but evaluate.load looks for a metric's code under the name of its Space; give "
                f"{repo.split('/')[0]}/{FOLDERS[name]}."
            )
    return files, sdk


def _own_names(folder: Path) -> list[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [
        path.as_posix()
        for path in paths
        if "__pycache__" not in path.parts and not any(part.startswith(".") for part in path.parts)
    ]


def _package_files(modules: dict[str, Path]) -> list[HubFile]:
    """Returns modules as files of a package `semidepth/`; unchecked, since it is the code that everybody installs."""
    files = []
    for module, source in modules.items():
        path = "/".join(module.split("."))
        files.append(HubFile(f"{path}/__init__.py" if source.name == "__init__.py" else f"{path}.py", source))
    return files


def _shipped_files() -> list[HubFile]:
    """Returns the files of the models that come with semidepth, which a Space offers; none where none comes.

    Raises:
        ValueError: their weights are not whole.
    """
    folders = [Path(shipped.find_model(name)) for name in shipped.shipped_models()]
    held = [path for folder in folders for path in sorted((*folder.iterdir(), *(folder / "scores").glob("*.json")))]
    paths = [path for path in held if path.is_file() and path.suffix != ".py"]
    return [HubFile(f"{CARDS}/{path.relative_to(shipped.FOLDER.parent).as_posix()}", path) for path in paths]


def _needed_modules(scripts: Iterable[Path]) -> tuple[dict[str, Path], set[str]]:
    """Follows imports, also those inside functions.

    Returns:
        The modules of semidepth, each with its file, and the names of other packages.
    """
    modules: dict[str, Path] = {}
    others: set[str] = set()
    waiting = [name for script in scripts for name in _imports(script, "")]
    while waiting:
        name = waiting.pop()
        package = name.partition(".")[0]
        if package != "semidepth":
            others.add(package)
            continue
        for module in _with_parents(name):
            source = _file_of(module)
            if source is not None and module not in modules:
                modules[module] = source
                if source != FACE:  # which imports on demand: nothing but what is asked for
                    waiting += _imports(source, module)
    return dict(sorted(modules.items())), others


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _file_of(module: str) -> Path | None:
    """Returns the file of a module of semidepth; None for a name that is an object in a module."""
    parts = module.split(".")[1:]
    if not parts:
        return FACE
    place = ROOT.joinpath(*parts)
    found = (place / "__init__.py", place.with_suffix(".py"), FACE.parent.joinpath(*parts).with_suffix(".py"))
    return next((path for path in found if path.is_file()), None)


def _imports(path: Path, module: str) -> Iterator[str]:
    """Yields the names that a file imports, in full; `from a import b` gives a.b, which may be an object of a.

    Args:
        path: of the file.
        module: its name, to which relative imports refer; a package's __init__ is named like the package.
    """
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in _running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield from (_defined_in(f"{source}.{alias.name}") for alias in node.names)


def _running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields all nodes but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _running_nodes(node)


def _defined_in(name: str) -> str:
    """Returns the full name of what `from semidepth import name` gives, which other modules define."""
    package, _, item = name.rpartition(".")
    if package != "semidepth" or _file_of(name) is not None:
        return name
    for node in ast.walk(ast.parse(FACE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == item for alias in node.names):
            return f"{node.module}.{item}"
    return name


def _requirements(imported: set[str]) -> list[str]:
    """Returns the requirements of semidepth, with those of its Space, that a set of imports needs."""
    names = {_plain(PACKAGES.get(name, name)) for name in imported - sys.stdlib_module_names} | set(INDIRECT)
    pyproject = ROOT / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        lines = [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
    else:
        told = [line.partition(";") for line in importlib.metadata.requires("semidepth") or []]
        lines = [line.strip() for line, _, rule in told if not rule or f'"{EXTRA}"' in rule.replace("'", '"')]
    wanted = {line: _plain(re.split(r"[^\w.-]", line)[0]) for line in lines}
    return sorted(line for line, name in wanted.items() if name in names and name not in GIVEN)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
