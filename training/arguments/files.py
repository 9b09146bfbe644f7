"""Options in YAML files: read with every name and type checked, and saved beside what was made with them."""

import dataclasses
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

PRESETS = Path(__file__).parent.parent / "configs"


def read_yaml(path: Path, cls: type) -> dict[str, Any]:
    """Reads a YAML of options.

    Args:
        path: the file.
        cls: the dataclass whose fields are allowed.

    Returns:
        Option names to values, of the fields' types.

    Raises:
        ValueError: if the file is missing, is not a mapping, or holds an unknown option or a value of a wrong type.
    """
    if not path.is_file():
        raise ValueError(f"--config {path} is not a file; give the path of a YAML file.")
    values = read_options(path)
    # Not dataclasses.fields(): HfArgumentParser writes its own simpler types into those.
    fields = get_type_hints(cls)
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(f"{path} has unknown options {', '.join(map(str, unknown))}; known are {', '.join(fields)}.")
    return {name: _typed(path, name, value, fields[name]) for name, value in values.items()}


def read_options(path: Path) -> dict[str, Any]:
    """A YAML's options as they are, of whatever version; raises ValueError if it is no mapping."""
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML ({' '.join(str(error).split())}); mend or remove it.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}; expected `option: value` lines; mend or remove it.")
    return values


def _typed(path: Path, name: str, value: Any, annotation: Any) -> Any:
    """Checks a YAML value against a field's type; YAML reads 1e-4 as text, so numbers may come as strings."""
    options = [] if get_origin(annotation) is list else list(get_args(annotation))
    wanted = tuple(get_origin(option) or option for option in options) or (get_origin(annotation) or annotation,)
    if float in wanted:
        wanted = (*wanted, int)
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                raise ValueError(f"{path}: {name} is {value!r}; expected a number.") from None
    items = get_args(next((kind for kind in (annotation, *options) if get_origin(kind) is list), None))
    wrong_item = isinstance(value, list) and items and not all(type(item) is items[0] for item in value)
    if (isinstance(value, bool) and bool not in wanted) or not isinstance(value, wanted) or wrong_item:
        names = " or ".join("none" if kind is type(None) else kind.__name__ for kind in wanted)
        of = f" of {items[0].__name__}" if wrong_item else ""
        raise ValueError(f"{path}: {name} is {value!r}; expected {names}{of}.")
    return value


def save_arguments(arguments: Any, path: Path) -> str:
    """Writes the options as YAML, which `--config` reads back, and returns the text."""
    text = yaml.safe_dump(dataclasses.asdict(arguments), sort_keys=False, allow_unicode=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return text
