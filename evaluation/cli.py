"""Score models on labeled data and benchmark sets: aligned inverse depth, metres as they are, pairs of points.

    python training/score.py --model outputs/demo/student --data 'scenes:indoor?split=test&count=96'
    python training/score.py --model outputs/demo/student depth-anything/Depth-Anything-V2-Small-hf \\
        --data 'frames/*.parquet' --max_depth_m 10 --output scores/
    python training/score.py --model outputs/demo/metric --protocol none \\
        --data 'scenes:indoor?split=test&count=96' 'scenes:outdoor?split=test&count=96'
    torchrun --nproc_per_node 2 training/score.py --model Intel/zoedepth-nyu-kitti apple/DepthPro-hf outputs/metric \\
        --benchmark nyu kitti --root nyu=/data/nyu kitti=/data/kitti --output scores/

Any depth-estimation model will do: ours, stock Depth Anything, ZoeDepth, Depth Pro, DPT, GLPN.

relative   Each image's prediction is aligned to its label (--align: least_squares gives it the scale and shift that fit
           best in 1/m, median a scale alone, none leaves it) and compared in depth and in disparity: papers differ in
           that and seldom say which. --max_depth_m is the cap; metric models can be scored in this way, too.
metric     Metres as they are: cropped, averaged with the mirrored image's, resized to the label, clamped to the range
           of --protocol. A routed model is told each image's domain, too, and its choices are counted; an image's
           domain is its source's `domain=NAME`, its column `domain`, its benchmark's, or indoor / outdoor for scenes.
ordinal    Sets of pairs of points (da2k): how often the nearer one is predicted nearer.

--mode auto is metric with --protocol, and for metric models on benchmarks; relative elsewhere. A benchmark brings its
protocol and its cap; --protocol and --max_depth_m overrule them.

Values are means over images. With --output FOLDER each image's scores are kept as they are made: the same command goes
on where it was stopped, and leaves results.json, table.md, per_image.parquet and examples.png. Several processes share
the images.
"""

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from semidepth.common.console import set_up_logging
from semidepth.common.files import write_whole
from semidepth.evaluation.examples import Example, make_picture
from semidepth.evaluation.folder import RESULTS, TABLE, ScoreFolder
from semidepth.evaluation.options import Task, make_parser, plan_tasks
from semidepth.evaluation.pictures import save_picture
from semidepth.evaluation.run import run_tasks
from semidepth.evaluation.tables import (
    Scored,
    router_entries,
    task_entries,
    to_markdown,
    to_parquet,
)

logger = logging.getLogger(__name__)

PER_IMAGE, EXAMPLES = "per_image.parquet", "examples.png"


def score(argv: Sequence[str]) -> dict[str, Any]:
    """What the command does.

    Args:
        argv: its options.

    Returns:
        In the main process `table` (Markdown), and what results.json holds: `command`, `scores` and `routers`; in the
        others nothing.

    Raises:
        ValueError: in one sentence, for anything that a user can mend.
    """
    options = make_parser(__doc__ or "").parse_args(argv)
    tasks = plan_tasks(options)
    # A process may wait long for another: images differ in size, and their numbers by one.
    state = PartialState(cpu=options.device == "cpu", timeout=timedelta(days=1))
    folder = ScoreFolder(options.output, tasks, state.process_index, state.num_processes)
    folder.check(overwrite=options.overwrite)
    state.wait_for_everyone()
    if state.is_main_process:
        folder.begin(overwrite=options.overwrite)
    state.wait_for_everyone()
    if folder.path is not None and folder.finished:
        return _read_results(folder.path) if state.is_main_process else {}
    scored, examples = _score_tasks(tasks, folder, state, options)
    if not state.is_main_process:
        return {}
    return _write_results(scored, folder, examples, shlex.join(["python", "training/score.py", *argv]))


def _read_results(path: Path) -> dict[str, Any]:
    """What a finished run has left, and its table again where that is gone."""
    logger.info("%s has the results of this run already", path)
    try:
        results = json.loads((path / RESULTS).read_text())
        table = to_markdown(results["scores"], results["routers"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path / RESULTS} is damaged ({type(error).__name__}: {error}); delete it, and the same command writes it "
            "anew."
        ) from error
    if not (path / TABLE).exists():
        write_whole(path / TABLE, f"{table}\n".encode())
    return results | {"table": table}


def _score_tasks(
    tasks: list[Task], folder: ScoreFolder, state: PartialState, options: argparse.Namespace
) -> tuple[list[Scored], list[Example]]:
    """All images of all tasks, and the rows of the picture; in the main process."""
    several = state.num_processes > 1 and state.device.type == "cuda"
    device = state.device if several else torch.device(options.device)
    examples = run_tasks(tasks, folder, state, device=device, batch_size=options.batch_size)
    lines = folder.lines
    if folder.path is None and state.num_processes > 1:
        lines = gather_object(lines)
    progress = folder.progress(lines)
    for task in tasks:
        if state.is_main_process and not progress[task.key].images:
            raise ValueError(f"{task.data.name!r} has no usable sample: none of its images could be read.")
    return [(task, progress[task.key].in_order()) for task in tasks], examples


def _write_results(
    scored: list[Scored], folder: ScoreFolder, examples: list[Example], command: str
) -> dict[str, Any]:  # fmt: skip
    """Writes what a run leaves, results.json last."""
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


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    set_up_logging()
    try:
        results = score(sys.argv[1:] if argv is None else argv)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if results:
        print(results["table"])
    if torch.distributed.is_initialized():  # left to the end of the process, its threads may abort it
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
