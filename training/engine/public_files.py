"""Copies of a run's records for everybody's eyes: local paths in them cut to their last part."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from semidepth.training.engine.hub_files import OPTIONS, SCORES, HubFile
from semidepth.training.engine.public_names import public_source

# Weights, code and pictures go up as they are.
RECORDS = frozenset({"config.json", *OPTIONS, *(name for name in SCORES if not name.endswith(".png"))})

_ROOTED = re.compile(r"(?:[A-Za-z][\w.-]*=)?(?:file://)?~?/")
# The folders before the last part of an absolute path, amid other words.
_FOLDERS = re.compile(r"(?<![\w/:.~?*-])(?:file://)?~?/(?:[^\s/|'\"`,;]+/)+")


def public_files(files: Sequence[HubFile], room: Path) -> list[HubFile]:
    """The same files, with shortened copies in place of records that tell where things lie on this machine.

    Args:
        files: on their way to the Hub.
        room: folder for the copies.
    """
    return [_public_copy(file, room / file.path) if file.path in RECORDS else file for file in files]


def public_values(value: Any) -> Any:
    """Options or results, nested, with the absolute paths in their texts cut to their last part."""
    if isinstance(value, dict):
        return {public_values(key): public_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [public_values(item) for item in value]
    return public_text(value) if isinstance(value, str) else value


def public_text(text: str) -> str:
    """A source, a command or a table with the absolute paths in it cut to their last part."""
    if _ROOTED.match(text):
        return public_source(text, lambda location: False)
    return _FOLDERS.sub("", text)


def _public_copy(file: HubFile, target: Path) -> HubFile:
    """The file itself where nothing in it is to be shortened."""
    before = file.source.read_text(encoding="utf-8")
    if file.path.endswith((".yaml", ".json")):
        is_yaml = file.path.endswith(".yaml")
        values = yaml.safe_load(before) if is_yaml else json.loads(before)
        if (shown := public_values(values)) == values:
            return file
        after = yaml.safe_dump(shown, sort_keys=False) if is_yaml else json.dumps(shown, indent=2) + "\n"
    elif (after := _FOLDERS.sub("", before)) == before:
        return file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(after, encoding="utf-8")
    return HubFile(file.path, target)
