"""Model cards: README.md of a trained model, made from its recorded facts alone.

    folder = Path("outputs/student")
    card = make_card(read_facts(folder), preview_names(folder), repo="org/name", license="apache-2.0")
    card.save(folder / "README.md")

Every figure and name comes from the files of the run. What they do not hold is left out, or said to be not recorded.
Local paths are shortened, and secrets are redacted.
"""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from semidepth.common.redaction import redact
from semidepth.prediction.shipped.errors import in_words, typical_errors
from semidepth.prediction.shipped.folder import MASKS, METRES, METRIC_NAME, NAME
from semidepth.publishing.cards.losses import effects_text, loss_weights, losses_text
from semidepth.publishing.cards.scores import (
    cell,
    code,
    command_of,
    eval_results,
    read_scores,
    router_table,
    score_table,
    validation_table,
)
from semidepth.publishing.cards.training import (
    base_models,
    batch_text,
    beginning,
    cost_text,
    data_ids,
    data_rows,
    encoder_shape,
    hyperparameters,
    is_selected,
    model_name,
    only_scenes,
    sources_of,
    teacher_of,
    updates_text,
)
from semidepth.publishing.facts import Facts
from semidepth.publishing.files import EXAMPLES, PREVIEWS
from semidepth.publishing.licences import licences_behind

LIBRARY = "transformers"
MODEL_TYPES = ("depth_student", "depth_anything", "routed_depth", "zoedepth", "prompted_mask", "four_m")
SEMIDEPTH = "which trains Depth Anything students and ZoeDepth metric models with transformers and accelerate"


def make_card(
    facts: Facts,
    files: Iterable[str] = (),
    *,
    repo: str | None = None,
    name: str | None = None,
    heads: Facts | None = None,
    masks: Facts | None = None,
    license: str | None = None,
    data_licences: Mapping[str, str] | None = None,
) -> ModelCard:
    """Makes the card of a trained model.

    Args:
        facts: of the model. Without options and results of a run the card is short.
        files: paths in the model's repository, among which the card finds a picture to show: examples of the scored
            images, else the newest preview of the training.
        repo: id on the Hub of the model; None: the code on the card loads the local folder.
        name: of the folder on the card, where it will be another than that of the facts.
        heads: facts of the metric model whose heads lie in the model's folder metres; None without them.
        masks: facts of the mask model whose decoder lies in the model's folder masks; None without it.
        license: of the weights, as the Hub names licences (apache-2.0, cc-by-nc-4.0, other); None: not stated.
        data_licences: licence by source. A source is named as in the options, by its location, or as on the card.

    Returns:
        The card; `str(card)` is the text of README.md.

    Raises:
        ValueError: the model is none that is trained here, or a licence is given for a source that was not used.
    """
    if facts.config["model_type"] not in MODEL_TYPES:
        raise ValueError(
            f"{facts.name} holds a {facts.config['model_type']} model; give a depth student, Depth Anything, a "
            "routed depth model, ZoeDepth, a mask model or a 4M model."
        )
    place = repo or name or facts.name
    name = repo.rpartition("/")[2] if repo else Path(place).resolve().name
    scores = read_scores(facts, repo)
    command = command_of(facts, repo)
    values: dict[str, Any] = {
        "name": name,
        "repo": repo,
        "license": license,
        "about": _about(facts),
        "score_table": _four_m_table(facts) if facts.four_m else score_table(scores) if scores else "",
        "score_command": command,
        "aligned": any(score.fields.get("mode") == "relative" for score in scores),
        "routers": router_table(facts, repo),
        "pictures": _pictures(files),
    }
    template = "routed.md" if facts.metric else "student.md"
    template = "four_m.md" if facts.four_m else "masks.md" if facts.masks else template
    values |= {name: _heads_values(each) for name, each in (("heads", heads), ("masks", masks)) if each is not None}
    text = resources.files("semidepth.model_cards")
    card = ModelCard.from_template(
        _card_data(facts, name, license, eval_results(scores, command, repo) if scores else None),
        template_str=text.joinpath("parts.md").read_text("utf-8") + text.joinpath(template).read_text("utf-8"),
        **(_model_values(facts, place) | _training_values(facts, data_licences or {}) | values),
    )
    card.text = "\n" + re.sub(r"\n{3,}", "\n\n", card.text).strip() + "\n"
    return card


def _card_data(facts: Facts, name: str, license: str | None, results: list[EvalResult] | None) -> ModelCardData:
    """Returns the card's metadata, which the Hub reads; a model's name stands in it only with results."""
    return ModelCardData(
        license=license,
        library_name=LIBRARY,
        pipeline_tag="any-to-any" if facts.four_m else "mask-generation" if facts.masks else "depth-estimation",
        tags=_tags(facts),
        base_model=base_models(facts) or None,
        datasets=data_ids(facts) or None,
        model_name=None if results is None else name,
        eval_results=results,
    )


def _pictures(files: Iterable[str]) -> list[str]:
    paths = sorted(files)
    return [EXAMPLES] if EXAMPLES in paths else [path for path in paths if PurePath(path).match(PREVIEWS)][-1:]


def _tags(facts: Facts) -> list[str]:
    if facts.masks:
        return ["promptable-segmentation", "segment-anything", "semidepth"]
    if facts.four_m:
        return ["4m", "any-to-any", "monocular-depth-estimation", "depth-completion", "semidepth"]
    kind = "metric" if facts.metric else "relative"
    return ["monocular-depth-estimation", f"{kind}-depth", "semidepth"]


def _heads_values(heads: Facts) -> dict[str, Any]:
    """Returns the templates' values about metric heads or a mask decoder beside a relative model."""
    scores = read_scores(heads)
    return {
        "ranges": "; ".join(
            f"{each['name']}: {each['min_depth_m']:g} to {each['max_depth_m']:g} m" for each in heads.domains
        ),
        "error": in_words(typical_errors(heads.name)),
        "score_table": score_table(scores) if scores else "",
        "score_command": command_of(heads, None),
        "data": [row["source"] for row in data_rows(heads, {})[0]],
    }


def _model_values(facts: Facts, name: str) -> dict[str, Any]:
    """Returns the templates' values about the model, which the card's code loads by this name."""
    domains = [
        {
            "name": domain["name"],
            "quoted": json.dumps(domain["name"], ensure_ascii=False),
            "range": _range(domain),
            "bounded": not facts.bins or domain.get("bin_centers_type") == "normed",
        }
        for domain in facts.domains
    ]
    return {
        "model": json.dumps(name, ensure_ascii=False),
        "model_word": shlex.quote(name),
        "trust": ", trust_remote_code=True" if facts.remote_code else "",
        "remote_code": facts.remote_code,
        "metric_hint": not facts.metric,
        "shipped": name == NAME,
        "shipped_metric": METRIC_NAME,
        "metres_folder": METRES,
        "modalities": [each["name"].removeprefix("tok_") for each in facts.config.get("modalities") or []],
        "masks_folder": MASKS,
        "routed": facts.routed,
        "bins": facts.bins,
        "domains": domains,
        "ranges": "; ".join(f"{domain['name']}: {domain['range']}".removeprefix(": ") for domain in domains),
        "size": facts.options.get("size") or (facts.image_size_px if facts.command else None),
    }


def _four_m_table(facts: Facts) -> str:
    """Returns the tables of `semidepth score --four_m`; a model's local path in them is shortened."""
    table = str(facts.scores.get("table") or "")
    table = re.sub(r"^(\w+) of .*$", r"**\1**", table, flags=re.MULTILINE)
    return re.sub(r"^(depth completed from [^,]*), .*$", r"**\1**", table, flags=re.MULTILINE)


def _range(domain: Mapping[str, Any]) -> str:
    return f"{domain['min_depth_m']:g} to {domain['max_depth_m']:g} m"


def _training_values(facts: Facts, licences: Mapping[str, str]) -> dict[str, Any]:
    """Returns the templates' values about the training."""
    rows, local = data_rows(facts, licences)
    options = facts.options
    student = facts.results.get("student") or options.get("student")
    validation = {
        (key.replace("/domain_given/", ", domain given/") if facts.metric else key): value
        for key, value in facts.results.items()
    }
    is_hub = (lambda location: True) if facts.metric else facts.is_hub  # rows of a metric model are domains
    router_right = validation.pop("validation/router_accuracy", None)
    versions = facts.run.get("versions") or {}
    behind = licences_behind(facts).items()
    return {
        "command": facts.command,
        "o": {name: int(value) if _is_whole(value) else value for name, value in options.items()},
        "data": rows,
        "local_data": local,
        "beginning": beginning(facts),
        "teacher": teacher_of(facts) if facts.command == "student" else "",
        "student": model_name(str(student), facts) if student else "a student that is not recorded",
        "losses": losses_text(facts),
        "several_losses": bool(loss_weights(facts)),
        "effects": effects_text(facts),
        "labeled_effects": effects_text(facts, "labeled_"),
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
        "models_behind": [f"{model_name(name, facts)} ({cell(code(redact(licence)))})" for name, licence in behind],
    }


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _about(facts: Facts) -> str:
    """Returns one paragraph: kind, size and origin of the model."""
    count = facts.parameters
    size = f"{count / 1e6:,.1f} M parameters" if count else "Its weights are not in this folder"
    kinds = {"student": "A student of Depth Anything's recipe", "teacher": "A relative depth model trained on labels"}
    if facts.four_m:
        kind = "4M's encoder and decoder over tokens, with the tokenizers of its maps"
    elif facts.masks:
        kind = "Segment Anything's prompt encoder and mask decoder on a depth model"
    elif facts.metric:
        kind = "ZoeDepth's metric bins on a relative core" if facts.bins else "Depth Anything V2's metric model"
    else:
        kind = kinds.get(facts.command, "A relative depth model")
    encoder = f"; the encoder is {encoder_shape(facts)}" if encoder_shape(facts) else ""
    return f"{kind}. {size}{encoder}. Trained with semidepth, {SEMIDEPTH}."


def _papers(facts: Facts) -> list[str]:
    """Returns the papers whose methods the model uses, by their names in the templates."""
    options = facts.options
    papers = []
    if facts.four_m:
        papers += ["four_m", "fsq"]
    elif facts.masks:
        papers += ["segment_anything"]
    elif facts.bins:
        papers += ["zoedepth", "midas"]
    elif facts.metric:
        papers += ["depth_anything_v2"]
    else:
        papers += ["depth_anything", "midas"]
        if loss_weights(facts).get("gradient") or options.get("drop_fraction"):
            papers.append("depth_anything_v2")
        if any(name.startswith("local") for name in loss_weights(facts)):
            papers.append("moge")
        if is_selected(facts):
            papers.append("stpp")
    if str(facts.backbone.get("model_type", "")).startswith("dinov2"):
        papers.append("dinov2")
    return papers
