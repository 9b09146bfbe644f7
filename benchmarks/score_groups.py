"""Means of a score run over groups of images, such as places: a set with many frames of one place hides the others.

    semidepth score --model MODEL --data 'rooms/*.parquet' --output scores/
    python benchmarks/score_groups.py scores/ --column scene

Reads the scores of each image that `semidepth score` left, and the column of the parquet files that they came from.
Prints, for each model and set, the mean over images, the mean over the groups' means, and each group with its number
of images.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from semidepth.common.commands import Command
from semidepth.common.options import option

# As origins of rows are written.
ROW = re.compile(r"(?P<file>.*\.parquet)#row (?P<row>\d+)")
SHOWN = ("abs_rel", "delta1")


@dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """Options of this program."""

    scores: Path = option(help="folder that `semidepth score --output` wrote", positional=True)
    column: str = option("scene", help="column of the scored parquet files that names the group")
    space: Literal["depth", "disparity"] = option("depth", help="scores of depth, or of inverse depth")


@cache
def groups_of(file: str, column: str) -> list[Any]:
    """Returns the group of each row of a parquet file.

    Raises:
        ValueError: there is no such file or column.
    """
    if not Path(file).is_file():
        raise ValueError(f"{file} of the scores is not there any more; score again.")
    names = pq.read_schema(file).names
    if column not in names:
        raise ValueError(f"{file} has no column {column!r} but {', '.join(names)}; name one with --column.")
    return pq.read_table(file, columns=[column])[column].to_pylist()


def group_of(image: str, column: str) -> Any:
    """Returns the group of a scored image by its origin; raises ValueError for one that is no row of a parquet file."""
    found = ROW.fullmatch(image)
    if found is None:
        raise ValueError(f"{image} is no row of a local parquet file, so it has no column {column!r}.")
    return groups_of(found["file"], column)[int(found["row"])]


def run(options: GroupOptions) -> None:
    """Prints the means."""
    path = options.scores / "per_image.parquet"
    if not path.is_file():
        raise ValueError(f"{options.scores} has no per_image.parquet; name a folder of semidepth score --output.")
    table = pq.read_table(path).to_pandas()
    table = table[table["space"] == options.space]
    if table.empty:
        raise ValueError(f"{path} has no scores of {options.space}.")
    table["group"] = [group_of(image, options.column) for image in table["image"]]
    for (model, data), rows in table.groupby(["model", "data"], sort=False):
        groups = rows.groupby("group")[list(SHOWN)].mean()
        print(f"{model} on {data}, {options.space}: AbsRel / delta1")
        for name, mean in ((f"mean of {len(rows)} images", rows), (f"mean of {len(groups)} groups", groups)):
            print(f"  {name}: {mean['abs_rel'].mean():.3f} / {mean['delta1'].mean():.3f}")
        for name, mean in groups.iterrows():
            count = int((rows["group"] == name).sum())
            print(f"    {name} ({count}): {mean['abs_rel']:.3f} / {mean['delta1']:.3f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/score_groups.py", GroupOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
