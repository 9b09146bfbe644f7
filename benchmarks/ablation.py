"""The ablation that is Depth Anything's point, at small scale: what each part of the recipe adds.

    make ablation                                             # hours on one CPU core, no network; --rows chooses
    python benchmarks/ablation.py --seeds 0 1 2 --photos my_photos/ --real 'rooms/*.parquet?depth_scale=0.001'
    python benchmarks/ablation.py --encoder facebook/dinov2-small --size 518 --num_workers 8   # on a GPU
    python benchmarks/ablation.py --encoder facebook/dinov2-small --size 224 --labeled 'nyu_train/*.parquet?count=100' \
        --photos my_photos/ --unlabeled_scenes 0 --test_scenes 0 --real 'nyu_test/*.parquet'   # real frames alone

Rows are trained one upon the other, as in the ablation of arXiv 2401.10891, all students of a seed with one teacher
and from one encoder: labeled images only; + unlabeled images, as they are; + strong perturbation of these; + feature
alignment; and of later work + gradient matching loss (Depth Anything V2). Upon that, each by itself: further losses,
augmentations, no labels, a warm start and selective re-training (ST++). Labels are those of a few scenes of one style;
unlabeled are many of all styles, and --photos. Tests: held-out scenes and --real.

What is finished is kept in --output_dir, one JSON for each row and seed, and not trained again: the same command with
more seeds or rows goes on from there.
"""

import json
import logging
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from ablation_rows import CHANGES, LABELED_ONLY, METRICS, PAPER, ROWS, SCENES_MEAN, TEACHER, TITLES, VARIANTS, WARM_RATE
from parts.seeded_runs import find_encoder, with_error

from semidepth.common.commands import Command
from semidepth.common.files import check_folder, write_whole
from semidepth.common.option_checks import check_at_least
from semidepth.common.options import option
from semidepth.data.source_spec import parse_source, parse_sources
from semidepth.data.streaming.loading import evaluation_samples
from semidepth.evaluation.relative import score_relative
from semidepth.prediction.models import load_depth_model
from semidepth.training.engine.setup import check_sources
from semidepth.training.options.presets import read_preset
from semidepth.training.options.run import BUILT_IN_ENCODER, NO_VALIDATION
from semidepth.training.options.student import StudentOptions
from semidepth.training.options.teacher import TeacherOptions
from semidepth.training.recipes.demo.relative import DOMAINS, LABELED_STYLE, test_sources
from semidepth.training.student import train_student
from semidepth.training.teacher import train_teacher

logger = logging.getLogger("semidepth.benchmarks.ablation")  # as a script it is __main__, whose lines are not shown

RATES = ("learning_rate", "decoder_lr_factor")
UNLABELED_START = 100_000  # number of the first unlabeled scene, far behind the labeled ones

# Test set -> metric -> value, of one model.
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class AblationOptions:
    """Options of the ablation."""

    output_dir: str = option("outputs/ablation", help="Folder for models, scores and the table.")
    seeds: tuple[int, ...] = option(
        (0, 1, 2), help="One run for each: weights, order, augmentation; encoder and scenes stay."
    )
    rows: tuple[str, ...] = option(tuple(ROWS), help=f"Some of: {', '.join(ROWS)}.")
    photos: tuple[str, ...] = option((), help="Further unlabeled sources, such as photos.")
    real: tuple[str, ...] = option((), help="Labeled sources to test on, never trained on.")
    encoder: str = option(
        BUILT_IN_ENCODER, help="Pretrained encoder; 'scenes' pre-trains the built-in stand-in into --output_dir."
    )
    size: int | None = option(None, help="Side of the training images in pixels. Default: the encoder's image_size.")
    labeled: tuple[str, ...] = option((), help="Labeled sources to learn from, instead of scenes.")
    labeled_scenes: int = option(64, help="Labeled rooms, and as many labeled streets.")
    unlabeled_scenes: int = option(1024, help="Unlabeled rooms, and as many unlabeled streets; 0: --photos alone.")
    test_scenes: int = option(192, help="Held-out scenes for each domain and style; 0: --real alone.")
    encoder_steps: int = option(700, help="Updates of the built-in encoder.")
    teacher_steps: int = option(300, help="Updates of the teacher.")
    steps: int = option(500, help="Updates of each row's model.")
    batch_size: int = option(8, help="Labeled images per step; students see twice as many more.")
    learning_rate: float | None = option(
        None, help="Rate of the encoder. Default: the preset's for the built-in encoder, else the commands'."
    )
    decoder_lr_factor: float | None = option(None, help="Likewise, of the decoder's rate in terms of the encoder's.")
    num_workers: int = option(
        0, help="Loader processes. With 0, scenes that fit in memory are drawn once for all rows."
    )
    cpu: bool = option(False, help="Use the CPU even where there is a GPU.")

    def __post_init__(self) -> None:
        """Raises ValueError, in one sentence, for a value that cannot work."""
        least = dict.fromkeys(("labeled_scenes", "encoder_steps", "teacher_steps", "steps", "batch_size"), 1)
        least |= dict.fromkeys(("unlabeled_scenes", "test_scenes", "num_workers"), 0)
        for name, value in least.items():
            check_at_least(self, name, value)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"--seeds is {self.seeds}; give one or more different numbers, at least 0.")
        if not self.rows or len(set(self.rows)) != len(self.rows) or not set(self.rows) <= set(ROWS):
            raise ValueError(f"--rows is {self.rows}; give some of {', '.join(ROWS)}, each once.")
        if not (self.unlabeled_scenes or self.photos):
            raise ValueError("--unlabeled_scenes is 0 and --photos names nothing; students need images without labels.")
        if not (self.test_scenes or self.real):
            raise ValueError("--test_scenes is 0 and --real names nothing; rows have to be scored on something.")
        endless = [spec for spec in [*self.labeled, *self.photos, *self.real] if parse_source(spec).endless]
        if endless:
            raise ValueError(f"source {endless[0]!r} never ends; give it ?count=N.")
        check_folder("output_dir", self.output_dir)


def check_setting(arguments: AblationOptions) -> None:
    """Keeps what all rows of a folder share in setting.json; raises ValueError where it holds rows of other options."""
    free = ("output_dir", "seeds", "rows", "num_workers", "cpu")
    # Tuples as JSON gives them back.
    wanted = json.loads(json.dumps({name: value for name, value in asdict(arguments).items() if name not in free}))
    path = Path(arguments.output_dir) / "setting.json"
    kept = json.loads(path.read_text()) if path.is_file() else wanted
    differing = [name for name in wanted if kept.get(name) != wanted[name]]
    if differing:
        raise ValueError(
            f"{path.parent} holds rows trained with other {', '.join(differing)}; give another --output_dir."
        )
    write_whole(path, (json.dumps(wanted, indent=2) + "\n").encode())


def shared_options(arguments: AblationOptions, encoder: str, seed: int) -> dict[str, Any]:
    """Options that teacher, labeled-only model and students of one seed share; no gradient matching."""
    options: dict[str, Any] = {
        "encoder": encoder,
        "size": arguments.size,
        "labeled": arguments.labeled
        or [f"scenes:{domain}?style={LABELED_STYLE}&count={arguments.labeled_scenes}" for domain in DOMAINS],
        "validation": NO_VALIDATION,
        "batch_size": arguments.batch_size,
        "losses": "v1",
        "gradient_matching_weight": None,
        "num_workers": arguments.num_workers,
        "seed": seed,
        "resume": False,
        "cpu": arguments.cpu,
    }
    if arguments.encoder != BUILT_IN_ENCODER:  # the preset's rates are for a small encoder trained for minutes
        options |= {name: getattr(TeacherOptions, name) for name in RATES}
    return options | {name: value for name in RATES if (value := getattr(arguments, name)) is not None}


def train_row(arguments: AblationOptions, encoder: str, seed: int, row: str) -> Path:
    """Trains one model of one seed; returns its folder. Students need the seed's teacher."""
    folder = Path(arguments.output_dir) / f"seed_{seed}"
    shutil.rmtree(folder / row, ignore_errors=True)  # what an interrupted run left
    shared = shared_options(arguments, encoder, seed) | {"output_dir": str(folder / row)}
    if row in (TEACHER, LABELED_ONLY):
        own: dict[str, Any] = {"steps": arguments.steps}
        if row == TEACHER:  # its checkpoints are what ST++ tells the stability of its labels from
            every = max(1, arguments.teacher_steps // 3)
            own = {"steps": arguments.teacher_steps, "checkpoint_every": every, "keep_checkpoints": 4}
        train_teacher(TeacherOptions(**(read_preset("teacher_scenes", TeacherOptions) | shared | own)))
        return folder / row
    scenes = f"style=any&start={UNLABELED_START}&count={arguments.unlabeled_scenes}"
    own = {
        "teacher": str(folder / TEACHER),
        "unlabeled": [
            *(f"scenes:{domain}?{scenes}" for domain in DOMAINS if arguments.unlabeled_scenes),
            *arguments.photos,
        ],
        "steps": arguments.steps,
    }
    for name, changes in CHANGES.items():
        own |= changes
        if name == row:
            break
    own |= VARIANTS.get(row, {})
    if "start" in own:
        own |= {"start": str(folder / own["start"]), "learning_rate": shared.get("learning_rate", WARM_RATE)}
    if not own.get("labeled", True):  # then a batch has --batch_size photos; in the other rows twice as many
        own["batch_size"] = 2 * arguments.batch_size
    train_student(StudentOptions(**(read_preset("student_scenes", StudentOptions) | shared | own)))
    return folder / row


def test_sets(arguments: AblationOptions) -> dict[str, str]:
    """Name -> source of everything that rows are tested on."""
    real = {parse_source(spec).location.rstrip("/").rpartition("/")[2]: spec for spec in arguments.real}
    if len(real) < len(arguments.real):
        real = {spec: spec for spec in arguments.real}
    return (test_sources(arguments.test_scenes) if arguments.test_scenes else {}) | real


def score_row(arguments: AblationOptions, folder: Path, device: torch.device) -> Scores:
    """Means over the images of each test set, in depth space after least squares in disparity space."""
    model, found = load_depth_model(str(folder), device=device), Scores()
    for name, source in test_sets(arguments).items():
        samples = evaluation_samples([parse_source(source)], size=model.preprocessing.size)
        found[name] = score_relative(model.predict_disparity, samples, device=device, batch_size=32).mean()
    if arguments.test_scenes:
        scenes = [found[name] for name in test_sources(1)]
        found[SCENES_MEAN] = {metric: statistics.fmean(each[metric] for each in scenes) for metric in METRICS}
    return found


def finish_row(arguments: AblationOptions, encoder: str, seed: int, row: str, device: torch.device) -> Scores:
    """The scores of one row and seed: those kept from before, else of a model trained now."""
    kept = Path(arguments.output_dir) / f"seed_{seed}" / f"{row}.json"
    if not kept.is_file():
        logger.info("seed %d, row %s", seed, TITLES[row])
        began = time.perf_counter()
        scores = score_row(arguments, train_row(arguments, encoder, seed, row), device)
        result = {"row": row, "seed": seed, "minutes": (time.perf_counter() - began) / 60, "scores": scores}
        write_whole(kept, (json.dumps(result, indent=2) + "\n").encode())
        shown = SCENES_MEAN if SCENES_MEAN in scores else next(iter(scores))
        logger.info("seed %d, row %s, %s: %s", seed, TITLES[row], shown, scores[shown])
    found: Scores = json.loads(kept.read_text())["scores"]
    return found


def to_table(runs: dict[str, list[Scores]], metric: str, less: str = "") -> str:
    """One metric of each row on each test set, as Markdown: the values, or how far they are from another row's.

    Args:
        runs: row -> scores of each seed, the seeds in one order.
        metric: of METRICS.
        less: "above" or "first": each seed's value less the same seed's value of the row that it adds to (a variant to
            the last row that is none), or of the first row, from the second row on, the teacher left out.

    Returns:
        The table; AbsRel has the mean of the paper's six sets beside it.
    """
    sets = sorted(next(iter(runs.values()))[0], key=lambda name: name != SCENES_MEAN)
    columns = {name: {row: [seed[name][metric] for seed in seeds] for row, seeds in runs.items()} for name in sets}
    if metric == "abs_rel":
        columns["paper, 6 sets"] = {row: [statistics.fmean(values)] for row, values in PAPER.items()}
    rows = [row for row in runs if row != TEACHER]
    below = [*pairwise(row for row in rows if row not in VARIANTS)]
    last = below[-1][1] if below else rows[0]
    below += [(last, row) for row in rows if row in VARIANTS and row != last]
    pairs = {"": [(row, row) for row in runs], "above": below, "first": ((rows[0], row) for row in rows[1:])}
    lines = [f"| {METRICS[metric]} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for other, row in pairs[less]:
        cells = []
        for column in columns.values():
            values = column.get(row, [])
            if less:
                values = [mine - theirs for mine, theirs in zip(values, column.get(other, []), strict=False)]
            cells.append(with_error(values, "+" if less else "") if values else "")
        lines.append(f"| {TITLES[row]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run_ablation(arguments: AblationOptions) -> str:
    """Trains and scores what is not finished yet; returns the tables, which also go to table.md."""
    check_sources(parse_sources(arguments.labeled))
    check_sources(parse_sources(arguments.photos), labeled=False)
    check_sources(parse_sources(arguments.real))
    check_setting(arguments)
    output = Path(arguments.output_dir)
    device = torch.device("cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu")
    encoder = find_encoder(arguments.encoder, arguments.output_dir, steps=arguments.encoder_steps, cpu=arguments.cpu)
    rows = [TEACHER, *(row for row in ROWS if row in arguments.rows)]
    runs: dict[str, list[Scores]] = {row: [] for row in rows}
    for seed in arguments.seeds:
        for row in rows:
            runs[row].append(finish_row(arguments, encoder, seed, row, device))
    captions = {
        "": f"Mean ± standard error over seeds {', '.join(map(str, arguments.seeds))}.",
        "above": "What each row adds to the one above it, and each … to the last +: mean ± standard error of the "
        "differences, seed by seed.",
        "first": f"What all rows down to this one add to '{TITLES[rows[1]]}', likewise.",
    }
    parts = []
    for less, caption in captions.items():
        parts += [caption, *(to_table(runs, metric, less) for metric in METRICS)]
    text = "\n\n".join(parts)
    write_whole(output / "table.md", f"{text}\n".encode())
    return text


def run(options: AblationOptions) -> None:
    """Runs what is missing of the ablation and prints its tables."""
    print(run_ablation(options))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line at the top of the file and returns its exit status."""
    return Command("python benchmarks/ablation.py", AblationOptions, run, __doc__).main(argv)


if __name__ == "__main__":
    sys.exit(main())
