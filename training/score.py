"""Score a model's relative depth on labeled data, after least-squares alignment in disparity space.

    python training/score.py --model outputs/demo/student --data 'scenes:indoor?split=test&count=96'
    python training/score.py --model outputs/demo/student depth-anything/Depth-Anything-V2-Small-hf \\
        --data 'frames/*.parquet' --max_depth_m 10 --output scores.json

Each image's prediction gets the scale and shift that fit its ground truth best in 1/m, then is compared, in depth and
in disparity (papers differ in that and seldom say which). Values are means over images.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm.auto import tqdm

from semidepth.training.data.loading import evaluation_samples
from semidepth.training.data.sources import count_samples, parse_source
from semidepth.training.engine.arguments import check_folder
from semidepth.training.engine.depth_models import load_depth_model
from semidepth.training.engine.pictures import write_whole
from semidepth.training.engine.scoring import Scores, Space, score_relative
from semidepth.training.engine.tracking import bar_interval_s, set_up_logging

logger = logging.getLogger(__name__)

SPACES: tuple[Space, ...] = ("depth", "disparity")
SHOWN = ("abs_rel", "delta1", "delta2", "delta3", "rmse", "log10")


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
        total = count_samples(source, labeled=True)
        total = limit if total is None else min(total, limit or total)
        with tqdm(total=total, desc=source, unit="img", dynamic_ncols=True, mininterval=bar_interval_s()) as bar:
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
        for source in options.data:
            if parse_source(source).endless and options.limit is None:
                raise ValueError(f"{source!r} never ends; add count=96 to it, or give --limit.")
        results = {
            name: score_model(
                name, options.data, device=options.device, limit=options.limit, max_depth_m=options.max_depth_m,
                kind=options.kind, batch_size=options.batch_size,
            )
            for name in options.model
        }  # fmt: skip
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    print(to_table(results))
    if options.output is not None:
        write_whole(options.output, (json.dumps(to_json(results), indent=2) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
