"""Facts about a model folder: what it predicts, its size, its training and its scores.

    semidepth info                            # the model that comes with semidepth
    semidepth info outputs/demo/student
    semidepth info outputs/demo/metric --json

Reads config.json, the headers of the weights, preprocessor_config.json, the options of the run (teacher.yaml,
student.yaml or metric.yaml), results.json and scores/results.json. Missing files are left out. No weights are loaded.
Exit status: 0, or 2 where there is no model or a file is damaged.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semidepth.common.commands import Command
from semidepth.common.options import option
from semidepth.prediction.shipped.errors import in_words, typical_errors
from semidepth.prediction.shipped.folder import NAME, find_model, shipped_models, shown_name
from semidepth.publishing.facts import Facts, read_facts
from semidepth.publishing.licences import card_license

# Options that say what a model was trained on and for how long.
RUN_FIELDS = (
    "start", "encoder", "student", "teacher", "labeled", "unlabeled", "pseudo_labels", "train", "steps", "epochs",
    "batch_size", "size", "learning_rate", "mixed_precision", "seed",
)  # fmt: skip
DECODER_FIELDS = ("neck_hidden_sizes", "fusion_hidden_size")
DOMAIN_FIELDS = ("name", "min_depth_m", "max_depth_m")
ENCODER_NAMES = {
    "model_type": "kind",
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "patch_size": "patch",
}
UNITS = {"depth": "m", "disparity": "inverse depth", None: None}
SHOWN_METRICS = ("abs_rel", "delta1", "rmse", "miou@1", "miou@3", "box")


def model_info(name: str | Path) -> dict[str, Any]:
    """Returns what is known about a model folder, without loading the weights.

    Args:
        name: folder with config.json, as `save_pretrained` writes it, or the name of a shipped model.

    Returns:
        JSON-able: `name`, `folder`, `license` (by its card, None without one), `model_type`, `predicts_depth` (None
        where unknown), `unit` ("m", "inverse depth", None where unknown), `parameters` (None without safetensors),
        `encoder`, `decoder`, `domains`, `image_size_px`, `training` (None where unknown; with the last `validation`, if
        there was one), `scores`, and `abs_rel`, the recorded mean relative error of metres by domain.

    Raises:
        ValueError: there is no model in the folder, or a file is damaged.
    """
    folder = find_model(name)
    facts = read_facts(Path(folder))
    config = facts.config
    architectures = config.get("architectures") or []
    depth = facts.kind is not None or any(str(name).endswith("ForDepthEstimation") for name in architectures)
    core = config.get("core_config") or config
    # An encoder alone is its own.
    backbone = facts.backbone or ({} if depth else config)
    return {
        "name": shown_name(folder),
        "folder": folder,
        "license": card_license(Path(folder)),
        "model_type": config["model_type"],
        "predicts_depth": depth or (False if architectures else None),
        "unit": UNITS[facts.kind],
        "parameters": facts.parameters,
        "encoder": {short: backbone[name] for name, short in ENCODER_NAMES.items() if name in backbone},
        "decoder": {name: core.get(name) for name in DECODER_FIELDS if name in core},
        "domains": [
            {name: domain.get(name) if facts.bins or name == "max_depth_m" else None for name in DOMAIN_FIELDS}
            for domain in facts.domains
        ],
        "image_size_px": facts.image_size_px,
        "training": _training(facts),
        "scores": _scores(facts),
        "abs_rel": typical_errors(folder) if facts.metric else {},
    }


def _training(facts: Facts) -> dict[str, Any] | None:
    """Returns the training command, its options, and duration and validation of the run."""
    if not facts.command:
        return None
    options = {name: facts.options[name] for name in RUN_FIELDS if name in facts.options}
    found: dict[str, Any] = {"command": facts.command, "options": options}
    both = facts.run | facts.results
    found |= {name: both[name] for name in ("steps", "hours") if both.get(name) is not None}
    # As "indoor/abs_rel"; of some images of the validation sources, at the end of the training.
    scores = {name: value for name, value in facts.results.items() if "/" in name and _is_number(value)}
    return found | ({"validation": scores} if scores else {})


def _scores(facts: Facts) -> list[dict[str, Any]]:
    """Returns one flat entry for each data set, head and space that `semidepth score` scored."""
    fields = ("data", "head", "space", "area", "protocol", "images")
    rows = facts.scores.get("scores") or []
    return [{name: row[name] for name in fields if name in row} | row["metrics"] for row in rows]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def to_text(info: dict[str, Any]) -> str:
    """Returns the result of [`model_info`] as lines of text."""
    meaning = {"m": "metric depth, metres", "inverse depth": "relative: inverse depth, larger is nearer"}
    other = "no depth model" if info["predicts_depth"] is False else "of unknown unit"
    lines = [("model", f"{info['model_type']} ({meaning.get(info['unit'], other)})")]
    parameters = info["parameters"]
    lines.append(("parameters", "no weights here" if parameters is None else f"{parameters / 1e6:.2f} M"))
    if info["license"]:
        lines.append(("licence", info["license"]))
    if info["encoder"]:
        lines.append(("encoder", ", ".join(f"{name} {value}" for name, value in info["encoder"].items())))
    if info["decoder"]:
        lines.append(("decoder", ", ".join(f"{name} {value}" for name, value in info["decoder"].items())))
    if info["image_size_px"]:
        lines.append(("image size", f"{info['image_size_px']} px"))
    for domain in info["domains"]:
        lines.append(("domain", f"{domain['name'] or 'all'}, to {domain['max_depth_m']} m"))
    training = info["training"]
    lines.append(("trained by", "unknown: no options of a run here" if training is None else training["command"]))
    if training is not None:
        shown = {**training["options"], **{name: training[name] for name in ("steps", "hours") if name in training}}
        if training["options"].get("steps") is not None:
            shown.pop("epochs", None)  # which only hold where no steps are given
        for name, value in shown.items():
            if value not in (None, [], ""):
                text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                lines.append((f"  {name}", f"{value:.3g}" if name == "hours" else text))
        for name, value in training.get("validation", {}).items():
            lines.append((f"  {name}", f"{value:.3f} (validation at its end)"))
    if info["abs_rel"]:
        lines.append(("error", f"{in_words(info['abs_rel'])} of the distance, by its recorded scores"))
    for score in info["scores"]:
        values = ", ".join(f"{name} {score[name]:.3f}" for name in SHOWN_METRICS if _is_number(score.get(name)))
        where = " ".join(str(score[name]) for name in ("data", "head", "space", "area") if score.get(name))
        lines.append(("score", f"{where} ({score.get('images', '?')} images): {values}"))
    if info["predicts_depth"] and not info["scores"]:
        lines.append(
            ("score", "none in scores/; semidepth score --model FOLDER --output FOLDER/scores puts some there")
        )
    width = max(len(name) for name, _ in lines) + 2
    title = info["name"] if info["name"] == info["folder"] else f"{info['name']}, in {info['folder']}"
    return "\n".join([title, *(f"{name:<{width}}{value}" for name, value in lines)])


@dataclass(frozen=True, kw_only=True)
class InfoOptions:
    """Options of `semidepth info`."""

    folder: str | None = option(
        None, positional=True, help="folder of a model; default: the models that come with semidepth"
    )
    json: bool = option(False, help="print one JSON object")


def run(options: InfoOptions) -> None:
    """Prints the facts about a model folder, or about the models that come with semidepth."""
    if options.folder is not None:
        info = model_info(options.folder)
        print(json.dumps(info, indent=2) if options.json else to_text(info))
        return
    shipped = {name: model_info(name) for name in (shipped_models() or [NAME])}
    print(json.dumps(shipped, indent=2) if options.json else "\n\n".join(map(to_text, shipped.values())))


COMMAND = Command("semidepth info", InfoOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
