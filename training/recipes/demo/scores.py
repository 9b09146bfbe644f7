"""Scoring a model of the demo, and values over seeds as text."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semidepth.evaluation.cli import score


def score_into(model: Path, sources: Sequence[str], device: str, *options: str) -> dict[str, Any]:
    """Scores a model into `scores/` in its folder and returns what results.json holds."""
    return score([
        "--model", str(model), "--data", *sources, "--device", device, "--batch_size", "32",
        "--output", str(model / "scores"), "--overwrite", *options,
    ])  # fmt: skip


def with_spread(values: Sequence[float]) -> str:
    """Mean, and standard deviation where there are several."""
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean}±{statistics.stdev(values):.3f}"
