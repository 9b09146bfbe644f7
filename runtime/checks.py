"""Whether an exported file is as it was written, and what it says of itself can be."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

LARGEST_SIDE = 4096  # pixels at which a model sees an image
KINDS = ("inverse_depth", "metres")


def digests(files: list[Path]) -> dict[str, str]:
    """Returns the sha256 of files by their names."""
    found = {}
    for path in files:
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def damaged(file: Path) -> list[str]:
    """Returns names of an export's files that are not as FILE.json beside them says; empty where it says nothing.

    Args:
        file: the graph; of its weights beside it FILE.json has entries, too.
    """
    record = file.with_name(f"{file.name}.json")
    if not record.is_file():
        return []
    try:
        expected = dict(json.loads(record.read_text(encoding="utf-8")).get("sha256") or {})
    except (OSError, ValueError, TypeError, AttributeError):
        return [record.name]
    there = [file.with_name(name) for name in expected if Path(name).name == name]
    found = digests([path for path in there if path.is_file()])
    return [name for name, digest in expected.items() if found.get(name) != digest]


def check_about(file: Path, about: dict[str, Any]) -> None:
    """Raises ValueError, with its name, for what a file says of itself and cannot be."""
    wrong = _wrong(about)
    if wrong:
        told = str(about.get(wrong))[:80]
        raise ValueError(f"{file} says semidepth.{wrong} = {told}, which cannot be; make it with `semidepth export`.")


def _wrong(about: dict[str, Any]) -> str:
    if about["kind"] not in KINDS:
        return "kind"
    domains = about["domains"]
    if not isinstance(domains, list) or not all(isinstance(each, dict) and "name" in each for each in domains):
        return "domains"
    told = about["preprocessing"]
    if not isinstance(told, dict) or not {"size", "multiple", "mean", "std"} <= told.keys():
        return "preprocessing"
    sides = all(type(told[name]) is int and 1 <= told[name] <= LARGEST_SIDE for name in ("size", "multiple"))
    numbers = all(
        isinstance(told[name], list)
        and len(told[name]) == 3
        and all(isinstance(each, int | float) and math.isfinite(each) for each in told[name])
        for name in ("mean", "std")
    )
    return "" if sides and numbers and min(told["std"]) > 0 else "preprocessing"
