"""Training of a model on its card: models it started from, data, hyper-parameters, cost."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from semidepth.common.redaction import redact
from semidepth.data.public_names import is_hub_id, public_source, split_source
from semidepth.publishing.cards.scores import cell, code
from semidepth.publishing.facts import Facts

BUILT_IN_ENCODER = "scenes"  # the option's value for it
NOT_STATED = "not stated"
RENDERED = "rendered by semidepth, no third-party data"
# Options that have no influence on the result. Of options that are text only WORDS are shown, as text may hold paths.
ELSEWHERE = frozenset({
    "validation_images", "log_every", "validate_every", "preview_every", "checkpoint_every", "keep_checkpoints",
    "resume", "cpu", "teacher_steps", "num_workers", "shuffle_buffer", "steps",
})  # fmt: skip
WORDS = ("mixed_precision", "metric_head", "teacher_kind", "losses", "mask_loss")
BINS_ALONE = ("bin_embedding_dim", "router_hidden_size", "router_loss_weight", "router_lr_factor", "core_lr_factor")
BACKBONES = {
    "dinov2": "DINOv2",
    "dinov2_with_registers": "DINOv2 with registers",
    "dinov3_vit": "DINOv3",
    "beit": "BEiT",
}
ROLES = {
    "labeled": "labeled images",
    "unlabeled": "images without labels",
    "pseudo_labels": "pseudo labels",
    "masks": "images with masks",
    "four_m": "images with depth and whatever else they have",
}


def model_name(text: str, facts: Facts) -> str:
    """Returns a model's name on a card: a link to the Hub, or the last part of a local path."""
    if facts.is_hub(text):
        return f"[{text}](https://huggingface.co/{text})"
    return f"the local model {code(public_source(text, facts.is_hub))}"


def encoder_shape(facts: Facts) -> str:
    """Returns kind and size of the encoder, such as `DINOv2, 12 layers, 384 wide`; empty where unknown."""
    shape = facts.backbone
    kind = str(shape.get("model_type", ""))
    sizes = [(shape.get("num_hidden_layers"), "layers"), (shape.get("hidden_size"), "wide")]
    return ", ".join([BACKBONES.get(kind, kind), *(f"{size} {what}" for size, what in sizes if size)]) if kind else ""


def encoder_name(facts: Facts) -> str:
    """Returns the name of the pretrained encoder."""
    name = facts.options.get("encoder")
    if name == BUILT_IN_ENCODER:
        return "semidepth's built-in encoder (a small DINOv2 pre-trained on rendered scenes)"
    of = encoder_shape(facts)
    return (model_name(name, facts) if name else "a pretrained encoder") + (f" ({of})" if of else "")


def beginning(facts: Facts) -> str:
    """Returns what a teacher's or student's training began with, such as an encoder with a new DPT decoder."""
    whole = facts.options.get("start")
    if whole:
        return f"{model_name(whole, facts)}, encoder and decoder"
    return f"{encoder_name(facts)}, with a new DPT decoder"


def base_models(facts: Facts) -> list[str]:
    """Returns the ids on the Hub of the models that the weights started from.

    For a metric or mask model on a local student that is the student's encoder.
    """
    if facts.command in ("metric", "masks"):
        named = facts.results.get("student") or facts.options.get("student")
    else:
        named = facts.options.get("start") or facts.options.get("encoder")
    if named and facts.is_hub(named):
        return [named]
    origin = facts.backbone.get("_name_or_path")
    return [origin] if (facts.metric or facts.masks) and not facts.four_m and origin and is_hub_id(origin) else []


def teacher_of(facts: Facts) -> str:
    """Returns the names of a student's teacher or teachers; empty where unknown."""
    if facts.options.get("pseudo_labels"):
        teachers = [str(record["teacher"]) for record in facts.label_sets.values() if record.get("teacher")]
        shown = [model_name(name, facts) for name in dict.fromkeys(teachers)]
        return " and ".join(shown) or "the teacher of the pseudo labels"
    name = facts.options.get("teacher") or facts.results.get("teacher")
    return model_name(str(name), facts) if name else ""


def is_selected(facts: Facts) -> bool:
    """Returns True for the result of selective re-training, ST++ (student.py --select_reliable)."""
    return bool(facts.results.get("selected_share"))


def sources_of(facts: Facts) -> list[tuple[str, str]]:
    """Returns the training data: role of each source, and the source as it is written in the options."""
    options = facts.options
    if facts.command == "metric":
        return [(f"domain {split_source(text)[0][:-1]}", text.partition("=")[2]) for text in options.get("train") or []]
    if facts.command in ("masks", "four_m"):
        return [(ROLES[facts.command], text) for text in options.get("train") or []]
    found = [(ROLES["labeled"], text) for text in options.get("labeled") or []]
    if facts.command != "student":
        return found
    if not options.get("pseudo_labels"):
        return found + [(ROLES["unlabeled"], text) for text in options.get("unlabeled") or []]
    own = {PurePath(split_source(text)[1]).name for text in facts.label_sets}
    for text, record in facts.label_sets.items():
        found.append((ROLES["pseudo_labels"], text))
        # A set may be made of another set of the run.
        images = [text for text in record.get("sources") or [] if PurePath(split_source(text)[1]).name not in own]
        found += [("images of the pseudo labels", text) for text in images]
    if is_selected(facts):
        found += [("images of the pseudo labels", text) for text in options.get("unlabeled") or []]
    return list(dict.fromkeys(found))


def data_rows(facts: Facts, licences: Mapping[str, str]) -> tuple[list[dict[str, str]], bool]:
    """Returns the rows of the card's table of data, and True where some data are local files.

    Raises:
        ValueError: a licence was given for a source that the run did not use.
    """
    rows, local, used = [], False, set()
    for role, text in sources_of(facts):
        _, location, _ = split_source(text)
        shown = public_source(text, facts.is_hub)
        keys = (text, location, shown, public_source(location, facts.is_hub))
        told = next((key for key in keys if key in licences), None)
        used.add(told)
        is_hub, is_scenes = facts.is_hub(location), location.startswith("scenes:")
        local |= not is_hub and not is_scenes and "://" not in location
        link = f" ([data set](https://huggingface.co/datasets/{location}))" if is_hub else ""
        licence = licences[told] if told else RENDERED if is_scenes else NOT_STATED
        rows.append({"role": role, "source": cell(code(shown)) + link, "licence": cell(redact(licence))})
    unknown = [name for name in licences if name not in used]
    if unknown:
        have = ", ".join(public_source(text, facts.is_hub) for _, text in sources_of(facts)) or "none"
        raise ValueError(
            f"--data_license names {', '.join(unknown)}, which the run did not use; its sources are {have}."
        )
    return rows, local


def data_ids(facts: Facts) -> list[str]:
    """Returns the ids on the Hub of the training data."""
    locations = [split_source(text)[1] for _, text in sources_of(facts)]
    return [location for location in dict.fromkeys(locations) if facts.is_hub(location)]


def only_scenes(facts: Facts) -> bool:
    """Returns True where all training images were rendered."""
    sources = [split_source(text)[1] for role, text in sources_of(facts) if role != ROLES["pseudo_labels"]]
    return bool(sources) and all(location.startswith("scenes:") for location in sources)


def hyperparameters(facts: Facts) -> list[dict[str, str]]:
    """Returns rows of option, value and, where it differs and the run recorded it, default."""
    defaults: dict[str, Any] = facts.run.get("defaults") or {}
    rows = []
    hidden = set(ELSEWHERE)
    if facts.options.get("steps") is not None:
        hidden.add("epochs")
    if facts.options.get("color_distortion") is False:
        hidden |= {"jitter_strength", "blur_sigma_px"}
    if facts.options.get("feature_alignment") is False:
        hidden.add("feature_tolerance")
    if not facts.bins:
        hidden.update(BINS_ALONE)
    if len(facts.domains) < 2:
        hidden |= {name for name in facts.options if name.startswith("router_")}
    for name, value in facts.options.items():
        plain = isinstance(value, (bool, int, float)) or (value is None and name == "size") or name in WORDS
        if name in hidden or not plain or name.startswith(("hub_", "push_")):
            continue
        default = defaults.get(name, value)
        rows.append({"name": name, "value": _text(value), "default": "" if default == value else _text(default)})
    return rows


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "the model's own"}[value]
    return cell(f"{value:g}" if isinstance(value, float) else str(value))


def batch_text(facts: Facts) -> str:
    """Returns how many images an update saw; empty where the number of processes was not recorded."""
    options, processes = facts.options, facts.run.get("processes")
    if not processes or "batch_size" not in options:
        return ""
    labeled = options["batch_size"] * processes * options.get("gradient_accumulation_steps", 1)
    if facts.command != "student":
        return f"An update saw {labeled:,} images."
    if not options.get("labeled"):
        return f"An update saw {labeled:,} images without labels."
    return f"An update saw {labeled:,} labeled and {labeled * options.get('unlabeled_per_labeled', 0):,} other images."


def updates_text(facts: Facts) -> str:
    """Returns the number of updates, and of which of them the weights are where it is not the last."""
    steps, kept = facts.results.get("steps") or facts.options.get("steps"), facts.results.get("kept_step")
    if not steps:
        return "The number of updates is not recorded."
    if kept and kept != steps:
        return f"{steps:,} updates; the weights are those of update {kept:,}, which had the best validation."
    return f"{steps:,} updates."


def cost_text(facts: Facts) -> str:
    """Returns time and hardware of the run; empty where they were not recorded."""
    run = facts.run
    if "hours" not in run:
        return ""
    processes = run.get("processes", 1)
    on = f"{processes} processes on {run['device']}" if processes > 1 else str(run["device"])
    precision = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}.get(run.get("mixed_precision", ""), "")
    text = f"{_duration(run['hours'])} on {on}{f' in {precision}' if precision else ''}"
    if run.get("gpu_hours"):
        text += f", {run['gpu_hours']:.2f} GPU hours"
    alone = " The training of its teacher is not in it." if facts.command == "student" else ""
    alone = " The training of its tokenizers and encoder is not in it." if facts.command == "four_m" else alone
    return (
        text + "." + (" The training of its student is not in it." if facts.command in ("metric", "masks") else alone)
    )


def _duration(hours: float) -> str:
    if hours >= 2:
        return f"{hours:.1f} hours"
    return f"{hours * 60:.1f} minutes" if hours * 60 >= 2 else f"{hours * 3600:.0f} seconds"
