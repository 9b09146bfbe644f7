"""Scoring of the demo's models, and formatting of scores over several seeds."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semidepth.evaluation.options import ScoreOptions
from semidepth.evaluation.score import score


def score_into(model: Path, sources: Sequence[str], device: str, **options: Any) -> dict[str, Any]:
    """Scores a model as `semidepth score` does, saves to `scores/` in its folder, and returns its results.json."""
    shared: dict[str, Any] = {"device": device, "batch_size": 32, "output": model / "scores", "overwrite": True}
    return score(ScoreOptions(model=(str(model),), data=tuple(sources), **(shared | options)))


def with_spread(values: Sequence[float]) -> str:
    """Returns the mean as text, with the standard deviation if there are several values."""
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean}±{statistics.stdev(values):.3f}"
