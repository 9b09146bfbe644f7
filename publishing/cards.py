"""The card of a trained model, filled from its folder and from nothing else.

    card = make_card(Path("outputs/student"), repo="org/name", license="apache-2.0")
    card.save("outputs/student/README.md")

What a figure or a name on it rests on is in the folder: config.json, the options (student.yaml, teacher.yaml or
metric.yaml), results.json of the run, scores/results.json of training/score.py, the weights' shapes, pictures. What is
not there is left out or said to be not recorded. Local paths are shortened, secrets redacted.
"""

import json
import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from semidepth.publishing.card_scores import (
    command_of,
    eval_results,
    read_scores,
    router_table,
    score_table,
    validation_table,
)
from semidepth.publishing.card_training import (
    base_models,
    batch_text,
    cost_text,
    data_ids,
    data_rows,
    encoder_name,
    encoder_shape,
    hyperparameters,
    is_selected,
    model_name,
    only_scenes,
    sources_of,
    teacher_of,
    updates_text,
)
from semidepth.publishing.facts import Facts, read_facts

LIBRARY = "transformers"
TASK = "depth-estimation"
SEMIDEPTH = "which trains Depth Anything's students and ZoeDepth's metric models with transformers and accelerate"


def make_card(
    folder: Path,
    *,
    repo: str | None = None,
    license: str | None = None,
    data_licences: Mapping[str, str] | None = None,
) -> ModelCard:
    """Makes the card of a trained model.

    Args:
        folder: as a training command left it; a folder with weights and configuration alone gets a short card.
        repo: id on the Hub under which it will be; None: its code runs with the folder itself.
        license: of the weights, as the Hub names licences (apache-2.0, cc-by-nc-4.0, other); None: not stated.
        data_licences: licence by source, as written in the options, or its location, or its name on the card.

    Returns:
        The card; `str(card)` is the README.md.

    Raises:
        ValueError: if the folder holds no depth model or a file that cannot be read, or a licence is given for a source
            that the run has not.
    """
    facts = read_facts(Path(folder))
    name = repo.rpartition("/")[2] if repo else facts.folder.resolve().name
    scores = read_scores(facts, repo)
    command = command_of(facts, repo)
    data = ModelCardData(
        license=license,
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=_tags(facts),
        base_model=base_models(facts) or None,
        datasets=data_ids(facts) or None,
        model_name=name if scores else None,
        eval_results=eval_results(scores, command, repo) if scores else None,
    )
    values = {
        "name": name,
        "repo": repo,
        "license": license,
        "about": _about(facts),
        "score_table": score_table(scores) if scores else "",
        "score_command": command,
        "aligned": any(score.fields.get("mode") == "relative" for score in scores),
        "routers": router_table(facts, repo),
        "pictures": [path.relative_to(facts.folder).as_posix() for path in facts.pictures()],
    }
    template = "routed.md" if facts.metric else "student.md"
    text = files("semidepth.model_cards")
    card = ModelCard.from_template(
        data,
        template_str=text.joinpath("parts.md").read_text("utf-8") + text.joinpath(template).read_text("utf-8"),
        **(_model_values(facts, repo) | _training_values(facts, data_licences or {}) | values),
    )
    card.text = "\n" + re.sub(r"\n{3,}", "\n\n", card.text).strip() + "\n"
    return card


def _tags(facts: Facts) -> list[str]:
    kind = "metric" if facts.metric else "relative"
    return ["monocular-depth-estimation", f"{kind}-depth", "semidepth"]


def _model_values(facts: Facts, repo: str | None) -> dict[str, Any]:
    """What the templates say of the model itself."""
    name = repo or str(facts.folder)
    domains = [
        {
            "name": domain["name"],
            "quoted": json.dumps(domain["name"], ensure_ascii=False),
            "range": f"{domain['min_depth_m']:g} to {domain['max_depth_m']:g} m",
            "bounded": not facts.routed or domain.get("bin_centers_type") == "normed",
        }
        for domain in facts.domains
    ]
    return {
        "model": json.dumps(name, ensure_ascii=False),
        "model_word": shlex.quote(name),
        "trust": ", trust_remote_code=True" if facts.remote_code else "",
        "remote_code": facts.remote_code,
        "metric_hint": not facts.metric,
        "routed": facts.routed,
        "domains": domains,
        "ranges": "; ".join(f"{domain['name']}: {domain['range']}".removeprefix(": ") for domain in domains),
        "size": _training_size(facts),
    }


def _training_size(facts: Facts) -> int | None:
    """The side of the training crops: the option, or the size that the saved image processor has from it."""
    path = facts.folder / "preprocessor_config.json"
    saved = json.loads(path.read_text()).get("size", {}).get("height") if path.is_file() and facts.command else None
    return facts.options.get("size") or saved


def _training_values(facts: Facts, licences: Mapping[str, str]) -> dict[str, Any]:
    """What the templates say of the training."""
    rows, local = data_rows(facts, licences)
    options = facts.options
    student = facts.results.get("student") or options.get("student")
    validation = {
        (key.replace("/domain_given/", ", domain given/") if facts.metric else key): value
        for key, value in facts.results.items()
    }
    is_hub = (lambda location: True) if facts.metric else facts.is_hub  # a metric model's rows are domains, no sources
    router_right = validation.pop("validation/router_accuracy", None)
    versions = facts.run.get("versions") or {}
    return {
        "command": facts.command,
        "o": {name: int(value) if _is_whole(value) else value for name, value in options.items()},
        "data": rows,
        "local_data": local,
        "encoder": encoder_name(facts),
        "teacher": teacher_of(facts) if facts.command == "student" else "",
        "student": model_name(str(student), facts) if student else "a student that is not recorded",
        "selected": is_selected(facts),
        "hyperparameters": hyperparameters(facts),
        "updates": updates_text(facts),
        "batch": batch_text(facts),
        "cost": cost_text(facts),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "validation_table": validation_table(validation, is_hub),
        "validation_images": options.get("validation_images"),
        "validation_router": f"{router_right:.1%}" if router_right is not None else "",
        "has_scenes": any(text.startswith("scenes:") for _, text in sources_of(facts)),
        "only_scenes": only_scenes(facts),
        "papers": _papers(facts),
    }


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _about(facts: Facts) -> str:
    """One paragraph: what kind of model it is, its size and where it comes from."""
    count = facts.parameters()
    size = f"{count / 1e6:,.1f} M parameters" if count else "Its weights are not in this folder"
    kinds = {"student": "A student of Depth Anything's recipe", "teacher": "A relative depth model trained on labels"}
    if facts.metric:
        kind = "ZoeDepth's metric bins on a relative core" if facts.routed else "Depth Anything V2's metric model"
    else:
        kind = kinds.get(facts.command, "A relative depth model")
    encoder = f"; the encoder is {encoder_shape(facts)}" if encoder_shape(facts) else ""
    return f"{kind}. {size}{encoder}. Trained with semidepth, {SEMIDEPTH}."


def _papers(facts: Facts) -> list[str]:
    """The papers whose methods are in the model, by the names that the templates have for them."""
    options = facts.options
    papers = []
    if facts.routed:
        papers += ["zoedepth", "midas"]
    elif facts.metric:
        papers += ["depth_anything_v2"]
    else:
        papers += ["depth_anything", "midas"]
        if options.get("gradient_matching_weight") or options.get("drop_fraction"):
            papers.append("depth_anything_v2")
        if is_selected(facts):
            papers.append("stpp")
    if str(facts.backbone.get("model_type", "")).startswith("dinov2"):
        papers.append("dinov2")
    return papers
