"""The card of a folder of exports: what the files are, how they are used, and the table of what was measured."""

from collections.abc import Sequence
from typing import Any

HEADER = (
    "| file | arithmetic | MB | s an image | torch s | largest difference | on photos | AbsRel (torch) | change "
    "| delta1 (torch) |"
)
TEXT = """---
pipeline_tag: depth-estimation
tags:
- semidepth
- depth-estimation
{tags}---

# {name}: exported files

{meaning}

With numpy, Pillow, and onnxruntime or openvino, without torch:

```python
from semidepth import runtime

values, unit = runtime.load("{first}").predict("photo.jpg")  # (H, W) float32
```

Each file says how to prepare pixels and what its numbers mean: in its metadata (`semidepth.preprocessing`,
`semidepth.output`, ...), and in FILE.json beside it.

{table}

Measured on {machine}. Differences are shares of the range of torch's map: the largest over all pixels of {scenes}
scenes that no training sees and {photos} photos, and the largest mean of a photo. AbsRel and delta1 are of the scenes.
Seconds are for one image of {side} x {side} pixels, medians of rounds that alternate between torch and the file.
"""


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """Returns a Markdown table of measured files, one row each."""
    lines = [HEADER, "|" + "---|" * (HEADER.count("|") - 1)]
    for row in rows:
        both = [f"{row[name]:.4f} ({row[f'torch_{name}']:.4f})" for name in ("abs_rel", "delta1")]
        seconds = f"{row['seconds']:.3f} | {row['torch_seconds']:.3f}"
        lines.append(
            f"| {row['file']} | {row['how']} | {row['bytes'] / 1e6:.1f} | {seconds} | {row['largest_difference']:.1e} "
            f"| {row['photo_difference']:.1e} | {both[0]} | {row['abs_rel_change']:+.2%} | {both[1]} |"
        )
    return "\n".join(lines)


def card_of(name: str, rows: Sequence[dict[str, Any]], record: dict[str, Any], machine: str, side: int) -> str:
    """Returns README.md of the folder.

    Args:
        name: of the model.
        rows: of the files that are kept.
        record: what the files say of themselves.
        machine: where it was measured.
        side: of the timed image, pixels.
    """
    own = record["output"]
    low, high = own["range"]
    span = f"from {low:g}" + (f" to {high:g}" if high is not None else " on")
    unit = "metres" if own["unit"] == "m" else "inverse depth without a unit"
    meaning = f"The output `predicted_depth` is {unit}: {own['direction']}, {span}, {own['calibration']}."
    files = [row["file"] for row in rows]
    endings = {"onnx": ".onnx", "openvino": ".xml"}
    tags = [tag for tag, ending in endings.items() if any(file.endswith(ending) for file in files)]
    first = next((file for file in files if file.endswith((".onnx", ".xml"))), "model.onnx")
    return TEXT.format(
        name=name, meaning=meaning, first=first, table=table_of(rows), machine=machine, side=side,
        tags="".join(f"- {tag}\n" for tag in tags),
        scenes=max(row["scenes"] for row in rows), photos=max(row["photos"] for row in rows),
    )  # fmt: skip
