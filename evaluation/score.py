"""A score run from options to results: plan tasks, score this process's images batch by batch, write tables."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s
from semidepth.common.files import write_whole
from semidepth.common.locks import release_folder
from semidepth.evaluation.data import Item, Place, read_ahead
from semidepth.evaluation.examples import Example, draw_examples, make_picture
from semidepth.evaluation.folder import RESULTS, TABLE, ScoredImages, ScoreFolder, key_of
from semidepth.evaluation.options import ScoreOptions
from semidepth.evaluation.pictures import save_picture
from semidepth.evaluation.plan import plan_tasks
from semidepth.evaluation.tables import Scored, router_entries, task_entries, to_markdown, to_parquet
from semidepth.evaluation.tasks import Task
from semidepth.prediction.batching import batches_of_one_size
from semidepth.prediction.models import DepthModel, load_depth_model

logger = logging.getLogger(__name__)

PER_IMAGE, EXAMPLES = "per_image.parquet", "examples.png"


def score(options: ScoreOptions) -> dict[str, Any]:
    """Scores models on labeled data and benchmark sets; a run with the same options and --output is resumed.

    Args:
        options: models, data, and how to score.

    Returns:
        In the main process `command`, `scores` and `routers`, as results.json has them, and `table` (Markdown); in
        the other processes nothing.

    Raises:
        ValueError: in one sentence, for anything that the user can correct.
    """
    tasks = plan_tasks(options)
    # Images differ in size, and the processes' numbers of images by one: a process may wait long for another.
    state = PartialState(cpu=options.device == "cpu", timeout=timedelta(days=1))
    folder = ScoreFolder(options.output, tasks, state.process_index, state.num_processes)
    folder.check(overwrite=options.overwrite)
    state.wait_for_everyone()
    try:
        return _score_into(folder, tasks, state, options)
    finally:
        if options.output is not None:
            release_folder(options.output)


def _score_into(folder: ScoreFolder, tasks: list[Task], state: PartialState, options: ScoreOptions) -> dict[str, Any]:
    """Scores what the folder does not have yet; arguments and result as in [`score`]."""
    if state.is_main_process:
        folder.begin(overwrite=options.overwrite)
    state.wait_for_everyone()
    if folder.path is not None and folder.finished:
        return _read_results(folder.path) if state.is_main_process else {}
    examples: list[Example] = []
    for name, group in groupby(tasks, key=lambda task: task.model):
        examples += _score_model(name, list(group), folder, state, options)
    scored = _gather(tasks, folder, state)
    return _write_results(scored, folder, examples, options.command) if state.is_main_process else {}


def _score_model(
    name: str, tasks: list[Task], folder: ScoreFolder, state: PartialState, options: ScoreOptions
) -> list[Example]:
    """Scores what is not scored yet of one model's tasks.

    Returns:
        In the main process of a run with a folder: the best, median and worst image of each task.

    Raises:
        ValueError: the model cannot be loaded, or a prediction is not finite.
    """
    before = folder.progress()
    draws = state.is_main_process and folder.path is not None
    if not draws and all(before[key_of(task)].complete for task in tasks):
        state.wait_for_everyone()
        return []
    model = load_depth_model(
        name, device=_device(state, options.device), kind=tasks[0].kind, trust_remote_code=options.trust_remote_code,
        runtime=options.runtime,
    )  # fmt: skip
    for task in tasks:
        if not before[key_of(task)].complete:
            _score_task(task, model, folder, before[key_of(task)], state, options.batch_size)
    state.wait_for_everyone()  # the picture shows the best and worst images of all processes
    if not draws:
        return []
    after = folder.progress()
    return draw_examples(model, [(task, after[key_of(task)].in_order()) for task in tasks])


def _score_task(
    task: Task, model: DepthModel, folder: ScoreFolder, before: ScoredImages, state: PartialState, batch_size: int
) -> None:
    """Scores this process's images of one task; the scores of each batch are on disk before the next is predicted."""
    key, total, done = key_of(task), task.data.total, len(before.images)
    items = task.data.share(state.process_index, state.num_processes, before.images, model.preprocessing.size)
    bar = tqdm(
        total=None if total is None else -(-max(0, total - done) // state.num_processes),
        desc=f"{task.model} on {task.data.name}, {task.mode}", unit="img", dynamic_ncols=True,
        disable=not state.is_main_process, mininterval=bar_interval_s(),
    )  # fmt: skip
    with bar:
        readable = _readable(read_ahead(items, 2 * batch_size), bar)
        for batch in batches_of_one_size(readable, batch_size, lambda placed: placed[1]["image"]):
            folder.add(key, task.score(model, batch))
            bar.update(len(batch))
    folder.end(key)


def _readable(items: Iterator[tuple[Place, Item | None]], bar: tqdm) -> Iterator[tuple[Place, Item]]:
    """Yields the images that could be read; the bar also counts the others."""
    for place, item in items:
        if item is None:
            bar.update(1)
        else:
            yield place, item


def _device(state: PartialState, wanted: str | None) -> torch.device:
    """Returns the process's own GPU where several processes share the work on GPUs, else the device asked for."""
    if state.num_processes > 1 and state.device.type == "cuda":
        return state.device
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))


def _gather(tasks: list[Task], folder: ScoreFolder, state: PartialState) -> list[Scored]:
    """Scores of all processes; raises ValueError for a set of which no image could be read."""
    lines = folder.lines
    if folder.path is None and state.num_processes > 1:
        lines = gather_object(lines)
    progress = folder.progress(lines)
    for task in tasks:
        if state.is_main_process and not progress[key_of(task)].images:
            raise ValueError(f"{task.data.name!r} has no usable sample: none of its images could be read.")
    return [(task, progress[key_of(task)].in_order()) for task in tasks]


def _write_results(
    scored: list[Scored], folder: ScoreFolder, examples: list[Example], command: str
) -> dict[str, Any]:  # fmt: skip
    """Writes the files of a finished run, results.json last."""
    routers = router_entries(scored)
    entries = [entry for task, images in scored for entry in task_entries(task, images)]
    results = {"command": command, "scores": entries, "routers": routers}
    table = to_markdown(entries, routers)
    if folder.path is not None:
        write_whole(folder.path / PER_IMAGE, to_parquet(scored))
        save_picture(make_picture(examples), folder.path / EXAMPLES)
        write_whole(folder.path / TABLE, f"{table}\n".encode())
        write_whole(folder.path / RESULTS, (json.dumps(results, indent=2, allow_nan=False) + "\n").encode())
    return results | {"table": table}


def _read_results(path: Path) -> dict[str, Any]:
    """Reads the results of a finished run, and writes its table again where it is missing."""
    logger.info("%s has the results of this run already", path)
    try:
        results = json.loads((path / RESULTS).read_text())
        table = to_markdown(results["scores"], results["routers"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path / RESULTS} is damaged ({type(error).__name__}: {error}); delete it and run the same command again."
        ) from error
    if not (path / TABLE).exists():
        write_whole(path / TABLE, f"{table}\n".encode())
    return results | {"table": table}
