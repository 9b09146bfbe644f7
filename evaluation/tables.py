"""Means over images, and the forms in which scores are written: results.json, a Markdown table, a parquet file."""

import math
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from semidepth.evaluation.depth_metrics.formulas import SCORE_NAMES
from semidepth.evaluation.metres import router_accuracy
from semidepth.evaluation.tasks import ImageScores, Task

Scored = tuple[Task, list[ImageScores]]
TITLES = {"relative": "Aligned inverse depth", "metric": "Metres", "ordinal": "Pairs of points"}


def task_entries(task: Task, images: Sequence[ImageScores]) -> list[dict[str, Any]]:
    """Rows of one task in results.json, one for each head and space.

    Each row has `model`, `revision`, `data`, `mode`, `align`, `protocol` and `max_depth_m` of its task; `space`
    ("depth" or "disparity"); `head` ("router", "domain given", or "" for a model with one head); `domain` of all
    images, "" where they have several or it is not known; `images`, the number with something to score; and `metrics`,
    the means over them, None where not known.
    """
    keys = list(dict.fromkeys(key for image in images for key in image.rows))
    domains = {image.domain for image in images}
    domain = domains.pop() if len(domains) == 1 else ""
    entries = []
    for head, space in keys:
        tables = [image.rows[head, space] for image in images if (head, space) in image.rows]
        metrics, counted = means(tables)
        columns = task.columns()
        entries.append({
            "model": task.model, "revision": task.revision, "data": task.data.name, "mode": task.mode,
            "align": columns["align"], "space": space, "protocol": columns["protocol"],
            "max_depth_m": columns["max_depth_m"], "head": head, "domain": domain, "images": counted,
            "metrics": {name: None if math.isnan(value) else value for name, value in metrics.items()},
        })  # fmt: skip
    return entries


def means(tables: Sequence[dict[str, float]]) -> tuple[dict[str, float], int]:
    """Means over images, and the number of images with something to score; `pairs` are weights and are summed."""
    result = {}
    counted = 0
    for name in tables[0]:
        known = [(table[name], table.get("pairs", 1.0)) for table in tables if not math.isnan(table[name])]
        counted = max(counted, len(known))
        if name == "pairs":
            result[name] = math.fsum(value for value, _ in known)
        else:  # fsum: the same to the last bit in any order
            weight = math.fsum(weight for _, weight in known)
            result[name] = math.fsum(value * weight for value, weight in known) / weight if weight else math.nan
    return result, counted


def router_entries(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """Accuracy and choices of each model's router over all images of known domain, for results.json."""
    confusions: dict[str, Counter[tuple[str, str]]] = {}
    for task, images in scored:
        known = [(image.domain, image.chosen) for image in images if ("domain given", "depth") in image.rows]
        confusions.setdefault(task.model, Counter()).update(known)
    return [
        {
            "model": model,
            "images": confusion.total(),
            "accuracy": router_accuracy(confusion),
            "confusion": [
                {"domain": own, "chosen": chosen, "images": count} for (own, chosen), count in sorted(confusion.items())
            ],
        }
        for model, confusion in confusions.items()
        if confusion
    ]


def to_markdown(entries: Sequence[dict[str, Any]], routers: Sequence[dict[str, Any]]) -> str:
    """Markdown tables: one for each mode, models on the same data below each other; then one for each router."""
    parts = []
    for mode in dict.fromkeys(entry["mode"] for entry in entries):
        rows = [entry for entry in entries if entry["mode"] == mode]
        names = SCORE_NAMES if mode != "ordinal" else tuple(rows[0]["metrics"])
        fixed = {"relative": ["space", "align"], "metric": ["protocol", "head"], "ordinal": []}[mode]
        header = ["model", "data", *fixed, "images", *names]
        lines = [f"{TITLES[mode]}:", "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
        order = list(dict.fromkeys(row["data"] for row in rows))
        for row in sorted(rows, key=lambda row: (order.index(row["data"]), row["space"])):
            metrics = [_number(name, row["metrics"].get(name)) for name in names]
            values = [row["model"], row["data"], *(row[name] for name in fixed), row["images"], *metrics]
            lines.append(f"| {' | '.join(map(str, values))} |")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, *(_router_table(router) for router in routers)])


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if name == "pairs" else f"{value:.3f}"


def _router_table(router: dict[str, Any]) -> str:
    counts = {(entry["domain"], entry["chosen"]): entry["images"] for entry in router["confusion"]}
    names = sorted({name for pair in counts for name in pair})
    lines = [f"Router of {router['model']}: {router['accuracy']:.3f} right", ""]
    lines += [f"| domain | {' | '.join(f'taken for {name}' for name in names)} |", "|---" * (1 + len(names)) + "|"]
    return "\n".join(
        lines + [f"| {own} | {' | '.join(str(counts.get((own, name), 0)) for name in names)} |" for own in names]
    )


def to_parquet(scored: Sequence[Scored]) -> bytes:
    """Parquet file with one row for each image, head and space of each task."""
    rows = [
        {
            "model": task.model, "data": task.data.name, "mode": task.mode, "image": image.origin,
            "domain": image.domain, "chosen_domain": image.chosen, "head": head, "space": space, **values,
        }
        for task, images in scored
        for image in images
        for (head, space), values in image.rows.items()
    ]  # fmt: skip
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = BytesIO()
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), buffer)
    return buffer.getvalue()
