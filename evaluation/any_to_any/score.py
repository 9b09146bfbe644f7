"""`semidepth score --four_m`: every modality from every other with floors and ceilings, and completion of depth."""

import json
import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from semidepth.common.console import bar_interval_s
from semidepth.common.files import write_whole
from semidepth.common.locks import folder_held
from semidepth.data.modalities.loading import ModalitySample, modality_samples
from semidepth.data.source_spec import parse_sources
from semidepth.evaluation.any_to_any.completion import score_completion
from semidepth.evaluation.any_to_any.matrix import (
    all_inputs,
    nats_per_token,
    score_direction,
    score_floors,
    unigram_nats,
)
from semidepth.evaluation.any_to_any.measures import Scores, is_readable, mean_of, standard_error
from semidepth.evaluation.any_to_any.round_trip import is_known, round_trip, values_of
from semidepth.evaluation.options import ScoreOptions
from semidepth.evaluation.source_report.report import tell_sources
from semidepth.prediction.any_to_any.model import KINDS, SOURCE, WORDS, AnyToAny, fit_map, load_any_to_any
from semidepth.prediction.models import load_depth_model

logger = logging.getLogger(__name__)

RESULTS, TABLE = "results.json", "table.md"
# Measures of each kind that the table shows, the one that decides first; how many decimals.
SHOWN = {
    "depth": ("abs_rel", "rmse", "delta1"), "normal": ("angle_deg", "within_11.25", "within_22.5", "within_30"),
    "semantic": ("miou", "accuracy"), "rgb": ("psnr", "edges"),
    "caption": ("domain", "things_f1", "nearest", "distance"),
}  # fmt: skip

Row = dict[str, Any]


def score_four_m(options: ScoreOptions) -> dict[str, Any]:
    """Scores 4M models.

    Args:
        options: of `semidepth score`, with `four_m`.

    Returns:
        `command`; `directions`, a row for each model, target and source, floors and ceiling among them; `completion`, a
        row for each model, amount of known pixels and method; `table` (Markdown).

    Raises:
        ValueError: in one sentence, for anything that the user can correct.
    """
    if options.output is not None and (options.output / RESULTS).exists() and not options.overwrite:
        raise ValueError(f"--output {options.output} has results already; add --overwrite, or give another folder.")
    with nullcontext() if options.output is None else folder_held("output", options.output):
        return _score_held(options)


def _score_held(options: ScoreOptions) -> dict[str, Any]:
    sources = parse_sources(dict.fromkeys(options.data))
    known_sources = () if options.only_completion else parse_sources(options.floors_from)
    tell_sources((*sources, *known_sources), labeled=True)
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    models = {name: load_any_to_any(name, device) for name in dict.fromkeys(options.model)}
    rows: list[Row] = []
    completed: list[Row] = []
    for name, made in models.items():
        size = made.preprocessing.size
        samples = [each for source in sources for each in modality_samples([source], size, options.limit)]
        if options.known_pixels:
            completed += completion_rows(name, made, samples, options, device)
        if not options.only_completion:
            known = [
                each for source in known_sources for each in modality_samples([source], size, options.floor_images)
            ]
            rows += matrix_rows(name, made, samples, known)
    table = "\n\n".join([*_matrix_tables(rows), *_completion_tables(completed)])
    results = {"command": options.command, "directions": rows, "completion": completed, "table": table}
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        write_whole(options.output / TABLE, f"{table}\n".encode())
        write_whole(options.output / RESULTS, (json.dumps(_plain(results), indent=2) + "\n").encode())
    return results


def matrix_rows(
    model: str, made: AnyToAny, samples: Sequence[ModalitySample], known: Sequence[ModalitySample]
) -> list[Row]:
    """Returns a row for each target and source, floors and ceiling among them.

    Args:
        model: its name.
        made: the model.
        samples: to score on.
        known: pictures that floors are made of.
    """
    rows: list[Row] = []
    targets = [name for name in made.names if name in made.tokenizers or name == WORDS]
    if WORDS in targets and not all(is_readable(sample["caption"]) for sample in samples if sample["caption"]):
        targets.remove(WORDS)
        logger.warning(
            "captions that are not written as those of the built-in scenes have no facts to compare, so they are given "
            "and not scored"
        )
    given = [name for name in made.names if name != "tok_rgb"]
    pairs = [(source, target) for target in targets for source in given if source != target]
    pairs = [(source, target) for source, target in pairs if _there(samples, source) and _there(samples, target)]
    inputs = all_inputs(made, samples)
    for source, target in tqdm(pairs, desc="directions", mininterval=bar_interval_s()):
        nats = nats_per_token(made, samples, source, target, inputs)
        rows.append(_row(model, target, source, score_direction(made, samples, source, target, inputs=inputs), nats))
        if source == SOURCE:
            shuffled = score_direction(made, samples, source, target, shuffled=True, inputs=inputs)
            rows.append(_row(model, target, f"{source} of another picture", shuffled, math.nan))
    for target in dict.fromkeys(target for _, target in pairs):
        unigram = unigram_nats(made, known, samples, target)
        if target == WORDS:
            rows.append(_row(model, target, "nothing: how often words come", Scores(), unigram))
            continue
        kind, classes = KINDS[target], len(made.tokenizers[target].config.classes)
        for which, found in score_floors(known, samples, kind, classes).items():
            told = "nothing: typical map of all" if which == "all" else "the domain alone: its typical map"
            rows.append(_row(model, target, told, found, unigram if which == "all" else math.nan))
        ceiling = round_trip({kind: made.tokenizers[target]}, _fitted(samples, made, target), made.device)[kind]
        rows.append(_row(model, target, "itself: the tokenizer's round trip", ceiling, math.nan))
    return rows


def _fitted(samples: Sequence[ModalitySample], made: AnyToAny, target: str) -> Any:
    """Returns samples at the size of a target's tokenizer."""
    size = made.tokenizers[target].config.image_size
    for sample in samples:
        fitted: dict[str, Any] = dict(sample)
        fitted["image"] = (fit_map(sample["image"][None].float() / 255, "rgb", size)[0] * 255).round().to(torch.uint8)
        for kind in ("depth", "normal", "semantic"):
            fitted[kind] = fit_map(fitted[kind][None], kind, size)[0]
        yield fitted


def _there(samples: Sequence[ModalitySample], name: str) -> bool:
    if name == WORDS:
        return all(sample["caption"] for sample in samples)
    return all(is_known(values_of(sample, KINDS.get(name, "rgb"))) for sample in samples)


def _row(model: str, target: str, source: str, scores: Scores, nats: float) -> Row:
    errors = {name: standard_error(values) for name, values in scores.values.items()}
    return {
        "model": model, "target": target, "source": source, "nats": nats, "scores": scores.means(),
        "standard_errors": errors, "per_image": scores.values,
    }  # fmt: skip


def completion_rows(
    model: str, made: AnyToAny, samples: Sequence[ModalitySample], options: ScoreOptions, device: torch.device
) -> list[Row]:
    """Returns a row for each amount of known pixels and method; all methods know the same pixels."""
    metric = None
    if options.metric_model != "none":
        loaded = load_depth_model(options.metric_model, device=device)
        if loaded.kind != "depth":
            raise ValueError(f"--metric_model {options.metric_model!r} gives no metres; give a metric model, or none.")

        def predict(image: Tensor) -> Tensor:
            return loaded.forward(image[None].to(device))[0][0].float().cpu()

        metric = predict
    shown = tqdm(samples, desc="completion", unit="img", mininterval=bar_interval_s())
    found = score_completion(shown, options.known_pixels, made=made, metric=metric)
    return [
        {"model": model, "known": known, "method": method, "scores": scores.means(),
         "standard_errors": {name: standard_error(values) for name, values in scores.values.items()},
         "images": len(scores.values["abs_rel"])}
        for known, methods in found.items() for method, scores in methods.items()
    ]  # fmt: skip


def _matrix_tables(rows: Sequence[Row]) -> list[str]:
    """Returns a Markdown table for each model and target; `±` is the standard error over pictures."""
    tables = []
    for model, target in dict.fromkeys((row["model"], row["target"]) for row in rows):
        names = SHOWN[KINDS.get(target, "caption")]
        floor = _floor(rows, model, target, names[0])
        heads = ["given", *names, "nats per token", f"{names[0]} - domain's"]
        lines = [f"{target} of {model}", "", f"| {' | '.join(heads)} |",
                 f"|---|{'---|' * (len(names) + 2)}"]  # fmt: skip
        for row in rows:
            if (row["model"], row["target"]) == (model, target):
                cells = [_cell(row["scores"].get(name), row["standard_errors"].get(name)) for name in names]
                lines.append(
                    f"| {row['source']} | {' | '.join(cells)} | {_cell(row['nats'])} | "
                    f"{_difference(row['per_image'].get(names[0]), floor)} |"
                )
        tables.append("\n".join(lines))
    return tables


def _floor(rows: Sequence[Row], model: str, target: str, name: str) -> list[float] | None:
    for row in rows:
        if (row["model"], row["target"]) == (model, target) and row["source"].startswith("the domain alone"):
            return row["per_image"].get(name)
    return None


def _difference(values: list[float] | None, floor: list[float] | None) -> str:
    """Returns mean difference to the domain's typical map, picture by picture, with its standard error."""
    if values is None or floor is None or values is floor or len(values) != len(floor):
        return ""
    apart = [value - other for value, other in zip(values, floor, strict=True)]
    return _cell(mean_of(apart), standard_error(apart))


def _completion_tables(rows: Sequence[Row]) -> list[str]:
    tables = []
    for model, known in dict.fromkeys((row["model"], row["known"]) for row in rows):
        lines = [
            f"depth completed from {known}, {model}",
            "",
            "| method | AbsRel | RMSE (m) | delta1 |",
            "|---|---|---|---|",
        ]
        for row in rows:
            if (row["model"], row["known"]) == (model, known):
                cells = [_cell(row["scores"][name], row["standard_errors"][name]) for name in SHOWN["depth"]]
                lines.append(f"| {row['method']} | {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    return tables


def _cell(value: float | None, error: float | None = None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.3f}" + (f" ± {error:.3f}" if error is not None and math.isfinite(error) else "")


def _plain(value: Any) -> Any:
    """Returns values for JSON, what is not finite as null."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if name != "per_image"}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
