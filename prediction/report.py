"""Results and failures of a prediction run, collected in a report."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple


class Failure(NamedTuple):
    """Why an input lacks results: what was the matter, a sentence on it, and which were written all the same."""

    what: Literal["not read", "not made", "not written", "not replaced"]
    reason: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Result:
    """What one input came to.

    Args:
        input: the file.
        files: its results.
        domain: whose head a routed model took; None for other models. A video has one for all of it.
        note: something worth telling, such as sound that was left out.
    """

    input: Path
    files: list[Path]
    domain: str | None = None
    note: str | None = None


@dataclass
class Report:
    """What all inputs came to, so far.

    Args:
        inputs: how many there are.
        unit: of the predictions; None until the model is there.
        results: of those that were predicted.
        kept: those whose results were all there.
        broken: those that could not be found or read, or of whose results some could not be made, or that others'
            results stand in the way of.
        stopped: why the rest was not tried, such as a full disk.
    """

    inputs: int = 0
    unit: Literal["m", "inverse depth"] | None = None
    results: list[Result] = field(default_factory=list)
    kept: list[Result] = field(default_factory=list)
    broken: dict[Path, Failure] = field(default_factory=dict)
    stopped: str | None = None
