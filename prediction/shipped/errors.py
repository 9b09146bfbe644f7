"""Average error of a model's metres, by the scores that its folder records."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def typical_errors(folder: str | Path) -> dict[str, float]:
    """Mean relative error (AbsRel) of a metric model's predictions, by domain, from the records in its folder.

    scores/results.json has it for each set that was scored in metres and whose images are of one domain; several sets
    count by their numbers of images. For a domain without such a set it is the last validation of the training, from
    results.json.

    Args:
        folder: of a metric model; a Hub id has no records here.

    Returns:
        Domain -> |predicted - true| / true, a mean over images; empty where nothing is recorded.
    """
    scores, results = (_read(Path(folder) / name) for name in ("scores/results.json", "results.json"))
    validated = {
        domain: float(value)
        for domain, _, metric in (name.partition("/") for name in results)
        if metric == "abs_rel" and _is_error(value := results[f"{domain}/{metric}"])
    }
    rows = [row for row in scores.get("scores") or [] if row.get("mode") == "metric" and row.get("domain")]
    # What a person gets: the head that the router chooses, where the model has one.
    rows = [row for row in rows if row.get("head") in ("router", "") and _is_error(row["metrics"].get("abs_rel"))]
    found = {}
    for domain in {row["domain"] for row in rows}:
        own = [row for row in rows if row["domain"] == domain]
        images = sum(row["images"] for row in own)
        found[domain] = sum(row["metrics"]["abs_rel"] * row["images"] for row in own) / images
    return dict(sorted((validated | found).items()))


def in_words(errors: Mapping[str, float]) -> str:
    """The errors as text: "about ± 12 % (indoor), ± 30 % (outdoor)"."""
    parts = [f"± {100 * error:.0f} %" + (f" ({domain})" if domain else "") for domain, error in errors.items()]
    return f"about {', '.join(parts)}" if parts else ""


def _is_error(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
