"""Scores of images to means: results.json, a Markdown table, a parquet file of all images."""

import math
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from semidepth.evaluation.depth_metrics.formulas import SCORE_NAMES
from semidepth.evaluation.folder import ImageScores
from semidepth.evaluation.metric import router_accuracy
from semidepth.evaluation.options import Task

Scored = tuple[Task, list[ImageScores]]
TITLES = {"relative": "Aligned inverse depth", "metric": "Metres", "ordinal": "Pairs of points"}


def make_entry(
    *, model: str, revision: str, data: str, mode: str, align: str, space: str, protocol: str,
    max_depth_m: float | None, head: str, images: int, metrics: dict[str, float],
) -> dict[str, Any]:  # fmt: skip
    """One row of results.json.

    Args:
        model: Hub id or folder.
        revision: what tells it apart from others of its name.
        data: name of a benchmark, or a source as written.
        mode: "relative", "metric" or "ordinal".
        align: how relative predictions were aligned; "none" for the others.
        space: where values were compared, "depth" or "disparity".
        protocol: name of the metric protocol, "" for the other modes.
        max_depth_m: cap, metres; None where each image had its own, or none.
        head: "router", "domain given", or "" for a model with one.
        images: that had something to score.
        metrics: means over them; what is not known is None.
    """
    return {
        "model": model, "revision": revision, "data": data, "mode": mode, "align": align, "space": space,
        "protocol": protocol, "max_depth_m": max_depth_m, "head": head, "images": images,
        "metrics": {name: None if math.isnan(value) else value for name, value in metrics.items()},
    }  # fmt: skip


def task_entries(task: Task, images: Sequence[ImageScores]) -> list[dict[str, Any]]:
    """The rows of one task: one for each head and space."""
    keys = list(dict.fromkeys(key for image in images for key in image.rows))
    entries = []
    for head, space in keys:
        tables = [image.rows[head, space] for image in images if (head, space) in image.rows]
        metrics, counted = means(tables)
        entries.append(
            make_entry(
                model=task.model, revision=task.revision, data=task.data.name, mode=task.mode,
                align=task.align if task.mode == "relative" else "none", space=space,
                protocol="" if task.protocol is None else task.protocol.name,
                max_depth_m=task.max_depth_m if task.protocol is None else task.protocol.max_depth_m,
                head=head, images=counted, metrics=metrics,
            )
        )  # fmt: skip
    return entries


def means(tables: Sequence[dict[str, float]]) -> tuple[dict[str, float], int]:
    """Means over images, and how many had something to score; images of pairs of points weigh by their pairs."""
    result = {}
    counted = 0
    for name in tables[0]:
        known = [(table[name], table.get("pairs", 1.0)) for table in tables if not math.isnan(table[name])]
        counted = max(counted, len(known))
        if name == "pairs":
            result[name] = math.fsum(value for value, _ in known)
        else:  # fsum: the same to the last bit whatever the order
            weight = math.fsum(weight for _, weight in known)
            result[name] = math.fsum(value * weight for value, weight in known) / weight if weight else math.nan
    return result, counted


def router_entries(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """How often each model's router was right, over all its data of known domain."""
    confusions: dict[str, Counter[tuple[str, str]]] = {}
    for task, images in scored:
        known = [(image.domain, image.chosen) for image in images if ("domain given", "depth") in image.rows]
        confusions.setdefault(task.model, Counter()).update(known)
    return [make_router(model, confusion) for model, confusion in confusions.items() if confusion]


def make_router(model: str, confusion: Counter[tuple[str, str]]) -> dict[str, Any]:
    """A router's choices for results.json.

    Args:
        model: Hub id or folder.
        confusion: (domain of the image, domain that the router chose) -> images.
    """
    return {
        "model": model,
        "images": confusion.total(),
        "accuracy": router_accuracy(confusion),
        "confusion": [
            {"domain": own, "chosen": chosen, "images": count} for (own, chosen), count in sorted(confusion.items())
        ],
    }


def to_markdown(entries: Sequence[dict[str, Any]], routers: Sequence[dict[str, Any]]) -> str:
    """Tables of all rows, one for each mode, models beside each other on the same data; routers below."""
    parts = []
    for mode in dict.fromkeys(entry["mode"] for entry in entries):
        rows = [entry for entry in entries if entry["mode"] == mode]
        names = SCORE_NAMES if mode != "ordinal" else tuple(rows[0]["metrics"])
        fixed = {"relative": ["space", "align"], "metric": ["protocol", "head"], "ordinal": []}[mode]
        header = ["model", "data", *fixed, "images", *names]
        lines = [f"{TITLES[mode]}:", "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
        order = list(dict.fromkeys(row["data"] for row in rows))
        for row in sorted(rows, key=lambda row: (order.index(row["data"]), *(row["space"],))):
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
    """One row for each image, head and space of each task, as a parquet file."""
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
