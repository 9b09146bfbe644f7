"""Records of a run for publication: copies with local paths shortened to their last part."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from semidepth.data.public_names import public_command, public_source
from semidepth.publishing.files import OPTIONS, SCORES, HubFile

# Weights, code and pictures go up as they are.
RECORDS = frozenset({"config.json", *OPTIONS, *(name for name in SCORES if not name.endswith(".png"))})
TABLE, ENTRIES = "scores/table.md", "scores/results.json"

_LOCAL = re.compile(r"(?:[A-Za-z][\w.-]*=)?(?:(?:file://)?~?/|\.\.?/)")
# What a validation score is called: SOURCE/metric.
_METRIC = re.compile(r"(.+)/([a-z][a-z0-9_]*)")


def public_files(files: Sequence[HubFile], room: Path) -> list[HubFile]:
    """Returns the same files, with copies in place of records that hold local paths.

    Args:
        files: to publish.
        room: folder for the copies.

    Raises:
        ValueError: a record cannot be read.
    """
    names = _names_in_scores(files)
    return [_public_copy(file, room / file.path, names) if file.path in RECORDS else file for file in files]


def public_values(value: Any, key: str = "") -> Any:
    """Returns nested options or results with the local paths in texts and names shortened.

    Args:
        value: of plain types.
        key: of the value; a `command` is a whole command line.
    """
    if isinstance(value, dict):
        shown: dict[Any, Any] = {}
        for name, item in value.items():
            place = _unused(_public_name(name), shown)
            shown[place] = public_values(item, str(name))
        return shown
    if isinstance(value, list):
        return [public_values(item) for item in value]
    if not isinstance(value, str):
        return value
    return public_command(value, lambda word: None) if key == "command" else public_text(value)


def public_text(text: str) -> str:
    """Returns a source or folder; a path that is absolute, or starts with ~ or .., is shortened to its last part."""
    return public_source(text, lambda location: False) if _LOCAL.match(text) else text


def _public_name(name: Any) -> Any:
    """Returns the name of a value, which may begin with a source, as validation scores do."""
    scored = _METRIC.fullmatch(name) if isinstance(name, str) and _LOCAL.match(name) else None
    return f"{public_text(scored[1])}/{scored[2]}" if scored else name


def _unused(name: Any, taken: dict[Any, Any]) -> Any:
    """Returns the name, with a number where another source has the same last part."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free


def _names_in_scores(files: Sequence[HubFile]) -> dict[str, str]:
    """Returns models and data of the recorded scores, with their shortened names."""
    entries = next((file for file in files if file.path == ENTRIES), None)
    if entries is None:
        return {}
    scores = _read(entries).get("scores", [])
    texts = {entry[name] for entry in scores for name in ("model", "data") if isinstance(entry.get(name), str)}
    return {text: public_text(text) for text in sorted(texts, key=len, reverse=True)}


def _read(file: HubFile) -> Any:
    """Returns the values of a record.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        text = file.source.read_text(encoding="utf-8")
        if file.path == TABLE:
            return text
        return yaml.safe_load(text) if file.path.endswith(".yaml") else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{file.source} cannot be read ({reason}); repair or remove it, then publish again."
        ) from error


def _public_copy(file: HubFile, target: Path, names: dict[str, str]) -> HubFile:
    """Returns a shortened copy of a file, or the file itself where there is nothing to shorten."""
    values = _read(file)
    if file.path == TABLE:
        shown = values
        for text, short in names.items():
            shown = shown.replace(text, short)
    else:
        shown = public_values(values)
    if shown == values:
        return file
    if isinstance(shown, str):
        content = shown
    else:
        is_yaml = file.path.endswith(".yaml")
        content = yaml.safe_dump(shown, sort_keys=False) if is_yaml else json.dumps(shown, indent=2) + "\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8")
    return HubFile(file.path, target)
