"""Score a model on labeled data: relative depth after least-squares alignment, or metres as they are.

    python training/score.py --model outputs/demo/student --data 'scenes:indoor?split=test&count=96'
    python training/score.py --model outputs/demo/student depth-anything/Depth-Anything-V2-Small-hf \\
        --data 'frames/*.parquet' --max_depth_m 10 --output scores.json
    python training/score.py --model outputs/demo/metric --protocol none \\
        --data 'scenes:indoor?split=test&count=96' 'scenes:outdoor?split=test&count=96'

Without `--protocol` each image's prediction gets the scale and shift that fit its ground truth best in 1/m, then is
compared, in depth and in disparity (papers differ in that and seldom say which).

With `--protocol` (nyu, kitti, …, none) the model must predict metres, which are scored as they are: cropped, averaged
with the mirrored image's, resized to the label, clamped to the protocol's range. A routed model is told each image's
domain, too, and its choices are counted; an image's domain is its source's `domain=NAME`, its column `domain`, or
indoor / outdoor for scenes.

Values are means over images.
"""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm.auto import tqdm

from semidepth.training.data.loading import evaluation_samples
from semidepth.training.data.sources import count_samples, parse_source
from semidepth.training.engine.arguments import check_folder
from semidepth.training.engine.depth_models import load_depth_model
from semidepth.training.engine.metric_scoring import MetricScores, router_accuracy, score_metric
from semidepth.training.engine.pictures import write_whole
from semidepth.training.engine.scoring import Scores, Space, score_relative
from semidepth.training.engine.tracking import bar_interval_s, set_up_logging
from semidepth.training.objectives import METRIC_NAMES, PROTOCOLS, Protocol

logger = logging.getLogger(__name__)

SPACES: tuple[Space, ...] = ("depth", "disparity")
SHOWN = ("abs_rel", "delta1", "delta2", "delta3", "rmse", "log10")


def progress(source: str, limit: int | None) -> tqdm:
    """A bar over the images of a source, as many as are known and asked for."""
    total = count_samples(source, labeled=True)
    total = limit if total is None else min(total, limit or total)
    return tqdm(total=total, desc=source, unit="img", dynamic_ncols=True, mininterval=bar_interval_s())


def score_model(
    name: str,
    data: Sequence[str],
    *,
    device: str,
    limit: int | None = None,
    max_depth_m: float | None = None,
    kind: Literal["disparity", "depth"] | None = None,
    batch_size: int = 8,
) -> dict[str, dict[Space, Scores]]:
    """Scores one model on several sources.

    Args:
        name: Hub id or folder.
        data: labeled sources.
        device: to run on.
        limit: images per source.
        max_depth_m: cap, metres; None: each image's own largest label.
        kind: what the model predicts, if it is not known.
        batch_size: images at a time, where consecutive ones have one size.

    Returns:
        Source -> space -> per-image scores.
    """
    model = load_depth_model(name, device=device, kind=kind)
    results: dict[str, dict[Space, Scores]] = {}
    for source in data:
        with progress(source, limit) as bar:
            results[source] = score_relative(
                model.predict_disparity,
                evaluation_samples([source], limit, size=model.preprocessing.size),
                device=torch.device(device),
                spaces=SPACES,
                max_depth_m=max_depth_m,
                batch_size=batch_size,
                on_batch=bar.update,
            )
    return results


def to_table(results: dict[str, dict[str, dict[Space, Scores]]]) -> str:
    """Model -> source -> space -> scores as a Markdown table."""
    lines = ["| model | data | images | space | " + " | ".join(SHOWN) + " |", "|---" * (4 + len(SHOWN)) + "|"]
    for model, by_source in results.items():
        for source, by_space in by_source.items():
            for space, scores in by_space.items():
                values = " | ".join(f"{scores.mean()[name]:.3f}" for name in SHOWN)
                lines.append(f"| {model} | {source} | {scores.images} | {space} | {values} |")
    return "\n".join(lines)


def score_model_metric(
    name: str,
    data: Sequence[str],
    *,
    device: str,
    protocol: Protocol,
    limit: int | None = None,
    flip: bool = True,
    kind: Literal["disparity", "depth"] | None = None,
    batch_size: int = 8,
) -> dict[str, MetricScores]:
    """Scores one model's metres on several sources.

    Args:
        name: Hub id or folder.
        data: labeled sources.
        device: to run on.
        protocol: crops and range.
        limit: images per source.
        flip: average with the mirrored image's prediction.
        kind: what the model predicts, if it is not known.
        batch_size: images at a time, where consecutive ones have one size.

    Returns:
        Source -> scores.
    """
    model = load_depth_model(name, device=device, kind=kind)
    results = {}
    for source in data:
        with progress(source, limit) as bar:
            results[source] = score_metric(
                model,
                evaluation_samples([source], limit, size=model.preprocessing.size),
                device=torch.device(device),
                protocol=protocol,
                flip=flip,
                batch_size=batch_size,
                on_batch=bar.update,
            )
    return results


def to_metric_table(results: dict[str, dict[str, MetricScores]]) -> str:
    """Model -> source -> metric scores as a Markdown table, and a router's choices below it."""
    lines = ["| model | data | head | images | " + " | ".join(METRIC_NAMES) + " |"]
    lines.append("|---" * (4 + len(METRIC_NAMES)) + "|")
    routers = []
    for model, by_source in results.items():
        confusion: Counter[tuple[str, str]] = Counter()
        for source, scores in by_source.items():
            heads = {"router": scores.routed, "domain given": scores.given} if scores.confusion else {"": scores.routed}
            for head, found in heads.items():
                values = " | ".join(f"{found.mean()[name]:.3f}" for name in METRIC_NAMES)
                lines.append(f"| {model} | {source} | {head} | {found.images} | {values} |")
            confusion += scores.confusion
        if confusion:
            chosen = sorted({name for pair in confusion for name in pair})
            routers += ["", f"Router of {model}: {router_accuracy(confusion):.3f} right", ""]
            routers += [f"| domain | {' | '.join(f'taken for {name}' for name in chosen)} |"]
            routers += ["|---" * (1 + len(chosen)) + "|"]
            for own in chosen:
                routers.append(f"| {own} | {' | '.join(str(confusion[own, name]) for name in chosen)} |")
    return "\n".join(lines + routers)


def to_metric_json(results: dict[str, dict[str, MetricScores]]) -> dict[str, Any]:
    """Model -> source -> means, number of images and a router's choices, for a file."""
    return {
        model: {
            source: {"images": scores.routed.images}
            | scores.routed.mean()
            | (
                {
                    "domain_given": scores.given.mean(),
                    "router_accuracy": router_accuracy(scores.confusion),
                    "router": [{"domain": a, "chosen": b, "images": n} for (a, b), n in scores.confusion.items()],
                }
                if scores.confusion
                else {}
            )
            for source, scores in by_source.items()
        }
        for model, by_source in results.items()
    }


def to_json(results: dict[str, dict[str, dict[Space, Scores]]]) -> dict[str, Any]:
    """Model -> source -> space -> means and number of images, for a file."""
    return {
        model: {
            source: {space: {"images": scores.images} | scores.mean() for space, scores in by_space.items()}
            for source, by_space in by_source.items()
        }
        for model, by_source in results.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, nargs="+", help="Hub ids or folders")
    parser.add_argument("--data", required=True, nargs="+", help="labeled sources")
    parser.add_argument("--limit", type=int, help="images per source")
    parser.add_argument("--max_depth_m", type=float, help="cap in metres; default: each image's largest label")
    parser.add_argument("--protocol", choices=list(PROTOCOLS), help="score metres, without alignment; see above")
    parser.add_argument(
        "--flip", action=argparse.BooleanOptionalAction, default=True,
        help="with --protocol: average with the mirrored image's prediction",
    )  # fmt: skip
    parser.add_argument("--kind", choices=("disparity", "depth"), help="what the models predict, if it is not known")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    options = parser.parse_args(argv)
    set_up_logging()
    try:
        if options.batch_size < 1:
            raise ValueError(f"--batch_size is {options.batch_size}; give at least 1.")
        if options.output is not None:
            check_folder("output", options.output.parent)
        if options.max_depth_m is not None and not options.max_depth_m > 1e-3:
            raise ValueError(f"--max_depth_m is {options.max_depth_m}; give metres, more than 0.001.")
        options.model, options.data = (list(dict.fromkeys(given)) for given in (options.model, options.data))
        for source in options.data:
            if parse_source(source).endless and options.limit is None:
                raise ValueError(f"{source!r} never ends; add count=96 to it, or give --limit.")
        shared = {
            "device": options.device, "limit": options.limit, "kind": options.kind, "batch_size": options.batch_size
        }  # fmt: skip
        if options.protocol is not None:
            protocol = PROTOCOLS[options.protocol]
            if options.max_depth_m is not None:
                protocol = replace(protocol, max_depth_m=options.max_depth_m)
            metric = {
                name: score_model_metric(name, options.data, protocol=protocol, flip=options.flip, **shared)
                for name in options.model
            }
            table, content = to_metric_table(metric), to_metric_json(metric)
        else:
            relative = {
                name: score_model(name, options.data, max_depth_m=options.max_depth_m, **shared)
                for name in options.model
            }
            table, content = to_table(relative), to_json(relative)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    print(table)
    if options.output is not None:
        write_whole(options.output, (json.dumps(content, indent=2) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
