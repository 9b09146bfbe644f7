"""What a model folder holds: what it predicts, its sizes, how it was trained, on what, and how good it is.

    semidepth info outputs/demo/student
    semidepth info outputs/demo/metric --json

Reads config.json, the weights' headers, preprocessor_config.json, the options of the run (teacher.yaml, student.yaml
or metric.yaml), results.json and scores/results.json; what is not there is left out. No weights are loaded. Exit
status: 0, or 2 where there is no model or one of those files is damaged.
"""

import argparse
import json
import math
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from semidepth.prediction.checkpoints import kind_of

RUNS = ("metric", "student", "teacher")  # the options' file is called after the command
# Of a run's options, what says on what and for how long it was trained.
RUN_FIELDS = (
    "encoder", "student", "teacher", "labeled", "unlabeled", "pseudo_labels", "train", "steps", "epochs", "batch_size",
    "size", "learning_rate", "mixed_precision", "seed",
)  # fmt: skip
UNITS = {"depth": "m", "disparity": "inverse depth"}
SHOWN_METRICS = ("abs_rel", "delta1", "rmse")


def model_info(folder: str | Path) -> dict[str, Any]:
    """What a model folder holds.

    Args:
        folder: with config.json, as `save_pretrained` writes it.

    Returns:
        JSON-able: `folder`, `model_type`, `predicts_depth` (None where not known), `unit` ("m", "inverse depth", None
        where not known), `parameters` (None without safetensors), `encoder`, `decoder`, `domains`, `image_size_px`,
        `training` (None where unknown; with the `validation` at its end, if there was one) and `scores`.

    Raises:
        ValueError: there is no model in it, or one of its files is damaged.
    """
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise ValueError(f"{str(folder)!r} {_why_no_model(path)}")
    with _reading(path / "config.json"):
        config = _read_json(path / "config.json")
        kind = kind_of(SimpleNamespace(**{"model_type": None} | config))
        architectures = config.get("architectures") or []
        depth = kind is not None or any(str(name).endswith("ForDepthEstimation") for name in architectures)
        # The encoder is the relative core's, in a metric model; an encoder alone is its own.
        core = config.get("core_config") or config
        encoder = _encoder(core.get("backbone_config") or ({} if depth else config))
        domains = [
            {name: domain.get(name) for name in ("name", "min_depth_m", "max_depth_m")}
            for domain in config.get("domains") or []
        ]
        if not domains and kind == "depth" and isinstance(config.get("max_depth"), int | float):
            domains = [{"name": None, "min_depth_m": None, "max_depth_m": config["max_depth"]}]
        decoder = {name: core.get(name) for name in ("neck_hidden_sizes", "fusion_hidden_size") if name in core}
        if not isinstance(config.get("model_type"), str):
            raise ValueError("no model_type")
    return {
        "folder": str(folder),
        "model_type": config["model_type"],
        "predicts_depth": depth or (False if architectures else None),
        "unit": None if kind is None else UNITS[kind],
        "parameters": count_parameters(path),
        "encoder": encoder,
        "decoder": decoder,
        "domains": domains,
        "image_size_px": _image_size(path),
        "training": _training(path),
        "scores": _scores(path / "scores" / "results.json"),
    }


def count_parameters(folder: Path) -> int | None:
    """Numbers in a folder's safetensors, by their headers; None where there is no such file.

    Raises:
        ValueError: a file was cut off, is none, or one of several is missing.
    """
    files = sorted(folder.glob("model*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        with _reading(index):
            named = set(_read_json(index)["weight_map"].values())
        missing = sorted(named - {file.name for file in files})
        if missing:
            raise ValueError(f"{folder / missing[0]} is missing, which {index.name} names; fetch or save it anew.")
    total = 0
    for file in files:
        try:
            with file.open("rb") as opened:
                # Eight bytes with the length of a JSON header: https://huggingface.co/docs/safetensors
                length = int(struct.unpack("<Q", opened.read(8))[0])
                header = json.loads(opened.read(min(length, file.stat().st_size)))
            entries = [entry for name, entry in header.items() if name != "__metadata__"]
            end = max((entry["data_offsets"][1] for entry in entries), default=0)
            total += sum(math.prod(entry["shape"]) for entry in entries)
            whole = file.stat().st_size >= 8 + length + end
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error):
            whole = False
        if not whole:
            raise ValueError(f"{file} is no whole safetensors file; fetch or save it anew.")
    return total if files else None


def to_text(info: dict[str, Any]) -> str:
    """The same for people."""
    meaning = {"m": "metric depth, metres", "inverse depth": "relative: inverse depth, larger is nearer"}
    other = "no depth model" if info["predicts_depth"] is False else "of unknown unit"
    lines = [("model", f"{info['model_type']} ({meaning.get(info['unit'], other)})")]
    parameters = info["parameters"]
    lines.append(("parameters", "no weights here" if parameters is None else f"{parameters / 1e6:.2f} M"))
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
    for score in info["scores"]:
        values = ", ".join(f"{name} {score[name]:.3f}" for name in SHOWN_METRICS if _is_number(score.get(name)))
        where = " ".join(str(score[name]) for name in ("data", "head", "space") if score.get(name))
        lines.append(("score", f"{where} ({score.get('images', '?')} images): {values}"))
    if info["predicts_depth"] and not info["scores"]:
        lines.append(
            ("score", "none in scores/; semidepth score --model FOLDER --output FOLDER/scores puts some there")
        )
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join([info["folder"], *(f"{name:<{width}}{value}" for name, value in lines)])


def _encoder(backbone: dict[str, Any]) -> dict[str, Any]:
    names = {
        "model_type": "kind",
        "hidden_size": "width",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "patch_size": "patch",
    }
    return {short: backbone[name] for name, short in names.items() if name in backbone}


def _image_size(folder: Path) -> int | None:
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return None
    with _reading(file):
        size = _read_json(file).get("size")
        sides = size.values() if isinstance(size, dict) else [size]
        return min((side for side in sides if isinstance(side, int)), default=None)


def _training(folder: Path) -> dict[str, Any] | None:
    """The command, its options, and what its results say of its length."""
    name = next((name for name in RUNS if (folder / f"{name}.yaml").is_file()), None)
    if name is None:
        return None
    with _reading(folder / f"{name}.yaml"):
        options = dict(yaml.safe_load((folder / f"{name}.yaml").read_text()) or {})
    found: dict[str, Any] = {
        "command": name, "options": {field: options[field] for field in RUN_FIELDS if field in options}
    }  # fmt: skip
    file = folder / "results.json"
    if file.is_file():
        with _reading(file):
            results = _read_json(file)
            both = {**(results.get("run") or {}), **results}
        found |= {field: both[field] for field in ("steps", "hours") if both.get(field) is not None}
        # As "indoor/abs_rel"; of some images of the validation sources, at the end of the training.
        scores = {name: value for name, value in results.items() if "/" in name and _is_number(value)}
        found |= {"validation": scores} if scores else {}
    return found


def _scores(file: Path) -> list[dict[str, Any]]:
    """One flat entry for each data set, head and space that `semidepth score` scored."""
    if not file.is_file():
        return []
    fields = ("data", "head", "space", "protocol", "images")
    with _reading(file):
        return [
            {name: entry[name] for name in fields if name in entry} | (entry.get("metrics") or {})
            for entry in _read_json(file).get("scores") or []
        ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _why_no_model(folder: Path) -> str:
    """The end of a sentence on a folder without config.json."""
    if not folder.is_dir():
        return f"is {'a file' if folder.exists() else 'not here'}; give the folder of a model."
    if (folder / "trainer.json").is_file():
        return "is a checkpoint from within a training, without a config.json; give the run's folder once it has ended."
    models = sorted(file.parent.name for file in folder.glob("*/config.json"))
    if models:
        return f"has no config.json, but models in it: {', '.join(models)}; give one of these folders."
    if any(folder.glob("checkpoint-*/trainer.json")):
        return "has checkpoints and no config.json: its training has not ended; run its command again, which goes on."
    return "has no config.json; give the folder of a model."


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Around what is done with a file's content: raises ValueError, naming it, where that is not what it should be."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, yaml.YAMLError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{file} is damaged ({cause}); save or fetch it anew.") from error


def _read_json(file: Path) -> dict[str, Any]:
    content = json.loads(file.read_text())
    if not isinstance(content, dict):
        raise TypeError(f"it holds a {type(content).__name__}, no JSON object")
    return content


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the top of the file. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of a model")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(argv)
    try:
        info = model_info(given.folder)
    except (ValueError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    print(json.dumps(info, indent=2) if given.json else to_text(info))
    return 0


if __name__ == "__main__":
    sys.exit(main())
