"""What a model's folder records of the model itself: on what it was trained, and how far off it was."""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from semidepth.prediction.shipped.errors import in_words, typical_errors
from semidepth.prediction.shipped.folder import find_model, is_heads

OPTIONS = ("metric.yaml", "student.yaml", "teacher.yaml")  # what a run leaves
ROLES = {
    "labeled": "on {}", "train": "on {}", "unlabeled": "without labels on {}",
    "pseudo_labels": "on pseudo labels of {}",
}  # fmt: skip
TOLD = re.compile(r"^\|.*?`([^`|]+)`: ([^|;]+)", re.MULTILINE)  # in a table of a card: a source, and what it is


@dataclass(frozen=True)
class ModelRecord:
    """What is recorded of a model.

    Args:
        sources: what it was trained on, in words, one text for each kind of source.
        errors: mean relative error of its metres by head, "" for a model with one; empty where nothing is recorded.
        near_enough: of a model without metres, the shares of pixels within a quarter of the true distance in the last
            validation, by the validation's name.
    """

    sources: tuple[str, ...] = ()
    errors: dict[str, float] = field(default_factory=dict)
    near_enough: dict[str, float] = field(default_factory=dict)


def read_model_record(name: str, *, metric: bool) -> ModelRecord:
    """The record in a model's folder; an empty one for a Hub id, or where there is none.

    Args:
        name: folder, Hub id, or name of the model that comes with semidepth.
        metric: the model predicts metres.

    Raises:
        ValueError: a file of the record is damaged.
    """
    folder = Path(find_model(name))
    options = next((folder / each for each in OPTIONS if (folder / each).is_file()), None)
    try:
        read = yaml.safe_load(options.read_text(encoding="utf-8")) if options else {}
        errors, words = typical_errors(folder) if metric else {}, names_on_card(folder)
        near_enough = {} if metric else _near_enough(folder / "results.json", words)
        return ModelRecord(_sources(read or {}, words), errors, near_enough)
    except (ValueError, AttributeError, TypeError, KeyError, yaml.YAMLError) as error:
        raise ValueError(f"the record in {folder} is damaged ({error}); write it again or remove it.") from error


def card_of(folder: Path) -> Path:
    """Returns the path of a model's card; heads are told of on that of their core, in the folder above."""
    return (folder.parent if is_heads(folder) else folder) / "README.md"


def names_on_card(folder: Path) -> dict[str, str]:
    """Returns what a model's card calls its data, by their short names.

    Cards name a source in a table as `source`: words. The words end at a semicolon.

    Args:
        folder: of the model.
    """
    card = card_of(folder)
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return {short_name(source): words.strip() for source, words in TOLD.findall(text)}


def _sources(options: dict[str, Any], words: dict[str, str]) -> tuple[str, ...]:
    found = []
    for role, told in ROLES.items():
        # A metric run writes "indoor=rooms.parquet".
        names = [short_name(re.sub(r"^\w+=", "", text)) for text in options.get(role) or []]
        if names:
            found.append(told.format(_listed(list(dict.fromkeys(words.get(name, name) for name in names)))))
    return tuple(found)


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def short_name(source: str) -> str:
    """Name of a source for people: the last part of its path that is no pattern, without ending and options."""
    if source.startswith("scenes:"):
        return "rendered scenes"
    plain = source.partition("?")[0]
    parts = [re.sub(r"[-_.]*[*\[{].*$", "", part) for part in plain.split("/")]
    return re.sub(r"\.(parquet|tar|jsonl|csv|txt)$", "", next((part for part in reversed(parts) if part), plain))


def _near_enough(path: Path, words: dict[str, str]) -> dict[str, float]:
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    shares = {name.rpartition("/")[0]: value for name, value in results.items() if name.endswith("/delta1")}
    names = {name: short_name(name) for name, value in shares.items() if math.isfinite(value)}
    return {words.get(short, short): float(shares[name]) for name, short in names.items()}


def error_of(record: ModelRecord, domain: str) -> float | None:
    """Mean relative error of the metres of a model's head; None where it is not recorded.

    Args:
        record: of the model.
        domain: the head; "" for a model with one.
    """
    if domain in record.errors:
        return record.errors[domain]
    return next(iter(record.errors.values())) if len(record.errors) == 1 and not domain else None


def trust_text(name: str, record: ModelRecord) -> str:
    """Says in two short sentences how far off a model is and on what it was trained.

    Args:
        name: the model's name for people.
        record: of the model.
    """
    trained = f" Trained {'; '.join(record.sources)}." if record.sources else ""
    if record.errors:
        return f"{name}: {in_words(record.errors)} off on average.{trained}"
    if record.near_enough:
        shares = ", ".join(f"{100 * share:.0f} % of pixels in {place}" for place, share in record.near_enough.items())
        return f"{name}: once its scale is set, within a quarter of the true distance for {shares}.{trained}"
    return f"{name}: how far off it is was not recorded; take its numbers as a guess.{trained}"


def rounded(value: float, error: float | None) -> str:
    """A length in metres in as many digits as its typical error leaves true, such as "2.4 m".

    Args:
        value: metres.
        error: relative, of the model; None where it is not known, and all of two digits are shown.
    """
    if not error or not value > 0:
        return f"{value:.2f} m"
    step = round_step(value * error)
    digits = max(0, -math.floor(math.log10(step)))
    return f"{round(value / step) * step:.{min(digits, 2)}f} m"


def round_step(step: float) -> float:
    """Returns the largest of 1, 2 and 5 times a power of ten that is not above a positive step, at least 1e-9."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-9)))
    return float(f"{power * next((times for times in (5, 2) if times * power <= step * (1 + 1e-9)), 1):.6g}")
