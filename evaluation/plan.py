"""Tasks of a score run: each model on each set, in the ways that the options ask for.

Everything that can be wrong is found here, before a model is loaded or an image is read.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from semidepth.common.console import first_line
from semidepth.evaluation.data import ScoredData, SourceData, benchmark_data, source_data
from semidepth.evaluation.depth_metrics.protocols import find_protocol
from semidepth.evaluation.metres import MetresTask, require_metres
from semidepth.evaluation.options import ScoreOptions
from semidepth.evaluation.ordinal import OrdinalTask
from semidepth.evaluation.relative import RelativeTask
from semidepth.evaluation.tasks import Mode, Task
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
from semidepth.prediction.shipped.folder import METRIC_NAME, NAME, find_model, is_heads, weight_files

logger = logging.getLogger(__name__)

SHIPPED = (NAME, METRIC_NAME)
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def plan_tasks(options: ScoreOptions) -> list[Task]:
    """Makes the tasks of a run, model by model.

    Raises:
        ValueError: in one sentence, for a model or data that cannot be scored as asked.
    """
    roots = find_roots(options.benchmark, options.root)
    sets: list[ScoredData] = [source_data(spec, options.limit) for spec in dict.fromkeys(options.data)]
    sets += [benchmark_data(name, root, options.limit) for name, root in roots.items()]
    trusted = options.trust_remote_code
    kinds = {name: check_model(name, options.kind, trust_remote_code=trusted) for name in plain_names(options.model)}
    tasks = [
        _make_task(mode, name, revision, data, options)
        for name, kind in kinds.items()
        for revision in [revision_of(name, trust_remote_code=trusted)]
        for data in sets
        for mode in _modes(name, kind, data, options)
    ]
    if options.mode == "auto":
        unscored = {task.model for task in tasks if task.mode == "relative" and kinds[task.model] == "depth"}
        for name in sorted(unscored):
            logger.warning(
                "%s predicts metres and is scored as aligned inverse depth; add --protocol none, or a benchmark's, "
                "to score its metres",
                name,
            )
    return tasks


def _modes(model: str, kind: Kind, data: ScoredData, options: ScoreOptions) -> list[Mode]:
    """Ways in which a model is scored on a set; raises ValueError where metres are asked of a model without them."""
    if data.ordinal:
        return ["ordinal"]
    if options.mode == "both":
        return ["relative", "metric"] if kind == "depth" else ["relative"]
    own_metres = kind == "depth" and data.protocol is not None
    if options.mode == "metric" or (options.mode == "auto" and (options.protocol or own_metres)):
        require_metres(kind, repr(model))
        return ["metric"]
    return ["relative"]


def _make_task(mode: Mode, model: str, revision: str, data: ScoredData, options: ScoreOptions) -> Task:
    shared: dict[str, Any] = {"model": model, "revision": revision, "data": data, "kind": options.kind}
    cap = options.max_depth_m
    if mode == "ordinal":
        return OrdinalTask(**shared)
    if mode == "relative":
        return RelativeTask(
            **shared,
            align=options.align,
            spaces=tuple(dict.fromkeys(options.space)),
            max_depth_m=data.relative_max_depth_m if cap is None else cap,
        )
    if isinstance(data, SourceData) and data.source.invariant is not None:
        raise ValueError(f"{data.name!r} has labels without metres (invariant={data.source.invariant}); leave out "
                         "--mode and --protocol.")  # fmt: skip
    name = options.protocol[0] if options.protocol else data.protocol
    if name is None:
        raise ValueError(f"--mode metric needs a --protocol for {data.name!r}; 'none' has no crop.")
    protocol = find_protocol(name)
    return MetresTask(
        **shared, protocol=protocol if cap is None else replace(protocol, max_depth_m=cap), flip=options.flip
    )


def plain_names(models: Sequence[str]) -> list[str]:
    """Each model once; a local folder keeps the first of its names, and `M/` or `./M` becomes `M`.

    Unless M names a shipped model: then `./M` stays, or the shipped one would be scored in place of the folder.
    """
    names: dict[str | Path, str] = {}
    for model in models:
        plain = str(Path(model))
        if model in SHIPPED or not Path(model).is_dir():
            names.setdefault(model, model)
        else:
            names.setdefault(Path(model).resolve(), f"./{plain}" if plain in SHIPPED else plain)
    return list(names.values())


def find_roots(names: Sequence[str], roots: Sequence[str]) -> dict[str, str]:
    """Folder of each benchmark: --root FOLDER for a single one, NAME=FOLDER of each for several.

    Raises:
        ValueError: a folder is missing, or it is unclear to which benchmark it belongs.
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


def check_model(name: str, kind: Kind | None, *, trust_remote_code: bool = False) -> Kind:
    """Checks that a model can be loaded, from its configuration and the names of its files.

    Args:
        name: Hub id or folder.
        kind: kind of its predictions, where it is given.
        trust_remote_code: run code that the model brings along.

    Returns:
        Kind of its predictions.

    Raises:
        ValueError: there is no such model, it is pickled or has no safetensors, or its kind is not known.
    """
    refuse_pickled(name)
    config = read_config(name, trust_remote_code=trust_remote_code)
    place = find_model(name)
    if is_heads(place):
        weight_files(Path(place))  # which raises where their core is missing
    else:
        _check_weights(place)
    if config.model_type in NEEDS_MORE_THAN_PIXELS:
        raise needs_more_than_pixels(name, config)
    predicts = kind or kind_of(config)
    if predicts is None:
        raise unknown_kind(name, config)
    return predicts


def _check_weights(name: str) -> None:
    """Raises ValueError for a Hub id or folder without safetensors."""
    try:
        found = [cached_file(name, file, _raise_exceptions_for_missing_entries=False) for file in WEIGHTS]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise unloadable(name, first_line(error)) from error
    if not any(found):
        raise unloadable(name, f"it has no {WEIGHTS[0]}")
