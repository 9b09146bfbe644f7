"""Options of training/score.py, and what they come to: which model is scored on which data, and how.

Everything that can be wrong is found here, before a model is loaded or an image is read.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers.utils import cached_file

from semidepth.common.console import first_line
from semidepth.common.files import check_folder
from semidepth.evaluation.data import (
    BenchmarkData,
    ScoredData,
    benchmark_data,
    source_data,
)
from semidepth.evaluation.depth_metrics.formulas import (
    ALIGNMENTS,
    SPACES,
    Align,
    Space,
)
from semidepth.evaluation.depth_metrics.protocols import PROTOCOLS, Protocol, find_protocol
from semidepth.prediction.checkpoints import (
    NEEDS_MORE_THAN_PIXELS,
    Kind,
    kind_of,
    needs_more_than_pixels,
    read_config,
    refuse_pickled,
    revision_of,
    unknown_kind,
    unloadable,
)

Mode = Literal["relative", "metric", "ordinal"]
MODES = ("auto", "relative", "metric", "both")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


@dataclass(frozen=True)
class Task:
    """One model on one set, scored in one way.

    Args:
        model: Hub id or folder.
        revision: what tells it apart from others of its name.
        data: what it is scored on.
        mode: "relative" (inverse depth, aligned), "metric" (metres as they are), "ordinal" (pairs of points).
        kind: what the model predicts, where it had to be told.
        align: how relative predictions are brought to the label's scale.
        spaces: where those are compared.
        protocol: crops and range of metres; None for the other modes.
        max_depth_m: cap of relative scores, metres; None: each image's own.
        flip: whether metres are averaged with the mirrored image's.
    """

    model: str
    revision: str
    data: ScoredData
    mode: Mode
    kind: Kind | None = None
    align: Align = "least_squares"
    spaces: tuple[Space, ...] = ("depth", "disparity")
    protocol: Protocol | None = None
    max_depth_m: float | None = None
    flip: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells the task apart from the others of a run."""
        return self.model, self.data.name, self.mode

    def identity(self) -> dict[str, Any]:
        """What must not change while a run is resumed, in plain values."""
        protocol = None if self.protocol is None else asdict(self.protocol)
        plain = {
            name: getattr(self, name) for name in ("model", "revision", "mode", "kind", "align", "max_depth_m", "flip")
        }
        return plain | {
            "data": self.data.name,
            "images": self.data.total,
            "space": list(self.spaces),
            "protocol": protocol,
            "files": self.data.files,
        }


def make_parser(description: str) -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--model", required=True, nargs="+", help="Hub ids or folders")
    add("--data", nargs="+", default=[], metavar="SOURCE", help="labeled sources")
    add("--benchmark", nargs="+", default=[], metavar="NAME", help="benchmark sets on disk, see below")
    add("--root", nargs="+", default=[], metavar="FOLDER", help="where they are: FOLDER, or NAME=FOLDER of several")
    add("--limit", type=int, help="no more than the first so many images of each set")
    add("--mode", choices=MODES, default="auto", help="see above; auto: metric with --protocol")
    add("--protocol", nargs="+", metavar="NAME", help=f"crop and range of metres: {', '.join(PROTOCOLS)}")
    add("--max_depth_m", type=float, help="cap in metres; default: the benchmark's, else each image's largest label")
    add("--align", choices=ALIGNMENTS, default="least_squares", help="of relative scores")
    add("--space", nargs="+", choices=SPACES, default=list(SPACES), help="where relative scores are compared")
    add("--flip", action=argparse.BooleanOptionalAction, default=True, help="average metres with the mirrored image's")
    add("--kind", choices=("disparity", "depth"), help="what the models predict, if it is not known")
    add("--batch_size", type=int, default=8, help="images of one size at a time")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--output", type=Path, help="folder for results, tables and pictures; the same command goes on with it")
    add("--overwrite", action="store_true", help="start anew in a folder that has other results")
    return parser


def check_options(options: argparse.Namespace) -> None:
    """Checks what the options say, without looking at any model or data.

    Raises:
        ValueError: in one sentence.
    """
    if not options.data and not options.benchmark:
        raise ValueError("there is nothing to score on; give --data SOURCE or --benchmark NAME --root FOLDER.")
    if options.batch_size < 1:
        raise ValueError(f"--batch_size is {options.batch_size}; give at least 1.")
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit is {options.limit}; give at least 1.")
    if options.max_depth_m is not None and not options.max_depth_m > 1e-3:
        raise ValueError(f"--max_depth_m is {options.max_depth_m}; give metres, more than 0.001.")
    if options.max_depth_m == math.inf:
        raise ValueError("--max_depth_m is inf; give a number of metres, such as 1000 for a cap that cuts nothing.")
    if options.protocol is not None and len(options.protocol) > 1:
        raise ValueError(
            f"--protocol names {' and '.join(options.protocol)}; give one for all data, or leave it out: each "
            "benchmark brings its own."
        )
    if options.protocol is not None and options.mode == "relative":
        raise ValueError("--protocol says how metres are scored and --mode is relative; give one of the two.")
    if options.output is not None:
        if options.output.suffix.lower() == ".json":
            raise ValueError(f"--output {options.output} is a folder now; name one, which gets a results.json.")
        try:
            check_folder("output", options.output)
            is_model = (options.output / "config.json").exists()
        except OSError as error:
            raise ValueError(f"--output {options.output} cannot be used ({error}); give another folder.") from error
        if is_model:
            raise ValueError(f"--output {options.output} is a model's folder; give {options.output / 'scores'}.")
    elif options.overwrite:
        raise ValueError("--overwrite is for what is in --output, which is not given; name that folder.")


def plan_tasks(options: argparse.Namespace) -> list[Task]:
    """What has to be done, model by model.

    Raises:
        ValueError: in one sentence, for a model or data that cannot be scored in the way that is asked for.
    """
    check_options(options)
    protocol = None if options.protocol is None else find_protocol(options.protocol[0])
    roots = find_roots(options.benchmark, options.root)
    sets: list[ScoredData] = [source_data(spec, options.limit) for spec in dict.fromkeys(options.data)]
    sets += [benchmark_data(name, root, options.limit) for name, root in roots.items()]
    models = plain_names(options.model)
    kinds = {name: check_model(name, options.kind) for name in models}
    tasks = []
    for name in models:
        revision = revision_of(name)
        shared = {"kind": options.kind, "align": options.align, "spaces": tuple(dict.fromkeys(options.space))}
        for data in sets:
            own = own_protocol(data) if protocol is None else protocol
            for mode in modes_of(data, kinds[name], options.mode, protocol, name):
                cap, metric = options.max_depth_m, None
                if mode == "metric":
                    if own is None:
                        raise ValueError(f"--mode metric needs a --protocol for {data.name!r}; 'none' has no crop.")
                    metric = own if cap is None else replace(own, max_depth_m=cap)
                elif cap is None and isinstance(data, BenchmarkData):
                    cap = getattr(data.benchmark, "relative_max_depth_m", None)
                tasks.append(
                    Task(name, revision, data, mode, protocol=metric, max_depth_m=cap, flip=options.flip, **shared)
                )
    return tasks


def plain_names(models: Sequence[str]) -> list[str]:
    """Each model once, local folders as `M` where they are written `M/` or `./M`; the first name of a folder stays."""
    names: dict[str | Path, str] = {}
    for model in models:
        local = Path(model).is_dir()
        names.setdefault(Path(model).resolve() if local else model, str(Path(model)) if local else model)
    return list(names.values())


def modes_of(data: ScoredData, kind: Kind, wanted: str, protocol: Protocol | None, model: str) -> list[Mode]:
    """In which ways a model is scored on a set.

    Raises:
        ValueError: metres are asked of a model that predicts none.
    """
    if data.ordinal:
        return ["ordinal"]
    if wanted == "auto":
        own_metres = kind == "depth" and isinstance(data, BenchmarkData)
        wanted = "metric" if protocol is not None or own_metres else "relative"
    if wanted == "metric" and kind != "depth":
        raise ValueError(
            f"{model!r} predicts inverse depth, which has no unit; score it without --protocol (aligned), or train "
            "metric heads on it with training/metric.py."
        )
    if wanted == "both":
        return ["relative", "metric"] if kind == "depth" else ["relative"]
    return ["metric"] if wanted == "metric" else ["relative"]


def own_protocol(data: ScoredData) -> Protocol | None:
    """The protocol that a benchmark brings; None for a source."""
    name = getattr(data.benchmark, "protocol", None) if isinstance(data, BenchmarkData) else None
    return None if name is None else find_protocol(name)


def find_roots(names: Sequence[str], roots: Sequence[str]) -> dict[str, str]:
    """The folder of each benchmark: --root FOLDER for a single one, NAME=FOLDER of each where there are several.

    Raises:
        ValueError: some folder is missing, or does not say whose it is.
    """
    names = list(dict.fromkeys(names))
    if roots and not names:
        raise ValueError("--root is a benchmark's folder and there is no --benchmark; name it, such as nyu.")
    if len(names) == 1 and len(roots) == 1 and not roots[0].startswith(f"{names[0]}="):
        return {names[0]: roots[0]}
    pairs = dict(root.split("=", 1) for root in roots if "=" in root)
    if sorted(pairs) != sorted(names) or len(roots) != len(names):
        given = " ".join(roots) or "missing"
        wanted = "FOLDER" if len(names) == 1 else " ".join(f"{name}=FOLDER" for name in names)
        raise ValueError(f"--root is {given}; give the folder of each benchmark: --root {wanted}.")
    return {name: pairs[name] for name in names}


def check_model(name: str, kind: Kind | None) -> Kind:
    """Makes sure that a model can be loaded, as far as its configuration and its files' names tell.

    Returns:
        What it predicts.

    Raises:
        ValueError: there is no such model, it is pickled or has no safetensors, or what it predicts is not known.
    """
    refuse_pickled(name)
    config = read_config(name)
    try:
        found = [cached_file(name, file, _raise_exceptions_for_missing_entries=False) for file in WEIGHTS]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise unloadable(name, first_line(error)) from error
    if not any(found):
        raise unloadable(name, f"it has no {WEIGHTS[0]}")
    if config.model_type in NEEDS_MORE_THAN_PIXELS:
        raise needs_more_than_pixels(name, config)
    predicts = kind or kind_of(config)
    if predicts is None:
        raise unknown_kind(name, config)
    return predicts
