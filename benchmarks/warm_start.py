"""A warm start against a fresh decoder on the encoder: what each reaches on new data, and in how many steps.

    python benchmarks/warm_start.py --cpu                     # three seeds, minutes on two CPU cores, no network
    python benchmarks/warm_start.py --encoder facebook/dinov2-small --size 224 --learning_rate 5e-6 --warm_rate 5e-6

A model is trained on labeled scenes of one style; it stands for one that somebody has released. Then there are labels
of another style: of that model, and of its encoder with a fresh decoder, teachers are trained on them, in so many
steps and in a tenth of them. All are scored on held-out scenes of the new style.
"""

import json
import logging
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from parts.seeded_runs import find_encoder, with_error

from semidepth.common.commands import Command
from semidepth.common.files import write_whole
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.data.source_spec import parse_source
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.relative import score_relative
from semidepth.prediction.models import load_depth_model
from semidepth.training.options.presets import read_preset
from semidepth.training.options.run import BUILT_IN_ENCODER, NO_VALIDATION
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.demo.relative import DOMAINS, LABELED_STYLE
from semidepth.training.recipes.teacher import train_teacher

logger = logging.getLogger("semidepth.benchmarks.warm_start")  # as a script it is __main__, whose lines are not shown

NEW_STYLE = "wild"
RELEASED, ENCODER, ENCODER_TENTH, WARM, WARM_TENTH = ROWS = (
    "released", "encoder", "encoder_tenth", "warm", "warm_tenth"
)  # fmt: skip
TITLES = {
    RELEASED: "the released model as it is",
    ENCODER: "from the encoder, all steps",
    ENCODER_TENTH: "from the encoder, a tenth",
    WARM: "warm start, all steps",
    WARM_TENTH: "warm start, a tenth",
}


@dataclass(frozen=True, kw_only=True)
class WarmStartOptions:
    """Options of benchmarks/warm_start.py."""

    output_dir: str = option("outputs/warm_start", help="Folder for models and scores; finished ones are kept.")
    seeds: tuple[int, ...] = option((0, 1, 2), help="Seeds of weights, order and augmentation.")
    encoder: str = option(BUILT_IN_ENCODER, help="Pretrained encoder; 'scenes' pre-trains the built-in stand-in.")
    encoder_steps: int = option(700, help="Updates of the built-in encoder.")
    size: int | None = option(None, help="Side of the training images in pixels. Default: the encoder's image_size.")
    scenes: int = option(64, help="Labeled rooms, and as many labeled streets, of each style.")
    test_scenes: int = option(96, help="Held-out rooms, and as many held-out streets.")
    steps: int = option(300, help="Updates of the released model, and of one trained from the encoder.")
    learning_rate: float = option(3e-4, help="Peak rate of the encoder where the decoder is fresh.")
    warm_rate: float = option(1e-4, help="Peak rate of the encoder of a warm start.")
    cpu: bool = option(False, help="Use the CPU even where there is a GPU.")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        for name, least in {"scenes": 1, "test_scenes": 1, "steps": 10, "encoder_steps": 1}.items():
            check_at_least(self, name, least)


def train_row(options: WarmStartOptions, encoder: str, seed: int, row: str) -> Path:
    """Trains one model of one seed; returns its folder."""
    folder = Path(options.output_dir) / f"seed_{seed}"
    style = LABELED_STYLE if row == RELEASED else NEW_STYLE
    fields: dict[str, Any] = read_preset("teacher_scenes", TeacherOptions) | {
        "labeled": tuple(f"scenes:{domain}?style={style}&count={options.scenes}" for domain in DOMAINS),
        "validation": NO_VALIDATION,
        "size": options.size,
        "steps": options.steps // 10 if row.endswith("_tenth") else options.steps,
        "num_workers": 0,
        "seed": seed,
        "resume": False,
        "cpu": options.cpu,
        "output_dir": str(folder / row),
    }
    warm = row in (WARM, WARM_TENTH)
    fields |= {"start": str(folder / RELEASED)} if warm else {"encoder": encoder}
    fields["learning_rate"] = options.warm_rate if warm else options.learning_rate
    train_teacher(TeacherOptions(**fields))
    return folder / row


def finish_row(options: WarmStartOptions, encoder: str, seed: int, row: str) -> float:
    """Returns the AbsRel of one row and seed on the new style, mean over rooms and streets: kept, or made now."""
    kept = Path(options.output_dir) / f"seed_{seed}" / f"{row}.json"
    if not kept.is_file():
        device = torch.device("cpu" if options.cpu or not torch.cuda.is_available() else "cuda")
        model = load_depth_model(str(train_row(options, encoder, seed, row)), device=device)
        found = []
        for domain in DOMAINS:
            source = parse_source(f"scenes:{domain}?style={NEW_STYLE}&split=test&count={options.test_scenes}")
            samples = evaluation_samples([source], size=model.preprocessing.size)
            scores = score_relative(model.predict_disparity, samples, device=device, batch_size=32).mean()
            found.append(scores["abs_rel"])
        write_whole(kept, json.dumps({"abs_rel": statistics.fmean(found)}).encode())
    value: float = json.loads(kept.read_text())["abs_rel"]
    logger.info("seed %d, %s: AbsRel %.4f", seed, TITLES[row], value)
    return value


def run_benchmark(options: WarmStartOptions) -> None:
    """Trains and scores what is not finished yet, and prints the table and the result."""
    encoder = find_encoder(options.encoder, options.output_dir, steps=options.encoder_steps, cpu=options.cpu)
    found = {row: [] for row in ROWS}
    for seed in options.seeds:
        for row in ROWS:
            found[row].append(finish_row(options, encoder, seed, row))
    tenth = options.steps // 10
    print(f"\nAbsRel on held-out scenes of style {NEW_STYLE}, seeds {' '.join(map(str, options.seeds))}\n")
    print("| | steps | AbsRel | less 'from the encoder, all steps' |\n|---|---|---|---|")
    for row, values in found.items():
        steps = 0 if row == RELEASED else tenth if row.endswith("_tenth") else options.steps
        less = [mine - theirs for mine, theirs in zip(values, found[ENCODER], strict=True)]
        print(f"| {TITLES[row]} | {steps} | {with_error(values)} | {with_error(less, '+')} |")
    means = {row: statistics.fmean(values) for row, values in found.items()}
    print("\nRESULT warm_start " + " ".join(f"{row}={mean:.4f}" for row, mean in means.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/warm_start.py", WarmStartOptions, run_benchmark, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
