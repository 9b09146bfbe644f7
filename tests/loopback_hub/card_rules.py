"""What the Hub asks of a model card's metadata, as far as it is published: a stand-in for its /api/validate-yaml.

Licences: https://huggingface.co/docs/hub/repositories-licenses. Structure of the model-index: modelcard.md of
github.com/huggingface/hub-docs; the pattern of a data set's type is the one in the Hub's own error message.
"""

import math
import re
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from transformers.pipelines import SUPPORTED_TASKS

LICENSES = frozenset(
    [
        "apache-2.0",
        "mit",
        "openrail",
        "bigscience-openrail-m",
        "creativeml-openrail-m",
        "bigscience-bloom-rail-1.0",
        "bigcode-openrail-m",
        "afl-3.0",
        "artistic-2.0",
        "bsl-1.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "c-uda",
        "cc",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "wtfpl",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "agpl-3.0",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "isc",
        "lppl-1.3c",
        "ms-pl",
        "mpl-2.0",
        "odc-by",
        "odbl",
        "openrail++",
        "osl-3.0",
        "postgresql",
        "ofl-1.1",
        "ncsa",
        "unlicense",
        "zlib",
        "pddl",
        "lgpl-lr",
        "deepfloyd-if-license",
        "llama2",
        "gemma",
        "unknown",
        "other",
    ]
)
DATASET_TYPE = re.compile(r"(?:[\w-]+/)?[\w.-]+", re.ASCII)
REPOSITORY = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)


def card_errors(content: str) -> list[str]:
    """What the Hub would refuse in a model card; an empty list for a good one."""
    block = REGEX_YAML_BLOCK.search(content)
    data = yaml.safe_load(block.group(2)) if block else None
    if not isinstance(data, dict):
        return []  # a card without metadata gets a warning
    errors = []
    if "license" in data and data["license"] not in LICENSES:
        errors.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]')
    if "pipeline_tag" in data and data["pipeline_tag"] not in SUPPORTED_TASKS:
        errors.append(f'"pipeline_tag" with value "{data["pipeline_tag"]}" is not a known task')
    errors += [f'"{key}" must be a string' for key in ("library_name", "pipeline_tag") if not _text(data.get(key, "-"))]
    for key in ("tags", "datasets", "base_model", "metrics"):
        values = data.get(key, [])
        for place, value in enumerate(values if isinstance(values, list) else [values]):
            good = _text(value) and (key in ("tags", "metrics") or REPOSITORY.fullmatch(value))
            errors += [] if good else [f'"{key}[{place}]" with value "{value}" is not valid']
    for number, model in enumerate(data.get("model-index", [])):
        errors += _index_errors(model, f"model-index[{number}]")
    return errors


def _index_errors(model: dict[str, Any], at: str) -> list[str]:
    errors = [] if _text(model.get("name")) else [f'"{at}.name" must be a string']
    if not model.get("results"):
        errors.append(f'"{at}.results" is required')
    for number, result in enumerate(model.get("results") or []):
        here, dataset = f"{at}.results[{number}]", result.get("dataset") or {}
        named = {"task.type": (result.get("task") or {}).get("type"), "dataset.name": dataset.get("name")}
        errors += [f'"{here}.{name}" is required' for name, value in named.items() if not _text(value)]
        if not (_text(dataset.get("type")) and DATASET_TYPE.fullmatch(dataset["type"])):
            errors.append(
                f'"{here}.dataset.type" with value "{dataset.get("type")}" fails to match {DATASET_TYPE.pattern}'
            )
        errors += [
            f'"{here}.dataset.{key}" must be a string'
            for key in ("config", "split", "revision")
            if key in dataset and not _text(dataset[key])
        ]
        if not result.get("metrics"):
            errors.append(f'"{here}.metrics" is required')
        for place, metric in enumerate(result.get("metrics") or []):
            value = metric.get("value")
            if not _text(metric.get("type")):
                errors.append(f'"{here}.metrics[{place}].type" is required')
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                errors.append(f'"{here}.metrics[{place}].value" must be a number')
    return errors


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
