"""Forms in which scores of masks are written: a Markdown table, values for results.json, a row for each object."""

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from semidepth.evaluation.masks.baselines import Tuned
from semidepth.evaluation.masks.scoring import AREAS, CLICKS, OUTLINED, WANTED, ObjectScores, by_area, summary

# name of a segmenter -> its objects
Scored = Mapping[str, Sequence[ObjectScores]]


def entries(data: str, scored: Scored, *, limit: int) -> list[dict[str, Any]]:
    """Returns a row for each area and segmenter, as results.json has them.

    A row has `data`, `mode` ("masks"), `area`, `model`, the numbers of `images` and `objects`, and `metrics`, the means
    of [`summary`]; None for NaN.

    Args:
        data: the source.
        scored: on it.
        limit: most clicks.
    """
    rows = []
    for area in AREAS:
        for name, objects in scored.items():
            members = by_area(objects, area)
            means = summary(members, limit=limit)
            counts = {"images": len({scores.origin for scores in members}), "objects": len(members)}
            known = {key: None if math.isnan(value) else value for key, value in means.items()}
            rows.append({"data": data, "mode": "masks", "area": area, "model": name} | counts | {"metrics": known})
    return rows


def to_markdown(rows: Sequence[Mapping[str, Any]], limit: int) -> str:
    """Returns one Markdown table of [`entries`]; areas without objects are left out."""
    columns = {f"mIoU@{number}": f"miou@{number}" for number in CLICKS} | {"best of 3 @1": "oracle@1", "box": "box"}
    columns |= {f"boundary@{number}": f"boundary@{number}" for number in OUTLINED}
    wanted = ", ".join(f"{iou * 100:.0f}" for iou in WANTED)
    header = [
        "data",
        "objects",
        "model",
        *columns,
        f"clicks to {wanted} % of {limit} (never)",
        "score error, bias, corr.",
    ]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for row in rows:
        if not row["objects"]:
            continue
        objects, values = f"{row['objects']}, {row['area']}", row["metrics"]
        needed = [(values[f"noc{iou * 100:.0f}"], values[f"failed{iou * 100:.0f}"]) for iou in WANTED]
        clicks = "-" if needed[0][0] is None else ", ".join(f"{mean:.1f} ({never:.0%})" for mean, never in needed)
        told = [_number(values[f"score_{part}"]) for part in ("error", "bias", "correlation")]
        cells = [row["data"], objects, row["model"], *(_number(values[column]) for column in columns.values()), clicks]
        lines.append(f"| {' | '.join([*cells, '-' if told[0] == '-' else ', '.join(told)])} |")
    return "\n".join(lines)


def describe_baseline(baseline: Tuned, tuned_on: Sequence[str]) -> str:
    """Returns a line on a baseline's settings and where they are from."""
    values = ", ".join(f"{name} {value:g}" for name, value in baseline.settings.items())
    return f"{baseline.segmenter.name}: {values}, the best of those tried on {', '.join(tuned_on)} ({baseline.iou:.3f})"


def to_parquet(data: Mapping[str, Scored]) -> bytes:
    """Returns a parquet file with a row for each object, segmenter and source."""
    rows = [
        {"data": spec, "model": name} | scores.row()
        for spec, scored in data.items()
        for name, objects in scored.items()
        for scores in objects
    ]
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
