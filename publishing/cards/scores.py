"""Scores on a model card: a table for people, and the model-index for the Hub."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from semidepth.data.public_names import public_command, public_source, split_source
from semidepth.publishing.facts import SCORES, Facts

METRICS = {
    "abs_rel": "AbsRel",
    "delta1": "δ1",
    "delta2": "δ2",
    "delta3": "δ3",
    "rmse": "RMSE",
    "rmse_log": "RMSE log",
    "log10": "log10",
    "silog": "SILog",
}
HIDDEN = ("delta2", "delta3", "rmse_log")  # not in the table; the model-index has them
HIGHER_IS_BETTER = re.compile(r"delta|f1|accuracy|recall|precision|miou|oracle|box|boundary|correlation")
# Of the scores of masks the table has these; the model-index has them all.
MASK_METRICS = ("miou@1", "oracle@1", "miou@3", "miou@5", "miou@8", "box", "noc80", "failed80", "score_error")
# Settings of a score that the model-index lists.
FIELDS = ("mode", "align", "space", "protocol", "max_depth_m", "head", "images", "area", "objects")


@dataclass(frozen=True)
class Score:
    """One row of scores/results.json, without local paths and secrets."""

    data: str
    config: str
    images: int | None
    metrics: dict[str, float]
    fields: dict[str, Any]


def read_scores(facts: Facts, repo: str | None = None) -> list[Score]:
    """Returns the model's own scores, without values that are not finite.

    Args:
        facts: of the model.
        repo: id on the Hub, under which the model may have been scored.
    """
    found = []
    for row in own_rows(facts, "scores", repo):
        metrics = {
            name: float(value)
            for name, value in row["metrics"].items()
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        }
        fields = {key: row[key] for key in FIELDS if row.get(key) not in (None, "")}
        if "pairs" in metrics:  # a count, not a score
            fields["pairs"] = int(metrics.pop("pairs"))
        if metrics:
            data = public_source(str(row.get("data", "not recorded")))
            found.append(Score(data, _config_of(row), row.get("images"), metrics, fields))
    return found


def own_rows(facts: Facts, key: str, repo: str | None = None) -> list[dict[str, Any]]:
    """Returns the rows of this model in one part of the scores; all rows where they are of a single model.

    The latter is this one under another name: it was scored before its folder was moved.
    """
    rows: list[dict[str, Any]] = facts.scores.get(key) or []
    own = [row for row in rows if _is_own(str(row.get("model")), facts, repo)]
    return own or (rows if len({str(row.get("model")) for row in rows}) == 1 else [])


def _is_own(model: str, facts: Facts, repo: str | None) -> bool:
    return model == repo or Path(model).resolve() in {Path(name).resolve() for name in facts.names}


def _config_of(row: dict[str, Any]) -> str:
    """Returns how a row was scored, in words."""
    parts = []
    if row.get("mode") == "relative" and row.get("align"):
        parts.append(f"{str(row['align']).replace('_', ' ')} alignment")
    if row.get("mode") == "relative" and row.get("space"):
        parts.append(f"compared in {row['space']}")
    if row.get("protocol") not in (None, "", "none"):
        parts.append(f"protocol {row['protocol']}")
    if row.get("max_depth_m") and row.get("protocol") in (None, "", "none"):
        parts.append(f"up to {row['max_depth_m']:g} m")
    if row.get("area"):
        parts.append(f"objects: {row['area']}")
    if row.get("head"):
        parts.append("head chosen by the router" if row["head"] == "router" else str(row["head"]))
    return ", ".join(parts)


def score_table(scores: Sequence[Score]) -> str:
    """Returns the scores as a Markdown table; an arrow beside each name says which way is better."""
    present = [name for score in scores for name in score.metrics]
    names = [name for name in METRICS if name in present and name not in HIDDEN]
    others = dict.fromkeys(present)
    names += [
        name for name in (MASK_METRICS if "miou@1" in others else others) if name in others and name not in METRICS
    ]
    heads = [f"{label(name)} {'↑' if HIGHER_IS_BETTER.search(name) else '↓'}" for name in names]
    lines = ["| data | how | images | " + " | ".join(heads) + " |", "|---|---|" + "--:|" * (1 + len(names))]
    for score in scores:
        values = " | ".join(f"{score.metrics[name]:.3f}" if name in score.metrics else "" for name in names)
        images = "" if score.images is None else score.images
        lines.append(f"| {cell(code(score.data))} | {cell(score.config)} | {images} | {values} |")
    return "\n".join(lines)


def command_of(facts: Facts, repo: str | None) -> str | None:
    """Returns the command that printed the scores, without local paths and secrets; None where it was not recorded."""
    command = facts.scores.get("command")
    if not command:
        return None
    folder = Path(facts.name).resolve()
    scored = {str(row.get("model")) for row in own_rows(facts, "scores", repo)}
    folders = {Path(name).resolve() for name in facts.names | scored}

    def own(word: str) -> str | None:
        return (repo or folder.name) if Path(word).resolve() in folders else None

    return public_command(str(command), own)


def eval_results(scores: Sequence[Score], command: str | None, repo: str | None) -> list[EvalResult]:
    """Returns the scores for the Hub's model-index, each with the settings it was computed with.

    Args:
        scores: of the model.
        command: that printed them.
        repo: id on the Hub of the model, which holds the results file; None: not published yet.
    """
    source = f"https://huggingface.co/{repo}/blob/main/{SCORES}" if repo else None
    results = []
    for score in scores:
        # Either here or as the source's name, which the Hub shows with a page only.
        args = score.fields | ({"command": command} if command and not source else {})
        for name, value in score.metrics.items():
            results.append(
                EvalResult(
                    task_type="mask-generation" if score.fields.get("mode") == "masks" else "depth-estimation",
                    task_name=_task_name(str(score.fields.get("mode", "monocular"))),
                    dataset_type=dataset_type(score.data),
                    dataset_name=score.data,
                    # The Hub merges entries of the same type and config, whatever their name.
                    dataset_config="; ".join(filter(None, [score.data, score.config])),
                    dataset_args=args,
                    metric_type=name,
                    metric_name=label(name),
                    metric_value=value,
                    source_name=command if source else None,
                    source_url=source,
                )
            )
    return results


def _task_name(mode: str) -> str:
    return "Masks by clicks" if mode == "masks" else f"{mode.capitalize()} depth estimation"


def dataset_type(data: str) -> str:
    """Returns a data set's name in the letters that the Hub allows: `org/name`, or one word."""
    _, location, _ = split_source(data)
    if re.fullmatch(r"(?:[\w-]+/)?[\w.-]+", location, re.ASCII):
        return location
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", location).strip("-") or "local"


def validation_table(results: dict[str, Any], is_hub: Any) -> str:
    """Returns the scores of the run's last validation as a Markdown table; empty without a validation."""
    rows: dict[str, dict[str, float]] = {}
    for key, value in results.items():
        source, slash, name = key.rpartition("/")
        if slash and isinstance(value, (int, float)) and math.isfinite(value):
            rows.setdefault(source, {})[name] = value
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    if not rows:
        return ""
    lines = ["| validation | " + " | ".join(label(name) for name in names) + " |"]
    lines.append("|---|" + "--:|" * len(names))
    for source, row in rows.items():
        values = " | ".join(f"{row[name]:.3f}" if name in row else "" for name in names)
        lines.append(f"| {cell(code(public_source(source, is_hub)))} | {values} |")
    return "\n".join(lines)


def label(metric: str) -> str:
    """Returns the name of a score on a card."""
    return METRICS.get(metric, metric.replace("_", " "))


def router_table(facts: Facts, repo: str | None) -> str:
    """Returns the router's accuracy and confusion matrix as text; empty where that was not scored."""
    parts = []
    for router in own_rows(facts, "routers", repo):
        if not {"accuracy", "images"} <= set(router):
            continue
        counts = {(each["domain"], each["chosen"]): each["images"] for each in router.get("confusion") or []}
        names = sorted({name for pair in counts for name in pair})
        lines = [f"The router chose the right head for {router['accuracy']:.1%} of {router['images']} images.", ""]
        lines += ["| images of | " + " | ".join(f"taken for {cell(name)}" for name in names) + " |"]
        lines += ["|---|" + "--:|" * len(names)]
        for own in names:
            lines.append(f"| {cell(own)} | " + " | ".join(str(counts.get((own, name), 0)) for name in names) + " |")
        parts.append("\n".join(lines if counts else lines[:1]))
    return "\n\n".join(parts)


def code(text: str) -> str:
    """Returns the text in Markdown's code font."""
    return f"``{text}``" if "`" in text else f"`{text}`"


def cell(text: str) -> str:
    """Returns the text in a form that fits into a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
