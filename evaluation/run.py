"""Score models task by task: this process's share of the images, in batches, each kept as soon as it is made."""

import logging
from collections.abc import Iterator
from itertools import groupby
from typing import cast

import torch
from accelerate import PartialState
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s
from semidepth.data.samples import Sample
from semidepth.evaluation.benchmarks import PointPairs
from semidepth.evaluation.data import Item, Place, read_ahead
from semidepth.evaluation.examples import Example, draw_examples
from semidepth.evaluation.folder import ImageScores, Progress, ScoreFolder
from semidepth.evaluation.metric import score_metric_batch
from semidepth.evaluation.options import Task
from semidepth.evaluation.relative import score_ordinal, score_relative_batch
from semidepth.prediction.batching import batches_of_one_size
from semidepth.prediction.models import DepthModel, load_depth_model

logger = logging.getLogger(__name__)


def run_tasks(
    tasks: list[Task], folder: ScoreFolder, state: PartialState, *, device: torch.device, batch_size: int
) -> list[Example]:
    """Scores what is not scored yet, model by model.

    Args:
        tasks: of the run.
        folder: where scores are kept.
        state: of the processes.
        device: to run on.
        batch_size: images of one size at a time.

    Returns:
        In the main process of a run with a folder: the best, median and worst image of each task.

    Raises:
        ValueError: a model cannot be loaded, predicts something that is not finite, or no image could be read.
    """
    examples: list[Example] = []
    for name, group in groupby(tasks, key=lambda task: task.model):
        own = list(group)
        before = folder.progress()
        draws = state.is_main_process and folder.path is not None
        if not draws and all(before[task.key].complete for task in own):
            state.wait_for_everyone()
            continue
        model = load_depth_model(name, device=device, kind=own[0].kind)
        for task in own:
            if not before[task.key].complete:
                _run_task(task, model, folder, before[task.key], state, batch_size)
        state.wait_for_everyone()  # the picture takes the best and the worst of all processes' images
        if draws:
            scored = folder.progress()
            examples += draw_examples(model, [(task, scored[task.key].in_order()) for task in own])
    return examples


def _run_task(
    task: Task, model: DepthModel, folder: ScoreFolder, before: Progress, state: PartialState, batch_size: int
) -> None:
    """This process's images of one task."""
    items = task.data.share(state.process_index, state.num_processes, before.images, model.preprocessing.size)
    total, done = task.data.total, len(before.images)
    share = None if total is None else -(-max(0, total - done) // state.num_processes)
    bar = tqdm(
        total=share, desc=f"{task.model} on {task.data.name}, {task.mode}", unit="img", dynamic_ncols=True,
        disable=not state.is_main_process, mininterval=bar_interval_s(),
    )  # fmt: skip
    with bar:
        whole = _whole(read_ahead(items, 2 * batch_size), bar)
        for batch in batches_of_one_size(whole, batch_size, _size):
            folder.add(task, score_batch(task, model, batch))
            bar.update(len(batch))
    folder.end(task)


def _whole(items: Iterator[tuple[Place, Item | None]], bar: tqdm) -> Iterator[tuple[Place, Item]]:
    """Images that could be read; the bar counts the others, too."""
    for place, item in items:
        if item is None:
            bar.update(1)
        else:
            yield place, item


def _size(placed: tuple[Place, Item]) -> torch.Size:
    _, item = placed
    return (item.image if isinstance(item, PointPairs) else item["image"]).shape


def score_batch(task: Task, model: DepthModel, batch: list[tuple[Place, Item]]) -> list[ImageScores]:
    """What images of one size come to in one task."""
    device = next(model.model.parameters()).device
    if task.mode == "ordinal":
        pairs = [(place, cast(PointPairs, item)) for place, item in batch]
        rows = [{("", "disparity"): score_ordinal(model.predict_disparity, each, device=device)} for _, each in pairs]
        return [
            ImageScores(place, each.origin, each.scene, "", row)
            for (place, each), row in zip(pairs, rows, strict=True)
        ]  # fmt: skip
    places, samples = [place for place, _ in batch], [cast(Sample, item) for _, item in batch]
    chosen = [""] * len(batch)
    tables: list[dict[tuple[str, str], dict[str, float]]] = [{} for _ in batch]
    if task.mode == "relative":
        found = score_relative_batch(
            model.predict_disparity, samples, device=device, spaces=task.spaces, align=task.align,
            max_depth_m=task.max_depth_m,
        )  # fmt: skip
        for space, values in found.items():
            for number, table in enumerate(tables):
                table["", space] = {name: per_image[number] for name, per_image in values.items()}
    else:
        assert task.protocol is not None
        metres = score_metric_batch(model, samples, device=device, protocol=task.protocol, flip=task.flip)
        chosen = metres.chosen
        head = "router" if len(model.domains) > 1 else ""
        for number, table in enumerate(tables):
            table[head, "depth"] = {name: per_image[number] for name, per_image in metres.routed.items()}
        for number, place in enumerate(metres.known):
            tables[place]["domain given", "depth"] = {name: each[number] for name, each in metres.given.items()}
    return [
        ImageScores(place, sample["origin"], sample["domain"], which, table)
        for place, sample, which, table in zip(places, samples, chosen, tables, strict=True)
    ]
