"""Results and failures of a prediction run, collected in a report."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple


class Failure(NamedTuple):
    """Reason why an input lacks results: its kind, a sentence, and the results that were written all the same."""

    what: Literal["not read", "not made", "not written", "not replaced"]
    reason: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Result:
    """Results of one input.

    Args:
        input: the file.
        files: the results.
        domain: metric head that was used; None for models without heads. A video has one for all its frames.
        note: sentence for people, such as that the sound was left out.
    """

    input: Path
    files: list[Path]
    domain: str | None = None
    note: str | None = None


@dataclass
class Report:
    """Results and failures of a run so far.

    Args:
        inputs: number of inputs.
        unit: unit of the predictions; None until the model is loaded.
        abs_rel: mean relative error of the metres by domain, as the model's folder records it; empty where it does not.
        results: inputs that were predicted.
        kept: inputs whose results all existed.
        broken: inputs that were not found or read, or that lack results because these could not be made or would
            overwrite other files.
        stopped: reason why the remaining inputs were not tried, such as a full disk.
    """

    inputs: int = 0
    unit: Literal["m", "inverse depth"] | None = None
    abs_rel: dict[str, float] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    kept: list[Result] = field(default_factory=list)
    broken: dict[Path, Failure] = field(default_factory=dict)
    stopped: str | None = None
